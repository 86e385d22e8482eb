"""Who does not have the secret changes nothing and is not answered, whatever is sent in whatever order.

The whole way of a datagram into a node is here: `swarm.daemon.inputs`, the seal, the node. The outsider sees
all datagrams of two members and of another mesh, and sends what can be made of them: whole, cut, changed,
back to where they came from, often, in another order; and noise.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.effects import Effect, SendHello, SendPacket
from swarm.core.ids import Address
from swarm.core.rng import Rng
from swarm.daemon.hearing import FOREIGN_MAX, Hearing
from swarm.daemon.inputs import Inputs
from swarm.net.discovery_sockets import WAYS
from swarm.net.keys import MeshKeys
from swarm.net.seal import HEADER_SIZE, OVERHEAD_BYTES, TAG_SIZE, Sealer
from swarm.node import Node
from swarm.node_config import NodeConfig
from tests.unit.scheduler_builder import ME, ONE

KEYS = MeshKeys(bytes(range(32)))
OTHER_KEYS = MeshKeys(bytes(32))
PLACES: dict[bytes, Address] = {ME: ("10.0.0.1", 7117), ONE: ("10.0.0.2", 7117)}
HOWS = ["garbage", "tagged", "again", "cut", "changed", "spliced", "reflected", "foreign", "guessed"]
STRANGER: Address = ("10.0.0.66", 6666)


class Member:
    """A node with everything between it and its socket."""

    def __init__(self, node_id: bytes) -> None:
        self.now = 0.0
        self.sealer = Sealer(KEYS, node_id)
        config = NodeConfig(
            node_id=node_id,
            name=f"n{node_id[0]}",
            addresses=[PLACES[node_id]],
            incarnation=1,
            cores=2.0,
            memory_bytes=0,
            facts={"python": "3.11"},
        )
        self.node = Node(config, [], Rng(node_id.hex()))
        self.node.start([place for other, place in PLACES.items() if other != node_id], 0.0)
        self.events = 0
        log: Any = self
        self.inputs = Inputs(self.sealer, Hearing(lambda: self.now, 5.0), log)
        driver: Any = self
        kept: Any = None
        self.inputs.attach(driver, kept)

    def event(self, name: str, fields: dict[str, object]) -> None:
        """Stand in for the log."""
        self.events += 1

    def receive_packet(self, payload: bytes, source: Address) -> None:
        """Stand in for the driver."""
        self.node.receive_packet(payload, source, self.now)

    def datagrams(self) -> list[bytes]:
        """Return what leaves the host now."""
        sent = [effect for effect in self.effects() if isinstance(effect, (SendPacket, SendHello))]
        return [self.sealer.seal(effect.payload) for effect in sent]

    def effects(self) -> list[Effect]:
        if self.node.next_deadline() <= self.now:
            self.node.handle_deadline(self.now)
        return self.node.take_effects()

    def state(self) -> list[object]:
        """Return all that can be seen of it, except the counts of what was refused."""
        sealed = {name: count for name, count in self.sealer.statistics().items() if "refused" not in name}
        members = [repr(entry.fields()) for entry in self.node.gossip.members()]
        status = [self.node.statistics(), self.node.election.stamp(), self.node.next_deadline()]
        return [members, sealed, *status]


def pair() -> tuple[Member, Member, list[bytes], list[bytes]]:
    """Return two members that have found each other, and all datagrams of either."""
    me, one = Member(ME), Member(ONE)
    sent: dict[bytes, list[bytes]] = {ME: [], ONE: []}
    for step in range(60):
        for member, other in ((me, one), (one, me)):
            member.now = step * 0.1
            for datagram in member.datagrams():
                sent[ME if member is me else ONE].append(datagram)
                other.inputs.on_hello(datagram, PLACES[ME if member is me else ONE], WAYS[0])
    assert len(me.node.gossip.alive_ids()) == 2, "they know each other"
    me.effects()
    return me, one, sent[ME], sent[ONE]


FOREIGN = [Sealer(OTHER_KEYS, ONE).seal(b"hello %d" % number) for number in range(3)]
# A key that was guessed, under the tag that anybody can read on the wire.
GUESSED = [KEYS.tag + datagram[TAG_SIZE:] for datagram in FOREIGN]


@st.composite
def attacks(draw: st.DrawFn) -> tuple[str, int, int, bytes, bool, bool]:
    return (
        draw(st.sampled_from(HOWS)),
        draw(st.integers(0, 10_000)),
        draw(st.integers(0, 10_000)),
        draw(st.binary(max_size=80)),
        draw(st.booleans()),
        draw(st.booleans()),
    )


def made(how: str, a: int, b: int, noise: bytes, own: list[bytes], others: list[bytes]) -> bytes:
    """Return a datagram that an outsider can make."""
    seen = others[a % len(others)]
    if how == "garbage":
        return noise
    if how == "tagged":
        return KEYS.tag + bytes([1, 0]) + noise
    if how == "cut":
        return seen[: b % len(seen)]
    if how == "changed":
        at = b % len(seen)
        return seen[:at] + bytes([seen[at] ^ (1 + a % 255)]) + seen[at + 1 :]
    if how == "spliced":
        return seen[:HEADER_SIZE] + others[b % len(others)][HEADER_SIZE:] + noise + b"."
    if how == "reflected":
        return own[a % len(own)]
    if how == "foreign":
        return noise[:TAG_SIZE].ljust(TAG_SIZE, b"?") + FOREIGN[a % 3][TAG_SIZE:]
    if how == "guessed":
        return GUESSED[a % 3]
    return seen


@settings(max_examples=60)
@given(st.lists(attacks(), min_size=1, max_size=40))
def test_an_outsider_changes_nothing_and_is_not_answered(
    burst: list[tuple[str, int, int, bytes, bool, bool]],
) -> None:
    me, _, own, others = pair()
    before = me.state()
    counted = sum(me.sealer.statistics().values())
    for how, a, b, noise, is_hello, is_forged in burst:
        datagram = made(how, a, b, noise, own, others)
        source = PLACES[ONE] if is_forged else STRANGER
        if is_hello:
            me.inputs.on_hello(datagram, source, WAYS[a % len(WAYS)])
        else:
            me.inputs.on_packet(datagram, source)
        assert me.node.take_effects() == [], "nothing is sent, so no answer is longer than its question"
    assert me.state() == before
    assert sum(me.sealer.statistics().values()) == counted + len(burst), "each left one count"
    assert me.events <= FOREIGN_MAX, "other meshes, which anybody can make up, fill no log"


def test_members_were_heard_by_the_same_way() -> None:
    """What the test above relies on: a datagram that is genuine and new does change the state."""
    me, one, _, _ = pair()
    before = me.state()
    for step in range(1, 30):
        one.now = 6.0 + step * 0.1
        for datagram in one.datagrams():
            assert len(datagram) > OVERHEAD_BYTES
            me.inputs.on_packet(datagram, PLACES[ONE])
    assert me.state() != before
