"""A bar on the terminal while a program waits for futures; nothing when stderr is no terminal.

The bar appears after a moment, so that quick waits stay silent, and rich is imported only then.
``SWARM_PROGRESS=0`` turns it off.
"""

from __future__ import annotations

import os
import sys
import threading
import types
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Self, final

if TYPE_CHECKING:
    from swarm.client.futures import BaseFuture
    from swarm.client.job import ClientJob

APPEAR_S: Final = 0.7
REFRESH_S: Final = 0.2


def is_wanted() -> bool:
    """Return whether there is a terminal to draw on."""
    return os.environ.get("SWARM_PROGRESS", "1") != "0" and sys.stderr is not None and sys.stderr.isatty()


@final
class Progress:
    """Draws how many futures (or tasks of a job) are done, while the block runs.

    Args:
        futures: what is waited for.
        job: count its tasks instead.
    """

    def __init__(self, futures: Sequence[BaseFuture[Any]], job: ClientJob | None = None) -> None:
        self._futures = futures
        self._job = job
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if is_wanted() and not all([future.done() for future in self._futures]):
            self._thread = threading.Thread(target=self._draw, name="swarm progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.pause()

    def pause(self) -> None:
        """Stop drawing: the program may print now."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _counts(self) -> tuple[int, int, int]:
        if self._job is not None:
            total, done, failed, _ = self._job.counts
            return total or self._job.builder.task_count(), done, failed
        jobs = dict.fromkeys([future.job for future in self._futures])
        if len(jobs) == 1:
            total, done, failed, _ = next(iter(jobs)).counts
            if total:
                return total, done, failed
        return len(self._futures), sum([future.done() for future in self._futures]), 0

    def _draw(self) -> None:
        if self._ended.wait(APPEAR_S):
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]}"),
            TimeElapsedColumn(),
        )
        console = Console(stderr=True)
        with Bars(*columns, console=console, transient=True, refresh_per_second=1 / REFRESH_S) as bars:
            bar = bars.add_task("tasks", total=None, failed="")
            while not self._ended.wait(REFRESH_S):
                total, done, failed = self._counts()
                bars.update(
                    bar, total=total, completed=done + failed, failed=f"{failed} failed" if failed else ""
                )
