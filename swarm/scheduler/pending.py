"""What the leader was told before it can use it: completions of tasks and rows of inventories.

Both wait here while it collects, and later when they are about a part that has not come yet. Successes are
taken before failures, so that the outcome does not depend on the order in which they came.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import JobId, NodeId
from swarm.scheduler.inventory import Found
from swarm.wire.facts import Completion

FOUND_MAX: Final = 1_000_000


@final
class Pending:
    """Completions and finds that wait, by job.

    Completions are facts that the records hold anyhow, so as many wait as there are: one that was left out
    would never come again, and its task, given out under the same number to the same node, would never end.

    Attributes:
        dropped: how many finds did not fit.
    """

    def __init__(self) -> None:
        self._held: dict[JobId, list[Completion]] = {}
        self._found: dict[JobId, list[Found]] = {}
        self._found_count = 0
        self.dropped = 0

    def hold(self, job: JobId, completion: Completion) -> None:
        """Let a completion wait."""
        self._held.setdefault(job, []).append(completion)

    def note(self, found: Found) -> None:
        """Let a row of an inventory wait."""
        if self._found_count >= FOUND_MAX:
            self.dropped += 1
            return
        self._found_count += 1
        self._found.setdefault(found.job, []).append(found)

    def note_outputs(self, job: JobId, completion: Completion) -> None:
        """Note who has the outputs of a success that waits, as an inventory would tell."""
        for number, output in enumerate(completion.outputs or []):
            self.note(Found(completion.node, job, completion.task, 0, number, output.digest))

    def has(self, job: JobId) -> bool:
        """Return whether anything waits for a job."""
        return job in self._held or job in self._found

    def jobs(self) -> list[JobId]:
        """Return the jobs for which something waits, oldest first."""
        return list(dict.fromkeys([*self._held, *self._found]))

    def take_held(self, job: JobId) -> list[Completion]:
        """Remove and return the completions that wait for a job, successes first."""
        held = self._held.pop(job, [])
        successes = [completion for completion in held if completion.failure is None]
        successes.extend([completion for completion in held if completion.failure is not None])
        return successes

    def take_found(self, job: JobId) -> list[Found]:
        """Remove and return the rows that wait for a job."""
        found = self._found.pop(job, [])
        self._found_count -= len(found)
        return found

    def drop_job(self, job: JobId) -> None:
        """Forget what waits for a job."""
        self.take_held(job)
        self.take_found(job)

    def drop_node(self, node: NodeId) -> None:
        """Forget what a node that is gone was found to have or to run."""
        for job in list(self._found):
            for row in self.take_found(job):
                if row.node != node:
                    self.note(row)
