"""A client of a chaos run: ``python -m tests.chaos.client``, as often as the run has clients.

Works through jobs until the mesh is calm, then asks what became of each of them, and writes down
everything as `tests.chaos.history` wants it. The mesh is in SWARM_MESH.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import swarm
from swarm.client.errors import Refused
from swarm.client.mesh import Mesh
from swarm.core.errors import SwarmError
from swarm.exec.serialize import load_value
from tests.chaos.history import FINAL
from tests.chaos.work import Work, digest

ACCEPT_TIMEOUT_S: Final = 25.0
END_TIMEOUT_S: Final = 30.0
CALL_TIMEOUT_S: Final = 12.0
CALM_TIMEOUT_S: Final = 150.0
"""So long a calm mesh has to end what it has acknowledged."""
CONNECT_PAUSE_S: Final = 0.5
LOOK_PAUSE_S: Final = 0.5
JOBS_PER_SESSION: Final = 8
AGAIN_COUNT_MAX: Final = 6
"""Ended jobs that are submitted once more in the end."""

REPEATED: Final = 0.2
CANCELLED: Final = 0.15
CANCELLED_IF_SLOW: Final = 0.7
"""Shares of jobs that are submitted twice, and cancelled."""

Answer = tuple[str, dict[str, Any]]
"""(phase, fields)."""


class Client:
    """One client.

    Args:
        name: of the client.
        seed: of the run.
        folder: with its files: `NAME.jsonl` is what it writes, `begins` what the tasks write.
        addresses: of nodes, to begin with one of them.
    """

    def __init__(self, name: str, seed: str, folder: Path, addresses: Sequence[str]) -> None:
        self._name = name
        self._seed = seed
        self._draw = random.Random(f"client {seed} {name}")
        self._addresses = list(addresses)
        self._begins = str(folder / "begins")
        self._calm = folder / "calm"
        self._file: TextIO = (folder / f"{name}.jsonl").open("w")
        self._number = 0
        self._mesh: Mesh | None = None
        self._age = 0
        self._works: list[Work] = []
        self._accepted: dict[bytes, bool] = {}
        self._held: list[object] = []  # a future that is dropped tells the mesh that its result may go

    def run(self) -> None:
        """Work until the mesh is calm, and then look at everything."""
        while not self._calm.exists():
            self._one_job()
        self._leave()
        deadline = time.monotonic() + CALM_TIMEOUT_S
        for _ in range(2):  # through two nodes, whichever these are
            for work in self._works:
                self._look_until_final(work, deadline)
            self._leave()
        ended = [work for work in self._works if self._accepted.get(work.job)]
        for work in self._draw.sample(ended, min(AGAIN_COUNT_MAX, len(ended))):
            self._submit(work)
        for work in self._works:
            self._look(work)
        self._leave()
        self._file.close()

    def _one_job(self) -> None:
        work = Work(f"{self._seed} {self._name} {len(self._works)}", self._begins)
        self._works.append(work)
        draw = self._draw
        for _ in range(5):  # as often as it takes, as a person would
            self._submit(work)
            if self._accepted.get(work.job) or self._calm.exists():
                break
            self._leave()
        if draw.random() < REPEATED:
            self._leave()
            self._submit(work)
        if draw.random() < (CANCELLED_IF_SLOW if work.shape == "slow" else CANCELLED):
            time.sleep(draw.uniform(0.0, 1.0))  # it is cancelled at any moment of its life
            self._operation("cancel", work, {}, lambda: self._cancelled(work))
        if self._accepted.get(work.job):
            self._operation("look", work, {}, lambda: self._awaited(work))
        if draw.random() < 0.3:
            self._look(draw.choice(self._works))
        self._age += 1
        if self._age >= JOBS_PER_SESSION:
            self._leave()

    # Operations

    def _submit(self, work: Work) -> None:
        first = {"tasks": work.task_count, "shape": work.shape}
        first.update({"value": work.value} if work.value else {"error": True})
        if self._operation("submit", work, first, lambda: self._submitted(work)) == "ok":
            self._accepted[work.job] = True

    def _look(self, work: Work) -> str:
        state = ""

        def looked() -> Answer:
            nonlocal state
            phase, told = self._looked(work)
            state = str(told.get("state", ""))
            return phase, told

        self._operation("look", work, {}, looked)
        return state

    def _look_until_final(self, work: Work, deadline: float) -> None:
        while self._look(work) not in FINAL:
            if time.monotonic() > deadline or not self._accepted.get(work.job):
                return
            time.sleep(LOOK_PAUSE_S)  # to ask again is what is tested: nothing is followed

    def _operation(self, action: str, work: Work, first: dict[str, Any], do: Callable[[], Answer]) -> str:
        """Do something, write down how that went and return the phase with which it ended."""
        self._number += 1
        head = {"client": self._name, "op": self._number, "action": action, "job": work.job.hex()}
        self._write({**head, "phase": "invoke", **first})
        try:
            phase, told = do()
        except (SwarmError, TimeoutError, OSError) as error:
            phase, told = "unknown", {"error": f"{type(error).__name__}: {error}"[:300]}
            self._leave()
        self._write({**head, "phase": phase, **told})
        return phase

    def _submitted(self, work: Work) -> Answer:
        mesh = self._connected()
        job, future = work.build(mesh)
        self._held.append(future)
        mesh.start_job(job)
        mesh.run_trio(lambda: mesh.engine.wait_accepted(job), ACCEPT_TIMEOUT_S)
        if isinstance(job.error, Refused):
            return "fail", {"error": str(job.error), "node": mesh.engine.session.node_name}
        if job.error is not None:
            raise job.error
        return "ok", {"node": mesh.engine.session.node_name}

    def _cancelled(self, work: Work) -> Answer:
        mesh = self._connected()
        mesh.call("cancel", {"job": work.job}, CALL_TIMEOUT_S)
        return "ok", {"node": mesh.engine.session.node_name}

    def _awaited(self, work: Work) -> Answer:
        """Return what is seen of a job that is watched until it has ended."""
        mesh = self._connected()
        job, future = work.build(mesh)
        self._held.append(future)
        mesh.follow_job(job)
        mesh.run_trio(lambda: mesh.engine.wait_finished(job), END_TIMEOUT_S)
        if job.error is not None:
            raise job.error
        told: dict[str, Any] = {
            "state": job.state,
            "node": mesh.engine.session.node_name,
            "reason": job.reason,
        }
        if job.state == "done":
            told["tasks"] = job.counts[0]
            told["value"] = _value(mesh, work.job, future.task)
        return "ok", told

    def _looked(self, work: Work) -> Answer:
        """Return what is told of a job at this moment."""
        mesh = self._connected()
        try:
            row = mesh.call("job", {"job": work.job}, CALL_TIMEOUT_S)
        except Refused as error:
            if "is known" not in str(error):
                raise
            return "fail", {"error": str(error), "node": mesh.engine.session.node_name}
        told = {"state": row["state"], "node": mesh.engine.session.node_name, "reason": row["reason"]}
        told.update(attempts=row["attempts"], duplicates=row["duplicates"])
        if row["state"] == "done":
            told["tasks"] = row["tasks"]["total"]
            _, future = work.build(mesh)
            with contextlib.suppress(Refused, TimeoutError):
                told["value"] = _value(mesh, work.job, future.task)
        return "ok", told

    # Session

    def _connected(self) -> Mesh:
        if self._mesh is None:
            give_up = time.monotonic() + CALL_TIMEOUT_S
            while True:
                try:
                    self._mesh = swarm.connect(self._draw.choice(self._addresses), name=self._name)
                    break
                except SwarmError:
                    if time.monotonic() > give_up:
                        raise
                    time.sleep(CONNECT_PAUSE_S)  # nobody tells when a node that is down is back
            self._age = 0
        return self._mesh

    def _leave(self) -> None:
        mesh, self._mesh = self._mesh, None
        if mesh is not None:
            with contextlib.suppress(SwarmError):
                mesh.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps({"time": round(time.monotonic(), 6), **line}) + "\n")
        self._file.flush()


def _value(mesh: Mesh, job: bytes, task: int) -> str:
    data, encoding = mesh.run_trio(lambda: mesh.engine.fetch(job, task, 0), CALL_TIMEOUT_S)
    return digest(load_value(data, encoding))


def main() -> int:
    """Be a client; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("addresses", nargs="+")
    given = parser.parse_args()
    Client(given.name, given.seed, given.folder, given.addresses).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
