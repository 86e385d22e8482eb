"""From the frames of an executor to the inputs of the execution core."""

from __future__ import annotations

from swarm.core.errors import DecodeError
from swarm.exec.core import ExecCore
from swarm.wire.codec import Body
from swarm.wire.executor_frames import DONE, FAILED, OUTPUT, RECALLED
from swarm.wire.facts import failure_untrusted, outputs_untrusted


def take_executor_frame(core: ExecCore, executor: int, fields: list[object], now: float) -> None:
    """Give one frame of an executor to the core.

    Raises:
        DecodeError: this is no frame of an executor; nothing was changed.
    """
    body = Body(fields)
    kind = body.take_int()
    if kind == RECALLED:
        handles = [Body([item]).take_int() for item in body.take_list()]
        core.on_tasks_recalled(executor, handles, now)
        return
    handle = body.take_int()
    if kind == DONE:
        outputs = outputs_untrusted(body.take_list())
        core.on_task_done(executor, handle, outputs, body.take_number(), now)
    elif kind == FAILED:
        failure = failure_untrusted(body.take_list())
        core.on_task_failed(executor, handle, failure, body.take_number(), now)
    elif kind == OUTPUT:
        stream = body.take_int()
        core.on_task_output(executor, handle, stream, body.take_bytes(), now)
    else:
        raise DecodeError(f"an executor sends no frames of kind {kind}")
