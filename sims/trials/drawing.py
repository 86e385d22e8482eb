"""Drawing a case from a seed: a profile says of which hosts, network, faults and jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sims.network import NetworkConfig
from sims.settings import HostSpec
from sims.trials.case import Case, Event, JobPlan
from sims.trials.faults import FAULTS, FAULTS_OF_STRICT, Draw
from sims.trials.jobs import SHAPES
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

BEGIN_S: Final = 6.0
LARGE_BYTES: Final = 200_000


def draw(seed: int, profile: str) -> Case:
    """Return the case of a seed.

    Raises:
        ConfigError: there is no such profile.
    """
    if profile not in PROFILES:
        raise ConfigError(f"no profile is called {profile!r}; there are {', '.join(PROFILES)}")
    case = _hungry(PROFILES[profile](seed, Rng(f"{profile}:{seed}")), Rng(f"{profile}:{seed}:hungry"))
    return _relayed(case, Rng(f"{profile}:{seed}:relayed")) if profile in RELAYED else case


def _hungry(case: Case, rng: Rng) -> Case:
    """Let tasks of some jobs ask for several cores and for memory, as some host of the core has together."""
    jobs: list[JobPlan] = []
    hosts = [case.hosts[index] for index in case.core]
    for plan in case.jobs:
        if rng.unit() >= 0.35:
            jobs.append(plan)
            continue
        host = rng.choose(hosts)
        cpus = float(1 + rng.below(int(host.cores)))
        share = rng.choose([0.0, 0.0, 0.3, 0.6, 1.0])
        jobs.append(replace(plan, cpus=cpus, memory_bytes=int(share * host.memory_bytes)))
    return replace(case, jobs=tuple(jobs))


def _soak(seed: int, rng: Rng) -> Case:
    return _behind_nat(_mixed(seed, "soak", rng, 5 + rng.below(4), 60.0), rng)


def _small(seed: int, rng: Rng) -> Case:
    return _mixed(seed, "small", rng, 1 + rng.below(4), 30.0)


def _pair(seed: int, rng: Rng) -> Case:
    case = _mixed(seed, "pair", rng, 2 + rng.below(2), 20.0)
    return replace(case, network=NetworkConfig(), core=tuple(range(len(case.hosts))))


def _calm(seed: int, rng: Rng) -> Case:
    """No fault but the crash of single processes, one at a time."""
    count = 5 + rng.below(3)
    case = _mixed(seed, "calm", rng, count, 60.0)
    events: list[Event] = []
    at_s = 20.0 + rng.uniform(0.0, 10.0)
    if rng.unit() < 0.7:
        kind = rng.choose(["kill-leader", "kill"])
        targets = () if kind == "kill-leader" else (rng.below(count),)
        events = [Event(at_s=at_s, kind=kind, targets=targets), Event(at_s=at_s + 4.0, kind="revive")]
    jobs = tuple([replace(job, is_random=False) for job in case.jobs])
    return replace(case, network=NetworkConfig(), events=tuple(events), jobs=jobs, core=tuple(range(count)))


def _handover(seed: int, rng: Rng) -> Case:
    """No fault but the crash of the leader's process, always while tasks run."""
    case = _calm(seed, rng)
    events: list[Event] = []
    jobs: list[JobPlan] = []
    at_s = 10.0
    for drawn in case.jobs:
        at_s += rng.uniform(4.0, 8.0)
        events.append(Event(at_s=round(at_s + rng.uniform(0.5, 3.0), 3), kind="kill-leader"))
        events.append(Event(at_s=round(at_s + 7.0, 3), kind="revive"))
        shape, task_s = rng.choose(["bag", "bag", drawn.shape]), rng.choose([0.5, 2.0])
        plan = replace(drawn, at_s=round(at_s, 3), task_s=task_s, size_bytes=10, shape=shape, width=8)
        jobs.append(replace(plan, cancel_s=0.0, fails=False))
        at_s += 8.0
    return replace(case, profile="handover", events=tuple(events), jobs=tuple(jobs))


def _lossy(seed: int, rng: Rng) -> Case:
    """No fault, but a network that loses much."""
    case = _mixed(seed, "lossy", rng, 5 + rng.below(3), 90.0)
    network = NetworkConfig(loss=rng.choose([0.1, 0.2]), jitter_s=0.005)
    jobs = tuple([replace(job, is_random=False) for job in case.jobs])
    return replace(case, network=network, events=(), jobs=jobs, core=tuple(range(len(case.hosts))))


def _large(seed: int, rng: Rng) -> Case:
    return _behind_nat(_mixed(seed, "large", rng, 12 + rng.below(13), 60.0), rng)


def _behind_nat(case: Case, rng: Rng) -> Case:
    """Sometimes one host stands behind a translator; two could not speak to each other without relays."""
    return replace(case, nat=(rng.below(len(case.hosts)),)) if rng.unit() < 0.15 else case


