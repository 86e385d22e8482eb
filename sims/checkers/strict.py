"""Strict meshes: S4 one lease at any true time, S11 no order by a minority, S12 configurations of voters.

What a lease is, a node says of itself (until when, on its own clock); that nobody else holds one is judged
here, in true time. Configurations are read from the disks, in the layout that docs/WIRE.md has for the
ledger.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgpack

from sims.checkers.base import Checker, Truth
from sims.checkers.frames import (
    BEAT,
    BEAT_REPLY,
    ORDERS,
    VOTE_REPLY,
    VOTE_REQUEST,
    Ballot,
    kind_of,
    read,
)
from sims.host import Host
from sims.network import Network
from sims.observer import PACKET
from swarm.core.effects import Effect, Persist, SendMessage, SendPacket

SLACK_S: Final = 0.6
"""Between two looks at the network, and on a clock that is slow."""
SLOWEST: Final = 0.999
"""A clock that drifts by 500 ppm, and a little."""
LEDGER: Final = b"ledger"

Name: TypeAlias = tuple[Ballot, int]
Voters: TypeAlias = tuple[tuple[bytes, bytes], ...]
NOTHING: Final[Name] = ((0, b""), 0)


class LeaseChecker(Checker):
    """S4 (strict) no two nodes hold a valid lease at the same true time; orders are given under one only.

    A lease lasts no longer than the beats allow that a majority of voters answered, each from its sending on.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._sent: Final[dict[tuple[int, Ballot, int], float]] = {}
        self._echoed: Final[dict[tuple[int, Ballot], dict[bytes, int]]] = {}

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind == PACKET and kind_of(payload) == BEAT_REPLY:
            frame = read(payload)
            echoed = self._echoed.setdefault((host.index, frame.ballot), {})
            echoed[frame.sender] = max(frame.body[0], echoed.get(frame.sender, 0))

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, SendPacket) and kind_of(effect.payload) == BEAT:
                frame = read(effect.payload)
                self._sent.setdefault((host.index, frame.ballot, frame.beat), host.now(now))
        if not is_holder(host, now):
            ordered = [effect for effect in effects if _is_order(host, effect)]
            if ordered:
                self.fail("S4", f"{self.name(host)} gives {len(ordered)} orders without a lease")
            return
        self._judge_length(host)
        others = [other for other in self.cluster.hosts if other is not host and is_holder(other, now)]
        if others and not self.truth.cloned:
            self.fail("S4", f"{self.name(host)} and {self.name(others[0])} hold leases at the same time")

    def _judge_length(self, host: Host) -> None:
        """Judge how long a lease lasts, on the clock of its holder."""
        assert host.node is not None, "who holds a lease runs"
        election = host.node.election
        voters, ballot = election.voters(), election.ballot()
        echoed = self._echoed.get((host.index, ballot), {})
        sent = [self._sent.get((host.index, ballot, echoed.get(voter, 0)), -1.0) for voter in voters]
        answered = sorted([at for voter, at in zip(voters, sent, strict=True) if voter != host.node_id])
        needed = len(voters) // 2
        if not needed:
            return
        longest = answered[len(answered) - needed] + host.settings.strict.lease_s
        if election.lease_until() > longest + 0.001:
            self.fail("S4", f"the lease of {self.name(host)} is longer than what was answered allows")


