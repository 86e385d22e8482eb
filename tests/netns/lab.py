"""Hosts as network namespaces on one bridge, with real nodes inside; everything is gone in the end."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.mesh_processes import Host, Node, agreed_leader, wait_for

_numbers = itertools.count()

CROWDED = 3.0
"""What the goals are multiplied by here, where four lanes of tests share two cores.

Whether the goals themselves are met, `make membership` and `make calibrate` say.
"""

DEAF_RULES = """
table inet deaf {
  chain input {
    type filter hook input priority 0;
    meta l4proto udp meta pkttype { multicast, broadcast } counter drop
  }
}
"""
"""Drops multicast and broadcast datagrams; neighbour discovery, which is ICMPv6, goes on."""

OUTGOING_RULES = """
table inet outgoing {
  chain input {
    type filter hook input priority 0;
    iifname "lo" accept
    meta l4proto { icmp, ipv6-icmp } accept
    ct state established,related accept
    counter drop
  }
}
"""
"""What an address translator or a firewall leaves over: answers to what the host itself began."""

BLOCKED = {
    "multicast": "ip daddr 224.0.0.0/4 meta l4proto udp",
    "broadcast": "meta l4proto udp meta pkttype broadcast",
    "ipv6": "ip6 daddr ff00::/8 meta l4proto udp",
    "tcp": "meta l4proto tcp tcp dport 7117",
    "udp": "meta l4proto udp udp dport { 7117, 7118 }",
}
"""What :meth:`NamespaceHost.block` can drop of what comes in."""


ENTER = """
root=$1 folder=$2; shift 2
mkdir -p "$root$folder"
mount --bind "$folder" "$root$folder"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
exec chroot "$root" env -C "$folder" "$@"
"""
"""Enters another userland with the folder of the host at its own path. `ip netns exec` has made a mount
namespace, so all that is mounted goes with the last process inside."""


def ip(*arguments: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


@functools.cache
def why_not(*tools: str) -> str:
    """Return why no network can be made here, "" when one can; `tools` are needed besides."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "network namespaces need root on Linux"
    missing = [tool for tool in ("ip", *tools) if shutil.which(tool) is None]
    if missing:
        return f"{', '.join(missing)} is not installed"
    name = f"swq{os.getpid():x}"
    try:
        ip("netns", "add", name)
        ip("netns", "del", name)
    except (OSError, subprocess.SubprocessError) as error:
        return f"network namespaces cannot be made here: {error}"
    return ""


def skipped_for(reason: str) -> pytest.MarkDecorator:
    """Return the mark of tests that are skipped for a reason, and run when it is ""."""
    return pytest.mark.skipif(bool(reason), reason=reason or "possible")


def needs_lab(*tools: str) -> pytest.MarkDecorator:
    """Return the mark of tests that make a network, with tools besides where they are named."""
    return skipped_for(why_not(*tools))


