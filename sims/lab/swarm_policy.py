"""swarm's own placement as a policy: the leader's real job table and dispatcher, without the protocol.

The dispatcher of `swarm.scheduler.dispatch` decides here as it does for a leader: it learns run times from
the tasks that ended and knows nothing of the others, gives work ahead, keeps short queues and takes back
what has not begun. Only messages are missing: completions and orders take no time.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

from sims.lab.policy import RUNNING, Assignment, View
from sims.workload.convert import job_part_of_graph
from swarm.core.effects import Message
from swarm.core.ids import DIGEST_SIZE, JOB_ID_SIZE, NODE_ID_SIZE, NodeId
from swarm.core.rng import Rng
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.dispatch import Dispatcher
from swarm.scheduler.jobs import Job
from swarm.scheduler.outcomes import take_success
from swarm.scheduler.reports import take_retracted
from swarm.scheduler.task_states import Task
from swarm.wire.codec import Body
from swarm.wire.facts import Completion, Output, digest_of_inputs
from swarm.wire.messages import ASSIGN, CANCEL_ATTEMPTS, ENCODING_RAW, RETRACT
from swarm.wire.orders import assignment_untrusted, attempts_untrusted

_JOB: Final = bytes(JOB_ID_SIZE)
_ROUNDS_MAX: Final = 64


@final
class SwarmPlacement:
    """Drives `swarm.scheduler` as a leader would.

    Args:
        config: settings of the scheduler; the bandwidth that the view tells replaces its own.
    """

    def __init__(self, config: SchedulerConfig | None = None) -> None:
        self._config: Final = config
        self._dispatcher = Dispatcher(SchedulerConfig())
        self._job = Job(_JOB, 0, 0.0)
        self._numbers: dict[NodeId, int] = {}
        self._given = 0

    def begin(self, view: View, rng: Rng) -> None:
        """Tell the dispatcher of the workers and submit the graph."""
        given = self._config
        if given is None:
            given = SchedulerConfig(bandwidth_bytes_s=view.bandwidth_bytes_s)
        self._dispatcher = Dispatcher(given)
        self._job = Job(_JOB, 0, 0.0)
        self._numbers = {}
        self._given = 0
        for number, machine in enumerate(view.workers):
            node = number.to_bytes(NODE_ID_SIZE, "big")
            self._numbers[node] = number
            worker = self._dispatcher.update_worker(node, {"cores": machine.cpus, "speed": machine.speed})
            worker.has_reported = True
        self._job.add_part(0, job_part_of_graph(view.graph), self._dispatcher.estimates)

    def decide(self, view: View) -> list[Assignment]:
        """Report what ended, let the dispatcher place, and carry out what it orders."""
        for task in view.new_ended:
            self._report(view, self._job.tasks[task])
        chosen: dict[int, Assignment] = {}
        for _ in range(_ROUNDS_MAX):
            self._dispatcher.place([self._job], view.now)
            self._dispatcher.steal(view.now)
            retracted = self._take_orders(view, chosen)
            if not retracted:
                break
        return list(chosen.values())

    def _report(self, view: View, task: Task) -> None:
        """Tell the dispatcher that a task ended where it was assigned."""
        node = view.worker_of[task.index].to_bytes(NODE_ID_SIZE, "big")
        attempt = max([number for number, where in task.running.items() if where == node], default=0)
        assert attempt > 0, f"task {task.index} runs where its leader sent it"
        digests = [_digest(*view.graph.reference(item)) for item in view.graph.inputs[task.index]]
        outputs = [
            Output(_digest(task.index, number), view.sizes_bytes[item], ENCODING_RAW, None)
            for number, item in enumerate(view.graph.outputs[task.index])
        ]
        completion = Completion(
            task.index,
            attempt,
            node,
            digest_of_inputs(digests),
            view.now - view.began_s[task.index],
            outputs or [Output(_digest(task.index, 0), 0, ENCODING_RAW, None)],
            None,
        )
        self._dispatcher.end_attempt(node, (_JOB, task.index, attempt))
        take_success(self._job, task, completion, self._dispatcher, True)
        for item in view.graph.inputs[task.index]:
            producer, output = view.graph.reference(item)
            self._job.tasks[producer].note_copy(node, output)

    def _take_orders(self, view: View, chosen: dict[int, Assignment]) -> bool:
        """Turn the dispatcher's orders into assignments; return whether something was taken back."""
        is_changed = False
        for effect in self._dispatcher.take_effects():
            if not isinstance(effect, Message):
                continue
            rows = Body(effect.body).take_list()
            if effect.kind == ASSIGN:
                for row in rows:
                    order = assignment_untrusted(Body([row]).take_list())
                    self._given += 1
                    # A node begins its tasks in the order in which they were given to it.
                    chosen[order.task] = Assignment(
                        order.task, self._numbers[effect.peer], -float(self._given)
                    )
            elif effect.kind == RETRACT:
                back = self._not_begun(view, effect.peer, rows)
                take_retracted({_JOB: self._job}, self._dispatcher, effect.peer, Body([back]))
                is_changed = is_changed or bool(back)
            else:
                assert effect.kind != CANCEL_ATTEMPTS, "no attempt fails here, so none is cancelled"
        return is_changed

    def _not_begun(self, view: View, node: NodeId, rows: list[object]) -> list[object]:
        """Return the attempts that a node can give back."""
        back: list[object] = []
        for job, task, attempt in attempts_untrusted(rows):
            if view.states[task] < RUNNING and self._job.tasks[task].running.get(attempt) == node:
                back.append([job, task, attempt])
        return back


def _digest(task: int, output: int) -> bytes:
    return blake2b(f"{task}/{output}".encode(), digest_size=DIGEST_SIZE).digest()