class HoldChecker(Checker):
    """S4 (strict) whoever answered a beat votes for nobody else for a lease, restarts included.

    Unless whoever stands is the leader whom it answered, or says that nobody leads under that ballot now.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._beaten: Final[dict[tuple[int, Ballot], float]] = {}
        self._answered: Final[dict[bytes, tuple[Ballot, float]]] = {}
        self._released: Final[dict[tuple[int, Ballot], Ballot]] = {}

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind != PACKET or kind_of(payload) not in (BEAT, VOTE_REQUEST):
            return
        frame = read(payload)
        if frame.kind == BEAT:
            self._beaten[(host.index, frame.ballot)] = now
        else:
            _, counter, owner, _, _, _, _, released_counter, released_owner = frame.body[:9]
            self._released[(host.index, (counter, owner))] = (released_counter, released_owner)

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if not isinstance(effect, SendPacket) or kind_of(effect.payload) not in (BEAT_REPLY, VOTE_REPLY):
            return
        frame = read(effect.payload)
        if frame.kind == BEAT_REPLY:
            if frame.body[0] > 0:
                beaten_at = self._beaten.get((host.index, frame.ballot), now)
                self._answered[host.node_id] = (frame.ballot, beaten_at)
            return
        _, counter, owner, is_pre_vote, is_granted = frame.body[:5]
        answered = self._answered.get(host.node_id)
        if is_pre_vote or not is_granted or answered is None or host.node_id in self.truth.forgot:
            return
        ballot, answered_at = answered
        released = self._released.get((host.index, (counter, owner)), (0, b""))
        if owner == ballot[1] or released >= ballot:
            return
        if now - answered_at < host.settings.strict.lease_s * SLOWEST:
            after_s = now - answered_at
            self.fail("S4", f"{self.name(host)} votes {after_s:.2f} s after it answered another's beat")


class MinorityChecker(Checker):
    """S11 no order is given by a node that has not reached a majority of voters for a lease."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._reached_at: Final[list[float]] = [0.0] * len(self.cluster.hosts)

    def look(self, now: float) -> None:
        running = [host.index for host in self.cluster.hosts if host.node is not None and not host.is_asleep]
        sides = _sides(self.cluster.network, running, now)
        for host in self.cluster.hosts:
            voters = ledger_of(host)[1]
            side = sides.get(host.index, [])
            there = [index for index in side if _has_seat(self.cluster.hosts[index], voters)]
            if 2 * len(there) > len(voters):
                self._reached_at[host.index] = now

    def on_boot(self, host: Host, now: float) -> None:
        self._reached_at[host.index] = now

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        limit_s = host.settings.strict.lease_s + SLACK_S
        if now - self._reached_at[host.index] <= limit_s:
            return
        if not [effect for effect in effects if _is_order(host, effect)]:
            return
        self.look(now)  # it may have slept until now, or have been cut off
        alone_s = now - self._reached_at[host.index]
        if alone_s > limit_s:
            self.fail("S11", f"{self.name(host)} gives orders, without a majority for {alone_s:.1f} s")


