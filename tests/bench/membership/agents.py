"""An agent of either system under test: started, killed, paused, and read by the log that it writes.

Both systems write a line when they change their mind about a member, and both files are read by the harness
as they grow, stamped with the harness's own clock. For Serf that is the earliest word there is: its event
stream holds events back for a second to bundle them (`CoalescePeriod`), its log does not. So the comparison
is in Serf's favour where it is not equal.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.bench.membership.sightings import ALIVE, DEAD, LEFT, SUSPECT, Sighting
from tests.mesh_processes import Node, cpu_seconds, descendants, is_running, proportional_bytes, wait_for
from tests.netns.lab import NamespaceHost

READY_LIMIT_S = 60.0
_READ_SIZE = 1 << 16

SERF_EVENTS = {"EventMemberJoin": ALIVE, "EventMemberFailed": DEAD, "EventMemberLeave": LEFT}
SERF_EVENT = re.compile(r"serf: (EventMember(?:Join|Failed|Leave)): (\S+)")
SERF_SUSPECT = re.compile(r"memberlist: Suspect (\S+) has failed")
SERF_READY = "serf: EventMemberJoin: "


class Tail:
    """Reads a file as it grows, whole lines only.

    Args:
        path: it may not be there yet; when another file takes its place that one is read from its begin.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._rest = b""

    def lines(self) -> list[str]:
        """Return the lines that were completed since the last call."""
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return []
        data = self._rest
        while chunk := os.read(self._descriptor, _READ_SIZE):
            data += chunk
        *whole, self._rest = data.split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def swarm_sighting(line: str) -> tuple[str, str] | None:
    """Return (member, state) that a line of a node's log tells, None when it tells none."""
    if '"member_' not in line:
        return None
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    event = str(fields.get("event", ""))
    if not event.startswith("member_") or event[7:] not in (ALIVE, SUSPECT, DEAD, LEFT):
        return None
    return str(fields["name"]), event[7:]


def serf_sighting(line: str) -> tuple[str, str] | None:
    """Return (member, state) that a line of an agent's log tells, None when it tells none."""
    found = SERF_EVENT.search(line)
    if found is not None:
        return found.group(2), SERF_EVENTS[found.group(1)]
    found = SERF_SUSPECT.search(line)
    return None if found is None else (found.group(1), SUSPECT)


