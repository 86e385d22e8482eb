"""Random orders and accidents against the execution core, judged by a naive model of what must hold.

The model knows only which objects exist here, which attempts were accepted and how they ended. It checks
after every step that runs start in order of arrival with the content they were promised, that the node is
never overbooked, that every attempt ends at most once, and in the end that everything that could run has.
"""

from __future__ import annotations

from typing import TypeAlias

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from swarm.core.effects import RunTasks
from swarm.core.ids import AttemptKey
from swarm.exec.config import ExecConfig
from swarm.wire.facts import Completion, Output, digest_of_inputs
from swarm.wire.orders import Assignment, InputRef
from tests.unit.exec_harness import JOB, PEER, FakeNode, assignment, brought, held, output_of, promised

Wish: TypeAlias = tuple[int, list[tuple[int, str]], float, int, float, int, str]
"""A task, what it needs and how it gets that, cpus, memory, timeout, function, name."""

TASKS = st.integers(1, 8)
WISHES: st.SearchStrategy[Wish] = st.tuples(
    TASKS,
    st.lists(st.tuples(TASKS, st.sampled_from(["promised", "brought", "held"])), max_size=2),
    st.sampled_from([1.0, 1.0, 0.5, 2.0, 0.0]),
    st.sampled_from([0, 0, 60]),
    st.sampled_from([0.0, 0.0, 0.0, 3.0]),
    st.sampled_from([0, 20, 21]),
    st.sampled_from(["tiny", "tiny", "long"]),
)


def result_of(task: int, attempt: int) -> Output:
    """Tasks 3 and 6 do not give the same every time; even tasks leave files."""
    text = f"{task}/{attempt % 2}" if task % 3 == 0 else f"{task}"
    return output_of(text, on_disk=task % 2 == 0)


