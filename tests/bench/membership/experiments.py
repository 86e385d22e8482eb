"""What is done to a running group, and what is measured meanwhile. Each returns {metric: figure}.

A figure is None when it did not come about within its limit; limits stand in :data:`LIMITS_S`.
"""

from __future__ import annotations

import random
import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from swarm.core.errors import SwarmError
from tests.bench.membership.agents import SwarmAgent
from tests.bench.membership.group import Group, SplitGroup
from tests.bench.membership.sightings import DEAD, LISTED, SUSPECT, first_times, rate_per_s, verdicts
from tests.mesh_processes import Node

Figures = dict[str, float | None]

LIMITS_S = {
    "agree_from_start_s": 120.0,
    "agree_from_ready_s": 120.0,
    "leader_from_ready_s": 120.0,
    "kill_known_s": 60.0,
    "kill_first_s": 60.0,
    "restart_known_s": 60.0,
    "silence_known_s": 60.0,
    "silence_first_s": 60.0,
    "silence_healed_s": 120.0,
    "cut_known_s": 90.0,
    "cut_first_s": 90.0,
    "healed_s": 120.0,
    "healed_leader_s": 120.0,
    "stop_woken_s": 60.0,
    "sleep_woken_s": 60.0,
    "loss_healed_s": 120.0,
    "merged_s": 120.0,
    "merged_leader_s": 120.0,
    "met_s": 120.0,
    "met_leader_s": 120.0,
    "clones_apart_s": 60.0,
}
"""How long each figure is waited for."""


@dataclass(frozen=True)
class Extent:
    """How long things take that could go on for ever, in seconds.

    Attributes:
        settle_s: rest after the group has formed, before anything is measured.
        idle_s: of counting bytes.
        cut_s: a cut lasts once to twice so long after everybody knows it.
        pause_s: a process stands still, or a host sleeps, for so long.
        after_s: watched for wrong deaths after that.
        loss_s: of packet loss.
        loss_percent: share of packets lost meanwhile.
        kills: agents killed one after the other, and as many made silent.
    """

    settle_s: float = 10.0
    idle_s: float = 60.0
    cut_s: float = 10.0
    pause_s: float = 30.0
    after_s: float = 15.0
    loss_s: float = 120.0
    loss_percent: int = 30
    kills: int = 3


@dataclass
class Run:
    """A group under test with what decides the choices made in it."""

    group: Group
    extent: Extent
    rng: random.Random = field(default_factory=random.Random)

    def others(self, *names: str) -> list[str]:
        """Return the agents that are not named."""
        return [name for name in self.group.names if name not in names]

    def victims(self, count: int) -> list[str]:
        """Return some agents, never the first, whose address others may have been given."""
        return self.rng.sample(self.group.names[1:], min(count, len(self.group.names) - 1))


def form(run: Run) -> Figures:
    """Start all at once; when do all list all?"""
    group = run.group
    begin_s, ready_s = group.start()
    limit_s = LIMITS_S["agree_from_start_s"]
    found = group.wait_all(LISTED, begin_s, limit_s)
    assert found is not None or group.system.name == "serf-mdns", f"not formed: {group.missing()}"
    figures: Figures = {
        "agree_from_start_s": found,
        "agree_from_ready_s": None if found is None else max(0.0, begin_s + found - ready_s),
        "ready_s": ready_s - begin_s,
    }
    if not group.system.is_serf:
        figures["leader_from_ready_s"] = group.wait_leader(ready_s, limit_s)
    return figures


def rest(run: Run) -> Figures:
    """Let the group settle, then count what each sends while nobody asks anything."""
    group, seconds = run.group, run.extent.idle_s
    time.sleep(run.extent.settle_s)  # what forming left behind is not what rest costs
    cpu_before = {name: agent.cpu_s() for name, agent in group.agents.items()}
    before, begin_s = group.field.sent_bytes(), time.monotonic()
    time.sleep(seconds)  # the time over which is counted
    after, end_s = group.field.sent_bytes(), time.monotonic()
    rates = rate_per_s(before, after, end_s - begin_s)
    used = [(agent.cpu_s() - cpu_before[name]) / seconds for name, agent in group.agents.items()]
    return {
        "idle_bytes_per_s": statistics.mean(rates),
        "idle_bytes_most_per_s": max(rates),
        "idle_cpu_percent": 100 * statistics.mean(used),
        "held_mb": statistics.mean(agent.held_bytes() for agent in group.agents.values()) / 1e6,
    }


