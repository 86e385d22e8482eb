"""What recorders note: plain rows that can be pickled and written. Times are true virtual seconds."""

from __future__ import annotations

from typing import Final, NamedTuple

NEVER: Final = -1.0
"""A time that did not come."""


class Sample(NamedTuple):
    """The whole mesh at one time.

    Attributes:
        time_s: when.
        running: nodes that run.
        share: of the pairs (running node, member) that are right; see `MembershipRecorder`.
        suspects: pairs in which a running node suspects a member.
        leaders: nodes that believe that they lead.
        following: share of the running nodes that follow the one running leader, 0 without exactly one.
    """

    time_s: float
    running: int
    share: float
    suspects: int
    leaders: int
    following: float


class Death(NamedTuple):
    """A node that ended, and how the others came to know.

    Attributes:
        host: whose node.
        how: "kill", "power", "left" or "destroyed".
        time_s: when it ended.
        observers: running nodes that listed it then.
        first_suspect_s: when the first of them suspected it; `NEVER` for not, as below.
        first_s: when the first of them took it for dead or gone.
        all_s: when the last of those that still run did.
        restarted_s: when it started again with the same identity, which ends the watch.
    """

    host: int
    how: str
    time_s: float
    observers: int
    first_suspect_s: float
    first_s: float
    all_s: float
    restarted_s: float


class Doubt(NamedTuple):
    """A node took a running member for suspect or dead.

    Attributes:
        time_s: when.
        observer, host: who doubted whom.
        verdict: "suspect" or "dead".
        is_excused: the member was disturbed (paused, started a moment ago …), or cut off from the observer or
            from the node that said so first.
        is_disturbed: one of those two was itself.
    """

    time_s: float
    observer: int
    host: int
    verdict: str
    is_excused: bool
    is_disturbed: bool


class Reign(NamedTuple):
    """A leadership.

    Attributes:
        host: who led.
        counter: of its ballot.
        begin_s, end_s: from when to when; `NEVER` for an end after the run.
    """

    host: int
    counter: int
    begin_s: float
    end_s: float


class TaskRun(NamedTuple):
    """An attempt that an executor ran.

    Attributes:
        job: number of the job in the run, -1 for none of its workloads.
        task, attempt: which one.
        name: of the task.
        host: where.
        lane: of the host: attempts that overlap are in different lanes, from 0.
        begin_s, end_s: from when to when.
        how: "done", "failed" or "killed".
    """

    job: int
    task: int
    attempt: int
    name: str
    host: int
    lane: int
    begin_s: float
    end_s: float
    how: str


class JobRun(NamedTuple):
    """A job, as its client saw it.

    Attributes:
        name: of the job.
        tasks: how many.
        submitted_s: when its client attached; `NEVER` for not, as below.
        accepted_s: when the client knew that it is kept.
        ended_s: when the client knew of the end, to the next 50 ms.
        last_s: when the last attempt that succeeded ended.
        state: the last one heard: "done", "failed", "cancelled", …; "refused".
        reason: why it failed or was refused.
        done, failed: tasks.
        attempts: executions that the leader knows of.
    """

    name: str
    tasks: int
    submitted_s: float
    accepted_s: float
    ended_s: float
    last_s: float
    state: str
    reason: str
    done: int
    failed: int
    attempts: int

    def makespan_s(self) -> float:
        """Return the time from submission to the end of the last task; `NEVER` for a job that is not done."""
        return self.last_s - self.submitted_s if self.state == "done" else NEVER


class Event(NamedTuple):
    """A row of the trace; see `sims.trace`.

    Attributes:
        time_s: when.
        node: host.
        event: what.
        peer: another host, -1 for none.
        bytes: that came with it.
        detail: more.
    """

    time_s: float
    node: int
    event: str
    peer: int
    bytes: int
    detail: str
