"""The leader's scheduler with its records, and nodes that do what a test says.

What the scheduler sends gathers until a test takes it: `take_…` consumes what was expected, `check_empty`
fails on anything else.
"""

from __future__ import annotations

from swarm.core.effects import Effect, Erase, Message, Notify, Persist
from swarm.core.ids import JobId, NodeId
from swarm.core.records import Record
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.core import Scheduler
from swarm.scheduler.invariants import check_scheduler
from swarm.scheduler.jobs import Job
from swarm.scheduler.records import JobRecords
from swarm.scheduler.task_states import STATE_NAMES, Task
from swarm.wire.codec import Body
from swarm.wire.facts import Completion, Failure, Output, digest_of_inputs
from swarm.wire.job_part import JobPart
from swarm.wire.messages import (
    ASK,
    ASSIGN,
    CANCEL_ATTEMPTS,
    COMPLETIONS,
    INVENTORY,
    JOB_ENDED,
    JOB_UPDATE,
    OBJECT_LOST,
    RECORD_STORE,
    RELEASE_OBJECTS,
    REPORT_WANTED,
    RETRACT,
    RETRACTED,
    WATCH,
)
from swarm.wire.orders import Assignment, assignment_untrusted
from tests.unit.scheduler_builder import JOB, ME, ONE, failure_of, output_of

CONFIG = SchedulerConfig(replicas=1)
NODES: list[NodeId] = [bytes([ord("a") + number]) * 16 for number in range(20)]


class Given(Record):
    """An order to run a task, as a node got it."""

    __slots__ = ("node", "order")

    def __init__(self, node: NodeId, order: Assignment) -> None:
        self.node = node
        self.order = order

    def fields(self) -> tuple[object, ...]:
        return (self.node, self.order)

    @property
    def key(self) -> tuple[NodeId, int, int]:
        """(node, task, attempt)."""
        return (self.node, self.order.task, self.order.attempt)


class Update(Record):
    """A JOB_UPDATE as its watcher reads it."""

    __slots__ = ("attempts", "counts", "is_whole", "reason", "state", "tasks")

    def __init__(self, body: list[object]) -> None:
        reader = Body(body)
        reader.take_bytes()
        self.state = reader.take_text()
        reader.take_int()
        self.counts = reader.take_list()
        self.tasks = [Body([row]).take_body().take_int() for row in reader.take_list()]
        self.reason = reader.take_text()
        self.is_whole = reader.take_bool()
        self.attempts = reader.take_int()

    def fields(self) -> tuple[object, ...]:
        return (self.state, self.counts, self.tasks, self.reason, self.is_whole, self.attempts)


def facts_of(**changed: object) -> dict[str, object]:
    """What a node tells about itself."""
    facts: dict[str, object] = {
        "cores": 1.0,
        "memory": 1 << 30,
        "python": "3.11",
        "speed": 1.0,
        "instance": 1,
    }
    return {**facts, "tags": [], **changed}


