"""What a node reports: to the leader about the work it does, to its log about the leader."""

from __future__ import annotations

from swarm.core.effects import Effect, LeaderChanged, Message, Notify
from swarm.core.ids import Ballot, NodeId, ObjectName, short
from swarm.exec.core import ExecCore
from swarm.exec.reports import Reports
from swarm.wire.batches import cut_rows
from swarm.wire.messages import COMPLETIONS, OBJECT_COPIED, OBJECT_LOST, RETRACTED, TASK_OUTPUT


def report_rows(core: ExecCore, reports: Reports) -> list[tuple[int, list[object]]]:
    """Return (kind, rows) of the messages that tell the leader `reports`, each of a bounded size."""
    completions: list[object] = [[job, completion.to_wire()] for job, completion in reports.completions]
    returned: list[object] = [list(attempt) for attempt in reports.returned]
    messages: list[tuple[int, list[object]]] = []
    _add_batches(messages, COMPLETIONS, completions)
    _add_batches(messages, TASK_OUTPUT, list(reports.output))
    _add_batches(messages, OBJECT_LOST, list(reports.lost))
    _add_batches(messages, RETRACTED, returned)
    _add_batches(messages, OBJECT_COPIED, copy_rows(core, reports.copied))
    return messages


def copy_rows(core: ExecCore, names: list[ObjectName]) -> list[object]:
    """Return rows [job, task, output, digest] of those objects that are here."""
    rows: list[object] = []
    for name in names:
        output = core.find_object(name)
        if output is not None:
            rows.append([name[0], name[1], name[2], output.digest])
    return rows


def give_back(core: ExecCore, leader: NodeId, ballot: Ballot, now: float) -> list[Effect]:
    """Give back what has not started; return the messages that tell a leader so.

    What tasks printed is told again to a leader that asks for the first time, with the next reports.

    The inventory that follows does not name it either, but a question that comes late, through a relay
    perhaps, is answered by an inventory that counts no more.
    """
    core.printed.tell_again(ballot)
    if core.quarantine[0] != leader:
        core.quarantine = (b"", "")  # Another leader finds out anew.
    waiting, _ = core.inventory()
    rows: list[object] = [list(attempt) for attempt in core.retract(waiting, now)]
    return [Message(leader, RETRACTED, [batch]) for batch in cut_rows(rows)]


def inventory_body(core: ExecCore, request: int) -> list[object]:
    """Return the body of an INVENTORY that answers `request`."""
    running, objects = core.inventory()
    rows: list[object] = [list(attempt) for attempt in running]
    copies: list[object] = [[name[0], name[1], name[2], digest] for name, digest, _, _ in objects]
    return [request, rows, copies]


def leadership_news(change: LeaderChanged) -> Notify:
    """Return what the log says of a change of leader; nobody is ""."""
    leader = short(change.leader) if change.leader else ""
    return Notify("leader_changed", {"leader": leader, "counter": change.ballot[0]})


def _add_batches(messages: list[tuple[int, list[object]]], kind: int, rows: list[object]) -> None:
    for batch in cut_rows(rows):
        messages.append((kind, batch))
