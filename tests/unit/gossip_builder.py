"""Builders for tests of one gossip core driven by hand."""

from __future__ import annotations

from swarm.core.effects import Effect, Packet
from swarm.core.ids import Address, NodeId
from swarm.core.rng import Rng
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.gossip.rumours import make_alive, unpack_rumour_untrusted
from swarm.gossip.suspicion import Suspicion
from swarm.wire import messages

OWN = b"o" * 16
ONE = b"1" * 16
TWO = b"2" * 16
HERE: Address = ("10.0.0.1", 7117)
PLACE_ONE: Address = ("10.0.0.2", 7117)
PLACE_TWO: Address = ("10.0.0.3", 7117)
DIGEST = b"d" * 8
CONFIG = GossipConfig()


def make(config: GossipConfig = CONFIG, remembered: list[Address] | None = None) -> Gossip:
    return Gossip(config, OWN, "own", [HERE], {"cores": 2.0}, 5, Rng("t"), remembered or [])


def started(config: GossipConfig = CONFIG) -> Gossip:
    core = make(config)
    core.start([], 0.0)
    core.take_effects()
    return core


def alive(node_id: NodeId, incarnation: int, place: Address) -> bytes:
    return make_alive(node_id, incarnation, "n", [place], {}).packed


def hello(core: Gossip, node_id: NodeId, place: Address, now: float, is_wanted: bool = False) -> None:
    body: list[object] = [alive(node_id, 1, place), core_digest(core), is_wanted, 1, 1, True]
    core.receive_packet(node_id, messages.HELLO, body, place, now)


def core_digest(core: Gossip) -> bytes:
    return core._membership.table.digest()


def acquainted(config: GossipConfig = CONFIG) -> Gossip:
    """Return a core that knows ONE and TWO and has told everything."""
    core = started(config)
    hello(core, ONE, PLACE_ONE, 0.0)
    hello(core, TWO, PLACE_TWO, 0.0)
    while core.next_deadline() < 1.0:
        answer_pings(core, core.next_deadline())
    core.take_effects()
    return core


def answer_pings(core: Gossip, now: float) -> None:
    core.handle_deadline(now)
    for packet in packets(core.take_effects(), messages.PING):
        sequence, target = packet.body[0], packet.body[1]
        assert isinstance(target, bytes)
        core.receive_packet(target, messages.ACK, [sequence, core_digest(core), []], packet.destination, now)


def packets(effects: list[Effect], kind: int) -> list[Packet]:
    return [effect for effect in effects if isinstance(effect, Packet) and effect.kind == kind]


def states(core: Gossip) -> dict[NodeId, str]:
    return {member.node_id: member.state for member in core.members() if member.node_id != OWN}


def suspicion_of(core: Gossip, node_id: NodeId) -> Suspicion:
    found = core._membership.suspicions.get(node_id)
    assert found is not None, "a suspect"
    return found


def rumours_in(packet: Packet) -> list[tuple[int, NodeId, int]]:
    listed = packet.body[-1]
    assert isinstance(listed, list)
    found = [unpack_rumour_untrusted(item, CONFIG) for item in listed]
    return [(rumour.state, rumour.node_id, rumour.incarnation) for rumour in found]


def run_until_probe_fails(core: Gossip, target: NodeId) -> tuple[float, list[Effect]]:
    """Answer for everybody but `target` until it is suspect; return when, and what was done."""
    done: list[Effect] = []
    now = 0.0
    for _ in range(100):
        now = core.next_deadline()
        core.handle_deadline(now)
        for effect in core.take_effects():
            done.append(effect)
            if isinstance(effect, Packet) and effect.kind == messages.PING and effect.body[1] != target:
                sender = effect.body[1]
                assert isinstance(sender, bytes)
                body: list[object] = [effect.body[0], core_digest(core), []]
                core.receive_packet(sender, messages.ACK, body, effect.destination, now)
        if states(core)[target] == "suspect":
            return now, done + core.take_effects()
    raise AssertionError("never suspected")


def answer_pings_of_others(core: Gossip, silent: NodeId) -> None:
    now = core.next_deadline()
    core.handle_deadline(now)
    for packet in packets(core.take_effects(), messages.PING):
        target = packet.body[1]
        assert isinstance(target, bytes)
        if target != silent:
            body: list[object] = [packet.body[0], core_digest(core), []]
            core.receive_packet(target, messages.ACK, body, packet.destination, now)
