"""What gateway, records, execution and scheduler of one node hand to each other."""

from __future__ import annotations

from swarm.core.effects import Effect, Message
from swarm.core.ids import NodeId, ObjectName
from swarm.exec.core import ExecCore
from swarm.node_reports import copy_rows
from swarm.scheduler.core import Scheduler
from swarm.scheduler.gateway import Gateway
from swarm.scheduler.job_facts import NEWS_FORGET
from swarm.scheduler.records import JobRecords
from swarm.wire.facts import Output
from swarm.wire.messages import INTENT_CLOSE, OBJECT_COPIED


def pass_on(gateway: Gateway, records: JobRecords, core: ExecCore, scheduler: Scheduler, now: float) -> None:
    """Pass submissions, fetches, acceptances and news to those they are for."""
    for submission in gateway.take_submissions():
        refusal = records.accept(
            submission.token,
            submission.job,
            submission.number,
            submission.parts_total,
            submission.blob,
            submission.part,
            now,
        )
        gateway.on_taken(submission, refusal)
    for job, parts in gateway.take_closes():
        records.intend(job, INTENT_CLOSE, parts, now)
    for name, ref in gateway.take_fetches():
        if core.fetch_object(name, ref, now):
            gateway.on_object_here(name)
    gateway.on_accepted(records.acceptances.take_accepted())
    news = records.take_news()
    for item in news:
        if item.kind == NEWS_FORGET:
            core.forget_job(item.job, now)
            gateway.forget_job(item.job)
    scheduler.on_news(news, now)


def tell_fetched(gateway: Gateway, core: ExecCore) -> None:
    """Tell the gateway what became of the objects that it had fetched."""
    for name, is_here in core.told:
        if is_here:
            gateway.on_object_here(name)
        else:
            gateway.on_object_missing(name)
    core.told.clear()


def take_object(core: ExecCore, name: ObjectName, output: Output, leader: NodeId, now: float) -> list[Effect]:
    """Take that an object came into the own store by other means than the execution core; tell the leader."""
    core.put_object(name, output, now)
    if not leader:
        return []
    return [Message(leader, OBJECT_COPIED, [copy_rows(core, [name])])]
