"""What tests of the client's jobs share: an owner without a mesh, and news in its place."""

from __future__ import annotations

import io
import pickle
from typing import Any

from swarm.client.futures import BaseFuture, Future
from swarm.client.job import ClientJob
from swarm.client.options import make_options
from swarm.wire.facts import Completion, Failure, Output, digest_of
from swarm.wire.job_part import JobPart, job_part_untrusted
from swarm.wire.messages import ENCODING_PICKLE, ERROR_TASK

NODE = b"n" * 16


class FakeOwner:
    def __init__(self) -> None:
        self.wakes = 0
        self.fetched: list[tuple[int, int]] = []

    def wake(self) -> None:
        self.wakes += 1

    def make_future(self, job: ClientJob, task: int, output: int) -> BaseFuture[Any]:
        return Future(job, task, output)

    def node_name(self, node: bytes) -> str:
        return "pi" if node == NODE else ""

    def fetch_blocking(self, job: ClientJob, task: int, output: int, timeout: float | None) -> bytes:
        self.fetched.append((task, output))
        return pickle.dumps("large")

    async def fetch(self, job: ClientJob, task: int, output: int) -> bytes:
        return self.fetch_blocking(job, task, output, None)


def call(job: ClientJob, function: Any, *args: Any, outputs: int = 1, **kwargs: Any) -> Future[Any]:
    future = job.builder.add_call(function, args, kwargs, make_options(), function.__name__, outputs)
    assert isinstance(future, Future)
    return future


def take(job: ClientJob) -> JobPart:
    part = job.builder.take_part()
    assert part is not None
    return job_part_untrusted(part.blob)


def success(task: int, *values: Any) -> list[object]:
    outputs = []
    for value in values:
        data = pickle.dumps(value)
        outputs.append(Output(digest_of(data), len(data), ENCODING_PICKLE, data))
    return Completion(task, 1, NODE, b"", 0.1, outputs, None).to_wire()


def failure(task: int, kind: int = ERROR_TASK, message: str = "no", pickled: bytes = b"") -> list[object]:
    failed = Failure(kind, "ValueError", message, "Traceback …", pickled)
    return Completion(task, 1, NODE, b"", 0.1, None, failed).to_wire()


def tell(
    job: ClientJob, *rows: list[object], state: str = "running", reason: str = "", whole: bool = False
) -> None:
    job.on_update(state, [len(rows), 0, 0, 0], list(rows), reason, whole)


class Loader(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> object:
        return ("input", pid)


def arguments(payload: bytes) -> Any:
    return Loader(io.BytesIO(payload)).load()
