"""A job under random events against a naive model that recomputes every state from scratch."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swarm.core.ids import NodeId
from swarm.scheduler.invariants import check_job
from swarm.scheduler.jobs import Job
from swarm.scheduler.ranking import Estimates
from swarm.scheduler.task_graph import expected_inputs_digest, give_up_outputs
from swarm.scheduler.task_states import ASSIGNED, CANCELLED, DONE, FAILED, READY, WAITING, Task
from swarm.wire.facts import Completion
from swarm.wire.job_part import JobPart, TaskSpec
from tests.unit.scheduler_builder import JOB, ONE, THREE, TWO, data, failure_of, output_of, task

Nodes = st.sampled_from([ONE, TWO, THREE])


@st.composite
def specs(draw: st.DrawFn, first: int) -> list[TaskSpec]:
    tasks: list[TaskSpec] = []
    for index in range(first, first + draw(st.integers(1, 6))):
        if draw(st.integers(0, 7)) == 0:
            tasks.append(data(f"data {index}"))
            continue
        inputs = draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
        tasks.append(task(*inputs, kept=draw(st.booleans())))
    return tasks


class JobMachine(RuleBasedStateMachine):
    """Every step is one that the scheduler could take."""

    @initialize(draw=st.data(), on_error=st.sampled_from(["fail", "continue"]))
    def begin(self, draw: st.DataObject, on_error: str) -> None:
        self.estimates = Estimates(0.05, 0.0)
        self.job = Job(JOB, 1, 0.0)
        self.gone: list[NodeId] = []
        self.parts = 0
        self.on_error = on_error
        self.add(draw)

    @precondition(lambda self: self.parts < 3)
    @rule(draw=st.data())
    def add(self, draw: st.DataObject) -> None:
        first = len(self.job.tasks)
        part = JobPart(first, {"on_error": self.on_error}, draw.draw(specs(first)))
        self.job.add_part(self.parts, part, self.estimates)
        self.parts += 1

    def pick(self, draw: st.DataObject, *states: int) -> Task | None:
        found = [one for one in self.job.tasks if one.state in states and one.spec.kind]
        return draw.draw(st.sampled_from(found)) if found else None

    @rule(node=Nodes)
    def place(self, node: NodeId) -> None:
        found = self.job.pop_ready(0) if self.job.classes else None
        if found is not None:
            self.job.start(found, node, False)

    @rule(draw=st.data(), node=Nodes)
    def give_ahead(self, draw: st.DataObject, node: NodeId) -> None:
        found = self.pick(draw, WAITING)
        if found is not None and not self.job.is_cancelled:
            self.job.start(found, node, True)

    @rule(draw=st.data(), is_large=st.booleans(), is_right=st.integers(0, 5), is_holder=st.booleans())
    def succeed(self, draw: st.DataObject, is_large: bool, is_right: int, is_holder: bool) -> None:
        found = self.pick(draw, WAITING, READY, ASSIGNED, DONE, FAILED, CANCELLED)
        if found is None:
            return
        attempt, node = next(iter(found.running.items()), (found.attempts + 1, draw.draw(Nodes)))
        digest = expected_inputs_digest(self.job.tasks, found)
        if digest is None or not is_right:
            digest = output_of(f"other {is_right}").digest
        outputs = [output_of(f"out {found.index}", is_large)]
        completion = Completion(found.index, attempt, node, digest, 0.1, outputs, None)
        before = found.state
        is_accepted = self.job.accept_success(found, completion, is_holder)
        if before in (FAILED, CANCELLED):
            assert not is_accepted
        if is_accepted:
            assert found.state == DONE

    @rule(draw=st.data())
    def succeed_early(self, draw: st.DataObject) -> None:
        """A success whose inputs are those that will win, told before they have."""
        found = self.pick(draw, WAITING, ASSIGNED)
        if found is None or len(found.spec.inputs) != 2 or found.spec.inputs[0] >= len(self.job.tasks):
            return
        from swarm.wire.facts import digest_of_inputs

        source = output_of(f"out {found.spec.inputs[0]}")
        digest = digest_of_inputs([source.digest])
        completion = Completion(
            found.index, found.attempts + 1, ONE, digest, 0.1, [output_of(f"out {found.index}")], None
        )
        self.job.accept_success(found, completion, True)

    @rule(draw=st.data())
    def give_back(self, draw: st.DataObject) -> None:
        found = self.pick(draw, ASSIGNED)
        if found is not None:
            self.job.give_back(found, next(iter(found.running)))

    @rule(draw=st.data())
    def lose_node(self, draw: st.DataObject) -> None:
        node = draw.draw(Nodes)
        for one in self.job.tasks:
            for attempt, where in list(one.running.items()):
                if where == node:
                    self.job.give_back(one, attempt)
        self.job.drop_holder(node)
        assert all(node not in one.holders for one in self.job.tasks)

    @rule(draw=st.data())
    def unkeep(self, draw: st.DataObject) -> None:
        found = self.pick(draw, WAITING, READY, ASSIGNED, DONE)
        if found is not None:
            self.job.unkeep(found)

    @rule()
    def release(self) -> None:
        for index in self.job.released:
            give_up_outputs(self.job.tasks[index])
        self.job.released = []

    @precondition(lambda self: len(self.job.tasks) > 6)
    @rule(draw=st.data())
    def fail(self, draw: st.DataObject) -> None:
        found = self.pick(draw, READY, ASSIGNED)
        if found is not None:
            self.job.fail(found, failure_of())

    @precondition(lambda self: len(self.job.tasks) > 9)
    @rule()
    def cancel(self) -> None:
        self.job.cancel("cancelled")

    # The model

    @invariant()
    def is_consistent(self) -> None:
        check_job(self.job)

    @invariant()
    def states_follow_from_each_other(self) -> None:
        is_over = self.job.is_cancelled or (self.job.fails_whole and self.job.failed > 0)
        for one in self.job.tasks:
            producers = [self.job.tasks[index] for index in dict.fromkeys(one.spec.inputs[::2])]
            is_fed = all(source.state == DONE for source in producers)
            if one.state == READY:
                assert is_fed
            elif one.state == WAITING:
                assert not is_fed
            if is_over:
                assert one.is_final()
            elif one.state in (WAITING, READY, ASSIGNED):
                assert all(source.state not in (FAILED, CANCELLED) for source in producers), (
                    "it would wait for ever"
                )

    @invariant()
    def what_is_ready_can_be_popped(self) -> None:
        popped: list[Task] = []
        for klass in range(len(self.job.classes)):
            found = self.job.pop_ready(klass)
            while found is not None:
                if found not in popped:
                    popped.append(found)
                found = self.job.pop_ready(klass)
        for found in popped:
            self.job.push_back(found)
        ready = [one.index for one in self.job.tasks if one.state == READY]
        assert sorted([one.index for one in popped]) == ready

    @invariant()
    def only_wanted_outputs_are_kept(self) -> None:
        for one in self.job.tasks:
            if one.is_released:
                assert one.state == DONE
                assert not one.is_kept
                assert one.consumers_left == 0

    @invariant()
    def completeness_is_finality(self) -> None:
        self.job.parts_total = self.parts
        assert self.job.is_complete() == all(one.is_final() for one in self.job.tasks)
        self.job.parts_total = 0


JobMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestJob = JobMachine.TestCase
