"""Presets of gossip: each does what it is for, they get along in one mesh; resting sensors cost little."""

from __future__ import annotations

import pytest

from swarm.core.errors import ConfigError
from swarm.core.ids import Address, NodeId
from swarm.core.rng import Rng
from swarm.gossip.config import PRESETS, GossipConfig
from swarm.gossip.core import Gossip
from tests.property.gossip_mesh import GossipMesh, Host, deaths, started_mesh

FAR_S = (0.05, 0.3)
"""One way: round trips of 0.1 to 0.6 s."""


class FarMesh(GossipMesh):
    """Hosts that are far apart, without multicast and refusals, one packet in twenty lost."""

    def __init__(self, config: GossipConfig) -> None:
        super().__init__(loss=0.05, has_multicast=False, has_refusals=False, config=config)

    def transmit(self, host: Host, destination: Address, payload: bytes) -> None:
        if self.rng.unit() >= self.loss:
            self.push(self.rng.uniform(*FAR_S), 0, host.index, destination, payload)

    def stream(self, host: Host, peer: NodeId, payload: bytes) -> None:
        delay_s = 3 * self.rng.uniform(*FAR_S)
        self.push(delay_s, 1, host.index, self.by_id[peer].address, payload)


class MixedMesh(GossipMesh):
    """Hosts that take turns in the presets."""

    def make(
        self, index: int, node_id: NodeId, address: Address, incarnation: int, remembered: list[Address]
    ) -> Gossip:
        self.config = GossipConfig.named(PRESETS[index % len(PRESETS)])
        return super().make(index, node_id, address, incarnation, remembered)


def doubts(mesh: GossipMesh) -> int:
    return sum([after in ("suspect", "dead") for host in mesh.hosts for *_, after in host.changes])


def sent_bytes_per_s(mesh: GossipMesh, seconds: float) -> float:
    """Let time pass, and return what a host sends."""
    before = sum([host.sent_bytes for host in mesh.hosts])
    mesh.run(seconds)
    return (sum([host.sent_bytes for host in mesh.hosts]) - before) / seconds / len(mesh.hosts)


def last_death_s(mesh: GossipMesh, within_s: float) -> float:
    """Silence a host, and return after how long the last of the others holds it for dead."""
    victim, began = mesh.hosts[3], mesh.now
    mesh.kill(victim)
    mesh.run(within_s)
    found = deaths(mesh, victim.node_id)
    assert len(found) == len(mesh.hosts) - 1
    return max(found) - began


def test_presets_have_names() -> None:
    assert PRESETS == ("lan", "local", "wan", "phone")
    assert GossipConfig.named("lan") == GossipConfig.lan() == GossipConfig()
    assert GossipConfig.named("local") == GossipConfig.local()
    assert GossipConfig.named("wan") == GossipConfig.wan()
    assert GossipConfig.named("phone") == GossipConfig.phone()
    with pytest.raises(ConfigError, match="no preset is called 'moon'; there are lan, local, wan, phone"):
        GossipConfig.named("moon")


def test_local_knows_a_silent_death_in_half_the_time() -> None:
    lan = started_mesh(10, has_refusals=False)
    local = started_mesh(10, has_refusals=False, config=GossipConfig.local())
    assert last_death_s(local, 30.0) < 0.6 * last_death_s(lan, 30.0)


def test_wan_doubts_nobody_over_slow_lossy_routes_where_lan_does() -> None:
    doubted: dict[str, int] = {}
    for name in ("wan", "lan"):
        mesh = FarMesh(GossipConfig.named(name))
        for index in range(10):
            mesh.add([0] if index else None)
        mesh.wait_for_agreement(60.0)
        mesh.run(300.0)
        doubted[name] = doubts(mesh)
        if name == "wan":
            assert last_death_s(mesh, 120.0) < 60.0
        mesh.check()
    assert doubted["wan"] == 0
    assert doubted["lan"] > 0, "else this network is too easy to show anything"


def test_phones_send_at_most_two_thirds_of_what_others_do() -> None:
    rates: dict[str, float] = {}
    for name in ("lan", "phone"):
        mesh = started_mesh(10, config=GossipConfig.named(name))
        mesh.run(60.0)
        rates[name] = sent_bytes_per_s(mesh, 120.0)
    assert rates["phone"] < 0.67 * rates["lan"]


def test_nodes_of_all_presets_make_one_mesh() -> None:
    mesh = MixedMesh(has_refusals=False)
    for _ in range(12):
        mesh.add()
        mesh.run(0.01)
    mesh.wait_for_agreement(30.0)
    mesh.run(300.0)
    assert doubts(mesh) == 0
    last_death_s(mesh, 60.0)
    mesh.check()


def resting(rng: Rng, index: int, second: int, heat: float) -> dict[str, object]:
    """Return what the sensors of a machine say on which a person reads and writes."""
    facts: dict[str, object] = {
        "load": round(0.2 + 0.9 * rng.unit() * rng.unit(), 1),
        "memory_free": int(4 * 2**30 + rng.uniform(-3e8, 3e8)),
        "temperature": round(heat),
        "slots_free": 4,
        "reason": "idle",
        "network": "wifi",
    }
    if index < 5:
        facts["battery"] = 90 - second // 180
        facts["charging"] = False
    return facts


def test_resting_machines_add_hardly_anything() -> None:
    mesh = started_mesh(20)
    mesh.run(60.0)
    rng, heat = Rng("heat"), [45.0] * 20
    for host in mesh.hosts:
        host.gossip.update_facts(resting(rng, host.index, 0, 45.0), mesh.now)
        mesh.perform(host)
    mesh.run(60.0)
    quiet = sent_bytes_per_s(mesh, 300.0)
    before = sum([host.sent_bytes for host in mesh.hosts])
    told = sum([host.gossip.statistics().get("fact_changes", 0) for host in mesh.hosts])
    seconds = 1800
    for second in range(0, seconds, 5):
        for host in mesh.hosts:
            heat[host.index] += (45.0 + rng.uniform(-15.0, 15.0) - heat[host.index]) * 5 / 60
            host.gossip.update_facts(resting(rng, host.index, second, heat[host.index]), mesh.now)
            mesh.perform(host)
        mesh.run(5.0)
    sent = (sum([host.sent_bytes for host in mesh.hosts]) - before) / seconds / 20
    changes = sum([host.gossip.statistics().get("fact_changes", 0) for host in mesh.hosts]) - told
    print(f"{quiet:.0f} B/s without, {sent:.0f} B/s with sensors, {changes} changes told in {seconds} s")
    assert sent - quiet < 30, "bytes per second and node; a twentieth of what an idle node may send"
    assert 5 <= changes <= 10, "five batteries lost a tenth of their charge"
    mesh.check()