class Agent(ABC):
    """One agent on a host of its own.

    Attributes:
        name: what others call it.
        host: where it lives.
        started_at: when it was last begun, monotonic seconds.
        ready_at: when its log first said that it runs; 0 before.
    """

    def __init__(self, name: str, host: NamespaceHost, log: Path) -> None:
        self.name = name
        self.host = host
        self.started_at = 0.0
        self.ready_at = 0.0
        self._tail = Tail(log)

    @property
    @abstractmethod
    def pid(self) -> int:
        """The process that speaks to others."""

    @abstractmethod
    def begin(self) -> None:
        """Start it and do not wait."""

    @abstractmethod
    def wait_ready(self) -> None:
        """Wait until it runs."""

    @abstractmethod
    def kill(self) -> float:
        """End it with SIGKILL and return when."""

    def take_sightings(self) -> list[Sighting]:
        """Return what it has said since the last call."""
        lines = self._tail.lines()
        now = time.monotonic()
        found: list[Sighting] = []
        for line in lines:
            if not self.ready_at and self._is_ready(line):
                self.ready_at = now
            told = self._told(line)
            if told is not None and told[0] != self.name:
                found.append(Sighting(now, self.name, told[0], told[1]))
        return found

    def pause(self) -> None:
        """Let all its processes stand still (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def cpu_s(self) -> float:
        """Return the processor time that it has used."""
        return self._summed(cpu_seconds)

    def held_bytes(self) -> float:
        """Return its proportional memory, child processes included."""
        return self._summed(proportional_bytes)

    def close(self) -> None:
        """Close what was opened here; the lab ends the processes."""
        self._tail.close()

    def _summed(self, of: Callable[[int], float]) -> float:
        total = 0.0
        for pid in [self.pid, *descendants(self.pid)]:
            with contextlib.suppress(OSError):  # a child may have ended meanwhile
                total += of(pid)
        return total

    def _signal(self, number: signal.Signals) -> None:
        for pid in [self.pid, *descendants(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    @abstractmethod
    def _is_ready(self, line: str) -> bool:
        """Return whether a line of the log says that it runs."""

    @abstractmethod
    def _told(self, line: str) -> tuple[str, str] | None:
        """Return (member, state) that a line of the log tells, None when it tells none."""


class SwarmAgent(Agent):
    """A node of swarm, started by `swarm join`.

    Args:
        invitation: of the mesh; without addresses, so that only multicast and `--peer` help.
        peers: addresses for `--peer`.
    """

    def __init__(self, name: str, host: NamespaceHost, invitation: str, peers: Sequence[str] = ()) -> None:
        self.node: Node = host.node(name, *[word for peer in peers for word in ("--peer", f"{peer}:7117")])
        super().__init__(name, host, self.node.home.log)
        self._invitation = invitation

    @property
    def pid(self) -> int:
        return self.node.pid

    def begin(self) -> None:
        self.started_at, self.ready_at = time.monotonic(), 0.0
        self.node.begin(self._invitation)

    def wait_ready(self) -> None:
        self.node.wait_ready()

    def kill(self) -> float:
        return self.node.kill()

    def status(self) -> dict[str, Any]:
        """Return what `swarm status` shows."""
        answer: dict[str, Any] = self.node.ask("status")
        return answer

    def _is_ready(self, line: str) -> bool:
        return '"daemon_ready"' in line

    def _told(self, line: str) -> tuple[str, str] | None:
        return swarm_sighting(line)


class SerfAgent(Agent):
    """An agent of Serf in its `lan` profile, with encryption.

    Args:
        key: 32 bytes, the same for all of a cluster.
        seed: address of one to join, "" for none.
        cluster: name for its own discovery by mDNS, "" for none.
    """

    def __init__(self, name: str, host: NamespaceHost, key: bytes, seed: str = "", cluster: str = "") -> None:
        self._log = host.folder / f"{name}.log"
        super().__init__(name, host, self._log)
        self._words = ["serf", "agent", f"-node={name}", f"-bind={host.address}:7946", "-iface=eth0"]
        self._words += [f"-encrypt={base64.b64encode(key).decode()}", "-profile=lan", "-log-level=info"]
        if seed and seed != host.address:
            # Asked again soon: an agent that starts before the first one must not lose the race for it.
            self._words += [f"-retry-join={seed}:7946", "-retry-interval=100ms"]
        if cluster:
            self._words.append(f"-discover={cluster}")
        self._process: subprocess.Popen[bytes] | None = None
        self._listed: set[str] = set()

    @property
    def pid(self) -> int:
        assert self._process is not None, "it was started"
        return self._process.pid

    def begin(self) -> None:
        self.started_at, self.ready_at = time.monotonic(), 0.0
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.host.prefix, *self._words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_ready(self) -> None:
        wait_for(self._has_spoken, READY_LIMIT_S, f"start of Serf's {self.name}")

    def kill(self) -> float:
        process = self._process
        assert process is not None, "it was started"
        killed_at = time.monotonic()
        process.kill()
        process.wait()
        return killed_at

    def close(self) -> None:
        super().close()
        if self._process is not None and is_running(self._process.pid):
            self._process.kill()
            self._process.wait()

    def _has_spoken(self) -> bool:
        assert self._process is not None, "it was started"
        assert self._process.poll() is None, f"Serf ended: {self._log.read_text()[-1000:]}"
        return bool(self.ready_at)

    def _is_ready(self, line: str) -> bool:
        # Its first event is its own joining, which it tells when its sockets are open.
        return f"{SERF_READY}{self.name} " in line

    def _told(self, line: str) -> tuple[str, str] | None:
        told = serf_sighting(line)
        if told is None:
            return None
        member, state = told
        if state == ALIVE:
            self._listed.add(member)
        elif state != SUSPECT:
            self._listed.discard(member)
        elif member not in self._listed:
            return None  # the last probe of one that is dead already
        return told