def kill_some(run: Run) -> list[Figures]:
    """Kill -9 one after the other; when do all others know? Each is started again before the next."""
    group = run.group
    made: list[Figures] = []
    for name in run.victims(run.extent.kills):
        judges = run.others(name)
        killed_s = group.agents[name].kill()
        known = group.wait_all([DEAD], killed_s, LIMITS_S["kill_known_s"], judges, [name])
        first = first_times(group.sightings[:], judges, [name], [DEAD], killed_s)
        begin_s, _ = group.start([name])
        back = group.wait_all(LISTED, begin_s, LIMITS_S["restart_known_s"])
        made.append(
            {"kill_known_s": known, "kill_first_s": first[0] if first else None, "restart_known_s": back}
        )
        time.sleep(2.0)  # so that what this one caused is over before the next
    return made


def silence_some(run: Run) -> list[Figures]:
    """Pull one cable after the other; when do all others know? Each is put back before the next."""
    group = run.group
    made: list[Figures] = []
    for name in run.victims(run.extent.kills):
        judges, host = run.others(name), group.agents[name].host
        begin_s = time.monotonic()
        group.field.unplug(host)
        known = group.wait_all([DEAD], begin_s, LIMITS_S["silence_known_s"], judges, [name])
        first = first_times(group.sightings[:], judges, [name], [DEAD], begin_s)
        mended_s = time.monotonic()
        group.field.plug(host)
        back = group.wait_all(LISTED, mended_s, LIMITS_S["healed_s"])
        made.append(
            {
                "silence_known_s": known,
                "silence_first_s": first[0] if first else None,
                "silence_healed_s": back,
            }
        )
        time.sleep(2.0)  # so that what this one caused is over before the next
    return made


def cut_in_half(run: Run) -> Figures:
    """Cut half of them off; when do both sides know all lost ones? Then heal; when do all list all?"""
    group = run.group
    half = len(group.names) // 2
    far, near = group.names[:half], group.names[half:]
    if run.rng.random() < 0.5:
        far, near = near, far
    begin_s = time.monotonic()
    group.field.cut([group.agents[name].host for name in far])
    limit_s = LIMITS_S["cut_known_s"]
    known = [
        group.wait_all([DEAD], begin_s, limit_s, judges, members)
        for judges, members in ((near, far), (far, near))
    ]
    firsts = [
        *first_times(group.sightings[:], near, far, [DEAD], begin_s),
        *first_times(group.sightings[:], far, near, [DEAD], begin_s),
    ]
    # Serf asks the dead again every 30 s: the moment of healing must not always be the same one.
    time.sleep(run.rng.uniform(1.0, 2.0) * run.extent.cut_s)  # the cut itself
    mended_s = time.monotonic()
    group.field.mend()
    healed = group.wait_all(LISTED, mended_s, LIMITS_S["healed_s"])
    times = [value for value in known if value is not None]
    figures: Figures = {
        "cut_known_s": max(times) if len(times) == 2 else None,
        "cut_first_s": min(firsts, default=None),
        "healed_s": healed,
    }
    if not group.system.is_serf:
        figures["healed_leader_s"] = group.wait_leader(mended_s, LIMITS_S["healed_leader_s"])
    return figures


def stand_still(run: Run, cable: bool) -> Figures:
    """Let one stand still for a while, by SIGSTOP; with `cable` its cable is out meanwhile, as in sleep.

    Nobody but the sleeper may be declared dead, nobody at all by the sleeper, and after waking it stays.
    """
    group = run.group
    (name,) = run.victims(1)
    sleeper, judges = group.agents[name], run.others(name)
    begin_s = time.monotonic()
    if cable:
        group.field.unplug(sleeper.host)
    sleeper.pause()
    time.sleep(run.extent.pause_s)  # for so long it stands still
    known = first_times(group.sightings[:], judges, [name], [DEAD], begin_s)
    woken_s = time.monotonic()
    if cable:
        group.field.plug(sleeper.host)
    sleeper.resume()
    back = group.wait_all(LISTED, woken_s, LIMITS_S["stop_woken_s"], judges, [name])
    time.sleep(run.extent.after_s)  # the time in which nothing may happen
    seen, end_s = group.sightings[:], time.monotonic()
    settled_s = woken_s + (0.0 if back is None else back)
    kind = "sleep" if cable else "stop"
    return {
        f"{kind}_known_s": known[-1] if len(known) == len(judges) else None,
        f"{kind}_woken_s": back,
        f"{kind}_deaths_by_sleeper": len(verdicts(seen, [name], judges, DEAD, begin_s, end_s)),
        f"{kind}_deaths_of_others": len(verdicts(seen, judges, judges, DEAD, begin_s, end_s)),
        f"{kind}_deaths_after_waking": len(verdicts(seen, judges, [name], DEAD, settled_s, end_s)),
    }