class SchedulerEnv:
    """A scheduler that leads `nodes` nodes; the first is itself."""

    def __init__(self, nodes: int = 1, cores: float = 1.0, config: SchedulerConfig = CONFIG) -> None:
        self.now = 0.0
        self.cores = cores
        self.records = JobRecords(config, ME)
        self.core = Scheduler(config, ME, self.records)
        self.outbox: list[Message] = []
        self.notices: list[str] = []
        self.rows: list[Effect] = []
        self.made: dict[tuple[JobId, int, int], bytes] = {}
        self.next_token = 1
        self.lead()
        for node in NODES[:nodes]:
            self.join(node)

    # The world

    def pump(self) -> None:
        """Let the scheduler work until it is quiet; keep what it sends."""
        for _ in range(100):
            self.core.on_news(self.records.take_news(), self.now)
            self.core.run_pass(self.now)
            effects = self.records.take_effects() + self.core.take_effects()
            if not effects:
                break
            for effect in effects:
                self._keep(effect)
        else:
            raise AssertionError("the scheduler does not come to rest")
        check_scheduler(self.core)
        self.records.check_invariants()
        self.records.acceptances.take_accepted()

    def _keep(self, effect: Effect) -> None:
        if isinstance(effect, Message):
            self.outbox.append(effect)
        elif isinstance(effect, Notify):
            self.notices.append(effect.event)
        else:
            assert isinstance(effect, (Persist, Erase)), f"not for the disk: {effect}"
            self.rows.append(effect)

    def wait(self, seconds: float) -> None:
        """Let time pass, deadline by deadline."""
        end = self.now + seconds
        while self.core.next_deadline() <= end:
            self.now = max(self.now, self.core.next_deadline())
            self.core.handle_deadline(self.now)
            self.pump()
        self.now = end

    def lead(self) -> None:
        """Start to lead (again)."""
        self.core.lead((1, ME), self.now)
        self.records.on_leader(ME)

    def join(self, node: NodeId, is_reporting: bool = True, **facts: object) -> None:
        """Let a member be there."""
        merged = facts_of(cores=self.cores)
        merged.update(facts)
        self.core.on_member(node, f"n{node[0] - ord('a')}", merged, True, self.now)
        self.pump()
        if is_reporting and not self.core.dispatcher.workers[node].has_reported:
            self.report(node)

    def lose(self, node: NodeId) -> None:
        """Let a member be dead."""
        self.core.on_member(node, "", {}, False, self.now)
        self.pump()

    def report(
        self,
        node: NodeId,
        running: list[tuple[JobId, int, int]] | None = None,
        objects: list[tuple[JobId, int, int, bytes]] | None = None,
    ) -> None:
        """Answer the question for a report, which is taken."""
        (body,) = self.take(REPORT_WANTED, node)
        rows: list[object] = [list(row) for row in running or []]
        copies: list[object] = [list(row) for row in objects or []]
        self.receive(node, INVENTORY, [body[0], rows, copies])

    def receive(self, sender: NodeId, kind: int, body: list[object]) -> None:
        """Let a message come, to the records or to the scheduler."""
        if RECORD_STORE <= kind <= JOB_ENDED:
            self.records.receive_message(sender, kind, body, self.now)
        else:
            self.core.receive_message(sender, kind, body, self.now)
        self.pump()

    def submit(self, part: JobPart, job: JobId = JOB, number: int = 0, total: int = 1) -> None:
        """Let a client bring a part."""
        refusal = self.records.accept(self.next_token, job, number, total, part.to_wire(), part, self.now)
        self.next_token += 1
        assert not refusal, refusal
        self.pump()

    # What nodes say

    def completion_of(
        self, given: Given, text: str = "", *, is_large: bool = False, digest: bytes | None = None
    ) -> Completion:
        """The success of an attempt: outputs made of its number and `text`, inputs as the node had them."""
        order = given.order
        digests = [
            ref.digest if ref.digest is not None else self.made[order.job, ref.task, ref.output]
            for ref in order.inputs
        ]
        outputs: list[Output] = []
        for number in range(order.output_count):
            output = output_of(f"{order.task}:{number}{text}", is_large)
            self.made[order.job, order.task, number] = output.digest
            outputs.append(output)
        inputs_digest = digest_of_inputs(digests) if digest is None else digest
        return Completion(order.task, order.attempt, given.node, inputs_digest, 0.01, outputs, None)

    def done(self, *givens: Given, text: str = "", is_large: bool = False) -> None:
        """Let attempts succeed, in one message per node."""
        by_node: dict[NodeId, list[object]] = {}
        for given in givens:
            completion = self.completion_of(given, text, is_large=is_large)
            by_node.setdefault(given.node, []).append([given.order.job, completion.to_wire()])
        for node, rows in by_node.items():
            self.receive(node, COMPLETIONS, [rows])

    def fail(self, given: Given, failure: Failure | None = None) -> None:
        """Let an attempt fail."""
        order = given.order
        completion = Completion(
            order.task, order.attempt, given.node, b"", 0.01, None, failure or failure_of()
        )
        self.receive(given.node, COMPLETIONS, [[[order.job, completion.to_wire()]]])

    def retracted(self, node: NodeId, attempts: list[tuple[JobId, int, int]]) -> None:
        rows: list[object] = [list(attempt) for attempt in attempts]
        self.receive(node, RETRACTED, [rows])

    def lost(self, node: NodeId, index: int, holder: NodeId, job: JobId = JOB) -> None:
        self.receive(node, OBJECT_LOST, [[[job, index, 0, holder]]])

    def watch(self, node: NodeId = ONE, job: JobId = JOB) -> None:
        self.receive(node, WATCH, [job, True])

    def ask(self, op: str, node: NodeId = ONE, **args: object) -> None:
        self.receive(node, ASK, [1, op, args])

    # What the scheduler sent

    def take(self, kind: int, node: NodeId | None = None) -> list[list[object]]:
        """Take the bodies of all messages of a kind (to a node), oldest first."""
        taken = [message for message in self.outbox if message.kind == kind and node in (None, message.peer)]
        self.outbox = [message for message in self.outbox if message not in taken]
        return [message.body for message in taken]

    def take_given(self, count: int, node: NodeId | None = None) -> list[Given]:
        """Take exactly `count` assignments."""
        given: list[Given] = []
        for message in [one for one in self.outbox if one.kind == ASSIGN and node in (None, one.peer)]:
            self.outbox.remove(message)
            for row in Body(message.body).take_list():
                given.append(Given(message.peer, assignment_untrusted(Body([row]).take_list())))
        assert len(given) == count, (
            f"{len(given)} assignments instead of {count}: {[one.key for one in given]}"
        )
        return given

    def _take_rows(self, kind: int, node: NodeId) -> list[tuple[int, int]]:
        rows: list[tuple[int, int]] = []
        for body in self.take(kind, node):
            for row in Body(body).take_list():
                entry = Body([row]).take_body()
                entry.take_bytes()
                rows.append((entry.take_int(), entry.take_int()))
        return rows

    def take_cancelled(self, node: NodeId) -> list[tuple[int, int]]:
        """Take (task, attempt) of the attempts that a node is to cancel."""
        return self._take_rows(CANCEL_ATTEMPTS, node)

    def take_released(self, node: NodeId) -> list[tuple[int, int]]:
        """Take (task, output) of the objects that a node is to drop."""
        return self._take_rows(RELEASE_OBJECTS, node)

    def take_retracts(self, node: NodeId) -> list[tuple[int, int]]:
        """Take (task, attempt) of what a node is asked to give back."""
        return self._take_rows(RETRACT, node)

    def take_updates(self, node: NodeId = ONE) -> list[Update]:
        """Take what a watcher was told."""
        return [Update(body) for body in self.take(JOB_UPDATE, node)]

    def check_empty(self) -> None:
        """Fail when anything was sent that no test expected."""
        assert self.outbox == [], f"not expected: {self.outbox}"

    # Views

    def job(self, job: JobId = JOB) -> Job:
        return self.core.jobs[job]

    def task(self, index: int, job: JobId = JOB) -> Task:
        return self.core.jobs[job].tasks[index]

    def states(self, job: JobId = JOB) -> list[str]:
        return [STATE_NAMES[one.state] for one in self.core.jobs[job].tasks]


def new_leader(env: SchedulerEnv) -> None:
    """Let this node lead anew, with two nodes that have not reported yet."""
    env.take(REPORT_WANTED)
    env.lead()
    env.join(ME, is_reporting=False)
    env.join(ONE, is_reporting=False)
