"""Two processes of one identity: both know who yields, and nobody else ever has to."""

from __future__ import annotations

import pytest

from swarm.core.effects import Effect, Notify, Packet, Persist, RenewIdentity
from swarm.core.rng import Rng
from swarm.gossip.config import GossipConfig
from swarm.gossip.core import Gossip
from swarm.gossip.rumours import make_alive, unpack_rumour_untrusted
from swarm.wire import messages
from swarm.wire.codec import pack
from tests.unit.gossip_builder import CONFIG, HERE, ONE, OWN, PLACE_ONE, PLACE_TWO


def node(facts: dict[str, object], incarnation: int = 5) -> Gossip:
    core = Gossip(GossipConfig(), OWN, "own", [HERE], facts, incarnation, Rng("t"), [])
    core.start([], 0.0)
    core.take_effects()
    return core


def own(core: Gossip) -> bytes:
    """Return what the core says about itself."""
    return core._membership.own.description.packed


def claim(incarnation: int, facts: dict[str, object]) -> bytes:
    return make_alive(OWN, incarnation, "own", [PLACE_TWO], facts).packed


def hear(core: Gossip, rumour: bytes, now: float) -> list[Effect]:
    core.receive_packet(ONE, messages.RUMOURS, [[rumour]], PLACE_ONE, now)
    effects = core.take_effects()
    core.check_invariants()
    return effects


def duel(first: Gossip, second: Gossip, rounds: int = 10) -> list[Gossip]:
    """Let two tell each other what they say of themselves; return those that yielded."""
    yielded: list[Gossip] = []
    now = 1.0
    for _ in range(rounds):
        for speaker, listener in ((first, second), (second, first)):
            now += 0.1
            if listener not in yielded and RenewIdentity() in hear(listener, own(speaker), now):
                yielded.append(listener)
    return yielded


MOVED: dict[str, object] = {"instance": b"0" * 8, "started": 10, "moved": True}
EARLY: dict[str, object] = {"instance": b"b" * 8, "started": 100}
LATE: dict[str, object] = {"instance": b"a" * 8, "started": 200}
TWIN: dict[str, object] = {"instance": b"c" * 8, "started": 100}


@pytest.mark.parametrize(
    ("stays", "yields"),
    [(EARLY, MOVED), (LATE, MOVED), (EARLY, LATE), (EARLY, TWIN), ({}, LATE)],
    ids=["moved", "moved first", "started later", "greater instance", "knows nothing of clones"],
)
@pytest.mark.parametrize("incarnations", [(5, 5), (9, 2), (2, 9)])
def test_of_two_clones_exactly_one_yields(
    stays: dict[str, object], yields: dict[str, object], incarnations: tuple[int, int]
) -> None:
    """Whoever heard first, and whatever their incarnations were."""
    for is_first in (True, False):
        elder, younger = node(stays, incarnations[0]), node(yields, incarnations[1])
        pair = (elder, younger) if is_first else (younger, elder)
        assert duel(*pair) == [younger]


def test_who_yields_leaves_the_last_word_to_the_other_and_is_silent() -> None:
    elder, younger = node(EARLY), node(LATE)
    duel(elder, younger)
    mine, other = [unpack_rumour_untrusted(own(core), CONFIG).incarnation for core in (elder, younger)]
    assert mine > other
    assert hear(younger, claim(mine + 7, EARLY), 50.0) == []
    younger.handle_deadline(100.0)
    younger.leave(101.0)
    younger.set_facts(LATE, 102.0)
    assert [effect for effect in younger.take_effects() if isinstance(effect, Packet)] == []
    younger.check_invariants()


def test_who_yields_keeps_the_place_of_the_other_for_its_next_life() -> None:
    core = node(LATE, 5)
    done: list[Effect] = []
    for incarnation in (5, 7, 9):
        done += hear(core, claim(incarnation, EARLY), float(incarnation))
    at = done.index(RenewIdentity())
    assert done[at - 1] == Persist("members", OWN, pack(["own", [list(PLACE_TWO)]]), False)
    assert [effect for effect in done[at + 1 :] if effect not in done[:at]] == []
    told = [effect for effect in done if isinstance(effect, Notify) and effect.event == "identity_cloned"]
    assert [effect.values["yields"] for effect in told] == [True]


def test_who_stays_says_so_once() -> None:
    core = node(EARLY, 5)
    done: list[Effect] = []
    for incarnation in range(5, 25, 2):
        done += hear(core, claim(incarnation, LATE), incarnation / 10)
    told = [effect for effect in done if isinstance(effect, Notify) and effect.event == "identity_cloned"]
    assert [effect.values["yields"] for effect in told] == [False]
    assert core.statistics()["clones_met"] == 1


def test_replayed_rumours_of_earlier_lives_are_no_clone() -> None:
    """What was captured says an incarnation below ours, however often it is sent."""
    core = node(LATE, 50)
    for number in range(200):
        hear(core, claim(number % 50, {"instance": bytes([number]) * 8}), number / 10)
    assert "clones_met" not in core.statistics()
    assert core.statistics()["incarnation"] == 50


def test_a_home_put_back_from_a_copy_is_no_clone() -> None:
    """The mesh remembers two higher incarnations of the life that was lost."""
    core = node(LATE, 3)
    for incarnation in (20, 22):
        hear(core, claim(incarnation, EARLY), 1.0)
    assert "clones_met" not in core.statistics()
    assert core.statistics()["incarnation"] == 23


def test_accusations_and_claims_long_ago_do_not_count() -> None:
    core = node(LATE, 3)
    for number in range(5):
        hear(core, claim(10 * (number + 1), EARLY), 400.0 * number)
    assert "clones_met" not in core.statistics()
