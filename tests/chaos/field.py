"""The mesh of a chaos run: real nodes in namespaces, each on its own disk, and all that is done to them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from swarm.core.errors import SwarmError
from swarm.daemon.home import running_pid
from swarm.net.invitation import new_secret
from tests.chaos.plan import Action, deaf_to, whole_sides
from tests.chaos.shim import Control
from tests.mesh_processes import Node, agreed_leader, new_invitation, wait_for
from tests.netns.lab import Lab, NamespaceHost

DISK_BYTES: Final = 96 * 1024 * 1024
MOVED_FIRST: Final = 100
"""Addresses to which nodes move end with this number and those above it."""
START_ATTEMPTS: Final = 40
START_PAUSE_S: Final = 0.5
WHOLE_WITHIN_S: Final = 90.0


class Disk:
    """A small file system of its own for one node."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        options = f"size={DISK_BYTES},mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "chaos", str(folder)], check=True, timeout=20)

    def fill(self) -> None:
        """Take all the space that is left."""
        chunk = bytes(1024 * 1024)
        with contextlib.suppress(OSError), (self._folder / "filler").open("ab", buffering=0) as file:
            while file.write(chunk) == len(chunk):
                pass

    def free(self) -> None:
        """Give the space back."""
        (self._folder / "filler").unlink(missing_ok=True)

    def is_there(self) -> bool:
        """Return whether it is still mounted: whoever cleans up by a pattern may take it for his own."""
        return self._folder.is_mount()

    def close(self) -> None:
        """Unmount it, whoever still has files open there, and remove the folder it was on."""
        subprocess.run(["umount", "-l", str(self._folder)], check=False, capture_output=True, timeout=20)
        shutil.rmtree(self._folder, ignore_errors=True)


