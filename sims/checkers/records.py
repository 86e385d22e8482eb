"""S6, S7, S9: what was acknowledged is on a disk, copies stay, and what was shown final stays."""

from __future__ import annotations

from typing import Any, Final

from sims.checkers.base import Checker, Truth
from sims.checkers.frames import (
    CLIENT_ACCEPTED,
    CLIENT_UPDATE,
    JOB_UPDATE,
    RECORD_STORED,
    Ballot,
    kind_of,
    read,
    read_intents,
)
from sims.host import Host
from sims.observer import MESSAGE
from swarm.core.effects import Effect, Erase, Persist, SendMessage, SendToClient

COPIES: Final = 3
JOB_SIZE: Final = 10
INLINE_BYTES: Final = 65536
"""Results up to this size travel inside messages (docs/WIRE.md)."""
CONFIRMED_S: Final = 10.0
"""For how long the word of a keeper that it has a copy counts."""
UNDER_WAY_S: Final = 20.0
"""What was the matter so long before a job's first word may still show."""
FINAL: Final = ("done", "failed", "cancelled")


class Acknowledged:
    """A part of a job that a client was told is kept.

    Attributes:
        key: of its row on disk.
        keepers: (host, its identity when it was last seen with a copy) that were named.
    """

    def __init__(self, key: bytes, keepers: list[tuple[int, bytes]]) -> None:
        self.key: Final = key
        self.keepers: Final = keepers


