"""Nodes of one process hold equal things once, and what one of them changes the others do not see."""

from __future__ import annotations

import pytest

from swarm.core.errors import DecodeError
from swarm.core.ids import short
from swarm.core.rng import Rng
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.gossip.interning import Interner
from swarm.gossip.members import MemberTable
from swarm.gossip.rumours import ALIVE, DEAD, SUSPECT, Rumour, make_alive
from swarm.wire.codec import Stamp, pack_frame
from tests.unit.gossip_builder import CONFIG, HERE, ONE, OWN, PLACE_TWO, TWO, hello

IDS = [bytes([number]) * 16 for number in range(1, 6)]


def rumour(node_id: bytes, incarnation: int = 1) -> Rumour:
    return make_alive(node_id, incarnation, "n", [("10.0.0.1", node_id[0])], {})


def table_of(interner: Interner, own: bytes, ids: list[bytes]) -> MemberTable:
    """Return the table of a node that learned of the others in this order."""
    table = MemberTable()
    table.add_own(interner.entry(rumour(own)).copy())
    for node_id in ids:
        if node_id != own:
            table.add(interner.entry(interner.rumour(rumour(node_id).packed)))
    return table


def test_equal_bytes_are_one_rumour_and_one_entry() -> None:
    interner = Interner(CONFIG)
    packed = rumour(ONE).packed
    first, second = interner.rumour(packed), interner.rumour(bytes(bytearray(packed)))
    assert first is second
    assert first == rumour(ONE)
    assert interner.entry(first) is interner.entry(rumour(ONE))
    assert interner.entry(first).is_shared
    assert interner.short(ONE) == short(ONE)
    assert interner.short(ONE) is interner.short(bytes(bytearray(ONE)))
    assert interner.row(packed) is interner.row(bytes(bytearray(packed)))


def test_equal_payloads_are_one_frame() -> None:
    interner = Interner(CONFIG)
    payload = pack_frame(1, Stamp(ONE, (0, b""), 0), [b"x"])
    assert interner.frame(payload) is interner.frame(bytes(bytearray(payload)))
    assert interner.frame(payload).body == [b"x"]
    for junk in (b"", b"\x96"):
        with pytest.raises(DecodeError):
            interner.frame(junk)
        with pytest.raises(DecodeError):
            interner.rumour(junk)


def test_a_full_one_starts_anew() -> None:
    interner = Interner(CONFIG, 2)
    kept = interner.rumour(rumour(ONE).packed)
    for node_id in IDS:
        interner.entry(interner.rumour(rumour(node_id).packed))
        interner.row(node_id)
    again = interner.rumour(rumour(ONE).packed)
    assert again == kept
    assert again is not kept


def test_tables_that_say_the_same_are_one() -> None:
    interner = Interner(CONFIG)
    first = table_of(interner, IDS[0], IDS)
    second = table_of(interner, IDS[3], IDS[::-1])
    interner.share(first)
    interner.share(second)
    assert first.is_shared
    assert first.shared_part()[0] is second.shared_part()[0]
    assert first.listed() is second.listed()
    for own, table in ((IDS[0], first), (IDS[3], second)):
        assert table.get(own) is table.own
        assert table.digest() == table.computed_digest()
        assert [entry.node_id for entry in table.members()] == IDS


def test_who_changes_a_shared_table_gets_a_copy() -> None:
    interner = Interner(CONFIG)
    first, second = table_of(interner, IDS[0], IDS), table_of(interner, IDS[1], IDS)
    interner.share(first)
    interner.share(second)
    suspect = first.change(first.entry(IDS[2]), SUSPECT, 1, IDS[0], 5.0)
    assert (suspect.state, suspect.since, suspect.is_shared) == (SUSPECT, 5.0, False)
    assert first.entry(IDS[2]) is suspect
    assert second.entry(IDS[2]).state == ALIVE
    dead = first.change(suspect, DEAD, 1, IDS[0], 6.0)
    assert first.listed() == [IDS[0], IDS[1], IDS[3], IDS[4]]
    assert second.listed() == IDS
    assert first.with_state(DEAD) == [dead]
    first.change(dead, ALIVE, 2, IDS[2], 7.0)
    assert first.listed() == IDS
    first.add(interner.entry(rumour(ONE)))
    assert second.get(ONE) is None
    assert not first.is_shared
    assert second.is_shared


def test_tables_that_differ_in_anything_stay_apart() -> None:
    interner = Interner(CONFIG)
    plain, suspicious, moved = [table_of(interner, IDS[number], IDS) for number in range(3)]
    suspicious.change(suspicious.entry(IDS[4]), SUSPECT, 1, IDS[0], 1.0)
    private = moved.private(moved.entry(IDS[4]))
    private.sources = (("10.9.9.9", 1),)
    for table in (suspicious, plain, moved):
        interner.share(table)
    assert plain.is_shared
    assert not suspicious.is_shared
    assert not moved.is_shared
    assert moved.digest() == plain.digest()


def test_the_own_entry_is_shared_as_others_know_it_or_not_at_all() -> None:
    interner = Interner(CONFIG)
    newer, other = table_of(interner, IDS[0], IDS), table_of(interner, IDS[1], IDS)
    own = newer.own
    assert own is not None
    newer.change(own, ALIVE, 2, IDS[0], 1.0)
    interner.share(newer)
    assert not newer.is_shared, "what it says of itself is newer than its description"
    interner.share(other)
    assert other.is_shared
    assert other.entry(IDS[0]).incarnation == 1


def test_other_settings_share_no_members() -> None:
    interner = Interner(GossipConfig(addresses_max=1))
    core = Gossip(CONFIG, OWN, "own", [HERE], {}, 5, Rng("t"), [], interner)
    core.start([], 0.0)
    hello(core, TWO, PLACE_TWO, 0.0)
    assert not core._membership.table.entry(TWO).is_shared
    same = Gossip(GossipConfig(), OWN, "own", [HERE], {}, 5, Rng("t"), [], Interner(CONFIG))
    same.start([], 0.0)
    hello(same, TWO, PLACE_TWO, 0.0)
    assert same._membership.table.entry(TWO).is_shared
    same.check_invariants()
