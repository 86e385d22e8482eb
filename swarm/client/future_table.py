"""Which futures of a job somebody still holds, and whose results the mesh must keep.

Holds futures weakly: a future that is gone appends its task to `dropped` (any thread, no lock), and the
session's thread decides in :meth:`FutureTable.take_released` what that means.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from swarm.core.errors import SwarmError
from swarm.wire.facts import Output

if TYPE_CHECKING:
    from swarm.client.futures import BaseFuture


class FutureTable:
    """The futures of one job.

    Attributes:
        dropped: tasks whose future is gone or cancelled.
        remembers: whether all outcomes are kept, see :meth:`remember`.
    """

    def __init__(self) -> None:
        self.dropped: Final[deque[int]] = deque()
        self._lock = threading.Lock()
        self._first: dict[int, weakref.ref[BaseFuture[Any]]] = {}
        self._others: dict[int, list[weakref.ref[BaseFuture[Any]]]] = {}
        self._outcomes: dict[int, Sequence[Output | SwarmError]] = {}
        self._kept: dict[int, None] = {}
        self._error: SwarmError | None = None
        self.remembers = False

    def remember(self) -> None:
        """Keep all outcomes from now on: futures may be made after their tasks have ended."""
        self.remembers = True

    def register(self, future: BaseFuture[Any]) -> None:
        """Take up the future of a task's first output."""
        if not self.remembers:
            self._first[future.task] = weakref.ref(future)
            return
        with self._lock:
            self._first[future.task] = weakref.ref(future)
            outcomes, error = self._outcomes.get(future.task), self._error
        if outcomes is not None:
            future.settle(outcomes[0])
        elif error is not None:
            future.settle(error)

    def register_other(self, future: BaseFuture[Any]) -> None:
        """Take up the future of another output, settling it when its task has ended already."""
        with self._lock:
            outcomes = self._outcomes.get(future.task)
            if outcomes is None and self._error is None:
                self._others.setdefault(future.task, []).append(weakref.ref(future))
                return
        if outcomes is not None:
            future.settle(outcomes[min(future.output, len(outcomes) - 1)])
        elif self._error is not None:
            future.settle(self._error)

    def is_wanted(self, task: int) -> bool:
        """Return whether somebody holds a future of the task, or may ask for one."""
        if self.remembers:
            return True
        reference = self._first.get(task)
        future = None if reference is None else reference()
        if future is not None and not future.cancelled():
            return True
        return task in self._others and any(other() is not None for other in self._others[task])

    def mark_kept(self, task: int) -> None:
        """Remember that the mesh was told to keep the task's result for us."""
        self._kept[task] = None

    def has_kept(self) -> bool:
        """Return whether the mesh keeps results for us."""
        return bool(self._kept)

    def settle(self, task: int, outcomes: Sequence[Output | SwarmError], has_others: bool) -> None:
        """Give the futures of a task their outcomes; the first outcomes stay.

        Args:
            outcomes: one for each output, or a single error.
            has_others: the task has several outputs, so that futures of them may still be asked for.
        """
        others: Sequence[weakref.ref[BaseFuture[Any]]] = ()
        if has_others or self.remembers:
            with self._lock:
                outcomes = self._outcomes.setdefault(task, outcomes)
                others = self._others.get(task, ())
        reference = self._first.get(task)
        future = None if reference is None else reference()
        if future is not None:
            future.settle(outcomes[0])
        if others:
            for other in others:
                extra = other()
                if extra is not None:
                    extra.settle(outcomes[min(extra.output, len(outcomes) - 1)])

    def take_released(self) -> list[int]:
        """Return the tasks whose kept results nobody wants any more, each once."""
        released: list[int] = []
        for _ in range(len(self.dropped)):
            task = self.dropped.popleft()
            if self.is_wanted(task):
                continue
            self._first.pop(task, None)
            self._others.pop(task, None)
            self._outcomes.pop(task, None)
            if task in self._kept:
                del self._kept[task]
                released.append(task)
        return released

    def unsettled_count(self) -> int:
        """Return how many futures that somebody holds are not done."""
        count = 0
        for reference in list(self._first.values()):
            future = reference()
            count += future is not None and not future.done()
        return count

    def end(self, error: SwarmError) -> None:
        """Settle every future that is left, and every later one, with an error."""
        with self._lock:
            self._error = error
            left = [*self._first.values()]
            for others in self._others.values():
                left.extend(others)
        for reference in left:
            future = reference()
            if future is not None:
                future.settle(error)
