"""Parts that this node was asked to keep and has not confirmed: their objects are still being fetched.

A part may refer to bytes that its client put into the store of the node that took it. A keeper confirms
a part only when it has those too: what is acknowledged survives that node.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import FetchObject
from swarm.core.ids import Address, JobId, NodeId, ObjectName
from swarm.wire.facts import Output
from swarm.wire.job_part import JobPart, data_output_untrusted
from swarm.wire.messages import KIND_DATA


@final
class Promise:
    """A part to confirm to `sender` under the number of its request, once `missing` is empty."""

    def __init__(self, sender: NodeId, request: int, job: JobId, number: int) -> None:
        self.sender: Final = sender
        self.request: Final = request
        self.job: Final = job
        self.number: Final = number
        self.missing: dict[ObjectName, bool] = {}


@final
class Keeping:
    """All parts that wait for objects."""

    def __init__(self) -> None:
        self._open: dict[tuple[JobId, int], Promise] = {}
        self._outputs: dict[ObjectName, Output] = {}

    def is_open(self, job: JobId, number: int) -> bool:
        """Return whether a part waits for objects."""
        return (job, number) in self._open

    def begin(self, promise: Promise, part: JobPart, sources: list[NodeId]) -> list[FetchObject]:
        """Let a part wait for the objects it refers to; return the fetches that were not under way already.

        With nothing to wait for, its `missing` is empty and nothing is kept of it here.

        Args:
            promise: for the part.
            part: decoded.
            sources: nodes that may have the objects, to be asked in this order.
        """
        fetches: list[FetchObject] = []
        for index, task in enumerate(part.tasks):
            if task.kind != KIND_DATA:
                continue
            output = data_output_untrusted(task.payload)
            if output.data is None:
                name = (promise.job, part.first_task + index, 0)
                promise.missing[name] = True
                if name not in self._outputs:
                    self._outputs[name] = output
                    fetches.append(_fetch(name, output, sources))
        if promise.missing:
            self._open[(promise.job, promise.number)] = promise
        return fetches

    def on_fetched(self, name: ObjectName) -> list[Promise]:
        """Take that an object is here; return the parts that lack nothing any more."""
        self._outputs.pop(name, None)
        complete: list[Promise] = []
        for key in list(self._open):
            promise = self._open[key]
            if promise.missing.pop(name, False) and not promise.missing:
                complete.append(self._open.pop(key))
        return complete

    def on_missing(self, name: ObjectName) -> list[Promise]:
        """Take that an object cannot be had; return the parts that cannot be confirmed."""
        self._outputs.pop(name, None)
        broken: list[Promise] = []
        for key in list(self._open):
            if name in self._open[key].missing:
                broken.append(self._open.pop(key))
        return broken

    def wanted(self, name: ObjectName) -> Output | None:
        """Return the object of that name when a part waits for it."""
        return self._outputs.get(name)

    def forget_job(self, job: JobId) -> None:
        """Forget the parts and objects of a job."""
        for key in list(self._open):
            if key[0] == job:
                del self._open[key]
        for name in list(self._outputs):
            if name[0] == job:
                del self._outputs[name]


def _fetch(name: ObjectName, output: Output, sources: list[NodeId]) -> FetchObject:
    places: list[tuple[NodeId, list[Address]]] = [(node, []) for node in sources]
    return FetchObject(name, output.digest, output.size, places, output.encoding)
