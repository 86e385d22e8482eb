"""Nothing a peer sends can raise out of gossip or break an invariant, however it was made."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.ids import Address
from swarm.core.rng import Rng
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.wire.codec import pack
from swarm.wire.messages import HELLO, PUSH_PULL

OWN = b"o" * 16
IDS = [OWN, b"1" * 16, b"2" * 16, b"3" * 16]
PLACES: list[Address] = [("10.0.0.1", 7117), ("10.0.0.2", 7117), ("fe80::1%eth0", 1)]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(0, 3),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=20),
    st.sampled_from(IDS),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)
facts = st.dictionaries(st.sampled_from(["cores", "tags", "host", "python", "other"]), values, max_size=4)
rumours = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda *fields: pack(list(fields)),
        st.integers(0, 4),
        st.sampled_from(IDS),
        st.integers(0, 6) | st.integers(0, 2**63),
        st.sampled_from(IDS),
        st.text(max_size=8) | st.just("name"),
        st.lists(st.sampled_from(PLACES).map(list) | values, max_size=3),
        facts,
    ),
    st.builds(
        lambda node, incarnation: pack([0, node, incarnation, node, "n", [["10.0.0.9", 7117]], {"cores": 1}]),
        st.sampled_from(IDS),
        st.integers(0, 6),
    ),
)
fields = st.one_of(values, st.lists(rumours | values, max_size=5), rumours, st.integers(0, 40), st.booleans())
inputs = st.tuples(
    st.sampled_from(["packet", "hello", "message", "lost", "refused", "time", "wake", "facts"]),
    st.sampled_from([*IDS, b"", b"short"]),
    st.integers(0, 9),
    st.lists(fields, max_size=6),
    st.sampled_from(PLACES),
    st.floats(0.0, 3.0),
    rumours,
    st.booleans(),
)


@settings(max_examples=100)
@given(st.lists(inputs, max_size=25), st.booleans())
def test_garbage_never_raises(
    steps: list[tuple[str, bytes, int, list[object], Address, float, bytes, bool]], is_small: bool
) -> None:
    config = GossipConfig(members_max=3, relays_max=2, probes_max=2) if is_small else GossipConfig()
    core = Gossip(config, OWN, "own", [PLACES[0]], {"cores": 2.0}, 3, Rng("garbage"), [PLACES[1]])
    now = 0.0
    core.start([], now)
    for what, sender, kind, body, source, pause_s, rumour, flag in steps:
        now += pause_s
        if what == "packet":
            core.receive_packet(sender, kind, body, source, now)
        elif what == "hello":
            core.receive_packet(sender, HELLO, [rumour, b"", flag, 1, 1, not flag, *body], source, now)
        elif what == "message":
            core.receive_message(sender, PUSH_PULL if flag else kind, [kind, flag, [rumour, *body]], now)
        elif what == "lost":
            core.on_peer_lost(sender, flag, now)
        elif what == "refused":
            core.on_packet_refused(source, now)
        elif what == "wake":
            core.wake(now)
        elif what == "facts":
            core.set_facts({"cores": pause_s}, now)
        while core.next_deadline() <= now:
            core.handle_deadline(now)
        core.check_invariants()
        for effect in core.take_effects():
            pack([len(repr(effect))])
    own = core.member(OWN)
    assert own is not None
    assert own.state == "alive"
    assert core.statistics()["members"] == len(core.members())
