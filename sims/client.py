"""A simulated client: submits a job through any node, follows it, and goes on when that node dies."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

from sims.cluster import Cluster
from swarm.core.ids import JOB_ID_SIZE, NO_BALLOT, JobId
from swarm.wire.codec import Body, Stamp, pack, pack_frame, unpack_frame_untrusted
from swarm.wire.facts import Completion, completion_untrusted
from swarm.wire.job_part import JobPart, TaskOptions, TaskSpec
from swarm.wire.messages import (
    CLIENT_ACCEPTED,
    CLIENT_CALL,
    CLIENT_REFUSED,
    CLIENT_REPLY,
    CLIENT_SUBMIT,
    CLIENT_UPDATE,
    CLIENT_WATCH,
    KIND_PROGRAM,
)

CANCEL_REQUEST: Final = 3
OPTIONS: Final = TaskOptions(cpus=1.0)


def simulated_task(
    name: str,
    seconds: float,
    sizes: list[int],
    inputs: list[int],
    is_kept: bool = False,
    options: TaskOptions = OPTIONS,
    fails: bool = False,
    is_random: bool = False,
) -> TaskSpec:
    """Return a task that takes `seconds` on a simulated executor and makes outputs of these sizes.

    Args:
        name: for estimates and people.
        seconds: run time.
        sizes: bytes of each output, at least one.
        inputs: flat list task, output, task, output …
        is_kept: whether its outputs are results of the job.
        options: what it asks for.
        fails: whether it ends with an error of its own.
        is_random: whether every run of it makes other outputs.
    """
    payload = pack([seconds, sizes, fails, is_random])
    return TaskSpec(KIND_PROGRAM, name, -1, payload, inputs, len(sizes), options, is_kept)


@final
class SimulatedClient:
    """Follows one job.

    Attributes:
        job: its id.
        accepted: names of the nodes that keep the parts, once acknowledged.
        refused: why it was refused, "".
        state: the last state heard.
        counts: the last [total, done, failed, running] heard.
        results: task -> completion, for kept tasks and failures.
        attempts: given out so far, as the leader says.
        cancelled_at: when the leader's answer to a cancel was read, -1 for not yet.
    """

    def __init__(self, cluster: Cluster, name: str, part: JobPart, attached: int) -> None:
        self._cluster: Final = cluster
        self.job: Final[JobId] = blake2b(name.encode(), digest_size=JOB_ID_SIZE).digest()
        self._blob: Final = part.to_wire()
        self.accepted: list[str] = []
        self.refused = ""
        self.state = ""
        self.reason = ""
        self.counts = [0, 0, 0, 0]
        self.attempts = 0
        self.cancelled_at = -1.0
        self.results: dict[int, Completion] = {}
        self.attached = attached
        self._session = -1
        self._epoch = -1
        self._is_cancelling = False

    def attach(self, index: int) -> None:
        """Go to a node: say what is not acknowledged, and watch."""
        self.attached = index
        self._session = self._cluster.attach(index)
        self._epoch = self._cluster.hosts[index].epoch
        if not self.accepted:
            self._send(CLIENT_SUBMIT, [1, self.job, 0, self._blob, 1])
        self._send(CLIENT_WATCH, [2, self.job, True])
        if self._is_cancelling:
            self.cancel()

    def poll(self) -> None:
        """Read what came; attach to the next running node when the own one is down."""
        if self._session < 0 or not self._is_attached():
            running = [host.index for host in self._cluster.hosts if host.node is not None]
            if not running:
                return
            least = self.attached if self._session < 0 else self.attached + 1
            later = [index for index in running if index >= least]
            self.attach(later[0] if later else running[0])
        for payload in self._cluster.take_client_frames(self.attached, self._session):
            self._take(payload)

    def wait_final(self, limit_s: float, step_s: float = 0.05) -> bool:
        """Run the cluster until the job has ended; return whether it did within the limit."""
        end = self._cluster.engine.now + limit_s
        while self._cluster.engine.now < end:
            self.poll()
            if self.is_final():
                return True
            self._cluster.run_until(self._cluster.engine.now + step_s)
        return self.is_final()

    def cancel(self) -> None:
        """Ask for the job to be cancelled, now and again after every change of the node."""
        self._is_cancelling = True
        if self._session >= 0 and self._is_attached():
            self._send(CLIENT_CALL, [CANCEL_REQUEST, "cancel", {"job": self.job}])

    def close(self) -> None:
        """Leave the node; the job goes on without this client."""
        if self._session >= 0 and self._cluster.hosts[self.attached].epoch == self._epoch:
            self._cluster.detach(self.attached, self._session)
        self._session = -1

    def is_final(self) -> bool:
        """Return whether the job has ended as far as this client knows."""
        return self.state in ("done", "failed", "cancelled")

    def _is_attached(self) -> bool:
        own = self._cluster.hosts[self.attached]
        return own.node is not None and own.epoch == self._epoch

    def _send(self, kind: int, body: list[object]) -> None:
        payload = pack_frame(kind, Stamp(b"", NO_BALLOT, 0), body)
        self._cluster.send_from_client(self.attached, self._session, payload)

    def _take(self, payload: bytes) -> None:
        frame = unpack_frame_untrusted(payload)
        body = Body(frame.body)
        if frame.kind == CLIENT_ACCEPTED:
            body.take_int(), body.take_bytes(), body.take_int()
            self.accepted = [str(name) for name in body.take_list()]
        elif frame.kind == CLIENT_REFUSED:
            body.take_int(), body.take_int()
            self.refused = body.take_text()
        elif frame.kind == CLIENT_REPLY:
            if body.take_int() == CANCEL_REQUEST and body.take_bool() and self.cancelled_at < 0:
                self.cancelled_at = self._cluster.engine.now
        elif frame.kind == CLIENT_UPDATE:
            body.take_bytes()
            self.state = body.take_text()
            body.take_int()
            self.counts = [Body([count]).take_int() for count in body.take_list()]
            completions = [completion_untrusted(Body([row]).take_list()) for row in body.take_list()]
            self.reason = body.take_text()
            if body.take_bool():
                # All there is, from a leader that may have other winners than the one before.
                self.results = {}
            for completion in completions:
                self.results[completion.task] = completion
            self.attempts = max(self.attempts, body.take_int())
