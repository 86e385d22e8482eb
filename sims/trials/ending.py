"""The second phase of a trial: faults stop for a core, and L1 to L7, E3, E4 and D1 are demanded of it.

What the present stage does not promise is excused here and nowhere else, each with its reason (`EXCUSES`).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from sims.checkers.base import Violation
from sims.checkers.bursts import Silence, unseat
from sims.checkers.strict import can_elect
from sims.client import SimulatedClient
from sims.host import Host
from sims.trials.case import JobPlan
from sims.trials.copies import judge_copies
from sims.trials.jobs import answers
from swarm.core.quorums import STRICT
from swarm.wire.messages import INLINE_SIZE_MAX

if TYPE_CHECKING:
    from sims.trials.run import Trial

LEADER_LIMIT_S: Final = 30.0
GROUP_LIMIT_S: Final = 150.0
JOBS_LIMIT_S: Final = 400.0
DETECTION_LIMIT_S: Final = 14.0
REACH_LIMIT_S: Final = 400.0
"""Long enough for what else is to be done, on a slow host that is alone."""
CANCEL_LIMIT_S: Final = 1.0
IDLE_BYTES_PER_NODE_S: Final = 8000.0
STREAM_BREAKS_S: Final = 22.0
"""A stream to who lost its power is known to be broken by then, and what may be lost was asked for."""
HELD_UP_S: Final = 1.0
LOSSY_WINDOWS: Final = 2
"""Quiet times after the first that one of all must be as quiet as it should, where datagrams are lost."""
HELD_UP_LIMIT_S: Final = 60.0
"""A message that needs longer waits on a stream for what was lost there, and longer than that none does."""
SETTLED_S: Final = 3.0
"""An election whose cause was over for so long has ended."""
STEP_S: Final = 0.5
GOODBYE_S: Final = 2.0

EXCUSES: Final = {
    "record-elsewhere": "a job whose copies are all outside the core cannot end there: they died within the "
    "time that it takes to make others, or all at once",
    "verdict-alone": "a success that one side of a cut was shown is not known on the other, where a cancel "
    "may win until they meet (see StatusChecker); the crash of processes excuses nothing",
    "recomputed-random": "large outputs of a task whose runs differ are computed anew when their only holder "
    "dies, and what used the old ones stays; S8 is demanded where outputs travel inside messages",
    "late-copies": "a copy that is reported while its task is made anew elsewhere stays until its job "
    "expires, so stores are judged where at most one process crashed",
    "group-loss": "a lone survivor of many takes long to believe that all others are gone",
    "voters-lost": "a strict mesh does not go on once a majority of its voters has lost what it promised; "
    "then only safety is judged",
    "report-to-clone": "a report to a leader whose identity is on two hosts may reach the other one, which "
    "takes it, so that nobody knows that the attempt has ended; jobs to which that happened need not end",
}


def judge_ending(trial: Trial) -> None:
    """Stop the faults for the core and demand everything of it.

    Raises:
        Violation: something did not happen in time, or wrongly.
    """
    trial.was_calm = not trial.truth.net_troubled_at and trial.truth.downs <= 1
    core = _settle(trial)
    settled_s = _latest_trouble(trial)
    if trial.case.quorum == STRICT and not can_elect(core):
        return
    _wait_for_leader(trial, core)
    _wait_for_tables(trial, core)
    _wait_for_jobs(trial, core)
    _wait_for_reach(trial, core)
    _judge_answers(trial)
    _judge_quiet(trial, core)
    judge_copies(trial, core, settled_s)
    _judge_detection(trial, core)


def _fail(trial: Trial, checker: str, text: str) -> None:
    raise Violation(checker, f"{trial.cluster.engine.now:.3f} s: {text}")


def _settle(trial: Trial) -> list[Host]:
    cluster = trial.cluster
    if trial.truth.net_troubled_at:
        trial.act("heal")
        trial.act("latency", value=1.0)
        trial.act("loss", value=min(trial.case.network.loss, 0.2))
    if trial.truth.clones:
        trial.act("unclone", tuple(trial.truth.clones))
    for host in cluster.hosts:
        trial.act("pace", (host.index,))
        if host.index in trial.case.core:
            trial.act("lie", (host.index,))
        else:
            trial.act("power", (host.index,))
    trial.act("start", trial.case.core)
    # Who was saying goodbye comes back too; a voter waits until it is not needed.
    wait_s = cluster.hosts[0].settings.strict.leave_wait_s if trial.case.quorum == STRICT else 0.0
    trial.step(cluster.engine.now + GOODBYE_S + wait_s)
    trial.act("start", trial.case.core)
    if trial.case.is_core_relayed:
        others = trial.case.core[1:]
        trial.act("block", groups=(others, others))
    return [cluster.hosts[index] for index in trial.case.core]


def _wait(trial: Trial, limit_s: float) -> bool:
    """Start who said goodbye, make a step; return whether the limit is over."""
    cluster = trial.cluster
    if [index for index in trial.case.core if cluster.hosts[index].node is None]:
        trial.act("start", trial.case.core)
    trial.step(cluster.engine.now + STEP_S)
    return cluster.engine.now > limit_s


def _wait_for_leader(trial: Trial, core: list[Host]) -> None:
    is_minority = 2 * len(core) <= len(trial.cluster.hosts)
    limit_s = _latest_trouble(trial) + (GROUP_LIMIT_S if is_minority else LEADER_LIMIT_S)
    while True:
        said = {host.node.election.leader() for host in core if host.node is not None}
        if len(said) == 1 and said <= {host.node_id for host in core} - {b""}:
            return
        if _wait(trial, limit_s):
            names = {host.spec.name: _leader_name(trial, host) for host in core}
            _fail(trial, "L1", f"no one leader {LEADER_LIMIT_S:g} s after the faults: {names}")


def _latest_trouble(trial: Trial) -> float:
    """Return when the last pause of a core host ends, or its disk is free again."""
    latest = trial.cluster.engine.now
    for index in trial.case.core:
        host = trial.cluster.hosts[index]
        latest = max(latest, host.stalled_until, host.disk_stuck_until)
    return latest


def _leader_name(trial: Trial, host: Host) -> str:
    if host.node is None:
        return "down"
    leader = host.node.election.leader()
    for other in trial.cluster.hosts:
        if other.node_id == leader:
            return other.spec.name
    return "nobody"


def _wait_for_tables(trial: Trial, core: list[Host]) -> None:
    limit_s = _latest_trouble(trial) + GROUP_LIMIT_S
    expected = sorted([host.node_id for host in core])
    while True:
        wrong = [
            host.spec.name for host in core if host.node is None or host.node.gossip.alive_ids() != expected
        ]
        if not wrong:
            return
        if _wait(trial, limit_s):
            _fail(trial, "L2", f"tables of {', '.join(wrong)} are wrong {GROUP_LIMIT_S:g} s after the faults")


def _wait_for_jobs(trial: Trial, core: list[Host]) -> None:
    # Copies do not go through a third host: what one cannot get is made again where it can, after some tries.
    limit_s = trial.cluster.engine.now + (3 if trial.case.is_core_relayed else 1) * JOBS_LIMIT_S
    for _, client in trial.clients:
        if client.attached not in trial.case.core:
            client.attach(trial.case.core[0])
    while True:
        waiting = [
            (plan, client)
            for plan, client in trial.clients
            if not client.is_final() and not client.refused and not _is_elsewhere(trial, client, core)
        ]
        if not waiting:
            return
        if _wait(trial, limit_s):
            waiting = [(plan, client) for plan, client in waiting if not trial.held.is_astray(client.job)]
            if not waiting:
                return
            plan, client = waiting[0]
            _fail(
                trial,
                "L3",
                f"job {client.job.hex()[:6]} ({plan.shape}) does not end: "
                f"{client.state or 'unknown'} {client.counts} {client.reason}",
            )


def _wait_for_reach(trial: Trial, core: list[Host]) -> None:
    """L7: a task that only one host may run runs there, whichever of the core it is."""
    first = core[0].index
    names = tuple([host.spec.name for host in core])
    now = trial.cluster.engine.now
    width = (len(core) + 3) // 4
    plan = JobPlan(
        at_s=now, host=first, shape="bag", width=width, task_s=0.01, size_bytes=10, retries=3, pins=names
    )
    client = trial.submit(plan)
    while not client.is_final():
        if _wait(trial, now + REACH_LIMIT_S):
            total, done, _, running = client.counts
            _fail(
                trial,
                "L7",
                f"not every node gets work within {REACH_LIMIT_S:g} s: {done} of {total} pinned tasks are "
                f"done, {running} given out",
            )


def _is_elsewhere(trial: Trial, client: SimulatedClient, core: list[Host]) -> bool:
    """Return whether a job was acknowledged and no sound disk of the core has it (record-elsewhere)."""
    if not client.accepted:
        return False
    key = client.job + bytes(4)
    for host in core:
        if host.node_id in trial.truth.forgot:
            continue
        if host.disk.row("parts", key) is not None or host.disk.row("tombs", client.job) is not None:
            return False
    return True


def _judge_answers(trial: Trial) -> None:
    for plan, client in trial.clients:
        if not client.is_final():
            continue
        allowed = ["done"]
        if plan.fails:
            allowed = ["failed"]
        if plan.cancel_s:
            allowed.append("cancelled")
        if plan.cancel_s:
            _judge_cancel(trial, client)
        if client.state not in allowed:
            _fail(trial, "P4", f"job {client.job.hex()[:6]} ended as {client.state}: {client.reason}")
        if client.state == "done" and plan.is_random:
            if plan.size_bytes <= INLINE_SIZE_MAX:
                _judge_consistency(trial, client)
        elif client.state == "done":
            wanted = answers(plan, client.job)
            for task, completion in client.results.items():
                if completion.outputs is not None and completion.outputs[0].digest != wanted[task]:
                    _fail(trial, "P3", f"task {task} of job {client.job.hex()[:6]} has a wrong result")


def _judge_cancel(trial: Trial, client: SimulatedClient) -> None:
    """P4: a job whose cancel was answered while it ran ends as cancelled, where nobody went down."""
    ended_s = trial.records.ended.get(client.job, 0.0)
    is_late = 0.0 <= client.cancelled_at < ended_s - CANCEL_LIMIT_S
    if is_late and client.state != "cancelled" and trial.truth.was_calm() and not trial.truth.downs:
        _fail(
            trial,
            "P4",
            f"job {client.job.hex()[:6]} is {client.state}, "
            f"{ended_s - client.cancelled_at:.1f} s after it was cancelled",
        )


def _judge_consistency(trial: Trial, client: SimulatedClient) -> None:
    """S8: every result was computed from the results that won."""
    consumers = trial.consumers
    for task, completion in client.results.items():
        inputs = [
            producer
            for (job, producer), needing in consumers.items()
            if job == client.job and task in needing
        ]
        digests: list[bytes] = []
        for producer in sorted(inputs):
            made = client.results.get(producer)
            if made is None or made.outputs is None:
                return
            digests.append(made.outputs[0].digest)
        wanted = blake2b(b"".join(digests), digest_size=16).digest() if digests else b""
        if completion.outputs is not None and completion.inputs_digest != wanted:
            _fail(
                trial,
                "S8",
                f"task {task} of job {client.job.hex()[:6]} used other inputs than those that won",
            )


def _judge_quiet(trial: Trial, core: list[Host]) -> None:
    """L4, L5, E3, E4: nobody else leads, traffic falls, nothing runs or waits any more.

    Something happens as long as a stream holds messages up for what was lost on it: a leader that lacks a
    node's report asks for it again, and each is everything that the node knows.
    """
    cluster = trial.cluster
    cluster.network.measure_silences()
    trial.step(_latest_trouble(trial) + STREAM_BREAKS_S)
    limit_s = cluster.engine.now + HELD_UP_LIMIT_S
    while cluster.network.arrived_s() > cluster.engine.now + HELD_UP_S and cluster.engine.now < limit_s:
        trial.step(cluster.engine.now + STEP_S)
    ballots = {host.node.election.ballot() for host in core if host.node is not None}
    network = cluster.network
    begin_s = cluster.engine.now
    busy = _watch_traffic(trial, core)
    # Where datagrams are lost a stream breaks now and then, and brings one report.
    windows = LOSSY_WINDOWS if network.config.loss else 0
    while busy and windows:
        busy = _watch_traffic(trial, core)
        windows -= 1
    now_led = {host.node.election.ballot() for host in core if host.node is not None}
    if now_led != ballots and not _is_unseated(core, ballots, network.silences(cluster.engine.now), begin_s):
        _fail(trial, "L4", "the leader changed while nothing happened")
    if busy:
        _fail(trial, "L5", busy)
    _judge_leftovers(trial, core)


def _watch_traffic(trial: Trial, core: list[Host]) -> str:
    """Let a quiet time pass; return who sent too much meanwhile, "" for nobody."""
    engine, network = trial.cluster.engine, trial.cluster.network
    sent = [network.sent_bytes[host.index] + network.stream_bytes[host.index] for host in core]
    until_s = engine.now + trial.case.quiet_s
    while engine.now < until_s:
        trial.step(engine.now + 1.0)
    for host, before in zip(core, sent, strict=True):
        rate = (
            network.sent_bytes[host.index] + network.stream_bytes[host.index] - before
        ) / trial.case.quiet_s
        # The one that connects all others passes on what they have to say, too.
        limit = 3 * IDLE_BYTES_PER_NODE_S if trial.case.is_core_relayed else IDLE_BYTES_PER_NODE_S
        if rate > limit:
            return f"{host.spec.name} sends {rate:.0f} B/s while nothing happens"
    return ""


def _is_unseated(
    core: list[Host], ballots: set[tuple[int, bytes]], silences: list[Silence], begin_s: float
) -> bool:
    """Return whether losses in bursts can have ended the leadership that there was at a time."""
    lately = [silence for silence in silences if silence[3] >= begin_s - SETTLED_S]
    by_id = {host.node_id: host for host in core}
    leader = by_id.get(max(ballots)[1])
    if leader is None or leader.node is None:
        return False
    council = [by_id[member].index for member, _ in leader.node.roster.council() if member in by_id]
    others = [index for index in council if index != leader.index]
    return unseat(lately, leader.index, others, leader.settings.election)


def _judge_leftovers(trial: Trial, core: list[Host]) -> None:
    """E3, E4: nothing of a job that has ended runs or waits, whatever other jobs do."""
    ended = {client.job: True for _, client in trial.clients if client.is_final()}
    for host in core:
        assert host.node is not None, "the core runs"
        for executor in host.executors.values():
            for task in executor.queue:
                if task.job in ended:
                    _fail(trial, "E4", f"{host.spec.name} runs task {task.task} of a job that has ended")
        held = [attempt for attempt in trial.held.held_by(host) if attempt[0] in ended]
        if held:
            job, number, attempt = held[0]
            _fail(
                trial,
                "E3",
                f"{host.spec.name} holds {len(held)} attempts of jobs that have ended, "
                f"{attempt} of task {number} of {job.hex()[:6]} among them",
            )
    if trial.was_calm:
        _judge_stores(trial, core)


def _judge_stores(trial: Trial, core: list[Host]) -> None:
    """E3: of a job that has ended well, only results stay in the stores."""
    for plan, client in trial.clients:
        if client.state != "done" or plan.is_random or plan.shape == "bag":
            continue
        kept = len(answers(plan, client.job)) - 1
        for host in core:
            left = [name[1] for name in host.store if name[0] == client.job and name[1] != kept]
            if left:
                _fail(trial, "E3", f"{host.spec.name} keeps outputs {left} of a job that has ended")


def _judge_detection(trial: Trial, core: list[Host]) -> None:
    """D1: a member that loses its power is dead for all others in time."""
    if len(core) < 2 or trial.case.network.loss > 0.05:
        return
    cluster = trial.cluster
    candidates = core[1:] if trial.case.is_core_relayed else core
    victim = candidates[trial.case.seed % len(candidates)]
    trial.act("power", (victim.index,))
    begin_s = cluster.engine.now
    others = [host for host in core if host is not victim]
    # Where most cannot say that they are well, everybody doubts itself and waits longer.
    limit_s = 3 * DETECTION_LIMIT_S if trial.case.is_core_relayed else DETECTION_LIMIT_S
    while cluster.engine.now < begin_s + limit_s:
        trial.step(cluster.engine.now + STEP_S)
        if all([_is_dead(host, victim) for host in others]):
            return
    _fail(trial, "D1", f"{victim.spec.name} is not dead for all {limit_s:g} s after it lost its power")


def _is_dead(host: Host, victim: Host) -> bool:
    if host.node is None:
        return True
    member = host.node.gossip.member(victim.node_id)
    return member is not None and member.state in ("dead", "left")
