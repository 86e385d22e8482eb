"""Bursts of losses excuse a change of leader only where they kept enough of its council away for long."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sims.checkers.base import Violation
from sims.checkers.bursts import Silence, unseat
from sims.network import Network, NetworkConfig
from sims.network.network import LOST
from sims.trials.drawing import draw
from sims.trials.run import Trial
from swarm.core.rng import Rng
from swarm.election.config import ElectionConfig

CONFIG = ElectionConfig()
LEADER, OTHERS = 0, [1, 2, 3, 4]


def silent(*members: int, begin_s: float = 10.0, for_s: float = 1.2) -> list[Silence]:
    """The leader's words to members are lost."""
    return [(LEADER, member, begin_s, begin_s + for_s) for member in members]


def is_unseated(*silences: Silence, others: list[int] = OTHERS) -> bool:
    return unseat(list(silences), LEADER, others, CONFIG)


def test_a_majority_that_hears_no_beat_may_follow_another() -> None:
    assert is_unseated(*silent(1, 2, 3))
    assert not is_unseated(*silent(1, 2))
    assert not is_unseated()


def test_silences_one_after_the_other_excuse_nothing() -> None:
    assert not is_unseated(*silent(1, 2), *silent(3, begin_s=13.0))


def test_silences_shorter_than_trust_excuse_nothing() -> None:
    assert not is_unseated(*silent(1, 2, 3, for_s=0.6))


def test_somebody_has_to_be_left_alone_for_long_enough_to_stand() -> None:
    assert not is_unseated(*silent(1, 2, 3, for_s=0.9))
    assert is_unseated(*silent(1, 2, for_s=0.9), *silent(3))


def test_silences_on_other_ways_excuse_nothing() -> None:
    others = [(5, 1, 10.0, 14.0), (1, 5, 10.0, 14.0), (LEADER, 5, 10.0, 14.0), (1, 2, 10.0, 14.0)]
    assert not is_unseated(*others)
    assert not is_unseated(*silent(5, 6, 7))


def test_a_leader_that_gets_no_answer_for_a_lease_stops() -> None:
    back = [(member, LEADER, 10.0, 13.5) for member in (1, 2, 3)]
    assert is_unseated(*back)
    assert not is_unseated(*back[:2])
    assert not is_unseated((1, LEADER, 10.0, 12.0), others=[1])


def test_words_and_answers_that_are_lost_in_turn_leave_a_pair_apart() -> None:
    there, back = (LEADER, 1, 10.0, 12.0), (1, LEADER, 12.1, 13.5)
    assert is_unseated(there, back, others=[1])
    assert not is_unseated(there, (1, LEADER, 12.5, 14.0), others=[1])


def test_the_network_measures_silences_when_it_is_asked_to() -> None:
    network = Network(NetworkConfig(loss=0.3, loss_burst_count=4.0), 3, Rng("silences"))
    for tick in range(100):
        network.send(0, 1, 10, tick / 10)
    assert network.silences(10.0) == []
    network.measure_silences()
    passed: list[float] = []
    wanted: list[Silence] = []
    for tick in range(100, 300):
        now = tick / 10
        if network.send(0, 1, 10, now) == LOST:
            continue
        if passed and now - passed[-1] > 0.15:
            wanted.append((0, 1, passed[-1], now))
        passed.append(now)
    found = network.silences(30.0)
    assert len(wanted) > 5
    assert [silence for silence in found if silence[2] >= passed[0] and silence[3] < 30.0] == wanted


def test_what_no_burst_lost_is_no_silence() -> None:
    network = Network(NetworkConfig(loss=0.3), 2, Rng("silences"))
    network.measure_silences()
    for tick in range(100):
        network.send(0, 1, 10, tick / 10)
    assert network.silences(10.0) == []


class Deposing(Trial):
    """Kills the leader's process in the quiet time, whose steps are a second long."""

    def step(self, until_s: float) -> None:
        if until_s - self.cluster.engine.now == 1.0 and not self.truth.downs:
            self.cluster.kill(self.cluster.leaders()[0])
        super().step(until_s)


def test_l4_a_network_of_bursts_does_not_excuse_every_change() -> None:
    network = NetworkConfig(loss=0.2, loss_burst_count=4.0)
    case = replace(draw(1, "calm"), events=(), jobs=(), faults_s=20.0, network=network)
    Trial(case).run()
    with pytest.raises(Violation, match=r"L4: .*the leader changed while nothing happened"):
        Deposing(case).run()
