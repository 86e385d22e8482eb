"""L5 while it runs: nobody floods the others, and nothing grows without end."""

from __future__ import annotations

from typing import Final

from sims.checkers.base import Checker, Truth
from sims.checkers.frames import PING, RUMOURS, kind_of, read
from sims.host import Host
from sims.observer import MESSAGE, PACKET
from swarm.core.effects import Effect, SendPacket

WINDOW_S: Final = 1.0
INPUTS_PER_NODE_S: Final = 600.0
"""Datagrams and messages that a node takes in a second, as a mean over the mesh. A node of a small mesh sends
15 datagrams a second of news, 10 of probes and their answers, 4 beats and 20 questions to who is away at the
very most, each to three others or fewer, so it takes as many: 150 with all of that at once. A leader change
brings a report of each node and orders of each task: 100 tasks, each ordered, ended and told to three keepers
and a watcher within that second, are 500 messages over five nodes. The rest is for what waited for a node."""
RUMOURS_PER_IDENTITY: Final = 8
"""Different rumours of one member that a node tells in a second: there is one at a time, and it may be
suspected by several, refute, be dead and come back. Identities are the hosts and the disks replaced."""
FREED_S: Final = 1.0
"""For how long what a host with a stuck disk had to say, all of it, may be on its way and be answered."""
TURNS_IN_A_MOMENT: Final = 20_000
"""Times that hosts act without the clock moving: a thousand tasks that end at once make some thousands."""


class TrafficChecker(Checker):
    """L5 traffic and queues are bounded at every moment, by what is seen on the cables; and time goes on."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._inputs = 0
        self._at = 0.0
        self._told: dict[int, dict[bytes, bool]] = {}
        self._moment = 0.0
        self._turns = 0

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind in (PACKET, MESSAGE):
            self._inputs += 1

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, SendPacket) and PING <= kind_of(effect.payload) <= RUMOURS:
            told = self._told.setdefault(host.index, {})
            for rumour in read(effect.payload).body[-1]:
                told[rumour] = True

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        if now > self._moment:
            self._moment, self._turns = now, 0
        self._turns += 1
        if self._turns > TURNS_IN_A_MOMENT:
            kinds = sorted({type(effect).__name__ for effect in effects})
            self.fail("L5", f"{self.name(host)} acts without end in one moment: {', '.join(kinds)}")

    def look(self, now: float) -> None:
        passed_s = now - self._at
        if passed_s < WINDOW_S:
            return
        rate = self._inputs / passed_s / len(self.cluster.hosts)
        is_burst = any([0 < host.disk_stuck_until >= self._at - FREED_S for host in self.cluster.hosts])
        told = self._told
        self._inputs, self._at, self._told = 0, now, {}
        if rate > INPUTS_PER_NODE_S and not is_burst:
            self.fail("L5", f"each node takes {rate:.0f} inputs a second")
        identities = sum([host.generation + 1 for host in self.cluster.hosts])
        for index, rumours in told.items():
            if len(rumours) > RUMOURS_PER_IDENTITY * identities * passed_s:
                name = self.name(self.cluster.hosts[index])
                self.fail("L5", f"{name} tells {len(rumours)} different rumours in {passed_s:.1f} s")