class NamespaceHost(Host):
    """A namespace with the interface eth0 on the bridge.

    Attributes:
        namespace: its name.
        address: its IPv4 address.
        root: of the userland in which programs are spawned, "" for this machine's own.
    """

    def __init__(self, namespace: str, address: str, python: str = sys.executable, root: str = "") -> None:
        super().__init__(["ip", "netns", "exec", namespace], python)
        self.namespace = namespace
        self.address = address
        self.root = root
        self._mac = ""
        self._network_prefix = list(self.prefix)
        if root:
            self.prefix += ["sh", "-ec", ENTER, "enter", root, str(self.folder)]

    def run(self, *command: str, text: str = "", timeout_s: float = 20.0) -> str:
        """Run a command of this machine inside and return its output."""
        done = subprocess.run(
            [*self._network_prefix, *command],
            check=True,
            capture_output=True,
            timeout=timeout_s,
            text=True,
            input=text,
        )
        return done.stdout

    def close(self) -> None:
        """Also kill who is left, his home lost, and remove the place of the folder in the other userland."""
        try:
            super().close()
        finally:
            self._kill_all()
        if self.root:
            with contextlib.suppress(OSError):
                Path(f"{self.root}{self.folder}").rmdir()

    def _kill_all(self) -> None:
        command = ["ip", "netns", "pids", self.namespace]
        left = subprocess.run(command, check=False, capture_output=True, timeout=20, text=True)
        for pid in left.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def deafen(self) -> None:
        """Drop multicast and broadcast datagrams that come here."""
        self.run("nft", "-f", "-", text=DEAF_RULES)

    def hide(self) -> None:
        """Let nothing come in but answers to what went out."""
        self.run("nft", "-f", "-", text=OUTGOING_RULES)

    def block(self, *ways: str) -> None:
        """Drop what comes in by some of `BLOCKED`; again with others, or none, replaces that."""
        self._drop([BLOCKED[way] for way in ways])

    def mac(self) -> str:
        """Return the address of the interface below IP, which a host keeps wherever it moves."""
        if not self._mac:
            self._mac = self.run("cat", "/sys/class/net/eth0/address").strip()
        return self._mac

    def ignore(self, hosts: Sequence[NamespaceHost], loss_percent: int = 0) -> None:
        """Drop whatever comes from some hosts, and a part of the rest; again with others replaces that."""
        matches = [f"ether saddr {host.mac()}" for host in hosts]
        if loss_percent:
            matches.append(f'iifname "eth0" numgen random mod 100 < {loss_percent}')
        self._drop(matches)

    def _drop(self, matches: Sequence[str]) -> None:
        rules = [f"{match} counter drop" for match in matches]
        chain = ["type filter hook input priority 0;", *rules]
        lines = ["flush ruleset", "table inet dropped {", "chain input {", *chain, "}", "}"]
        self.run("nft", "-f", "-", text="\n".join(lines) + "\n")

    def move(self, address: str) -> None:
        """Give the interface another IPv4 address in place of its own."""
        ip("-n", self.namespace, "addr", "flush", "dev", "eth0", "scope", "global")
        ip("-n", self.namespace, "addr", "add", f"{address}/24", "brd", "+", "dev", "eth0")
        self.address = address

    def dropped_packets(self) -> int:
        """Return how many datagrams :meth:`deafen` has kept away."""
        words = self.run("nft", "list", "table", "inet", "deaf").split()
        return int(words[words.index("packets") + 1])


