"""Obeying the leader: what its orders make this node's execution core do."""

from __future__ import annotations

from swarm.core.effects import Effect, Message
from swarm.core.ids import JobId, NodeId
from swarm.exec.core import ExecCore
from swarm.scheduler.records import JobRecords
from swarm.wire.codec import Body
from swarm.wire.messages import (
    ASSIGN,
    CANCEL_ATTEMPTS,
    JOB_FORGET,
    OBJECT_GIVE,
    RELEASE_OBJECTS,
    RETRACT,
    RETRACTED,
)
from swarm.wire.orders import Assignment, assignment_untrusted, attempts_untrusted, given_objects_untrusted


def obey(
    core: ExecCore, records: JobRecords, leader: NodeId, kind: int, body: Body, now: float
) -> list[Effect]:
    """Carry out an order and return the answers to it.

    Args:
        core: does the work.
        records: know which jobs have ended long ago: nothing of those runs, and the leader is told.
        leader: who ordered; the fence was checked before.
        kind: one of ORDERS of `swarm.wire.messages` but REPORT_WANTED.
        body: of the message.
        now: seconds.

    Raises:
        DecodeError: the body is malformed; nothing was done.
    """
    if kind == ASSIGN:
        return _assign(core, records, leader, body.take_list(), now)
    if kind == OBJECT_GIVE:
        for name, output in given_objects_untrusted(body.take_list()):
            core.put_object(name, output, now)
        return []
    attempts = attempts_untrusted(body.take_list())
    if kind == CANCEL_ATTEMPTS:
        core.cancel(attempts, now)
    elif kind == RELEASE_OBJECTS:
        core.release(attempts, now)
    elif kind == RETRACT:
        rows = [list(attempt) for attempt in core.retract(attempts, now)]
        return [Message(leader, RETRACTED, [rows])]
    return []


def _assign(
    core: ExecCore, records: JobRecords, leader: NodeId, rows: list[object], now: float
) -> list[Effect]:
    wanted: list[Assignment] = []
    ended: dict[JobId, str] = {}
    for row in rows:
        assignment = assignment_untrusted(Body([row]).take_list())
        verdict = records.verdict(assignment.job)
        if verdict:
            ended[assignment.job] = verdict
        else:
            wanted.append(assignment)
    core.assign(wanted, now)
    return [Message(leader, JOB_FORGET, [[[job, verdict]]]) for job, verdict in ended.items()]