def _relayed(case: Case, rng: Rng) -> Case:
    """Sometimes the hosts of the core reach each other through one of them only."""
    is_relayed = rng.unit() < 0.12 and len(case.core) > 2 and not case.nat
    if not is_relayed:
        return case
    return replace(case, is_core_relayed=True, network=_without_much_loss(case.network))


def _without_much_loss(network: NetworkConfig) -> NetworkConfig:
    """Return a network where what makes four hops mostly arrives: a probe through a helper does."""
    return replace(network, loss=min(network.loss, 0.02), loss_burst_count=1.0)


def _star(seed: int, rng: Rng) -> Case:
    """As in the soak, with a core whose hosts reach each other through one of them only."""
    count = 5 + rng.below(4)
    case = _mixed(seed, "star", rng, count, 60.0)
    network = _without_much_loss(case.network)
    return replace(case, network=network, core=tuple(range(count)), is_core_relayed=True)


def _apart(seed: int, rng: Rng) -> Case:
    """No process ends, but sides are apart for so long that each takes the other for dead."""
    count = 5 + rng.below(4)
    case = _mixed(seed, "apart", rng, count, 90.0)
    drawn = Draw(rng, count, 90.0, False)
    if rng.unit() < 0.5:
        drawn.add(BEGIN_S, "deafen", drawn.some(count))
    at_s = BEGIN_S
    while at_s < 60.0:
        at_s += rng.uniform(2.0, 20.0)
        one, two = drawn.sides()
        drawn.add(at_s, "cut", groups=[one, two])
        at_s += rng.uniform(10.0, 45.0)
        drawn.add(at_s, "heal")
    return replace(case, network=NetworkConfig(), events=tuple(drawn.events), core=tuple(range(count)))


def _ended(seed: int, rng: Rng) -> Case:
    """Jobs that are cancelled or end soon, and are forgotten while nodes with their records are down."""
    count = 5 + rng.below(3)
    case = _mixed(seed, "ended", rng, count, 60.0)
    drawn = Draw(rng, count, 60.0, False)
    jobs: list[JobPlan] = []
    for plan in case.jobs + case.jobs:
        at_s = round(rng.uniform(BEGIN_S, 40.0), 3)
        cancel_s = round(rng.uniform(0.3, 3.0), 3) if rng.unit() < 0.5 else 0.0
        host = rng.below(count)
        jobs.append(replace(plan, at_s=at_s, cancel_s=cancel_s, is_random=False, host=host))
        if cancel_s and rng.unit() < 0.6:
            at_s += cancel_s + rng.uniform(0.05, 1.0)
            drawn.add(at_s, "kill-leader", value=float(rng.below(2)))
            drawn.add(at_s + rng.uniform(3.0, 20.0), "revive")
        elif rng.unit() < 0.6:
            targets = drawn.some(2)
            at_s += rng.uniform(0.05, 3.0)
            drawn.add(at_s, rng.choose(["kill", "power", "leave"]), targets)
            drawn.add(at_s + rng.uniform(5.0, 25.0), "start", targets)
    drawn.events.sort(key=_time_of)
    ttl_s = rng.choose([1.5, 4.0])
    return replace(
        case,
        network=NetworkConfig(),
        events=tuple(drawn.events),
        jobs=tuple(jobs),
        core=tuple(range(count)),
        results_ttl_s=ttl_s,
    )


def _versions(seed: int, rng: Rng) -> Case:
    """Tasks whose runs all make other outputs, and nodes that are away and come back with old ones."""
    kinds = ["crash", "leader", "partition", "flap", "one-way", "clog", "pause", "sleep", "leader-sleeps"]
    case = _mixed(seed, "versions", rng, 5 + rng.below(3), 60.0, kinds)
    jobs: list[JobPlan] = []
    for plan in case.jobs:
        shape = rng.choose(["chain", "fork-join", "tree", "stencil"])
        size = rng.choose([1000, 1000, LARGE_BYTES])
        jobs.append(
            replace(plan, shape=shape, size_bytes=size, is_random=True, fails=False, cancel_s=0.0, task_s=0.5)
        )
    return replace(case, network=NetworkConfig(), jobs=tuple(jobs))