class Lab:
    """A bridge in a namespace of its own, so that nothing of the real host's network matters.

    Attributes:
        hosts: the namespaces made so far.
    """

    def __init__(self) -> None:
        self._tag = f"sl{os.getpid():x}{next(_numbers)}"
        self._core = f"{self._tag}c"
        self._ends: list[str] = []
        self.hosts: list[NamespaceHost] = []
        ip("netns", "add", self._core)
        try:
            ip("-n", self._core, "link", "add", "bridge0", "type", "bridge", "mcast_snooping", "0")
            ip("-n", self._core, "link", "set", "bridge0", "up")
        except BaseException:  # nobody else could take it apart
            self.close()
            raise

    def host(self, python: str = sys.executable, root: str = "") -> NamespaceHost:
        """Return a new namespace on the bridge, with an IPv4 and an IPv6 link-local address.

        Args:
            python: the interpreter that has swarm there.
            root: of the userland in which its programs run, "" for this machine's own.
        """
        number = len(self.hosts)
        name, end = f"{self._tag}h{number}", f"{self._tag}v{number}"
        made = NamespaceHost(name, f"10.93.0.{number + 1}", python, root)
        self.hosts.append(made)
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        self._ends.append(end)
        ip("-n", self._core, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("-n", self._core, "link", "set", end, "master", "bridge0", "up")
        made.run("sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
        ip("-n", name, "addr", "add", f"{made.address}/24", "brd", "+", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "up")
        return made

    def separate(self, hosts: Sequence[NamespaceHost]) -> None:
        """Move hosts to a second bridge, which leads nowhere else."""
        with contextlib.suppress(subprocess.SubprocessError):
            ip("-n", self._core, "link", "add", "bridge1", "type", "bridge", "mcast_snooping", "0")
        ip("-n", self._core, "link", "set", "bridge1", "up")
        for host in hosts:
            self._attach(host, "bridge1")

    def reunite(self) -> None:
        """Move all hosts to the first bridge."""
        for host in self.hosts:
            self._attach(host, "bridge0")

    def isolate(self, hosts: Sequence[NamespaceHost], is_on: bool = True) -> None:
        """Let hosts reach everybody but each other, as clients of an access point that isolates them."""
        state = "on" if is_on else "off"
        for host in hosts:
            end = self._ends[self.hosts.index(host)]
            ip("netns", "exec", self._core, "bridge", "link", "set", "dev", end, "isolated", state)

    def _attach(self, host: NamespaceHost, bridge: str) -> None:
        ip("-n", self._core, "link", "set", self._ends[self.hosts.index(host)], "master", bridge)

    def nodes(self, names: Sequence[str], *options: str) -> list[Node]:
        """Return one node, not started yet, on each of as many new hosts."""
        return [self.host().node(name, *options) for name in names]

    def unplug(self, host: NamespaceHost) -> None:
        """Pull a host's cable: nothing comes or goes, and nobody is told."""
        ip("-n", self._core, "link", "set", self._ends[self.hosts.index(host)], "down")

    def plug(self, host: NamespaceHost) -> None:
        """Put a cable back that was pulled."""
        ip("-n", self._core, "link", "set", self._ends[self.hosts.index(host)], "up")

    def close(self) -> None:
        """Kill the nodes, then take the network apart."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            list(pool.map(_close_quietly, self.hosts))
        # A namespace that is deleted frees its interfaces late: the bridge's ends go first, by name.
        for end in self._ends:
            with contextlib.suppress(subprocess.SubprocessError):
                ip("-n", self._core, "link", "del", end)
        for name in [*[host.namespace for host in self.hosts], self._core]:
            with contextlib.suppress(subprocess.SubprocessError):
                ip("netns", "del", name)


def _close_quietly(host: NamespaceHost) -> None:
    with contextlib.suppress(AssertionError, subprocess.SubprocessError):
        host.close()


class Timing:
    """How long a mesh took to agree.

    Attributes:
        leader: whom it agreed on.
        from_ready_s: since the last node was ready.
        from_start_s: since the last `swarm join` was run.
    """

    def __init__(self, leader: str, from_ready_s: float, from_start_s: float) -> None:
        self.leader = leader
        self.from_ready_s = from_ready_s
        self.from_start_s = from_start_s


def start_together(nodes: Sequence[Node], invitation: str, others: Sequence[Node] = ()) -> Timing:
    """Start nodes at once, each with the invitation, and wait until they and `others` agree."""
    started_at = time.monotonic()
    for node in nodes:
        node.begin(invitation)
    ready_at = 0.0
    for node in nodes:
        node.wait_ready()
        ready_at = time.monotonic()
    return _wait_agreed([*nodes, *others], ready_at, started_at)


def start_in_turn(nodes: Sequence[Node], invitation: str) -> Timing:
    """Start nodes one after the other, each when the one before is ready, and wait until they agree."""
    started_at = ready_at = 0.0
    for node in nodes:
        started_at = time.monotonic()
        node.join(invitation)
        ready_at = time.monotonic()
    return _wait_agreed(nodes, ready_at, started_at)


def _wait_agreed(nodes: Sequence[Node], ready_at: float, started_at: float) -> Timing:
    leader = wait_for(lambda: agreed_leader(nodes), 20.0, "one mesh with one leader")
    now = time.monotonic()
    return Timing(leader, now - ready_at, now - started_at)