class RecordChecker(Checker):
    """S6 an acknowledged part is on k disks when it is acknowledged, and on one as long as its job runs.

    S7 a node gives up its copy only together with a tombstone, or when as many others as there are to be
    copies have one. S9 a tombstone stays for 30 days, longer
    than any trial.

    A keeper is named, and of an identity that two hosts had, the name is that of either. What counts is who
    answered the RECORD_STORE; when that was a clone, the copy went with the clone. Who was asleep between the
    answers and its own word could not know that a disk which had answered is there no more.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self.acknowledged: dict[bytes, Acknowledged] = {}
        self.ended: dict[bytes, float] = {}
        self._lost_rows: dict[tuple[int, bytes], bool] = {}
        self._receipts: dict[tuple[int, bytes], dict[int, bytes]] = {}
        self._identities: dict[tuple[int, bytes], bool] = {}

    def on_boot(self, host: Host, now: float) -> None:
        self._identities[(host.index, host.node_id)] = True

    def lose(self, index: int) -> None:
        """Take that a fault destroyed or damaged what a disk held: its copies are excused."""
        for part in self.acknowledged.values():
            self._lost_rows[(index, part.key)] = True

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind == MESSAGE and kind_of(payload) == RECORD_STORED:
            frame = read(payload)
            job, part, is_kept = frame.body[1], frame.body[2], frame.body[3]
            is_its_own = self.cluster.hosts[source].node_id == frame.sender
            if is_kept and (is_its_own or frame.sender in self.truth.cloned):
                key = job + part.to_bytes(4, "big")
                self._receipts.setdefault((host.index, key), {})[source] = frame.sender

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, SendToClient) and kind_of(effect.payload) == CLIENT_ACCEPTED:
            self._take_acknowledgement(host, read(effect.payload).body)

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Erase) and effect.table == "tombs":
                self.fail("S9", f"{self.name(host)} forgets that job {effect.prefix.hex()[:6]} has ended")
            if isinstance(effect, Erase) and effect.table == "parts":
                job = effect.prefix[:JOB_SIZE]
                has_tomb = host.disk.row("tombs", job) is not None
                for other in effects:
                    if isinstance(other, Persist) and other.table == "tombs" and other.key == job:
                        has_tomb = True
                if not has_tomb and not self._is_spare(host, job, now):
                    self.fail("S7", f"{self.name(host)} gives up its copy of job {job.hex()[:6]}")

    def _is_spare(self, host: Host, job: bytes, now: float) -> bool:
        """Return whether enough others have all that a host has of a job, or had it a moment ago."""
        having = 0
        for other in self.cluster.hosts:
            if other.index == host.index:
                continue
            parts = [key for key in host.disk.tables.get("parts", {}) if key.startswith(job)]
            is_there = all([other.disk.row("parts", key) is not None for key in parts])
            having += 1 if is_there or now - self.truth.troubled_at[other.index] < CONFIRMED_S else 0
        return having >= COPIES

    def _take_acknowledgement(self, host: Host, body: list[object]) -> None:
        job, part, names = body[1], body[2], body[3]
        assert isinstance(job, bytes), "a job has an id"
        assert isinstance(part, int), "a part has a number"
        assert isinstance(names, list), "holders are a list"
        key = job + part.to_bytes(4, "big")
        # A host with a new disk is another node of the same name.
        if len(set(names)) != len(names) and not self.truth.forgot:
            self.fail("S6", f"{self.name(host)} counts a keeper twice: {names}")
        keepers: list[tuple[int, bytes]] = []
        for name in names:
            for other in self.cluster.hosts:
                if other.spec.name == name:
                    keepers.append((other.index, other.node_id))
                    self._lost_rows.pop((other.index, key), None)
        for place, (index, _) in enumerate(keepers):
            keeper = self.cluster.hosts[index]
            is_there = keeper.disk.row("parts", key) is not None or keeper.disk.row("tombs", job) is not None
            twin = self._twin_of(host, key, keeper)
            if not is_there and twin is not None:
                keepers[place] = twin
            elif not is_there and not keeper.disk.is_lying and self.truth.is_well(index, 1.0):
                self.fail(
                    "S6", f"{self.name(host)} acknowledges, but nothing is on the disk of {self.name(keeper)}"
                )
        self._check_spread(host, keepers)
        self.acknowledged[key] = Acknowledged(key, keepers)

    def _twin_of(self, host: Host, key: bytes, keeper: Host) -> tuple[int, bytes] | None:
        """Return who answered a host under an identity that a keeper shares or had, and which that is.

        None when that is the keeper itself, as it still is.
        """
        receipts = self._receipts.get((host.index, key), {})
        if keeper.index in receipts:
            identity = receipts[keeper.index]
            return (keeper.index, identity) if identity != keeper.node_id else None
        for source, identity in receipts.items():
            if identity == keeper.node_id or (keeper.index, identity) in self._identities:
                return (source, identity)
        return None

    def _check_spread(self, host: Host, keepers: list[tuple[int, bytes]]) -> None:
        """Where all is well there are as many copies as machines allow, each on a machine of its own."""
        hosts = self.cluster.hosts
        if self.truth.net_troubled_at or not all([self.truth.is_well(other.index, 20.0) for other in hosts]):
            return
        # A host behind a translator keeps a copy where it has a stream to who wants that; often it has none.
        is_nat = self.cluster.network.topology.is_nat
        machines = {other.spec.machine or other.spec.name for other in hosts if not is_nat[other.index]}
        used = {hosts[index].spec.machine or hosts[index].spec.name for index, _ in keepers}
        if len(keepers) < min(COPIES, is_nat.count(False)):
            self.fail("S6", f"{self.name(host)} acknowledges with {len(keepers)} copies only")
        if len(used) < min(COPIES, len(machines)):
            self.fail("S6", f"{self.name(host)} puts copies on {len(used)} machines of {len(machines)}")

    def look(self, now: float) -> None:
        for part in self.acknowledged.values():
            job = part.key[:JOB_SIZE]
            if job in self.ended:
                continue
            is_safe = False
            for host in self.cluster.hosts:
                if host.disk.row("parts", part.key) is not None:
                    is_safe = True
                    self._take_back(part, host)
                elif host.disk.row("tombs", job) is not None:
                    is_safe = True
            if not is_safe and not all([self._is_excused(part, *keeper) for keeper in part.keepers]):
                self.fail("S6", f"job {job.hex()[:6]} was acknowledged and is on no disk")

    def _take_back(self, part: Acknowledged, host: Host) -> None:
        """Take that a copy is on a disk: whatever was lost there before excuses nothing any more."""
        if host.disk.is_lying:
            return
        self._lost_rows.pop((host.index, part.key), None)
        for place, (index, _) in enumerate(part.keepers):
            if index == host.index:
                part.keepers[place] = (index, host.node_id)

    def _is_excused(self, part: Acknowledged, index: int, identity: bytes) -> bool:
        """Return whether a fault that the promise excuses took a keeper's copy."""
        host = self.cluster.hosts[index]
        is_lost = (index, part.key) in self._lost_rows or host.node_id != identity
        return is_lost or host.disk.is_lying


