"""The object table by itself: content, users, bounds, fetches."""

from __future__ import annotations

import pytest

from swarm.core.effects import DropObject, Effect, FetchObject, SpillObject
from swarm.core.ids import ObjectName
from swarm.objects.table import ENTRY_COST_BYTES, NODE_USER, FetchState, ObjectTable
from swarm.wire.facts import digest_of
from tests.unit.exec_harness import JOB, ME, OTHER_JOB, PEER, brought, held, output_of, promised

NAME: ObjectName = (JOB, 1, 0)
OTHER: ObjectName = (JOB, 2, 0)
THIRD = b"t" * 16


class Setting:
    """A table and the effects it made."""

    def __init__(self, bytes_max: int = 10_000, fetch_count_max: int = 2) -> None:
        self.effects: list[Effect] = []
        self.table = ObjectTable(ME, bytes_max, fetch_count_max, self.effects)
        self.table.set_addresses({PEER: [("10.0.0.2", 1)], THIRD: [("10.0.0.3", 1)]})

    def take(self) -> list[Effect]:
        self.table.start_fetches()
        effects = self.effects.copy()
        self.effects.clear()
        return effects

    def take_settled(self) -> list[int]:
        settled = self.table.settled
        self.table.settled = []
        return settled

    def take_displaced(self) -> list[int]:
        displaced = self.table.displaced
        self.table.displaced = []
        return displaced


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_waiters_are_told_once_when_content_comes(setting: Setting) -> None:
    table = setting.table
    assert not table.want(NAME, 1, promised(1))
    assert not table.want(NAME, 2, promised(1))
    assert table.want(NAME, 2, promised(1))
    table.store(NAME, output_of("x"))
    assert setting.take_settled() == [1, 2]
    assert table.want(NAME, 3, promised(1))
    assert table.bytes_in_memory == ENTRY_COST_BYTES + 1
    table.check_invariants()
    assert setting.take() == []


def test_a_user_with_a_digest_waits_for_that_content(setting: Setting) -> None:
    table = setting.table
    table.want(NAME, 1, held(1, "winner", []))
    table.want(NAME, 2, promised(1))
    table.store(NAME, output_of("loser"))
    assert setting.take_settled() == [2]
    table.store(NAME, output_of("winner"))
    assert setting.take_settled() == [1]
    assert setting.take_displaced() == [2]
    assert table.replaced_count == 1
    table.check_invariants()


def test_memory_replaces_a_file_and_drops_it(setting: Setting) -> None:
    table = setting.table
    table.store(NAME, output_of("a", on_disk=True))
    assert table.bytes_in_memory == ENTRY_COST_BYTES
    table.store(NAME, output_of("b"))
    assert setting.take() == [DropObject(NAME)]
    assert not table.was_displaced_on_disk or table.displaced == []
    table.store(NAME, output_of("b", on_disk=True))
    assert table.bytes_in_memory == ENTRY_COST_BYTES
    table.release(NAME)
    assert setting.take() == [DropObject(NAME)]
    assert table.find(NAME) is None


def test_release_waits_for_the_last_user_and_a_new_user_revives(setting: Setting) -> None:
    table = setting.table
    table.store(NAME, output_of("x"))
    table.want(NAME, 1, promised(1))
    table.release(NAME)
    assert table.find(NAME) is not None
    table.want(NAME, 2, promised(1))
    table.leave(NAME, 1)
    table.leave(NAME, 1)
    table.leave(NAME, 2)
    assert table.find(NAME) is not None
    table.release(NAME)
    table.release(NAME)
    assert table.find(NAME) is None
    assert table.bytes_in_memory == 0


def test_what_a_full_memory_does_not_hold_goes_to_the_store() -> None:
    small = Setting(bytes_max=ENTRY_COST_BYTES + 10)
    table = small.table
    table.store(NAME, output_of("12345"))
    assert small.take() == []
    table.store(OTHER, output_of("1"))
    assert small.take() == [SpillObject(OTHER, output_of("1").data or b"")]
    entry = table.find(OTHER)
    assert entry is not None
    assert entry.is_on_disk()
    assert table.spilled_count == 1
    table.check_invariants()
    table.release(OTHER)
    assert small.take() == [DropObject(OTHER)]


