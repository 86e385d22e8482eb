"""What clients saw of a mesh, and whether it may have been so. Imports nothing of swarm.

Every client writes one JSON line when it begins an operation (``invoke``) and one when it knows how that
went: ``ok``; ``fail``, it certainly did not happen; or ``unknown``, it may have happened, now or later, as
when an answer did not come. Times are of the one monotonic clock of the machine. The form is Jepsen's.

    {"time": 12.3, "client": "c0", "op": 7, "phase": "invoke", "action": "submit", "job": "…", …}

Actions and their fields:

* ``submit``: invoke has `tasks` (how many), `value` (digest of the right answer) or `error` (true for a job
  that has to fail). ok means acknowledged.
* ``cancel``: ok means that the mesh has taken it.
* ``look``: ok has `state`, `value` (digest, of a job that is done and whose answer was fetched), `node`
  (who answered), `tasks`. fail means that the node says it knows no such job.

The tasks themselves write a line each time they begin (:class:`Begin`), which says how often each ran. What
was done to the mesh comes as :class:`Fault`.

Rules, by the name that a complaint begins with:

* ``form``: a client does one thing at a time, and what ends was begun.
* ``lost``: what was acknowledged has ended by the last looks, and every node that was asked knows it.
* ``answer``: a job that is done has the right answer; one that can only fail is never done; one that can only
  succeed never fails; nothing is cancelled that nobody tried to cancel.
* ``change``: after somebody was shown that a job is done, nobody on the same side is shown anything else. A
  verdict of failed or cancelled changes only into done, and only when a fault explains it. That a job which
  was done runs again for a while, because who knows its results is away, is not taken for a change when a
  fault explains it, but counted (:attr:`History.reopened`).
* ``once``: a job has as many tasks as were submitted, however often that was. Submitting a job again that has
  ended, in a whole mesh, runs nothing.
* ``refused``: of a job of which every submission was refused nothing runs.
* ``cancelled``: once everybody agrees that a job is cancelled, nothing of it begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

FINAL: Final = ("done", "failed", "cancelled")
PHASES: Final = ("invoke", "ok", "fail", "unknown")
ACTIONS: Final = ("submit", "cancel", "look")
SETTLE_S: Final = 15.0
"""After the end of a cut, for so long two sides may still show different things."""


class Operation:
    """One thing that a client did.

    Attributes:
        client: who.
        action: one of `ACTIONS`.
        job: about which job.
        began, ended: seconds; `ended` is infinite for what did not end.
        phase: how it ended: "ok", "fail" or "unknown".
        asked, told: the fields of its two lines.
    """

    def __init__(self, asked: Mapping[str, Any]) -> None:
        self.client: Final = str(asked["client"])
        self.action: Final = str(asked["action"])
        self.job: Final = str(asked["job"])
        self.began: Final = float(asked["time"])
        self.ended = float("inf")
        self.phase = "unknown"
        self.asked: Final = dict(asked)
        self.told: dict[str, Any] = {}

    @property
    def state(self) -> str:
        """What a look was told, "" for anything else."""
        return str(self.told.get("state", "")) if self.phase == "ok" else ""

    def __str__(self) -> str:
        what = f" {self.state}" if self.state else ""
        return f"{self.client} {self.action} {self.phase}{what} at {self.began:.3f}..{self.ended:.3f}"


class Begin:
    """A task began to run.

    Attributes:
        time: seconds.
        job, task: which.
    """

    def __init__(self, time: float, job: str, task: int) -> None:
        self.time: Final = time
        self.job: Final = job
        self.task: Final = task


class Fault:
    """Something was done to the mesh, for a while.

    Attributes:
        kind: such as "kill" or "cut".
        began, ended: seconds; it is repaired at the end.
        sides: for a cut whose sides are whole among themselves, the names of their nodes.
    """

    def __init__(self, kind: str, began: float, ended: float, sides: Sequence[Sequence[str]] = ()) -> None:
        self.kind: Final = kind
        self.began: Final = began
        self.ended: Final = ended
        self.sides: Final = [list(side) for side in sides]

    def overlaps(self, began: float, ended: float) -> bool:
        """Return whether it was on at some time between two moments."""
        return self.began <= ended and began <= self.ended


class History:
    """Everything that is known of a run.

    Args:
        lines: of all clients, in any order.
        begins: of tasks.
        faults: that were made.
        calm_at: from then on the mesh was whole and left alone; what is looked at later counts as the end.

    Attributes:
        reopened: jobs that were shown done and then running, with the two looks; filled by :func:`check`.
    """

    def __init__(
        self,
        lines: Iterable[Mapping[str, Any]],
        begins: Iterable[Begin] = (),
        faults: Iterable[Fault] = (),
        calm_at: float = float("inf"),
    ) -> None:
        self.complaints: list[str] = []
        self.operations: Final = self._paired(sorted(lines, key=lambda line: float(line["time"])))
        self.begins: Final = sorted(begins, key=lambda begin: begin.time)
        self.faults: Final = list(faults)
        self.calm_at: Final = calm_at
        self.reopened: dict[str, str] = {}

    def by_job(self) -> dict[str, list[Operation]]:
        """Return the operations about each job, as they began."""
        found: dict[str, list[Operation]] = {}
        for operation in self.operations:
            found.setdefault(operation.job, []).append(operation)
        return found

    def executions(self) -> dict[tuple[str, int], int]:
        """Return how often each task began that did."""
        found: dict[tuple[str, int], int] = {}
        for begin in self.begins:
            found[begin.job, begin.task] = found.get((begin.job, begin.task), 0) + 1
        return found

    def _paired(self, lines: Sequence[Mapping[str, Any]]) -> list[Operation]:
        open_by_client: dict[str, tuple[int, Operation]] = {}
        operations: list[Operation] = []
        for line in lines:
            client, number, phase = str(line["client"]), int(line["op"]), str(line["phase"])
            if phase not in PHASES:
                self.complaints.append(f"form: {client} wrote a phase {phase!r}")
                continue
            if phase == "invoke":
                if line["action"] not in ACTIONS:
                    self.complaints.append(f"form: {client} did {line['action']!r}")
                if client in open_by_client:
                    self.complaints.append(
                        f"form: {client} began operation {number} in the middle of another"
                    )
                operation = Operation(line)
                open_by_client[client] = (number, operation)
                operations.append(operation)
                continue
            begun = open_by_client.pop(client, None)
            if begun is None or begun[0] != number:
                self.complaints.append(f"form: {client} ended operation {number}, which it had not begun")
                continue
            begun[1].phase, begun[1].ended, begun[1].told = phase, float(line["time"]), dict(line)
        return operations


def check(history: History) -> list[str]:
    """Return what is wrong with a history, an empty list when nothing is."""
    complaints = list(history.complaints)
    ran: dict[str, list[Begin]] = {}
    for begin in history.begins:
        ran.setdefault(begin.job, []).append(begin)
    for job, operations in history.by_job().items():
        about = _Job(history, job, operations, ran.get(job, []))
        complaints += [f"{rule}: job {job[:8]}: {text}" for rule, text in about.complaints()]
    submitted = {operation.job for operation in history.operations if operation.action == "submit"}
    complaints += [
        f"once: job {job[:8]}: nobody submitted it, but it ran" for job in ran if job not in submitted
    ]
    strange = sorted({begin.job for begin in history.begins if begin.task < 0})
    complaints += [f"form: job {job[:8]} ran a task with a negative number" for job in strange]
    return complaints


class _Job:
    """The rules for one job."""

    def __init__(
        self, history: History, job: str, operations: Sequence[Operation], begins: Sequence[Begin]
    ) -> None:
        self._history = history
        self._begins = begins
        self._submits = [each for each in operations if each.action == "submit"]
        self._cancels = [each for each in operations if each.action == "cancel"]
        self._looks = [each for each in operations if each.action == "look"]
        self._seen = [each for each in self._looks if each.phase == "ok"]
        self._last = [each for each in self._looks if each.began >= history.calm_at]

    def complaints(self) -> list[tuple[str, str]]:
        return [
            *self._lost(),
            *self._answer(),
            *self._change(),
            *self._once(),
            *self._refused(),
            *self._cancelled(),
        ]

    def _acknowledged_at(self) -> float:
        return min([each.ended for each in self._submits if each.phase == "ok"], default=float("inf"))

    def _lost(self) -> list[tuple[str, str]]:
        since = self._acknowledged_at()
        if since == float("inf"):
            return []
        said = f"acknowledged at {since:.3f}"
        found: list[tuple[str, str]] = []
        answered = [each for each in self._last if each.phase in ("ok", "fail")]
        if not answered:
            return [("lost", f"{said}, and at the end nobody could say what became of it")]
        for look in answered:
            if look.phase == "fail":
                found.append(("lost", f"{said}, unknown to the node in: {look}"))
        if answered[-1].phase == "ok" and answered[-1].state not in FINAL:
            found.append(("lost", f"{said}, not ended: {answered[-1]}"))
        return found

    def _answer(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        if not self._submits:
            return [("form", "looked at without a submission")] if self._seen else []
        right, must_fail = self._submits[0].asked.get("value"), bool(self._submits[0].asked.get("error"))
        first_cancel = min(
            [each.began for each in self._cancels if each.phase != "fail"], default=float("inf")
        )
        for look in self._seen:
            value = look.told.get("value")
            if look.state == "done" and must_fail:
                found.append(("answer", f"it can only fail: {look}"))
            if value is not None and value != right:
                found.append(("answer", f"{value} instead of {right}: {look}"))
            if look.state == "failed" and not must_fail:
                found.append(("answer", f"nothing in it can fail ({look.told.get('reason', '')}): {look}"))
            if look.state == "cancelled" and look.ended < first_cancel:
                found.append(("answer", f"nobody cancelled it: {look}"))
        return found

    def _change(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        verdicts = [look for look in self._seen if look.state in FINAL]
        for number, early in enumerate(verdicts):
            later = [look for look in self._seen if look.began >= early.ended]
            for late in later:
                if late.state == early.state or not self._is_same_side(early, late):
                    continue
                if early.state != "done" and late.state == "done" and self._is_explained(late):
                    continue
                if late.state not in FINAL and self._is_explained(late):
                    self._history.reopened.setdefault(early.job, f"{early}, then {late}")
                    continue
                found.append(("change", f"{early}, then {late}"))
                break
            if number and len(found) > 3:
                break
        return found

    def _is_same_side(self, early: Operation, late: Operation) -> bool:
        """Return whether the two who answered could have known of each other."""
        mine, other = str(early.told.get("node", "")), str(late.told.get("node", ""))
        for fault in self._history.faults:
            if fault.kind != "cut" or not fault.overlaps(early.began, late.ended):
                continue
            if late.began > fault.ended + SETTLE_S:
                continue
            is_healing = late.ended > fault.ended  # what the other side knows may be told already
            together = any(mine in side and other in side for side in fault.sides)
            if is_healing or not fault.sides or not together:
                return False
        return True

    def _is_explained(self, late: Operation) -> bool:
        since = min([each.began for each in self._submits], default=0.0)
        return any(fault.overlaps(since - SETTLE_S, late.ended) for fault in self._history.faults)

    def _once(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        wanted = {int(each.asked["tasks"]) for each in self._submits if "tasks" in each.asked}
        if len(wanted) > 1:
            found.append(("form", f"one id for jobs of {sorted(wanted)} tasks"))
        for look in self._seen:
            told = look.told.get("tasks")
            if look.state == "done" and told is not None and wanted and told not in wanted:
                found.append(("once", f"{told} tasks instead of {min(wanted)}: {look}"))
        late = [each for each in self._submits if each.began >= self._history.calm_at]
        ended_before = [
            look for look in self._last if look.state in FINAL and late and look.ended <= late[0].began
        ]
        if late and ended_before:
            again = [begin for begin in self._begins if begin.time > late[0].began]
            if again:
                found.append(("once", f"{len(again)} tasks ran when it was submitted again"))
            if late[0].phase == "fail":
                found.append(("once", f"submitted again as before, and refused: {late[0].told.get('error')}"))
        return found

    def _refused(self) -> list[tuple[str, str]]:
        if self._submits and all(each.phase == "fail" for each in self._submits) and self._begins:
            return [("refused", f"{len(self._begins)} of its tasks ran")]
        return []

    def _cancelled(self) -> list[tuple[str, str]]:
        looks = [look for look in self._last if look.phase == "ok"]
        if not looks or any(look.state != "cancelled" for look in looks):
            return []
        late = [begin for begin in self._begins if begin.time > looks[0].ended]
        return [("cancelled", f"{len(late)} of its tasks began after all had agreed")] if late else []


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a JSON file of lines; a last one that is not whole was never said."""
    found: list[dict[str, Any]] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def read_begins(path: Path) -> list[Begin]:
    """Return what tasks wrote when they began: lines of time, job and task."""
    found: list[Begin] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        words = line.split()
        if len(words) == 3:
            found.append(Begin(float(words[0]), words[1], int(words[2])))
    return found
