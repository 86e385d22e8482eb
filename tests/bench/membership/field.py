"""The network of the benchmark: a lab whose hosts can be cut off, unplugged and made to lose packets."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterable

from tests.netns.lab import Lab, NamespaceHost, ip

BRIDGES = ("bridge0", "bridge1")

LOSS_RULES = """
table inet loss {{
  chain input {{
    type filter hook input priority 0;
    iifname "eth0" meta l4proto {{ tcp, udp }} numgen random mod 100 < {percent} counter drop
  }}
}}
"""
"""Drops on input: a packet dropped where it is sent would be hidden by TCP's own queue."""


class Field(Lab):
    """A lab with a second bridge: hosts on different ones do not reach each other."""

    def __init__(self) -> None:
        super().__init__()
        self._apart: list[int] = []
        try:
            self._batch([f"link add {BRIDGES[1]} type bridge mcast_snooping 0", f"link set {BRIDGES[1]} up"])
        except BaseException:  # nobody else could take it apart
            self.close()
            raise

    def cut(self, hosts: Iterable[NamespaceHost]) -> None:
        """Move hosts to the other bridge, in one step."""
        self._apart = [self.hosts.index(host) for host in hosts]
        self._batch([f"link set {self._ends[at]} master {BRIDGES[1]}" for at in self._apart])

    def mend(self) -> None:
        """Bring the hosts back that were cut off."""
        self._batch([f"link set {self._ends[at]} master {BRIDGES[0]}" for at in self._apart])
        self._apart = []

    def isolate_all(self, is_isolated: bool) -> None:
        """Let no host reach another, or all again; their cables stay in."""
        word = "on" if is_isolated else "off"
        self._batch([f"link set {end} type bridge_slave isolated {word}" for end in self._ends])

    def plug(self, host: NamespaceHost) -> None:
        """Put a host's cable back."""
        self._batch([f"link set {self._ends[self.hosts.index(host)]} up"])

    def lose(self, percent: int) -> None:
        """Let every host drop this share of the TCP and UDP packets that come in by its cable; 0 ends it."""
        for host in self.hosts:
            with contextlib.suppress(subprocess.CalledProcessError):
                host.run("nft", "delete", "table", "inet", "loss")
            if percent:
                host.run("nft", "-f", "-", text=LOSS_RULES.format(percent=percent))

    def route_multicast(self) -> None:
        """Give every host a route for multicast, which Serf's mDNS needs."""
        for host in self.hosts:
            host.run("ip", "route", "replace", "224.0.0.0/4", "dev", "eth0")

    def sent_bytes(self) -> list[int]:
        """Return the bytes that each host's interface has sent, Ethernet headers included."""
        return sent_by_end(self._read("-j", "-s", "link", "show"), self._ends)

    def _read(self, *arguments: str) -> str:
        done = subprocess.run(
            ["ip", "-n", self._core, *arguments], check=True, capture_output=True, timeout=20, text=True
        )
        return done.stdout

    def _batch(self, lines: list[str]) -> None:
        subprocess.run(
            ["ip", "-n", self._core, "-batch", "-"],
            input="\n".join(lines) + "\n",
            check=True,
            capture_output=True,
            timeout=20,
            text=True,
        )


def sent_by_end(text: str, ends: list[str]) -> list[int]:
    """Return what came out of each cable, from `ip -j -s link`: what the bridge's end has received.

    Raises:
        KeyError: an end is missing.
    """
    links = {str(link["ifname"]): link for link in json.loads(text)}
    return [int(links[end]["stats64"]["rx"]["bytes"]) for end in ends]


__all__ = ["Field", "NamespaceHost", "ip", "sent_by_end"]
