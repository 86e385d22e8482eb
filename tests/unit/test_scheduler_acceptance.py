"""A part is acknowledged when k disks have it; keepers that are silent, refuse or die are replaced."""

from __future__ import annotations

from swarm.core.effects import Message, Notify
from swarm.core.ids import NodeId
from swarm.scheduler.acceptance import Acceptances
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.replication import Keeper
from swarm.wire.messages import RECORD_STORE
from tests.unit.scheduler_builder import JOB, ME
from tests.unit.scheduler_env import NODES


def keeper(node: NodeId, host: bytes = b"", fitness: int = 100) -> Keeper:
    return Keeper(node, host or node, fitness)


class AcceptanceEnv:
    """The acceptances of ME among `others` members."""

    def __init__(self, others: int, replicas: int = 3) -> None:
        self.now = 0.0
        self.core = Acceptances(SchedulerConfig(replicas=replicas), ME)
        self.set_others(NODES[1 : others + 1])

    def set_others(self, nodes: list[NodeId]) -> None:
        self.core.on_keepers(keeper(ME), [keeper(node) for node in nodes], self.now)
        self.core.check_invariants(ME)

    def begin(self, token: int = 1, part: int = 0) -> list[NodeId]:
        asked = self.core.begin(token, JOB, part, 1, b"blob", self.now)
        self.core.check_invariants(ME)
        return asked

    def take_asked(self) -> list[tuple[NodeId, int]]:
        """The nodes asked to keep a part, with the number of the question."""
        asked: list[tuple[NodeId, int]] = []
        for effect in self.core.take_effects():
            assert isinstance(effect, Message)
            assert effect.kind == RECORD_STORE
            assert effect.body[1:] == [JOB, 0, 1, b"blob"]
            number = effect.body[0]
            assert isinstance(number, int)
            asked.append((effect.peer, number))
        return asked

    def answer(self, request: int, node: NodeId, ok: bool = True) -> bool:
        expected = self.core.on_answer(request, node, ok, self.now)
        self.core.check_invariants(ME)
        return expected

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.core.handle_deadline(self.now)

    def take_holders(self) -> list[list[NodeId]]:
        return [holders for _, _, _, holders in self.core.take_accepted()]


def test_a_lone_node_accepts_at_once() -> None:
    env = AcceptanceEnv(0)
    assert env.begin() == []
    assert env.core.take_accepted() == [(1, JOB, 0, [ME])]
    assert env.take_asked() == []


def test_two_others_confirm() -> None:
    env = AcceptanceEnv(4)
    asked = env.begin()
    assert [node for node, _ in env.take_asked()] == asked
    assert len(asked) == 2
    env.answer(1, asked[1])
    assert env.core.take_accepted() == []
    env.answer(1, asked[0])
    assert env.take_holders() == [[ME, asked[1], asked[0]]]
    assert env.core.next_deadline() == float("inf")


def test_a_silent_keeper_is_replaced() -> None:
    env = AcceptanceEnv(4)
    first = [node for node, _ in env.take_asked()] or env.begin()
    env.take_asked()
    env.answer(1, first[0])
    env.wait(3.0)
    ((third, request),) = env.take_asked()
    assert third not in first
    env.answer(request, third)
    assert env.take_holders() == [[ME, first[0], third]]


def test_a_keeper_that_refuses_is_replaced() -> None:
    env = AcceptanceEnv(3)
    first = env.begin()
    env.take_asked()
    assert env.answer(1, first[0], False)
    ((third, _),) = env.take_asked()
    assert third not in first


def test_a_keeper_that_dies_is_replaced_at_once() -> None:
    env = AcceptanceEnv(4)
    first = env.begin()
    env.take_asked()
    env.set_others([node for node in NODES[1:5] if node != first[0]])
    ((third, _),) = env.take_asked()
    assert third not in first


def test_with_nobody_left_the_copies_there_are_must_do() -> None:
    env = AcceptanceEnv(2)
    first = env.begin()
    env.take_asked()
    env.answer(1, first[0])
    env.wait(3.0)
    assert env.take_holders() == [[ME, first[0]]]
    effects = env.core.take_effects()
    assert [effect.event for effect in effects if isinstance(effect, Notify)] == ["few_copies"]


def test_all_members_are_enough_when_there_are_fewer_than_replicas() -> None:
    env = AcceptanceEnv(1)
    (only,) = env.begin()
    env.take_asked()
    env.answer(1, only)
    assert env.take_holders() == [[ME, only]]
    assert env.core.take_effects() == []


def test_a_repeated_submission_joins_the_open_one() -> None:
    env = AcceptanceEnv(2)
    first = env.begin(1)
    env.take_asked()
    assert env.begin(2) == first
    assert env.take_asked() == []
    for node in first:
        env.answer(1, node)
    assert [accepted[0] for accepted in env.core.take_accepted()] == [1, 2]


def test_a_submission_repeated_after_the_answer_is_kept_again() -> None:
    env = AcceptanceEnv(1)
    (only,) = env.begin(1)
    env.answer(1, only)
    env.core.take_accepted()
    env.begin(2)
    env.answer(2, only)
    assert env.take_holders() == [[ME, only]]


def test_stale_answers_are_not_expected() -> None:
    env = AcceptanceEnv(2)
    first = env.begin()
    assert not env.answer(9, first[0])
    assert not env.answer(1, NODES[9])
    assert env.answer(1, first[0])
    assert not env.answer(1, first[0])