def test_what_a_task_needs_is_spilled_as_well_and_serves_it() -> None:
    small = Setting(bytes_max=0)
    table = small.table
    assert table.want(NAME, 1, brought(1, "data"))
    table.want(OTHER, 1, promised(2))
    table.store(OTHER, output_of("x"))
    assert table.settled == [1]
    assert table.spilled_count == 2
    table.check_invariants()
    table.leave(NAME, 1)
    table.leave(OTHER, 1)
    assert table.find(NAME) is not None


def test_fetches_fly_a_few_at_a_time_and_once_per_object() -> None:
    setting = Setting(fetch_count_max=1)
    table = setting.table
    table.want(NAME, 1, held(1, "a"))
    table.want(NAME, 2, held(1, "a"))
    table.want(OTHER, 1, held(2, "b"))
    assert setting.take() == [FetchObject(NAME, digest_of(b"a"), 100_000, [(PEER, [("10.0.0.2", 1)])])]
    table.check_invariants()
    assert setting.take() == []
    table.on_fetched(NAME)
    assert setting.take_settled() == [1, 2]
    assert table.copied == [NAME]
    assert len(setting.take()) == 1
    table.on_missing(OTHER, [])
    assert table.lost == [[JOB, 2, 0, PEER]]
    assert setting.take() == []
    assert table.fetch_count == 2
    assert table.fetch_failed_count == 1
    table.check_invariants()


def test_a_fetch_that_nobody_waits_for_any_more_is_not_begun(setting: Setting) -> None:
    table = setting.table
    table.want(NAME, 1, held(1, "a"))
    table.leave(NAME, 1)
    table.want(OTHER, 1, held(2, "b"))
    table.store(OTHER, output_of("b"))
    assert setting.take() == []
    assert table.find(NAME) is None


def test_an_object_released_in_flight_is_dropped_when_it_lands(setting: Setting) -> None:
    table = setting.table
    table.want(NAME, 1, held(1, "a"))
    assert len(setting.take()) == 1
    table.leave(NAME, 1)
    table.release(NAME)
    table.on_fetched(NAME)
    assert table.copied == []
    assert setting.take() == [DropObject(NAME)]
    assert table.find(NAME) is None
    table.on_fetched(NAME)
    table.on_missing(NAME, [])
    assert table.stray_fetch_count == 2


def test_an_object_nobody_waits_for_but_not_released_is_kept(setting: Setting) -> None:
    table = setting.table
    table.want(NAME, 1, held(1, "a"))
    setting.take()
    table.leave(NAME, 1)
    table.on_fetched(NAME)
    entry = table.find(NAME)
    assert entry is not None
    assert entry.is_on_disk()
    assert table.copied == [NAME]


def test_remaining_holders_are_tried_after_a_failure(setting: Setting) -> None:
    table = setting.table
    table.want(NAME, 1, held(1, "a", [PEER]))
    setting.take()
    table.want(NAME, 2, held(1, "a", [PEER, THIRD]))
    table.on_missing(NAME, [PEER])
    fetch = setting.take()[0]
    assert isinstance(fetch, FetchObject)
    assert fetch.sources == [(THIRD, [("10.0.0.3", 1)])]
    table.on_missing(NAME, [THIRD])
    assert setting.take() == []
    assert [row[3] for row in table.lost] == [PEER, THIRD]


def test_users_with_different_digests_are_served_one_after_the_other(setting: Setting) -> None:
    table = setting.table
    table.want(NAME, 1, held(1, "a"))
    table.want(NAME, 2, held(1, "b"))
    assert len(setting.take()) == 1
    table.on_fetched(NAME)
    assert setting.take_settled() == [1]
    assert setting.take() == [], "the first one needs what is here"
    table.check_invariants()
    table.leave(NAME, 1)
    fetch = setting.take()[0]
    assert isinstance(fetch, FetchObject)
    assert fetch.digest == digest_of(b"b")
    table.on_fetched(NAME)
    assert setting.take_settled() == [2]


