"""Failure detection measured as its papers do: how soon a crash is seen, and who is wronged by slow members.

*Detection* (Das, Gupta, Motivala, "SWIM", DSN 2002, section 5): one member loses its power at a random
moment; how long until the first other member suspects it, until the first and until the last declare it dead,
for groups of growing size. SWIM's expectation for the first is T * e / (e - 1) periods T, whatever the size,
and so is the load of a member.

*False positives* (Dadgar, Phillips, Currey, "Lifeguard", 2018, section V): some members are starved: every
input keeps their process busy for a long while, so that they fall behind, answer late and read answers late.
How many members that are well are declared dead, and by how many, under plain SWIM, under each part of
Lifeguard, and under swarm's own settings.

The power of a host fails in silence here: nobody resets its streams, as a process that dies on a live host
would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sims.cluster import Cluster, simple_cluster
from sims.host import Host
from sims.lab.gossip import gossip_settings
from sims.observer import Observer
from sims.settings import NodeSettings
from swarm.core.effects import Effect, Notify
from swarm.core.errors import ConfigError
from swarm.core.ids import short
from swarm.core.rng import Rng

SETTLE_S: Final = 10.0
JOIN_LIMIT_S: Final = 60.0
DETECTION_LIMIT_S: Final = 120.0
EXPECTED_FIRST_PERIODS: Final = 1.582
"""e / (e - 1): SWIM's expected periods until somebody notices."""


class Verdicts(Observer):
    """Writes down who takes whom for suspect or dead, and when: (seconds, judge, member)."""

    def __init__(self, cluster: Cluster) -> None:
        self.suspected: list[tuple[float, int, int]] = []
        self.dead: list[tuple[float, int, int]] = []
        self._numbers = {short(host.node_id): host.index for host in cluster.hosts}
        cluster.observers.append(self)

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Notify) and effect.event in ("member_suspect", "member_dead"):
                row = (now, host.index, self._numbers[str(effect.values["member"])])
                (self.suspected if effect.event == "member_suspect" else self.dead).append(row)


@dataclass(frozen=True, kw_only=True)
class Detection:
    """What came of one crash.

    Attributes:
        nodes: size of the mesh.
        seed: which run.
        first_suspect_s: from the crash to the first suspicion.
        first_dead_s, all_dead_s: to the first verdict, and to that of the last member; -1 for never.
        bytes_per_node_s: UDP payload sent by a member in a second of the quiet time before.
    """

    nodes: int
    seed: int
    first_suspect_s: float
    first_dead_s: float
    all_dead_s: float
    bytes_per_node_s: float


def detect(nodes: int, seed: int, settings: str = "swarm") -> Detection:
    """Let one of `nodes` >= 2 members lose its power and measure how the others notice.

    Raises:
        ConfigError: no settings of that name, or too few nodes.
    """
    if nodes < 2:
        raise ConfigError(f"detection needs at least 2 nodes, not {nodes}")
    cluster = _settled(nodes, f"detect:{nodes}:{seed}", settings)
    before, quiet_from = cluster.network.bytes, cluster.engine.now
    rng = Rng(f"detect:{nodes}:{seed}:crash")
    cluster.run_until(cluster.engine.now + SETTLE_S + rng.uniform(0.0, 5.0))
    rate = (cluster.network.bytes - before) / nodes / (cluster.engine.now - quiet_from)
    victim = rng.below(nodes)
    verdicts = Verdicts(cluster)
    begin = cluster.engine.now
    cluster.kill(victim, power=True)
    while cluster.engine.now < begin + DETECTION_LIMIT_S:
        judges = {judge for _, judge, member in verdicts.dead if member == victim}
        if len(judges) == nodes - 1:
            break
        cluster.run_until(cluster.engine.now + 0.5)
    suspected = [at_s - begin for at_s, _, member in verdicts.suspected if member == victim]
    dead = [at_s - begin for at_s, _, member in verdicts.dead if member == victim]
    is_known = len({judge for _, judge, member in verdicts.dead if member == victim}) == nodes - 1
    return Detection(
        nodes=nodes,
        seed=seed,
        first_suspect_s=min(suspected, default=-1.0),
        first_dead_s=min(dead, default=-1.0),
        all_dead_s=max(dead) if is_known else -1.0,
        bytes_per_node_s=rate,
    )


@dataclass(frozen=True, kw_only=True)
class FalsePositives:
    """What came of starved members. Verdicts are counted once for each judge.

    Attributes:
        settings: name of the gossip settings.
        starved: how many members were.
        seed: which run.
        suspected: suspicions of members that were well.
        dead: members that were well and were declared dead.
        dead_at_healthy: those of them declared dead by members that were well.
    """

    settings: str
    starved: int
    seed: int
    suspected: int
    dead: int
    dead_at_healthy: int


def false_positives(
    settings: str, starved: int, seed: int, nodes: int = 32, input_s: float = 0.1, seconds: float = 120.0
) -> FalsePositives:
    """Starve some members and count who is wronged.

    Args:
        settings: name of the gossip settings.
        starved: how many members, 0 <= starved < nodes.
        seed: decides everything else.
        nodes: size of the mesh.
        input_s: how long every input keeps the process of a starved member busy, > 0.
        seconds: how long that goes on, > 0.

    Raises:
        ConfigError: no such settings, or impossible numbers.
    """
    if not 0 <= starved < nodes or input_s <= 0 or seconds <= 0:
        raise ConfigError(
            "0 <= starved < nodes, input_s > 0 and seconds > 0 are wanted, not "
            f"starved={starved}, nodes={nodes}, input_s={input_s}, seconds={seconds}"
        )
    cluster = _settled(nodes, f"starved:{nodes}:{seed}", settings)
    verdicts = Verdicts(cluster)
    members = Rng(f"starved:{nodes}:{seed}:members").sample(list(range(nodes)), starved)
    for member in members:
        cluster.set_pace(member, input_s)
    cluster.run_until(cluster.engine.now + seconds)
    judges = [judge for _, judge, member in verdicts.dead if member not in members]
    return FalsePositives(
        settings=settings,
        starved=starved,
        seed=seed,
        suspected=len([member for _, _, member in verdicts.suspected if member not in members]),
        dead=len(judges),
        dead_at_healthy=len([judge for judge in judges if judge not in members]),
    )


def _settled(nodes: int, seed: str, settings: str) -> Cluster:
    cluster = simple_cluster(nodes, seed, settings=NodeSettings(gossip=gossip_settings(settings)))
    for index in range(nodes):
        cluster.start(index)
    assert cluster.wait_converged(JOIN_LIMIT_S) >= 0, "a quiet mesh finds together"
    return cluster
