"""Obeying the leader: what its orders make this node's execution core do."""

from __future__ import annotations

from swarm.core.effects import Effect, Message
from swarm.core.ids import JobId, NodeId, ObjectName
from swarm.exec.core import ExecCore
from swarm.node_reports import copy_rows
from swarm.scheduler.records import JobRecords
from swarm.wire.codec import Body
from swarm.wire.messages import (
    ASSIGN,
    CANCEL_ATTEMPTS,
    JOB_FORGET,
    OBJECT_COPIED,
    OBJECT_GIVE,
    OBJECT_WANTED,
    QUARANTINED,
    RELEASE_OBJECTS,
    RETRACT,
    RETRACTED,
)
from swarm.wire.orders import (
    Assignment,
    InputRef,
    assignment_untrusted,
    attempts_untrusted,
    given_objects_untrusted,
    wanted_objects_untrusted,
)


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
    if kind == QUARANTINED:
        core.quarantine = (leader, body.take_text())
        return []
    if kind == OBJECT_WANTED:
        return _fetch(core, leader, wanted_objects_untrusted(body.take_list()), now)
    attempts = attempts_untrusted(body.take_list())
    if kind == CANCEL_ATTEMPTS:
        core.cancel(attempts, now)
    elif kind == RELEASE_OBJECTS:
        core.release(attempts, now)
    elif kind == RETRACT:
        rows = [list(attempt) for attempt in core.retract(attempts, now)]
        return [Message(leader, RETRACTED, [rows])]
    return []


def _fetch(
    core: ExecCore, leader: NodeId, wanted: list[tuple[ObjectName, InputRef]], now: float
) -> list[Effect]:
    here = [name for name, ref in wanted if core.fetch_object(name, ref, now)]
    return [Message(leader, OBJECT_COPIED, [copy_rows(core, here)])] if here else []


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