def test_an_earlier_user_takes_the_place_of_a_later_one_and_not_the_other_way_round(setting: Setting) -> None:
    table = setting.table
    table.want(NAME, 2, held(1, "b"))
    setting.take()
    table.on_fetched(NAME)
    assert setting.take_settled() == [2]
    table.want(NAME, 1, held(1, "a"))
    assert len(setting.take()) == 1
    table.on_fetched(NAME)
    assert setting.take_settled() == [1]
    assert setting.take_displaced() == [2]
    assert table.wait_again(NAME, 2)
    assert setting.take() == [], "they do not take turns"
    table.leave(NAME, 1)
    assert len(setting.take()) == 1
    table.check_invariants()


def test_a_local_result_and_a_fetch_of_the_same_content(setting: Setting) -> None:
    table = setting.table
    table.want(NAME, 1, held(1, "a"))
    setting.take()
    table.store(NAME, output_of("a"))
    assert setting.take_settled() == [1]
    table.on_fetched(NAME)
    entry = table.find(NAME)
    assert entry is not None
    assert entry.is_on_disk()
    assert table.bytes_in_memory == ENTRY_COST_BYTES
    table.check_invariants()


def test_displaced_users_wait_again_and_do_not_put_their_bytes_back(setting: Setting) -> None:
    table = setting.table
    table.want(NAME, 1, brought(1, "a"))
    table.want(NAME, 2, brought(1, "b"))
    assert setting.take_displaced() == [1, 2]
    assert table.wait_again(NAME, 1)
    assert not table.wait_again(NAME, 2)
    table.check_invariants()
    setting.take()
    assert table.lost == [[JOB, 1, 0, ME]]


def test_an_own_file_that_went_away_displaces_its_users(setting: Setting) -> None:
    table = setting.table
    table.store(NAME, output_of("a", on_disk=True))
    table.want(NAME, 1, promised(1))
    table.on_missing(NAME, [])
    assert setting.take_displaced() == [1]
    assert table.was_displaced_on_disk
    assert table.wait_again(NAME, 1)
    assert table.lost == [[JOB, 1, 0, ME]]
    table.store(OTHER, output_of("b"))
    table.on_missing(OTHER, [])
    assert table.stray_fetch_count == 1
    table.check_invariants()


def test_the_node_itself_may_want_an_object(setting: Setting) -> None:
    table = setting.table
    assert not table.want(NAME, NODE_USER, held(1, "a"))
    setting.take()
    table.on_fetched(NAME)
    assert setting.take_settled() == []
    entry = table.find(NAME)
    assert entry is not None
    assert entry.users == {}
    assert not table.want(OTHER, NODE_USER, held(2, "b"))
    setting.take()
    table.on_missing(OTHER, [PEER])
    assert table.find(OTHER) is None


def test_a_forgotten_job_leaves_only_what_is_in_flight(setting: Setting) -> None:
    table = setting.table
    table.store(NAME, output_of("a", on_disk=True))
    table.want(OTHER, NODE_USER, held(2, "b"))
    table.store((OTHER_JOB, 1, 0), output_of("c"))
    assert len(setting.take()) == 1
    table.forget_job(JOB)
    assert setting.take() == [DropObject(NAME)]
    entry = table.find(OTHER)
    assert entry is not None
    assert entry.fetch is FetchState.FLYING
    table.check_invariants()
    table.on_missing(OTHER, [PEER])
    assert [entry.name for entry in table.entries(None)] == [(OTHER_JOB, 1, 0)]


def test_the_audit_finds_what_is_wrong(setting: Setting) -> None:
    table = setting.table
    table.store(NAME, output_of("a"))
    table.bytes_in_memory += 1
    with pytest.raises(AssertionError, match="T2"):
        table.check_invariants()
    table.bytes_in_memory -= 1
    entry = table.find(NAME)
    assert entry is not None
    entry.waiters[5] = None
    with pytest.raises(AssertionError, match="T1"):
        table.check_invariants()