class Field:
    """The mesh and its network.

    Args:
        count: of nodes.
        folder: for control files, which outlive the disks.

    Attributes:
        nodes: in order; those that are down are among them.
        invitation: to the mesh, with the addresses that the nodes had in the beginning.
        failed_starts: (node, when, why) of every start that failed; it is tried again for a while.
        starts_s: (node, failures before, seconds) of every node that was started again.
    """

    def __init__(self, count: int, folder: Path, *options: str) -> None:
        self._lab = Lab()
        self._disks: list[Disk] = []
        self._controls: list[Control] = []
        self._lock = threading.RLock()
        self._deaf: dict[int, dict[int, list[int]]] = {}
        self._down: dict[int, int] = {}
        self._stopped: dict[int, int] = {}
        self._bent: dict[str, dict[int, dict[int, float]]] = {"loss": {}, "clock": {}, "stall-disk": {}}
        self._fills: dict[int, int] = {}
        self._moves = 0
        self.failed_starts: list[tuple[str, float, str]] = []
        self.starts_s: list[tuple[str, int, float]] = []
        self._starting = [threading.Lock() for _ in range(count)]
        self.nodes: list[Node] = []
        try:
            for number in range(count):
                host = self._lab.host()
                self._disks.append(Disk(host.folder))
                self._controls.append(Control(folder / f"control{number}"))
                self.nodes.append(host.node(f"n{number}", "--cores", "2", *options))
        except BaseException:  # nobody else could take it apart
            self.close()
            raise
        self._secret = new_secret()
        self.invitation = new_invitation("chaos", secret=self._secret)
        self._repairs: dict[int, list[Callable[[], None]]] = {}

    # The whole mesh

    def start(self) -> float:
        """Start all nodes at once and return the seconds until they agree."""
        began = time.monotonic()
        for number in range(len(self.nodes)):
            self._begin(number, self.invitation)
        for node in self.nodes:
            node.wait_ready()
        self.invitation = new_invitation("chaos", [node.address for node in self.nodes], self._secret)
        self.wait_whole()
        return time.monotonic() - began

    def wait_whole(self) -> str:
        """Return the leader when all nodes run and agree."""
        return wait_for(lambda: agreed_leader(self.nodes), WHOLE_WITHIN_S, "one whole mesh")

    def host(self, number: int) -> NamespaceHost:
        """Return the host of a node."""
        return self._lab.hosts[number]

    def leader(self) -> int | None:
        """Return the number of the node that most nodes hold for the leader, None for none."""
        votes: dict[str, int] = {}
        for number, node in enumerate(self.nodes):
            if self._down.get(number) or self._stopped.get(number):
                continue
            with contextlib.suppress(SwarmError, OSError, ValueError):
                name = str(node.ask("status")["leader"])
                votes[name] = votes.get(name, 0) + 1
        names = [node.name for node in self.nodes]
        best = max(votes, key=lambda name: votes[name], default="")
        return names.index(best) if best in names else None

    def logs(self) -> list[tuple[str, Path]]:
        """Return name and file of every log that the nodes have written."""
        found: list[tuple[str, Path]] = []
        for node in self.nodes:
            log = node.home.log
            found += [(node.name, path) for path in (log.with_name(log.name + ".1"), log) if path.exists()]
        return found

    def close(self) -> None:
        """Take everything apart."""
        for number, is_stopped in list(self._stopped.items()):
            if is_stopped:
                self._signal(number, signal.SIGCONT)
        for control in self._controls:
            control.stall_disk(False)
        self._lab.close()
        for disk in self._disks:
            disk.close()
        for control in self._controls:
            control.close()

    # Faults

    def begin(self, action: Action) -> dict[str, Any]:
        """Do what an action says; :meth:`repair` ends it. Return what was done, for the log."""
        nodes = list(action.nodes)
        if action.kind.endswith("-leader"):
            leader = self.leader()
            nodes = nodes if leader is None else [leader]
        undo: list[Callable[[], None]] = []
        for number in nodes:
            undo += self._begin_at(action, number)
        if action.kind == "cut":
            with self._lock:
                self._deaf[action.number] = deaf_to(action, len(self.nodes))
            self._rule_all()
            undo.append(lambda: self._heal(action.number))
        self._repairs[action.number] = undo
        done: dict[str, Any] = {"nodes": [self.nodes[number].name for number in nodes]}
        if action.kind == "cut":
            sides = whole_sides(action, len(self.nodes))
            done["sides"] = [[self.nodes[number].name for number in side] for side in sides]
        return done

    def repair(self, action: Action) -> None:
        """Undo an action, node by node in its order."""
        for undo in self._repairs.pop(action.number, []):
            undo()

    def repair_all(self) -> None:
        """Undo whatever is still on."""
        for number in list(self._repairs):
            for undo in self._repairs.pop(number):
                undo()

    def ensure_running(self) -> None:
        """Start every node that ended by itself."""
        with ThreadPoolExecutor(max_workers=len(self.nodes)) as pool:
            list(pool.map(self._revive, range(len(self.nodes))))

    def _begin_at(self, action: Action, number: int) -> list[Callable[[], None]]:
        kind, key = action.kind, action.number
        if kind in ("kill", "kill-leader", "blackout"):
            self._count(self._down, number, 1)
            self._signal(number, signal.SIGKILL)
            return [lambda: self._rise(number)]
        if kind in ("stop", "stop-leader"):
            self._count(self._stopped, number, 1)
            self._signal(number, signal.SIGSTOP)
            return [lambda: self._resume(number)]
        if kind == "fill-disk":
            self._count(self._fills, number, 1)
            self._disks[number].fill()
            return [lambda: self._free(number)]
        if kind in self._bent:
            value = float(action.detail or 1.0)
            self._bend(kind, number, key, value)
            return [lambda: self._bend(kind, number, key, None)]
        if kind == "move":
            with self._lock:
                self._moves += 1
                place = MOVED_FIRST + self._moves % 150
            self.host(number).move(f"10.93.0.{place}")
        return []

    def _count(self, table: dict[int, int], number: int, change: int) -> bool:
        """Count faults of one kind that are on at a node; return whether none is left."""
        with self._lock:
            table[number] = table.get(number, 0) + change
            return not table[number]

    def _bend(self, kind: str, number: int, key: int, value: float | None) -> None:
        """Let a fault take hold of a node as strongly as it says, or with None of it no more."""
        with self._lock:
            faults = self._bent[kind].setdefault(number, {})
            faults.pop(key, None)
            if value is not None:
                faults[key] = value
            if kind == "loss":
                self._rule(number)
            elif kind == "clock":
                self._controls[number].step_wall_clock(sum(faults.values()))
            else:
                self._controls[number].stall_disk(bool(faults))

    def _signal(self, number: int, which: signal.Signals) -> None:
        pid = running_pid(self.nodes[number].home)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, which)

    def _resume(self, number: int) -> None:
        if self._count(self._stopped, number, -1):
            self._signal(number, signal.SIGCONT)

    def _rise(self, number: int) -> None:
        if self._count(self._down, number, -1):
            self._revive(number)

    def _free(self, number: int) -> None:
        if self._count(self._fills, number, -1):
            self._disks[number].free()

    def _revive(self, number: int) -> None:
        """Start a node that does not run; it may take some attempts, for example while its disk is full.

        Raises:
            AssertionError: it did not start in any of them, or its disk is gone, and with it pid and mesh.
        """
        node = self.nodes[number]
        reason = ""
        with self._starting[number]:
            began = time.monotonic()
            for attempt in range(START_ATTEMPTS):
                assert self._disks[number].is_there(), (
                    f"the disk of {node.name} was unmounted by somebody else"
                )
                if running_pid(node.home) is not None or self._down.get(number):
                    return
                self._begin(number)
                try:
                    node.wait_ready()
                except AssertionError as error:
                    reason = str(error).strip().splitlines()[-1][-300:]
                    self.failed_starts.append((node.name, time.monotonic(), reason))
                    time.sleep(START_PAUSE_S)  # its disk may be full or stalled: nothing tells when it is not
                    continue
                self.starts_s.append((node.name, attempt, time.monotonic() - began))
                return
        raise AssertionError(f"{node.name} did not start in {START_ATTEMPTS} attempts, at last: {reason}")

    def _begin(self, number: int, *words: str) -> None:
        """Start a node; one that does not know its mesh any more is not let wait until somebody admits it."""
        environment = self._controls[number].environment()
        self.nodes[number].begin("--wait", "0", *words, environment=environment)

    def _heal(self, key: int) -> None:
        with self._lock:
            self._deaf.pop(key, None)
        self._rule_all()

    def _rule_all(self) -> None:
        for number in range(len(self.nodes)):
            self._rule(number)

    def _rule(self, number: int) -> None:
        """Let a host drop what it must not hear, and as many of the others as are to be lost."""
        with self._lock:
            deaf = sorted({other for cut in self._deaf.values() for other in cut.get(number, [])})
            loss = int(max(self._bent["loss"].get(number, {}).values(), default=0.0))
            self.host(number).ignore([self.host(other) for other in deaf], loss)
