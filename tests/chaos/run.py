"""One chaos run: a mesh, its clients, a plan of faults, and everything written down."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from swarm.core.errors import SwarmError
from tests.chaos.field import Field
from tests.chaos.history import Fault, History, check, read_begins, read_lines
from tests.chaos.plan import KINDS, Action, draw_plan
from tests.mesh_processes import read_log

NODE_COUNT: Final = 7
CLIENT_HOSTS: Final = (0, 2, 4, 6)
"""Clients run on the hosts of these nodes, and are cut off with them."""
CLIENTS_END_WITHIN_S: Final = 330.0
PROGRESS_S: Final = 15.0


class Outcome:
    """What came of a run.

    Attributes:
        history: what the clients saw.
        complaints: what may not have been, and what went wrong with the run itself.
        faults: lines of the log of faults.
        began, ended: seconds; without the time it took to start and to look at the end.
        whole_s: how long it took after the last fault until the mesh was whole.
        logs: events that the nodes wrote, with the name of the node.
    """

    def __init__(self, folder: Path, began: float, ended: float, whole_s: float, calm_at: float) -> None:
        self.began: Final = began
        self.ended: Final = ended
        self.whole_s: Final = whole_s
        self.faults: Final = read_lines(folder / "faults.jsonl")
        lines = [line for file in sorted(folder.glob("c[0-9]*.jsonl")) for line in read_lines(file)]
        self.history: Final = History(lines, read_begins(folder / "begins"), faults_of(self.faults), calm_at)
        self.complaints: Final = check(self.history)
        self.logs: Final = [
            (file.name.partition(".")[0], line)
            for file in sorted((folder / "logs").glob("*"))
            for line in read_log(file)
        ]


def faults_of(lines: list[dict[str, Any]]) -> list[Fault]:
    """Return the faults that a log tells of; one that was never repaired lasts to the end of time."""
    ends = {line["number"]: float(line["time"]) for line in lines if line["what"] == "repaired"}
    return [
        Fault(
            line["kind"], float(line["time"]), ends.get(line["number"], float("inf")), line.get("sides") or []
        )
        for line in lines
        if line["what"] == "begun"
    ]


class Run:
    """A run that is under way.

    Args:
        seed: decides the plan, the jobs and what clients do with them.
        seconds: how long faults are made.
        folder: empty; gets every file.
        say: is told how it goes.
        kinds: of faults that are made.
    """

    def __init__(
        self,
        seed: str,
        seconds: float,
        folder: Path,
        say: Callable[[str], None],
        kinds: Sequence[str] = tuple(KINDS),
    ) -> None:
        self._kinds = kinds
        self._seed = seed
        self._seconds = seconds
        self._folder = folder
        self._say = say
        self._log = (folder / "faults.jsonl").open("w")
        self._lock = threading.Lock()
        self._trouble: list[str] = []

    def run(self) -> Outcome:
        """Do everything; takes the run's length and one to three minutes more."""
        folder = self._folder
        began = ended = calm_at = time.monotonic()
        whole_s = 0.0
        with contextlib.closing(Field(NODE_COUNT, folder)) as field:
            self._say(f"{NODE_COUNT} nodes agree after {field.start():.1f} s")
            clients = self._clients(field)
            began = time.monotonic()
            try:
                self._faults(field, began)
                ended = time.monotonic()
                whole_s = self._calm(field, ended)
                calm_at = time.monotonic()
                (folder / "calm").touch()
                self._wait(clients)
            finally:
                self._keep_logs(field)
                for client in clients:
                    client.kill()
                    client.wait()
        self._log.close()
        outcome = Outcome(folder, began, ended, whole_s, calm_at)
        outcome.complaints.extend(self._trouble)
        return outcome

    def _clients(self, field: Field) -> list[subprocess.Popen[str]]:
        started: list[subprocess.Popen[str]] = []
        addresses = [f"{host}:{port}" for host, port in [node.address for node in field.nodes]]
        for number, place in enumerate(CLIENT_HOSTS):
            words = ["--name", f"c{number}", "--seed", self._seed, "--folder", str(self._folder), *addresses]
            command = [sys.executable, "-P", "-m", "tests.chaos.client", *words]
            environment = {"SWARM_MESH": field.invitation, "PYTHONPATH": ":".join(sys.path)}
            started.append(field.host(place).spawn(*command, environment=environment))
        return started

    def _faults(self, field: Field, began: float) -> None:
        """Make the faults of the plan, each in a thread of its own from its beginning to its end."""
        plan = draw_plan(self._seed, self._seconds, NODE_COUNT, self._kinds)
        (self._folder / "plan.json").write_text(json.dumps([action.to_json() for action in plan], indent=1))
        kinds = {action.kind for action in plan}
        self._say(f"{len(plan)} faults of {len(kinds)} kinds in {self._seconds:g} s, seed {self._seed}")
        with ThreadPoolExecutor(max_workers=64) as pool:
            ends = [pool.submit(self._fault, field, action, began) for action in plan]
            told = began
            while (now := time.monotonic()) < began + self._seconds:
                if now - told >= PROGRESS_S:
                    told = now
                    self._say(self._progress(now - began))
                time.sleep(0.2)  # the length of the run itself
            for end in ends:
                end.result()

    def _fault(self, field: Field, action: Action, began: float) -> None:
        try:
            time.sleep(max(began + action.at_s - time.monotonic(), 0.0))  # the plan says when
            head = {"number": action.number, "kind": action.kind, "detail": action.detail}
            since = time.monotonic()  # it may take hold at once, and be written down only after
            done = field.begin(action)
            self._write({"time": since, "what": "begun", **head, **done})
            time.sleep(max(began + action.at_s + action.length_s - time.monotonic(), 0.0))  # and until when
            field.repair(action)
            self._write({"time": time.monotonic(), "what": "repaired", **head})
        except (AssertionError, SwarmError, OSError, subprocess.SubprocessError) as error:
            self._trouble.append(f"run: {action.kind} {action.number}: {type(error).__name__}: {error}"[:400])

    def _calm(self, field: Field, ended: float) -> float:
        """Repair whatever is left and wait until the mesh is whole; return how long that took."""
        try:
            field.repair_all()
            field.ensure_running()
            leader = field.wait_whole()
        except AssertionError as error:
            self._trouble.append(f"run: the mesh did not become whole: {error}"[:600])
            return time.monotonic() - ended
        whole_s = time.monotonic() - ended
        self._say(f"whole again {whole_s:.1f} s after the last fault, {leader} leads")
        return whole_s

    def _wait(self, clients: list[subprocess.Popen[str]]) -> None:
        give_up = time.monotonic() + CLIENTS_END_WITHIN_S
        for number, client in enumerate(clients):
            try:
                _, errors = client.communicate(timeout=max(give_up - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                self._trouble.append(f"run: client c{number} does not end")
                continue
            if client.returncode:
                self._trouble.append(f"run: client c{number} ended with {client.returncode}: {errors[-600:]}")

    def _keep_logs(self, field: Field) -> None:
        told = {"failed": field.failed_starts, "succeeded": field.starts_s}
        (self._folder / "starts.json").write_text(json.dumps(told, indent=1))
        kept = self._folder / "logs"
        kept.mkdir(exist_ok=True)
        for name, path in field.logs():
            shutil.copy(path, kept / f"{name}.{path.name}")

    def _progress(self, passed_s: float) -> str:
        lines = [line for file in self._folder.glob("c[0-9]*.jsonl") for line in read_lines(file)]
        accepted = {line["job"] for line in lines if line["action"] == "submit" and line["phase"] == "ok"}
        ended = {line["job"] for line in lines if line.get("state") in ("done", "failed", "cancelled")}
        unknown = sum(line["phase"] == "unknown" for line in lines)
        faults = sum(line["what"] == "begun" for line in read_lines(self._folder / "faults.jsonl"))
        return (
            f"{passed_s:5.0f} s: {faults} faults, {len(accepted)} jobs acknowledged, {len(ended)} seen to"
            f" end, {unknown} operations without an answer"
        )

    def _write(self, line: dict[str, Any]) -> None:
        with self._lock:
            self._log.write(json.dumps(line) + "\n")
            self._log.flush()