class ConfigurationChecker(Checker):
    """S12 a configuration has one meaning; its next one differs by one voter, and comes when it is kept.

    Kept means: a majority of its voters has it on disk, or a later one. A configuration that is on a disk
    never falls, restarts included; nobody votes for who knows a lower one than itself, or (S1) says that it
    has one which is not on its disk.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._meanings: dict[Name, Voters] = {}
        self._written: dict[int, Name] = {}
        self._kept: dict[tuple[bytes, bytes], Name] = {}
        self._known: dict[tuple[int, Ballot], Name] = {}

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind == PACKET and kind_of(payload) == VOTE_REQUEST:
            _, counter, owner, _, *name = read(payload).body[:7]
            self._known[(host.index, (counter, owner))] = ((name[0], name[1]), name[2])

    def on_synced(self, host: Host, now: float) -> None:
        row = host.disk.row("node", LEDGER)
        if row is not None:
            mark, name, _ = read_ledger(row)
            seat = (host.node_id, mark)
            self._kept[seat] = max(name, self._kept.get(seat, name))

    def on_boot(self, host: Host, now: float) -> None:
        self.on_synced(host, now)
        self._written.pop(host.index, None)

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        """Judge what a voter says of its disk when it answers a beat, and for whom it votes."""
        if isinstance(effect, Persist) and effect.key == LEDGER and effect.table == "node":
            self._written[host.index] = read_ledger(effect.value)[1]
        if not isinstance(effect, SendPacket) or kind_of(effect.payload) not in (BEAT_REPLY, VOTE_REPLY):
            return
        body = read(effect.payload).body
        on_disk = ledger_of(host)[0]
        if kind_of(effect.payload) == VOTE_REPLY:
            known = self._known.get((host.index, (body[1], body[2])), on_disk)
            if body[4] and not body[3] and known < on_disk:
                text = f"{self.name(host)} votes for who knows {_show(known)} and not {_show(on_disk)}"
                self.fail("S12", text)
            return
        is_sound = not host.disk.is_lying and not host.disk.is_damaged
        if body[2] and is_sound and self._written.get(host.index, NOTHING) > on_disk:
            self.fail("S1", f"{self.name(host)} says that it has a configuration which is not on its disk")

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Persist) and effect.key == LEDGER and effect.table == "node":
                self._judge(host, effect.value)

    def _judge(self, host: Host, row: bytes) -> None:
        mark, name, voters = read_ledger(row)
        if not name[1]:
            return
        known = self._meanings.get(name)
        if known is not None and known != voters:
            self.fail("S12", f"configuration {_show(name)} of {self.name(host)} has two meanings")
        before = self._kept.get((host.node_id, mark), NOTHING)
        if name < before and host.node_id not in self.truth.forgot:
            text = f"the configuration of {self.name(host)} falls to {_show(name)} from {_show(before)}"
            self.fail("S12", text)
        if known is None:
            self._meanings[name] = voters
            self._judge_new(host, name, voters)

    def _judge_new(self, host: Host, name: Name, voters: Voters) -> None:
        """Judge a configuration that nobody knew: its writer is its leader."""
        which = f"configuration {_show(name)}, written by {self.name(host)},"
        if name[0][1] != host.node_id and name[1] > 1:
            self.fail("S12", f"{which} is that of another leader, which did not write it")
        before = self._meanings.get((name[0], name[1] - 1))
        if before is None:
            return  # the one that a leader was elected by, under its own ballot
        if len(set(before) ^ set(voters)) != 1:
            self.fail("S12", f"{which} differs from the one before by more than a voter")
        name_before = (name[0], name[1] - 1)
        # What the writer says leaves it after what it wrote, so it has the one before when this is heard of.
        kept = [
            seat
            for seat in before
            if seat[0] == host.node_id or (seat in self._kept and self._kept[seat] >= name_before)
        ]
        if 2 * len(kept) <= len(before):
            self.fail("S12", f"{which} comes while {len(kept)} of {len(before)} voters have the one before")


def is_holder(host: Host, now: float) -> bool:
    """Return whether a node believes at a true time, by its own clock, that it may give orders."""
    return host.node is not None and host.node.election.lease_until() > host.now(now)


def ledger_of(host: Host) -> tuple[Name, Voters]:
    """Return the configuration on a disk, with no voters for none."""
    _, name, voters = read_ledger(host.disk.row("node", LEDGER) or b"")
    return name, voters


def ballots_in_ledger(host: Host) -> tuple[Ballot, Ballot]:
    """Return the promise in the ledger on a disk, and the ballot of its configuration; (0, b"") for none."""
    row = host.disk.row("node", LEDGER)
    if row is None:
        return (0, b""), (0, b"")
    fields: Any = msgpack.unpackb(row, raw=False)
    return (fields[2], fields[3]), (fields[4], fields[5])


def can_elect(hosts: list[Host]) -> bool:
    """Return whether every configuration on a disk has a majority of voters whose ledgers are still there."""
    has_any = False
    for host in hosts:
        name, voters = ledger_of(host)
        if name[1]:
            has_any = True
            there = [other for other in hosts if _has_seat(other, voters)]
            if 2 * len(there) <= len(voters):
                return False
    return has_any


def _has_seat(host: Host, voters: Voters) -> bool:
    """Return whether the ledger on the disk of a host is that of one of the voters."""
    row = host.disk.row("node", LEDGER)
    return row is not None and (host.node_id, read_ledger(row)[0]) in voters


def read_ledger(row: bytes) -> tuple[bytes, Name, Voters]:
    """Return (mark, name of the configuration, its voters) of a row of a journal."""
    if not row:
        return b"", ((0, b""), 0), ()
    fields: Any = msgpack.unpackb(row, raw=False)
    _, mark, _, _, counter, owner, version, voters = fields
    return mark, ((counter, owner), version), tuple([(node, seat) for node, seat in voters])


def _is_order(host: Host, effect: Effect) -> bool:
    if not isinstance(effect, SendMessage) or kind_of(effect.payload) not in ORDERS:
        return False
    return read(effect.payload).sender == host.node_id


def _sides(network: Network, running: list[int], now: float) -> dict[int, list[int]]:
    """Return for each host that runs those with which it can talk, itself included.

    Both ways may lead over others: three whose links work in one direction each reach each other in a ring.
    """
    heard: dict[int, list[int]] = {}
    for start in running:
        found = [start]
        for one in found:
            for other in running:
                if other not in found and network.reaches(one, other, now):
                    found.append(other)
        heard[start] = found
    return {one: [other for other in heard[one] if one in heard[other]] for one in running}


def _show(name: Name) -> str:
    return f"({name[0][0]}, {name[0][1].hex()[:6]}, {name[1]})"