def lose_packets(run: Run) -> Figures:
    """Drop a share of all packets for a while and count who is declared dead, each judge once."""
    group, extent = run.group, run.extent
    begin_s = time.monotonic()
    group.field.lose(extent.loss_percent)
    time.sleep(extent.loss_s)  # for so long packets are lost
    seen, end_s = group.sightings[:], time.monotonic()
    group.field.lose(0)
    wrong = verdicts(seen, group.names, group.names, DEAD, begin_s, end_s)
    figures: Figures = {
        "loss_deaths": len(wrong),
        "loss_members_wronged": len({sighting.member for sighting in wrong}),
        "loss_suspicions": len(verdicts(seen, group.names, group.names, SUSPECT, begin_s, end_s)),
        "loss_watched_s": end_s - begin_s,
        "loss_healed_s": group.wait_all(LISTED, end_s, LIMITS_S["healed_s"]),
    }
    return figures


def merge(group: SplitGroup) -> Figures:
    """Two that started apart are bridged; when do all list all?"""
    assert group.start_apart(), f"a half did not form: {group.missing()}"
    time.sleep(5.0)  # each half is at rest
    begin_s = time.monotonic()
    group.field.mend()
    figures: Figures = {"merged_s": group.wait_all(LISTED, begin_s, LIMITS_S["merged_s"])}
    if not group.system.is_serf:
        figures["merged_leader_s"] = group.wait_leader(begin_s, LIMITS_S["healed_leader_s"])
    return figures


def meet_from_alone(run: Run) -> Figures:
    """Start all on ports that reach nobody, then let them reach each other at once; when do all list all?

    Nobody has a head start here, as those have who start while others still load their programs.
    """
    group = run.group
    group.field.isolate_all(True)
    group.start()
    time.sleep(run.extent.settle_s)  # each alone is at rest
    begin_s = time.monotonic()
    group.field.isolate_all(False)
    figures: Figures = {"met_s": group.wait_all(LISTED, begin_s, LIMITS_S["met_s"])}
    if not group.system.is_serf:
        figures["met_leader_s"] = group.wait_leader(begin_s, LIMITS_S["met_leader_s"])
    return figures


def form_deaf(run: Run) -> Figures:
    """Form where nobody hears multicast or broadcast, each with one address."""
    for host in run.group.field.hosts:
        host.deafen()
    return form(run)


def clone(run: Run) -> Figures:
    """Start a copy of one node's files on another host; when do all list both, as two?"""
    group = run.group
    source = group.agents[group.names[-1]]
    assert isinstance(source, SwarmAgent), "only swarm has an identity on disk"
    copy = group.field.host().node(source.name)
    shutil.copytree(
        source.node.home.root,
        copy.home.root,
        ignore=shutil.ignore_patterns("*.sock", "ready.json", "api.json", "lock", "daemon.log"),
    )
    copy.join()
    begin_s = time.monotonic()
    nodes = [agent.node for agent in group.agents.values() if isinstance(agent, SwarmAgent)]
    limit_s = LIMITS_S["clones_apart_s"]
    apart = group.wait_until(lambda: _are_apart([*nodes, copy]), limit_s)
    return {"clones_apart_s": time.monotonic() - begin_s if apart else None}


def _are_apart(nodes: Sequence[Node]) -> bool:
    """Return whether every node lists as many living members, of different identities, as there are nodes."""
    try:
        for node in nodes:
            alive = {row["id"] for row in node.ask("nodes") if row["state"] == "alive"}
            if len(alive) != len(nodes):
                return False
    except SwarmError:
        return False
    return True
