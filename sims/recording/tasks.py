"""Attempts that executors ran: when, where, how they ended."""

from __future__ import annotations

from typing import Final, final

from sims.host import Host
from sims.observer import Observer
from sims.recording.rows import NEVER, Event, TaskRun
from swarm.core.effects import ExecutorTask

RECALLED: Final = "recalled"
DONE: Final = "done"


@final
class TaskRecorder(Observer):
    """Notes every attempt.

    Attributes:
        numbers: job ids -> numbers of jobs, as told by whoever submits them.
        recalled: tasks taken back from executors before they began.
        events: rows for the trace since they were taken last.
    """

    def __init__(self) -> None:
        self.numbers: Final[dict[bytes, int]] = {}
        self.recalled = 0
        self.events: list[Event] = []
        self._runs: Final[list[TaskRun]] = []
        self._last_s: Final[dict[int, float]] = {}

    def runs(self) -> list[TaskRun]:
        """Return all attempts that ended, by their begin, each with a lane of its host."""
        return with_lanes(self._runs)

    def last_s(self, job: int) -> float:
        """Return when the last attempt of a job that succeeded ended, `NEVER` for none."""
        return self._last_s.get(job, NEVER)

    def on_task(self, host: Host, task: ExecutorTask, begin_s: float, end_s: float, how: str) -> None:
        if how == RECALLED:
            self.recalled += 1
            return
        job = self.numbers.get(task.job, -1)
        self._runs.append(
            TaskRun(job, task.task, task.attempt, task.name, host.index, 0, begin_s, end_s, how)
        )
        if how == DONE:
            self._last_s[job] = end_s
        detail = f"{task.name} job {job} task {task.task} attempt {task.attempt} from {begin_s:.6f}"
        self.events.append(Event(end_s, host.index, f"task_{how}", -1, 0, detail))


def with_lanes(runs: list[TaskRun]) -> list[TaskRun]:
    """Return attempts by their begin; those of a host that overlap get different lanes, the lowest free."""
    lanes: dict[int, list[float]] = {}
    found: list[TaskRun] = []
    for run in sorted(runs, key=_order_of):
        ends = lanes.setdefault(run.host, [])
        free = [lane for lane, end_s in enumerate(ends) if end_s <= run.begin_s]
        lane = free[0] if free else len(ends)
        if not free:
            ends.append(0.0)
        ends[lane] = run.end_s
        found.append(run._replace(lane=lane))
    return found


def _order_of(run: TaskRun) -> tuple[float, float, int, int, int, int]:
    return (run.begin_s, run.end_s, run.host, run.job, run.task, run.attempt)
