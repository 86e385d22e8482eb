"""Executors that pretend to work: what a simulated task costs and what it leaves behind."""

from __future__ import annotations

from hashlib import blake2b
from typing import final

from swarm.core.effects import ExecutorTask
from swarm.core.errors import DecodeError
from swarm.core.ids import ObjectName
from swarm.wire.codec import Body, unpack_untrusted
from swarm.wire.executor_frames import DONE, FAILED
from swarm.wire.messages import ENCODING_RAW, ERROR_TASK, INLINE_SIZE_MAX


@final
class Executor:
    """One executor: the tasks it was given, the first of which runs.

    Attributes:
        queue: the tasks.
        begun_s: when the first one began.
        slept_s: for how long the host slept since then, as far as the end that is planned does not know it.
    """

    def __init__(self) -> None:
        self.queue: list[ExecutorTask] = []
        self.begun_s = 0.0
        self.slept_s = 0.0


def run_time_s(task: ExecutorTask) -> float:
    """Return how long a simulated task takes at speed 1.0; nonsense takes no time, and fails."""
    try:
        return Body([unpack_untrusted(task.payload)]).take_body().take_number()
    except DecodeError:
        return 0.0


def spoilt(task: ExecutorTask) -> list[object]:
    """Return the frame that an executor sends when it cannot run any task."""
    failure: list[object] = [ERROR_TASK, "SimulatedError", f"{task.name} cannot run here", "", b""]
    return [FAILED, task.handle, failure, 0.0]


def outcome(
    task: ExecutorTask, seconds: float, salt: bytes = b""
) -> tuple[list[object], list[tuple[ObjectName, bytes, int]]]:
    """Return the frame that a task's executor sends at its end, and what the task leaves in the store.

    The payload is msgpack: [seconds, size of each output ..., fails?, is random?]. Outputs are a digest of
    the task's number and its inputs' digests, so that they depend on what was computed and on nothing else;
    those of a random task depend on the salt too.

    Args:
        task: which task.
        seconds: how long it took.
        salt: differs between runs, for tasks whose results do.
    """
    try:
        body = Body([unpack_untrusted(task.payload)]).take_body()
        body.take_number()
        sizes = [Body([size]).take_int() for size in body.take_list()]
        fails = body.take_bool()
        is_random = body.take_bool() if body.has_more() else False
    except DecodeError as error:
        failure: list[object] = [ERROR_TASK, "DecodeError", f"not a simulated task: {error}", "", b""]
        return ([FAILED, task.handle, failure, 0.0], [])
    if fails:
        failure = [ERROR_TASK, "SimulatedError", f"{task.name} fails", "", b""]
        return ([FAILED, task.handle, failure, seconds], [])
    stuff = b"".join([given.digest for given in task.inputs])
    if is_random:
        stuff += salt
    outputs: list[object] = []
    stored: list[tuple[ObjectName, bytes, int]] = []
    for number, size in enumerate(sizes):
        seed = f"{task.task}/{number}".encode() + task.job + stuff
        if size <= INLINE_SIZE_MAX:
            data = (blake2b(seed).digest() * (size // 64 + 1))[:size]
            outputs.append([blake2b(data, digest_size=16).digest(), size, ENCODING_RAW, data])
        else:
            digest = blake2b(seed, digest_size=16).digest()
            outputs.append([digest, size, ENCODING_RAW, None])
            stored.append(((task.job, task.task, number), digest, size))
    return ([DONE, task.handle, outputs, seconds], stored)
