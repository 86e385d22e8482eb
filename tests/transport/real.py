"""Real sockets behind the face of `tests.transport.networks`: processes on loopback or in namespaces."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from swarm.core.ids import Address
from swarm.net.invitation import new_secret
from tests.mesh_processes import clean_environment
from tests.netns.lab import Lab, NamespaceHost
from tests.transport.networks import REFUSED, SILENT, Heard, Transport
from tests.transport.station import content, digest

ROOT: Final = Path(__file__).resolve().parents[2]


class _Process:
    """One station's process; everything it says is given to `on_event` from a thread."""

    def __init__(
        self, prefix: list[str], secret: bytes, store: Path, listen: str, on_event: Callable[[Any], None]
    ) -> None:
        self.ready = threading.Event()
        self.node_id = ""
        self.address: Address = ("", 0)
        self.hosts: list[str] = []
        self._on_event = on_event
        environment = clean_environment()
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
        )
        self.process = subprocess.Popen(
            [
                *prefix,
                sys.executable,
                "-m",
                "tests.transport.station",
                secret.hex(),
                str(store),
                listen,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def tell(self, do: str, **values: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **values}) + "\n")
        self.process.stdin.flush()

    def end(self, number: int) -> None:
        """Send a signal that ends it, and wait until it is gone and everything it said was taken."""
        self.process.send_signal(number)
        self.wait()

    def wait(self) -> None:
        self.process.wait(timeout=20)
        self._reader.join(timeout=20)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "ready":
                self.node_id = event["node"]
                self.address = (event["address"][0], event["address"][1])
                self.hosts = event["hosts"]
                self.ready.set()
            else:
                self._on_event(event)
        self.ready.set()


class RealTransport(Transport):
    """Processes with the daemon's own transport, on loopback or in namespaces of a lab.

    Args:
        count: stations.
        folder: where stores are.
        lab: where namespaces are made; None for loopback, where nobody hears hellos and nothing is cut.
    """

    def __init__(self, count: int, folder: Path, lab: Lab | None) -> None:
        super().__init__(count)
        self._lab = lab
        self._secret = new_secret()
        self._folders = [folder / f"station{station}" for station in range(count)]
        self._spaces: list[NamespaceHost] = [] if lab is None else [lab.host() for _ in range(count)]
        self._by_node: dict[str, int] = {}
        self._by_address: dict[Address, int] = {}
        self._processes: list[_Process] = []
        self._addresses: list[Address] = []
        self._nodes: list[str] = []
        for store in self._folders:
            (store / "store").mkdir(parents=True)
        self._processes = [self._spawn(station) for station in range(count)]
        for station in range(count):
            self._know(station)

    def send_packets(self, source: int, target: int, seeds: list[str], size: int) -> None:
        self._processes[source].tell("packet", address=self._addresses[target], seeds=seeds, size=size)

    def send_raw(self, source: int, target: int, datagram: bytes) -> None:
        """Send a datagram that was not sealed."""
        self._processes[source].tell("raw", address=self._addresses[target], datagram=datagram.hex())

    def send_hello(self, source: int, seed: str, size: int) -> None:
        self._processes[source].tell("hello", seed=seed, size=size)

    def send_messages(self, source: int, target: int, seeds: list[str], size: int) -> None:
        self._tell_messages(source, target, [self._addresses[target]], seeds, size)

    def send_message_without_address(self, source: int, target: int) -> None:
        self._tell_messages(source, target, [], ["x"], 1)

    def fetch(self, source: int, task: int, seed: str, size: int, holders: list[int]) -> None:
        sources = [(self._nodes[holder], self._addresses[holder]) for holder in holders]
        wanted = digest(content(seed, size))
        self._processes[source].tell("fetch", task=task, digest=wanted, size=size, sources=sources)

    def store(self, station: int, task: int, seed: str, size: int) -> None:
        self._processes[station].tell("store", task=task, seed=seed, size=size)

    def fetched_bytes(self, station: int, task: int) -> int:
        drafts = list((self._folders[station] / "store").glob(f".get-*.{task}.0"))
        with contextlib.suppress(OSError):
            return sum(draft.stat().st_size for draft in drafts)
        return 0

    def crash(self, station: int) -> None:
        self._processes[station].end(signal.SIGKILL)

    def stop(self, station: int) -> None:
        self._processes[station].tell("stop")
        self._processes[station].wait()

    def start(self, station: int) -> None:
        self._processes[station] = self._spawn(station, self._addresses[station][1])
        self._know(station)

    def pause(self, station: int, seconds: float) -> None:
        process = self._processes[station].process
        process.send_signal(signal.SIGSTOP)
        threading.Timer(seconds, process.send_signal, [signal.SIGCONT]).start()

    def darken(self, station: int) -> None:
        assert self._lab is not None, "only hosts of a lab lose their power"
        self._lab.unplug(self._spaces[station])
        self.crash(station)

    def cut(self, one: int, other: int) -> None:
        # Dropped where it arrives: what is dropped where it leaves is an error for the sender.
        for here, there in ((one, other), (other, one)):
            table = f"inet cut{there}"
            text = (
                f"add table {table}\n"
                f"add chain {table} input {{ type filter hook input priority 0 ; }}\n"
                f"add rule {table} input ip saddr {self._spaces[there].address} drop\n"
            )
            self._spaces[here].run("nft", "-f", "-", text=text)

    def mend(self, one: int, other: int) -> None:
        for here, there in ((one, other), (other, one)):
            self._spaces[here].run("nft", "delete", "table", "inet", f"cut{there}")

    def deafen(self, station: int) -> None:
        self._spaces[station].deafen()

    def now(self) -> float:
        return time.monotonic()

    def pass_time(self, seconds: float) -> None:
        time.sleep(seconds)  # real time passes in no other way

    def close(self) -> None:
        for process in self._processes:
            if process.process.poll() is None:
                process.end(signal.SIGKILL)

    def _tell_messages(
        self, source: int, target: int, addresses: list[Address], seeds: list[str], size: int
    ) -> None:
        self._processes[source].tell(
            "message", peer=self._nodes[target], addresses=addresses, seeds=seeds, size=size
        )

    def _spawn(self, station: int, port: int = 0) -> _Process:
        prefix, listen = [], f"127.0.0.{station + 1}:{port}"
        if self._spaces:
            prefix, listen = self._spaces[station].prefix, ""
        heard = self.heard[station]
        return _Process(
            prefix,
            self._secret,
            self._folders[station],
            listen,
            lambda event: heard.append(self._translate(event)),
        )

    def _know(self, station: int) -> None:
        process = self._processes[station]
        process.ready.wait(30)
        assert process.node_id, f"station {station} does not start"
        del self._addresses[station : station + 1], self._nodes[station : station + 1]
        self._addresses.insert(station, process.address)
        self._nodes.insert(station, process.node_id)
        for host in process.hosts:
            self._by_address[(host, process.address[1])] = station
        self._by_node[process.node_id] = station

    def _translate(self, event: dict[str, Any]) -> Heard:
        what, at = event["event"], event["at"]
        if what in ("packet", "refused"):
            host, port = event["address"]
            return Heard(what, self._by_address.get((host, port), -1), event.get("digest", ""), at)
        if what == "message":
            return Heard(what, self._by_node[event["peer"]], event["digest"], at)
        if what == "lost":
            return Heard(what, self._by_node[event["peer"]], REFUSED if event["was_refused"] else SILENT, at)
        if what == "missing":
            return Heard(what, -1, (event["task"], [self._by_node[node] for node in event["failed"]]), at)
        return Heard(what, -1, event["task"], at)
