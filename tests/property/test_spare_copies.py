"""Whoever is told that its copy is spare, in whatever order and however often: three copies stay on disks."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.effects import Erase, Message
from swarm.core.ids import NodeId
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.giving_up import ANSWER_S, PLEDGE_S
from swarm.scheduler.records import JobRecords
from swarm.wire.messages import RECORD_SPARE, RECORD_STORE
from tests.unit.scheduler_builder import JOB, bag

NODES: list[NodeId] = [bytes([65 + number]) * 16 for number in range(6)]
LEADER: NodeId = b"L" * 16
REPLICAS = 3
BLOB = bag(1).to_wire()

Steps = st.lists(
    st.one_of(
        st.tuples(st.just("spare"), st.integers(0, 5), st.sets(st.integers(0, 5), min_size=3)),
        st.tuples(st.just("deliver"), st.integers(0, 30), st.just(set())),
        st.tuples(st.just("lose"), st.integers(0, 30), st.just(set())),
        st.tuples(st.just("restart"), st.integers(0, 5), st.just(set())),
        st.tuples(st.just("wait"), st.sampled_from([1, 5, int(ANSWER_S), int(PLEDGE_S), 70]), st.just(set())),
    ),
    max_size=80,
)


class Mesh:
    """Six keepers of one job and the messages between them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.flying: list[tuple[NodeId, NodeId, int, list[object]]] = []
        self.nodes = {node: JobRecords(SchedulerConfig(replicas=REPLICAS), node) for node in NODES}
        for node in NODES:
            self.begin(node)
            self.tell(LEADER, node, RECORD_STORE, [0, JOB, 0, 1, BLOB, []])
        self.flying.clear()
        self.now = PLEDGE_S + 1.0

    def begin(self, node: NodeId) -> None:
        self.nodes[node].start(self.now)
        self.nodes[node].on_leader(LEADER)

    def tell(self, sender: NodeId, node: NodeId, kind: int, body: list[object]) -> None:
        core = self.nodes[node]
        core.receive_message(sender, kind, body, self.now)
        assert core.counts["malformed"] == 0
        for effect in core.take_effects():
            if isinstance(effect, Message):
                self.flying.append((node, effect.peer, effect.kind, effect.body))
            elif isinstance(effect, Erase):
                assert JOB not in core.jobs()

    def having(self) -> list[NodeId]:
        return [node for node in NODES if JOB in self.nodes[node].jobs()]

    def step(self, what: str, number: int, others: set[int]) -> None:
        if what == "spare":
            self.tell(LEADER, NODES[number], RECORD_SPARE, [JOB, [NODES[other] for other in sorted(others)]])
        elif what == "restart":
            again = JobRecords(SchedulerConfig(replicas=REPLICAS), NODES[number])
            record = self.nodes[NODES[number]].record(JOB)
            self.nodes[NODES[number]] = again
            self.begin(NODES[number])
            if record is not None:
                again.restore([("parts", JOB + bytes(4), BLOB)])
        elif what == "wait":
            self.now += number
        elif number < len(self.flying):
            sender, node, kind, body = self.flying.pop(number)
            if what == "deliver" and node in self.nodes:
                self.tell(sender, node, kind, body)


@given(Steps)
@settings(max_examples=200)
def test_three_copies_stay(steps: list[tuple[str, int, set[int]]]) -> None:
    mesh = Mesh()
    for what, number, others in steps:
        mesh.step(what, number, others)
        assert len(mesh.having()) >= REPLICAS


def test_spare_copies_go_one_after_the_other() -> None:
    mesh = Mesh()
    for number in range(6):
        others = {NODES.index(node) for node in mesh.having()} - {number}
        mesh.step("spare", number, others)
        while mesh.flying:
            mesh.step("deliver", 0, set())
        mesh.step("wait", int(PLEDGE_S) + 1, set())
    assert len(mesh.having()) == REPLICAS
