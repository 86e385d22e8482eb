"""Nothing that a peer says makes a strict election fail, lead or vote for itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import DecodeError
from swarm.core.ids import NO_BALLOT
from swarm.core.rng import Rng
from swarm.election.config import ElectionConfig
from swarm.election.configuration import Configuration
from swarm.election.ledger import Ledger, pack_ledger, unpack_ledger_untrusted
from swarm.election.strict import StrictElection
from swarm.election.strict_config import StrictConfig
from swarm.wire.codec import Stamp

A, B, C, D = [bytes([number]) * 16 for number in range(1, 5)]
MARK = b"m" * 8
THREE = Configuration((1, B), 3, [(A, MARK), (B, MARK), (C, MARK)])
ROW = pack_ledger(A, MARK, (1, B), THREE)

NODES = st.sampled_from([A, B, C, D, b"", b"short"])
SCALARS = st.one_of(
    st.integers(-1, 6), st.integers(), st.booleans(), NODES, st.just(MARK), st.binary(max_size=20), st.none()
)
ROWS = st.lists(st.lists(st.one_of(NODES, st.just(MARK)), max_size=3), max_size=5)
BODIES = st.lists(st.one_of(SCALARS, ROWS), max_size=10)
BALLOTS = st.tuples(st.integers(0, 5), st.sampled_from([A, B, C, D, b""]))
PACKETS = st.lists(
    st.tuples(st.integers(19, 25), st.sampled_from([B, C, D]), BALLOTS, st.integers(0, 4), BODIES),
    max_size=12,
)


@given(PACKETS)
def test_bodies_of_any_kind_are_counted_and_dropped_or_understood(
    packets: list[tuple[int, bytes, tuple[int, bytes], int, list[object]]],
) -> None:
    election = StrictElection(
        ElectionConfig(), StrictConfig(), A, Rng("garbage"), Ledger(A, Rng("x"), (1, B), NO_BALLOT, ROW)
    )
    election.start(0.0)
    places = [(node, (node.hex()[:2], 1)) for node in (A, B, C, D)]
    election.on_council(places, 0.0)
    election.on_members(places, 0.0)
    now = 5.0
    for kind, sender, ballot, beat, body in packets:
        now += 0.3
        stamp = Stamp(sender, ballot, beat)
        election.on_stamp(stamp, now)
        election.receive_packet(stamp, kind, body, ("x", 1), now)
        election.check_invariants()
        if election.next_deadline() <= now:
            election.handle_deadline(now)
        election.check_invariants()
        election.take_effects()


@given(st.binary(max_size=120), st.integers(0, len(ROW) - 1), st.integers(0, 255))
def test_any_row_is_a_ledger_or_none(garbage: bytes, place: int, byte: int) -> None:
    for row in (garbage, ROW[:place] + bytes([byte]) + ROW[place + 1 :], ROW[:place]):
        try:
            _, _, configuration = unpack_ledger_untrusted(A, row)
        except DecodeError:
            continue
        assert configuration.version > 0 or not configuration.voters
        Ledger(A, Rng("x"), NO_BALLOT, NO_BALLOT, row)