class ExecMachine(RuleBasedStateMachine):
    @initialize(
        cpus=st.sampled_from([1.0, 2.0, 3.0]),
        memory_bytes=st.sampled_from([0, 100]),
        bytes_max=st.sampled_from([0, 1000, 100_000]),
        pipeline_max=st.sampled_from([1, 2, 4]),
        ended=st.sampled_from([0, 3]),
        answers_at_once=st.booleans(),
    )
    def start(
        self,
        cpus: float,
        memory_bytes: int,
        bytes_max: int,
        pipeline_max: int,
        ended: int,
        answers_at_once: bool,
    ) -> None:
        config = ExecConfig(
            script_count_max=2,
            bytes_max=bytes_max,
            pipeline_max=pipeline_max,
            ended_count_max=ended,
            fetch_count_max=2,
            functions_known_max=1,
        )
        self.node = FakeNode(config, cpus, memory_bytes)
        self.node.answers_at_once = answers_at_once
        self.slot_count = int(cpus)
        self.live: dict[AttemptKey, Assignment] = {}
        self.arrival: dict[AttemptKey, int] = {}
        self.attempts: dict[int, int] = {}
        self.given: dict[AttemptKey, bytes] = {}
        self.seen_completions = 0
        self.seen_effects = 0
        self.number = 0

    # What the leader does

    @rule(wishes=st.lists(WISHES, min_size=1, max_size=6))
    def assign(self, wishes: list[Wish]) -> None:
        orders: list[Assignment] = []
        for task, needs, cpus, memory_bytes, timeout_s, function, name in wishes:
            attempt = self.attempts.get(task, 0) + 1
            self.attempts[task] = attempt
            order = assignment(
                task,
                [self.reference(needed, how) for needed, how in needs if needed < task],
                attempt=attempt,
                name=name,
                function=brought(function, f"code {function}") if function else None,
                cpus=cpus,
                memory_bytes=memory_bytes,
                timeout_s=timeout_s,
            )
            self.number += 1
            key = (JOB, task, attempt)
            self.live[key] = order
            self.arrival[key] = self.number
            orders.append(order)
        self.node.core.assign(orders + orders[:1], self.node.now)

    @rule(count=st.integers(2, 12))
    def assign_bag(self, count: int) -> None:
        self.assign([(8, [], 1.0, 0, 0.0, 20, "tiny")] * count)

    def reference(self, task: int, how: str) -> InputRef:
        if how == "promised":
            return promised(task)
        winner = result_of(task, 1)
        if how == "brought" and winner.data is not None:
            return brought(task, winner.data.decode())
        text = f"{task}/1" if task % 3 == 0 else f"{task}"
        return held(task, text)

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.live:
            key = data.draw(st.sampled_from(list(self.live)))
            del self.live[key]
            self.given.pop(key, None)
            self.node.core.cancel([key], self.node.now)

    @rule(data=st.data())
    def retract(self, data: st.DataObject) -> None:
        if self.live:
            key = data.draw(st.sampled_from(list(self.live)))
            for returned in self.node.core.retract([key], self.node.now):
                assert returned not in self.executing(first_only=True)
                del self.live[returned]

    @rule(task=TASKS)
    def release(self, task: int) -> None:
        self.node.core.release([(JOB, task, 0)], self.node.now)

    @precondition(lambda self: self.number > 15)
    @rule()
    def forget(self) -> None:
        self.number = 0
        self.live.clear()
        self.given.clear()
        self.arrival.clear()
        self.node.core.forget_job(JOB, self.node.now)

    # What executors and the network do

    @rule(begun=st.integers(1, 3))
    def pump(self, begun: int) -> None:
        self.node.begun_count = begun  # how far executors are in their queues when something is recalled
        self.node.pump()

    @precondition(lambda self: self.node.starting)
    @rule(works=st.sampled_from([True, True, True, False]))
    def start_executors(self, works: bool) -> None:
        self.node.pump()
        if works:
            self.node.start_executors()
        elif self.node.starting:
            executor = self.node.starting.pop()
            self.node.core.on_executor_exit(executor, "no", "", self.node.now)
            self.node.pump()

    @precondition(lambda self: self.node.recalled)
    @rule()
    def tell_recalled(self) -> None:
        self.node.tell_recalled()
        self.node.pump()

    @precondition(lambda self: self.node.dying)
    @rule()
    def bury(self) -> None:
        self.node.bury()

    @rule(data=st.data(), how=st.sampled_from(["done", "done", "done", "failed", "died", "printed"]))
    def work(self, data: st.DataObject, how: str) -> None:
        self.node.pump()
        busy = [executor for executor, queue in sorted(self.node.queues.items()) if queue]
        if not busy:
            return
        executor = data.draw(st.sampled_from(busy))
        if how == "done":
            self.finish(executor)
        elif how == "failed":
            self.node.fail(executor)
        elif how == "printed":
            handle = self.node.queues[executor][0].handle
            self.node.core.on_task_output(executor, handle, 1, b"text", self.node.now)
        else:  # what it had not begun is given back first
            queue = self.node.queues[executor]
            unbegun = [task.handle for task in queue[self.node.begun_count :]]
            del queue[self.node.begun_count :]
            self.node.core.on_tasks_recalled(executor, unbegun, self.node.now)
            self.node.die(executor)

    def finish(self, executor: int) -> None:
        task = self.node.queues[executor][0]
        duration_s = 0.001 if task.name == "tiny" else 1.0
        self.node.finish(executor, result_of(task.task, task.attempt), duration_s=duration_s)

    @precondition(lambda self: self.node.fetches)
    @rule(data=st.data(), works=st.booleans())
    def transfer(self, data: st.DataObject, works: bool) -> None:
        self.node.pump()
        name = data.draw(st.sampled_from(sorted(self.node.fetches)))
        if works:
            self.node.fetched(name)
        else:
            self.node.missing(name, PEER)

    @rule(seconds=st.sampled_from([0.01, 0.3, 1.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.node.pump()
        self.node.advance(seconds)
        self.node.core.handle_deadline(self.node.now)
        self.node.pump()

    # What must hold

    def executing(self, first_only: bool = False) -> list[AttemptKey]:
        """What executors hold or have just given back; behind the first there may be ghosts."""
        keys: list[AttemptKey] = []
        for queue in self.node.queues.values():
            tasks = queue[:1] if first_only else queue
            keys.extend([(task.job, task.task, task.attempt) for task in tasks])
        for _, recalled in [] if first_only else self.node.recalled:
            keys.extend([(task.job, task.task, task.attempt) for task in recalled])
        return keys

    @invariant()
    def audit(self) -> None:
        self.node.pump()
        self.check_steps()
        attempts, objects = self.node.core.inventory()
        assert sorted(attempts) == sorted(self.live)
        for name, digest, _, _ in objects:
            output = self.node.core.find_object(name)
            assert output is not None
            if output.data is None:
                assert self.node.files[name] == digest
        on_disk = [name for name, _, _, _ in objects if name in self.node.files]
        assert sorted(on_disk) == sorted(self.node.files)
        self.check_room()

    def check_steps(self) -> None:
        """Look at what was given to executors and what ended since the last look."""
        effects = self.node.log[self.seen_effects :]
        self.seen_effects = len(self.node.log)
        given = [task for effect in effects if isinstance(effect, RunTasks) for task in effect.tasks]
        for task in given:
            key = (task.job, task.task, task.attempt)
            self.given[key] = digest_of_inputs([value.digest for value in task.inputs])
            wanted = self.live.get(key)
            if wanted is not None:
                for ref, value in zip(wanted.inputs, task.inputs, strict=True):
                    assert value.name == (JOB, ref.task, ref.output)
                    assert self.may_use(wanted, ref, value.digest)
        self.check_completions()
        for task in given:
            wanted = self.live.get((task.job, task.task, task.attempt))
            if wanted is not None:
                self.check_not_overtaken(wanted)

    def may_use(self, wanted: Assignment, ref: InputRef, digest: bytes) -> bool:
        """A promised digest is kept; an object named twice counts by its first mention."""
        first = next(other for other in wanted.inputs if other.task == ref.task)
        return first.digest in (None, digest)

    def check_not_overtaken(self, started: Assignment) -> None:
        order = self.arrival[(JOB, started.task, started.attempt)]
        executing = self.executing()
        for key, other in self.live.items():
            is_same_lane = (other.cpus > 0) == (started.cpus > 0)
            if self.arrival[key] < order and is_same_lane and key not in executing:
                assert not self.is_ready(other)

    def is_ready(self, order: Assignment) -> bool:
        """Whether all that the attempt needs is here, as far as the table tells."""
        for ref in order.inputs + ([] if order.function is None else [order.function]):
            output = self.node.core.find_object((JOB, ref.task, ref.output))
            if output is None or ref.digest not in (None, output.digest):
                return False
        return True

    def check_completions(self) -> None:
        ended: list[Completion] = self.node.completions[self.seen_completions :]
        for completion in ended:
            key = (JOB, completion.task, completion.attempt)
            if key in self.live:
                assert completion.inputs_digest == self.given[key]
                del self.live[key]
            else:
                raise AssertionError(f"{key} was not to end")
        self.seen_completions = len(self.node.completions)

    def check_room(self) -> None:
        width = 0
        for executor, queue in self.node.queues.items():
            live = [self.live.get((task.job, task.task, task.attempt)) for task in queue]
            if executor < self.slot_count and live and live[0] is not None:
                width += min(self.slot_count, max(1, int(live[0].cpus)))
        assert width <= self.slot_count

    def teardown(self) -> None:
        """Without accidents everything runs that has what it needs."""
        if not hasattr(self, "node"):
            return
        node = self.node
        for _ in range(1000):
            node.pump()
            busy = [executor for executor, queue in sorted(node.queues.items()) if queue]
            if node.starting:
                node.start_executors()
            elif node.recalled:
                node.tell_recalled()
            elif node.dying:
                node.bury()
            elif node.fetches:
                node.fetched(min(node.fetches))
            elif busy:
                self.finish(busy[0])
            elif node.core.next_deadline() < node.now + 60.0:
                node.fire()
            else:
                break
            self.check_steps()
        else:
            raise AssertionError("the node does not come to rest")
        for order in self.live.values():
            assert not self.is_ready(order), f"task {order.task} could run"
        node.core.forget_job(JOB, node.now)
        node.pump()
        node.bury()
        assert node.files == {}
        statistics = node.core.statistics()
        for name in ("attempts_now", "ready_now", "sent_now", "slots_used_now", "objects_memory_bytes_now"):
            assert statistics[name] == 0


TestExecMachine = ExecMachine.TestCase
TestExecMachine.settings = settings(max_examples=100, stateful_step_count=60)
