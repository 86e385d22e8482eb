"""The index of a node's runs: by order of arrival, by attempt, by task and by job."""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import AttemptKey, JobId, ObjectName
from swarm.exec.states import Run, RunState
from swarm.wire.facts import Completion


@final
class Runs:
    """All live runs; adding, finding and removing take constant time."""

    def __init__(self) -> None:
        self._by_order: dict[int, Run] = {}
        self._by_job: dict[JobId, dict[int, list[Run]]] = {}

    def __len__(self) -> int:
        return len(self._by_order)

    def add(self, run: Run) -> None:
        """Add a run whose attempt is not here."""
        assignment = run.assignment
        self._by_order[run.order] = run
        tasks = self._by_job.get(assignment.job)
        if tasks is None:
            tasks = {}
            self._by_job[assignment.job] = tasks
        siblings = tasks.get(assignment.task)
        if siblings is None:
            tasks[assignment.task] = [run]
        else:
            siblings.append(run)

    def remove(self, run: Run) -> None:
        """Remove a run; its state becomes ENDED."""
        assert run.state is not RunState.ENDED, "a run ends once"
        run.state = RunState.ENDED
        assignment = run.assignment
        del self._by_order[run.order]
        tasks = self._by_job[assignment.job]
        siblings = tasks[assignment.task]
        if len(siblings) > 1:
            siblings.remove(run)
            return
        del tasks[assignment.task]
        if not tasks:
            del self._by_job[assignment.job]

    def get(self, order: int) -> Run | None:
        """Return the live run with this order."""
        return self._by_order.get(order)

    def find(self, job: JobId, task: int, attempt: int) -> Run | None:
        """Return the live run of an attempt."""
        tasks = self._by_job.get(job)
        if tasks is None:
            return None
        siblings = tasks.get(task)
        if siblings is None:
            return None
        for run in siblings:
            if run.assignment.attempt == attempt:
                return run
        return None

    def makes(self, name: ObjectName) -> bool:
        """Return whether a live run would make this object."""
        tasks = self._by_job.get(name[0])
        return tasks is not None and name[1] in tasks

    def all(self) -> list[Run]:
        """Return all live runs by arrival."""
        return list(self._by_order.values())

    def of_job(self, job: JobId) -> list[Run]:
        """Return the live runs of a job."""
        result: list[Run] = []
        for siblings in self._by_job.get(job, {}).values():
            result.extend(siblings)
        return result

    def check_invariants(self) -> None:
        """Audit the index (I1)."""
        count = 0
        for job, tasks in self._by_job.items():
            for task, siblings in tasks.items():
                count += len(siblings)
                for run in siblings:
                    assert run.key()[:2] == (job, task), f"I1: run {run.order} is filed as {task}"
                    assert self._by_order.get(run.order) is run, f"I1: run {run.order} is filed but not live"
        assert count == len(self._by_order), f"I1: {len(self._by_order)} runs live, {count} filed"


@final
class EndedAttempts:
    """The latest completions, oldest forgotten first, bounded in number and bytes."""

    def __init__(self, count_max: int, bytes_max: int) -> None:
        self._count_max: Final = count_max
        self._bytes_max: Final = bytes_max
        self._completions: dict[AttemptKey, Completion] = {}
        self._bytes = 0

    def remember(self, key: AttemptKey, completion: Completion) -> None:
        """Remember how an attempt ended; what is larger than the bound by itself is not kept."""
        self._drop(key)
        self._completions[key] = completion
        self._bytes += _cost_bytes(completion)
        while len(self._completions) > self._count_max or self._bytes > self._bytes_max:
            self._drop(next(iter(self._completions)))

    def find(self, key: AttemptKey) -> Completion | None:
        """Return how an attempt ended, None when that is not remembered."""
        return self._completions.get(key)

    def forget_job(self, job: JobId) -> None:
        """Forget all attempts of a job."""
        for key in list(self._completions):
            if key[0] == job:
                self._drop(key)

    def check_invariants(self) -> None:
        """Audit the bounds (I9)."""
        total = 0
        for completion in self._completions.values():
            total += _cost_bytes(completion)
        assert total == self._bytes, f"I9: {total} bytes of completions, {self._bytes} counted"
        assert len(self._completions) <= self._count_max, f"I9: {len(self._completions)} completions kept"
        assert total <= self._bytes_max, f"I9: {total} bytes of completions kept"

    def _drop(self, key: AttemptKey) -> None:
        completion = self._completions.pop(key, None)
        if completion is not None:
            self._bytes -= _cost_bytes(completion)


def _cost_bytes(completion: Completion) -> int:
    total = 0
    if completion.outputs is not None:
        for output in completion.outputs:
            if output.data is not None:
                total += len(output.data)
    failure = completion.failure
    if failure is not None:
        total += len(failure.message) + len(failure.traceback) + len(failure.pickled)
    return total
