"""Drawing a case from a seed: ranges as in TigerBeetle's simulator and Jepsen's menu of faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sims.network import NetworkConfig
from sims.settings import HostSpec
from sims.trials.case import Case, Event, JobPlan
from sims.trials.jobs import SHAPES
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

BEGIN_S: Final = 6.0
LARGE_BYTES: Final = 200_000


class Draw:
    """The events of a case as they are drawn, and what they may do.

    Attributes:
        rng: decides.
        count: hosts.
        end_s: of the faults.
        events: so far.
        harsh: whether disks may lose what they acknowledged.
    """

    def __init__(self, rng: Rng, count: int, end_s: float, harsh: bool) -> None:
        self.rng: Final = rng
        self.count: Final = count
        self.end_s: Final = end_s
        self.harsh: Final = harsh
        self.events: Final[list[Event]] = []

    def add(
        self,
        at_s: float,
        kind: str,
        targets: list[int] | None = None,
        value: float = 0.0,
        groups: list[list[int]] | None = None,
    ) -> None:
        """Add an event, at a whole millisecond before the end."""
        event = Event(
            at_s=round(min(at_s, self.end_s), 3),
            kind=kind,
            targets=tuple(targets or []),
            value=round(value, 4),
            groups=tuple([tuple(group) for group in groups or []]),
        )
        self.events.append(event)

    def some(self, most: int) -> list[int]:
        """Return 1 to `most` different hosts."""
        return self.rng.sample(list(range(self.count)), 1 + self.rng.below(max(1, min(most, self.count))))

    def sides(self) -> tuple[list[int], list[int]]:
        """Return two sides, each with at least one host where there are two."""
        hosts = self.rng.sample(list(range(self.count)), self.count)
        size = 1 + self.rng.below(max(1, self.count - 1))
        return hosts[:size], hosts[size:]


def draw(seed: int, profile: str) -> Case:
    """Return the case of a seed.

    Raises:
        ConfigError: there is no such profile.
    """
    if profile not in PROFILES:
        raise ConfigError(f"no profile is called {profile!r}; there are {', '.join(PROFILES)}")
    return PROFILES[profile](seed, Rng(f"{profile}:{seed}"))


def _soak(seed: int, rng: Rng) -> Case:
    return _mixed(seed, "soak", rng, 5 + rng.below(4), 60.0)


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


def _lossy(seed: int, rng: Rng) -> Case:
    """No fault, but a network that loses much."""
    case = _mixed(seed, "lossy", rng, 5 + rng.below(3), 90.0)
    network = NetworkConfig(loss=rng.choose([0.1, 0.2]), jitter_s=0.005)
    jobs = tuple([replace(job, is_random=False) for job in case.jobs])
    return replace(case, network=network, events=(), jobs=jobs, core=tuple(range(len(case.hosts))))


def _large(seed: int, rng: Rng) -> Case:
    return _mixed(seed, "large", rng, 12 + rng.below(13), 60.0)


def _mixed(seed: int, profile: str, rng: Rng, count: int, faults_s: float) -> Case:
    drawn = Draw(rng, count, faults_s, rng.unit() < 0.4)
    at_s = BEGIN_S
    pause_s = rng.choose([1.5, 3.0, 6.0, 12.0])
    kinds = rng.sample(list(FAULTS), 3 + rng.below(len(FAULTS) - 2))
    while at_s < faults_s:
        at_s += rng.uniform(0.1, 2 * pause_s)
        FAULTS[rng.choose(kinds)](drawn, at_s)
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


# Faults


def _crash(drawn: Draw, at_s: float) -> None:
    rng = drawn.rng
    targets = drawn.some(rng.choose([1, 1, 1, drawn.count // 2 + 1, drawn.count]))
    kind = rng.choose(["kill", "kill", "power"])
    drawn.add(at_s, kind, targets, value=float(rng.below(2)))
    if rng.unit() < 0.8:
        drawn.add(at_s + rng.uniform(0.05, 10.0), "start", targets)


def _crash_leader(drawn: Draw, at_s: float) -> None:
    rng = drawn.rng
    drawn.add(at_s, "kill-leader", value=float(rng.below(2)))
    drawn.add(at_s + rng.choose([0.05, 0.5, 3.0, 12.0]), "revive")


def _blackout(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "power", list(range(drawn.count)), value=float(drawn.rng.below(2)))
    drawn.add(at_s + drawn.rng.uniform(0.5, 5.0), "revive")


def _partition(drawn: Draw, at_s: float) -> None:
    one, two = drawn.sides()
    drawn.add(at_s, "cut", groups=[one, two])
    drawn.add(at_s + drawn.rng.uniform(0.3, 20.0), "heal")


def _flap(drawn: Draw, at_s: float) -> None:
    one, two = drawn.sides()
    for number in range(2 + drawn.rng.below(5)):
        drawn.add(at_s + 2.0 * number, "cut", groups=[one, two])
        drawn.add(at_s + 2.0 * number + drawn.rng.uniform(0.2, 1.8), "heal")


def _one_way(drawn: Draw, at_s: float) -> None:
    one, two = drawn.sides()
    drawn.add(at_s, "block", groups=[one, two])
    drawn.add(at_s + drawn.rng.uniform(0.5, 15.0), "heal")


def _bridge(drawn: Draw, at_s: float) -> None:
    """Two sides that only one host sees both of."""
    one, two = drawn.sides()
    if len(one) < 2:
        return
    drawn.add(at_s, "block", groups=[one[1:], two])
    drawn.add(at_s, "block", groups=[two, one[1:]])
    drawn.add(at_s + drawn.rng.uniform(1.0, 20.0), "heal")


def _ring(drawn: Draw, at_s: float) -> None:
    """Every host sees a majority, no two the same one."""
    count = drawn.count
    for host in range(count):
        hidden = [(host + step) % count for step in range(count // 2 + 1, count - count // 2 + 1)]
        drawn.add(at_s, "block", groups=[[host], [other for other in hidden if other != host]])
    drawn.add(at_s + drawn.rng.uniform(1.0, 15.0), "heal")


def _clog(drawn: Draw, at_s: float) -> None:
    """Stop ways one by one, each for a while of its own."""
    rng = drawn.rng
    for _ in range(1 + rng.below(2 * drawn.count)):
        pair = rng.sample(list(range(drawn.count)), 2)
        if len(pair) == 2:
            drawn.add(at_s + rng.uniform(0.0, 1.0), "clog", pair, value=rng.uniform(0.1, 5.0))


def _pause(drawn: Draw, at_s: float) -> None:
    targets = drawn.some(drawn.rng.choose([1, 1, drawn.count]))
    drawn.add(at_s, "pause", targets, value=drawn.rng.choose([0.1, 0.5, 2.0, 4.0, 8.0, 20.0]))


def _sleep(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "suspend", drawn.some(2), value=drawn.rng.choose([2.0, 5.0, 10.0, 30.0]))


def _leader_sleeps(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "suspend-leader", value=drawn.rng.choose([2.0, 6.0, 12.0]))


def _starve(drawn: Draw, at_s: float) -> None:
    targets = drawn.some(2)
    drawn.add(at_s, "pace", targets, value=drawn.rng.choose([0.005, 0.02, 0.1]))
    drawn.add(at_s + drawn.rng.uniform(1.0, 15.0), "pace", targets)


def _clock(drawn: Draw, at_s: float) -> None:
    rng = drawn.rng
    if rng.unit() < 0.5:
        drawn.add(at_s, "drift", drawn.some(drawn.count), value=rng.uniform(-500.0, 500.0))
    else:
        drawn.add(at_s, "jump", drawn.some(1), value=rng.choose([0.5, 3.0, 10.0, 3600.0]))


def _weather(drawn: Draw, at_s: float) -> None:
    rng = drawn.rng
    kind = rng.choose(["loss", "latency"])
    drawn.add(at_s, kind, value=rng.uniform(0.05, 0.4) if kind == "loss" else rng.choose([3.0, 10.0]))
    drawn.add(at_s + rng.uniform(1.0, 10.0), kind, value=0.0 if kind == "loss" else 1.0)


def _deaf(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "deafen", drawn.some(drawn.count))


def _disk(drawn: Draw, at_s: float) -> None:
    rng = drawn.rng
    if not drawn.harsh:
        return
    kind = rng.choose(["destroy", "flip", "lie"])
    targets = drawn.some(1)
    if kind == "flip":
        drawn.add(at_s, "flip", targets)
        drawn.add(at_s + 0.5, "power", targets)
    elif kind == "lie":
        drawn.add(at_s, "lie", targets, value=1.0)
        drawn.add(at_s + rng.uniform(1.0, 8.0), "power", targets)
        drawn.add(at_s + 9.0, "lie", targets)
    else:
        drawn.add(at_s, "destroy", targets)
    drawn.add(at_s + rng.uniform(9.0, 15.0), "start", targets)


def _move(drawn: Draw, at_s: float) -> None:
    drawn.add(at_s, "move", drawn.some(1))


def _goodbye(drawn: Draw, at_s: float) -> None:
    targets = drawn.some(1)
    drawn.add(at_s, "leave", targets)
    drawn.add(at_s + drawn.rng.uniform(1.0, 10.0), "start", targets)


FAULTS: Final[dict[str, Callable[[Draw, float], None]]] = {
    "crash": _crash,
    "leader": _crash_leader,
    "blackout": _blackout,
    "partition": _partition,
    "flap": _flap,
    "one-way": _one_way,
    "bridge": _bridge,
    "ring": _ring,
    "clog": _clog,
    "pause": _pause,
    "sleep": _sleep,
    "leader-sleeps": _leader_sleeps,
    "starve": _starve,
    "clock": _clock,
    "weather": _weather,
    "deaf": _deaf,
    "disk": _disk,
    "move": _move,
    "goodbye": _goodbye,
}

PROFILES: Final[dict[str, Callable[[int, Rng], Case]]] = {
    "soak": _soak,
    "small": _small,
    "pair": _pair,
    "calm": _calm,
    "lossy": _lossy,
    "large": _large,
}
"""soak: 5 to 8 nodes, a minute of every fault; small: 1 to 4 nodes; pair: 2 or 3 without loss; calm: only
single crashes; lossy: no fault but loss; large: 12 to 24 nodes."""