def _crowd(seed: int, rng: Rng) -> Case:
    """No fault, but nodes that often describe themselves anew, and a network that loses much."""
    count = 8 + rng.below(5)
    case = _lossy(seed, rng)
    drawn = Draw(rng, count, 40.0, False)
    talkers = rng.sample(list(range(count)), count // 2)
    for number in range(60):
        drawn.add(BEGIN_S + 0.5 * number, "describe", talkers)
    return replace(
        case,
        profile="crowd",
        hosts=_hosts(rng, count),
        events=tuple(drawn.events),
        jobs=case.jobs[:1],
        faults_s=40.0,
        core=tuple(range(count)),
    )


def _strict(seed: int, rng: Rng) -> Case:
    """A strict mesh: drifting clocks, sleep, cuts and crashes; in the end all hosts are there."""
    count = 3 + rng.below(5)
    case = _mixed(seed, "strict", rng, count, 60.0, list(FAULTS_OF_STRICT))
    hosts = [replace(host, drift_ppm=rng.choose([-500.0, 0.0, 500.0]), machine="") for host in case.hosts]
    jobs = tuple([replace(job, is_random=False) for job in case.jobs])
    network = _without_much_loss(case.network)
    core = tuple(range(count))
    return replace(case, hosts=tuple(hosts), network=network, jobs=jobs, core=core, quorum="strict")


def _mixed(
    seed: int, profile: str, rng: Rng, count: int, faults_s: float, among: list[str] | None = None
) -> Case:
    drawn = Draw(rng, count, faults_s, rng.unit() < 0.4)
    at_s = BEGIN_S
    pause_s = rng.choose([1.5, 3.0, 6.0, 12.0])
    known = list(FAULTS) if among is None else among
    kinds = rng.sample(known, 3 + rng.below(len(known) - 2))
    while at_s < faults_s:
        at_s += rng.uniform(0.1, 2 * pause_s)
        name = rng.choose(kinds)
        (FAULTS_OF_STRICT[name] if among is not None and name not in FAULTS else FAULTS[name])(drawn, at_s)
    if rng.unit() < 0.8:
        for _ in range(int(faults_s / 15)):
            drawn.add(rng.uniform(BEGIN_S, faults_s), "revive")
    drawn.events.sort(key=_time_of)
    core = rng.sample(list(range(count)), 1 + rng.below(count)) if rng.unit() < 0.6 else list(range(count))
    return Case(
        seed=seed,
        profile=profile,
        hosts=_hosts(rng, count),
        network=_network(rng),
        events=tuple(drawn.events),
        jobs=tuple([_job(rng, count, faults_s) for _ in range(1 + rng.below(4))]),
        faults_s=faults_s,
        core=tuple(sorted(core)),
    )


def _time_of(event: Event) -> float:
    return event.at_s


def _hosts(rng: Rng, count: int) -> tuple[HostSpec, ...]:
    shares_machines = rng.unit() < 0.3
    drifts = rng.unit() < 0.3
    hosts: list[HostSpec] = []
    for index in range(count):
        hosts.append(
            HostSpec(
                name=f"n{index}",
                cores=rng.choose([1.0, 1.0, 2.0, 4.0]),
                speed=rng.choose([0.25, 0.5, 1.0, 1.0, 2.0]),
                fitness=rng.choose([10, 50, 100, 100]),
                drift_ppm=round(rng.uniform(-500.0, 500.0), 1) if drifts else 0.0,
                machine=f"m{index // 2}" if shares_machines else "",
            )
        )
    return tuple(hosts)


def _network(rng: Rng) -> NetworkConfig:
    latency_s = rng.choose([0.0003, 0.0005, 0.002, 0.01, 0.03])
    loss = rng.choose([0.0, 0.0, 0.0, 0.02, 0.1, 0.2])
    return NetworkConfig(
        latency_s=latency_s,
        jitter_s=rng.choose([0.0, 0.0005, latency_s, 2 * latency_s]),
        loss=loss,
        loss_burst_count=rng.choose([1.0, 1.0, 4.0]) if loss else 1.0,
        duplicate=rng.choose([0.0, 0.0, 0.1, 0.5]),
        reorder=rng.choose([0.0, 0.0, 0.1]),
        reorder_s=rng.choose([0.01, 0.1, 0.5]),
        corrupt=rng.choose([0.0, 0.0, 0.02]),
    )


def _job(rng: Rng, count: int, faults_s: float) -> JobPlan:
    cancel_s = round(rng.uniform(0.1, 10.0), 3) if rng.unit() < 0.12 else 0.0
    return JobPlan(
        at_s=round(rng.uniform(BEGIN_S - 2.0, 0.8 * faults_s), 3),
        host=rng.below(count),
        shape=rng.choose(list(SHAPES)),
        width=1 + rng.below(8),
        task_s=rng.choose([0.01, 0.1, 0.5, 2.0]),
        size_bytes=rng.choose([10, 10, 1000, LARGE_BYTES]),
        cancel_s=cancel_s,
        retries=rng.below(3),
        fails=rng.unit() < 0.1,
        is_random=rng.unit() < 0.2,
    )


PROFILES: Final[dict[str, Callable[[int, Rng], Case]]] = {
    "soak": _soak,
    "small": _small,
    "pair": _pair,
    "calm": _calm,
    "handover": _handover,
    "lossy": _lossy,
    "large": _large,
    "apart": _apart,
    "ended": _ended,
    "versions": _versions,
    "crowd": _crowd,
    "star": _star,
    "strict": _strict,
}
"""soak: 5 to 8 nodes, a minute of every fault; small: 1 to 4 nodes; pair: 2 or 3 without loss; calm: only
single crashes; handover: only crashes of leaders; lossy: no fault but loss; large: 12 to 24 nodes; apart:
long cuts, and nobody restarts; ended: cancelled and forgotten jobs; versions: tasks that never give the same
twice; crowd: many rumours and loss; star: in the end everybody is reached through one host only; strict: a
mesh
of voters, with drift and sleep."""
RELAYED: Final = ("soak", "large")
"""Profiles of which some cases end like those of star."""