class StatusChecker(Checker):
    """S9 what a client was shown as done stays done, with the results that it was shown.

    Where since the first word about a job only single processes ended and came back, no end is taken back:
    no other one follows, and it does not run again. Sides that were apart may have come to different ends;
    then success beats failure (design: facts merge). A leader never replaces a result that it told by another
    one, unless it may have lost it and had it computed anew.
    """

    def __init__(self, truth: Truth, records: RecordChecker) -> None:
        super().__init__(truth)
        self._records: Final = records
        self._shown: dict[bytes, str] = {}
        self._first_shown: dict[bytes, float] = {}
        self.random_jobs: dict[bytes, bool] = {}
        self._results: dict[tuple[bytes, int], list[bytes]] = {}
        self._told: dict[tuple[Ballot, bytes, int], list[bytes]] = {}
        self._held_up: dict[tuple[int, int, bytes], bool] = {}
        self._premature: dict[bytes, bool] = {}
        self._last_is_premature: dict[tuple[int, bytes], bool] = {}

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, SendMessage) and kind_of(effect.payload) == JOB_UPDATE:
            frame = read(effect.payload)
            for row in frame.body[4]:
                self._take_winner(host, frame.ballot, frame.body[0], row)
            if self._runs_again(frame.body) and self._is_held_up(host, frame.body[0]):
                self._premature[effect.payload] = True
        if not isinstance(effect, SendToClient) or kind_of(effect.payload) != CLIENT_UPDATE:
            return
        body = read(effect.payload).body
        job, state = body[0], str(body[1])
        for row in body[4]:
            self._take_result(host, job, row)
        if state in FINAL:
            self._records.ended.setdefault(job, now)
        first_s = self._first_shown.setdefault(job, now)
        before = self._shown.get(job, "")
        is_calm = self.truth.was_calm_since(max(0.0, first_s - UNDER_WAY_S))
        self._judge(host, job, before, state, is_calm)
        if state in FINAL and before != "done":
            self._shown[job] = state

    def _judge(self, host: Host, job: bytes, before: str, state: str, is_calm: bool) -> None:
        if not before or state == before:
            return
        # A cancel on the other side of a cut may win there (verdict-alone).
        is_excused = state == "cancelled" and not is_calm
        if before == "done" and state in FINAL and not is_excused:
            self.fail("S9", f"job {job.hex()[:6]} was done, now {self.name(host)} shows it as {state}")
        is_excused = state not in FINAL and (self._count_away(job) >= COPIES or self._is_premature(host, job))
        if is_calm and not is_excused:
            self.fail("S9", f"job {job.hex()[:6]} was {before}, now {self.name(host)} shows it as {state}")

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind == MESSAGE and kind_of(payload) == JOB_UPDATE:
            self._last_is_premature[(host.index, read(payload).body[0])] = payload in self._premature

    def _is_premature(self, host: Host, job: bytes) -> bool:
        """Return whether what a host shows of a job is the word of a leader that could not know its end."""
        if host.node is not None and host.node.election.leader() == host.node_id:
            return self._is_held_up(host, job)
        return self._last_is_premature.get((host.index, job), False)

    def _runs_again(self, body: list[Any]) -> bool:
        """Return whether a leader tells that a job runs which a client was shown as ended."""
        return body[1] not in FINAL and body[0] in self._shown

    def _is_held_up(self, leader: Host, job: bytes) -> bool:
        """Return whether a stream held up what a host that knows a job's end had to tell its leader.

        A new leader waits for that only so long, and lets run again what it lacks: its first word decides.
        """
        key = (leader.index, leader.epoch, job)
        if key not in self._held_up:
            others = [other for other in self.cluster.hosts if other is not leader and other.node is not None]
            waiting = [other for other in others if self._knows_end(other, job)]
            self._held_up[key] = any([self._is_waiting(other, leader) for other in waiting])
        return self._held_up[key]

    def _knows_end(self, host: Host, job: bytes) -> bool:
        row = host.disk.row("intents", job)
        return host.disk.row("tombs", job) is not None or (row is not None and read_intents(row)[2] > 0)

    def _is_waiting(self, knowing: Host, leader: Host) -> bool:
        """Return whether something is under way between a host and a leader, or a stream is being opened."""
        now = self.cluster.engine.now
        for one, other in ((knowing, leader), (leader, knowing)):
            stream = one.links.get(other.index)
            if stream is not None and not stream.is_open:
                return True
            if self.cluster.network.arrived_s(one.index, other.index) > now:
                return True
        return False

    def _count_away(self, job: bytes) -> int:
        """Return how many hosts something was done to since about a job's first word.

        As many as keep a job may take its end along; then it runs again until they are back.
        """
        since_s = self._first_shown[job] - UNDER_WAY_S
        away = [at_s for at_s in self.truth.troubled_at if at_s and at_s >= since_s]
        return len(away)

    def _take_winner(self, host: Host, ballot: Ballot, job: bytes, row: list[object]) -> None:
        """Judge what a leader tells its watchers: small results travel in messages and are never lost."""
        task, outputs = row[0], row[5]
        assert isinstance(task, int), "a completion names its task"
        if not isinstance(outputs, list) or host.node_id in self.truth.forgot:
            return
        if [output for output in outputs if output[1] > INLINE_BYTES]:
            return
        digests = [output[0] for output in outputs]
        if self._told.setdefault((ballot, job, task), digests) != digests:
            self.fail("S9", f"{self.name(host)} replaces the result of task {task} of job {job.hex()[:6]}")

    def _take_result(self, host: Host, job: bytes, row: list[object]) -> None:
        task, outputs = row[0], row[5]
        assert isinstance(task, int), "a completion names its task"
        if not isinstance(outputs, list) or job in self.random_jobs:
            return
        digests = [output[0] for output in outputs]
        before = self._results.setdefault((job, task), digests)
        if before != digests:
            self.fail(
                "S9", f"task {task} of job {job.hex()[:6]} had another result before, says {self.name(host)}"
            )
