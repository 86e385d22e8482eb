"""S1 to S4: promises, fences, orders and leaderships."""

from __future__ import annotations

from typing import Final

from sims.checkers.base import Checker, Truth
from sims.checkers.frames import (
    ASSIGN,
    BEAT,
    CLIENT_HELLO,
    ORDERS,
    REFUSED,
    VOTE_REPLY,
    VOTE_REQUEST,
    Ballot,
    Seen,
    kind_of,
    read,
    read_ballot,
)
from sims.host import Host
from sims.observer import MESSAGE, PACKET
from swarm.core.effects import Effect, ExecutorTask, RunTasks, SendMessage, SendPacket
from swarm.core.quorums import STRICT

NOTHING: Final[Ballot] = (0, b"")
STALL_SLACK_S: Final = 1.0
DISK_SLACK_S: Final = 0.05


class PromiseChecker(Checker):
    """S1 a promised ballot never falls, restarts included, and is on disk before it is given."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._granted: dict[bytes, Ballot] = {}

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if not isinstance(effect, SendPacket) or kind_of(effect.payload) != VOTE_REPLY:
            return
        frame = read(effect.payload)
        _, counter, owner, is_pre_vote, is_granted = frame.body[:5]
        if is_pre_vote or not is_granted:
            return
        ballot = (counter, owner)
        if host.node_id in self.truth.forgot:
            return
        before = self._granted.get(host.node_id, NOTHING)
        if ballot < before:
            self.fail("S1", f"{self.name(host)} grants {_show(ballot)} after {_show(before)}")
        self._granted[host.node_id] = ballot
        on_disk = read_ballot(host.disk.row("node", b"promise"))
        if not host.disk.is_lying and on_disk < ballot:
            self.fail("S1", f"{self.name(host)} grants {_show(ballot)} with {_show(on_disk)} on disk")


class FenceChecker(Checker):
    """S2 a node's fence never falls, restarts included; what it refuses is below, and answered with it."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._fences: dict[bytes, Ballot] = {}
        self._heard: dict[tuple[int, int], Ballot] = {}
        self._ordered: dict[tuple[int, int, bytes], Ballot] = {}

    def fence_of(self, host: Host) -> Ballot:
        """Return what a node's fence is at least: what it told, and the highest stamp that it took.

        What an identity that was cloned told may have been told by the other one of the two.
        """
        is_cloned = host.node_id in self.truth.cloned
        told = NOTHING if is_cloned else self._fences.get(host.node_id, NOTHING)
        return max(told, self._heard.get((host.index, host.epoch), NOTHING))

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind not in (MESSAGE, PACKET) or kind_of(payload) == CLIENT_HELLO:
            return
        frame = read(payload)
        if frame.sender == host.node_id:
            return  # a clone's, or what came back: no node hears itself
        mine = (host.index, host.epoch)
        if kind == MESSAGE and frame.kind in ORDERS:
            key = (host.index, host.epoch, frame.sender)
            self._ordered[key] = min(frame.ballot, self._ordered.get(key, frame.ballot))
        self._heard[mine] = max(frame.ballot, self._heard.get(mine, NOTHING))

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, (SendPacket, SendMessage)):
            frame = read(effect.payload)
            if frame.kind == REFUSED and isinstance(effect, SendMessage):
                self._judge_refusal(host, effect.peer, frame)
            before = self._fences.get(host.node_id, NOTHING)
            if frame.ballot >= before:
                self._fences[host.node_id] = frame.ballot
            elif host.node_id not in self.truth.forgot:
                self.fail(
                    "S2",
                    f"the fence of {self.name(host)} falls to {_show(frame.ballot)} from {_show(before)}",
                )
            else:
                self._fences[host.node_id] = frame.ballot

    def _judge_refusal(self, host: Host, peer: bytes, frame: Seen) -> None:
        told = (frame.body[0], frame.body[1])
        if told != frame.ballot:
            self.fail(
                "S2", f"{self.name(host)} refuses with {_show(told)} what is below {_show(frame.ballot)}"
            )
        ordered = self._ordered.pop((host.index, host.epoch, peer), NOTHING)
        if ordered >= frame.ballot:
            self.fail(
                "S2", f"{self.name(host)} refuses {_show(ordered)}, and tells that it obeys {_show(told)}"
            )


class OrderChecker(Checker):
    """S3 no order is executed below the fence, and nothing runs that nobody ordered.

    The fence is what frames say (`FenceChecker.fence_of`); the checker must be asked before that one takes
    the frame, so it stands before it among the observers.

    What a leader orders itself is on no cable, and may have the number of an order that it refused: who has
    stood in this life is judged by what it runs at the very moment at which it takes a stale order.
    """

    def __init__(self, truth: Truth, fences: FenceChecker) -> None:
        super().__init__(truth)
        self._fences: Final = fences
        self._valid: dict[int, dict[tuple[bytes, int, int], bool]] = {}
        self._stale: dict[int, dict[tuple[bytes, int, int], Ballot]] = {}
        self._now: dict[int, dict[tuple[bytes, int, int], Ballot]] = {}

    def on_boot(self, host: Host, now: float) -> None:
        for known in (self._valid, self._stale, self._now):
            known.pop(host.index, None)

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        self._now.pop(host.index, None)
        if kind != MESSAGE or kind_of(payload) != ASSIGN:
            return
        frame = read(payload)
        is_valid = frame.ballot >= self._fences.fence_of(host)
        valid, stale = self._valid.setdefault(host.index, {}), self._stale.setdefault(host.index, {})
        for row in frame.body[0]:
            # Two leaders may give the same number.
            key = (row[0], row[1], row[2])
            if is_valid:
                valid[key] = True
            elif key not in valid:
                stale[key] = frame.ballot
                self._now.setdefault(host.index, {})[key] = frame.ballot

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        has_stood = self.truth.has_stood(host)
        stale = self._now.pop(host.index, {}) if has_stood else self._stale.get(host.index, {})
        for effect in effects:
            if isinstance(effect, RunTasks):
                for task in effect.tasks:
                    self._judge(host, task, stale, has_stood)

    def _judge(
        self, host: Host, task: ExecutorTask, stale: dict[tuple[bytes, int, int], Ballot], has_stood: bool
    ) -> None:
        key = (task.job, task.task, task.attempt)
        if key in self._valid.get(host.index, {}):
            return
        ballot = stale.get(key)
        if ballot is not None:
            self.fail("S3", f"{self.name(host)} runs task {task.task} on the order of {_show(ballot)}")
        if not has_stood:
            self.fail("S3", f"{self.name(host)} runs task {task.task}, which nobody ordered")


class LeadershipChecker(Checker):
    """S4 a ballot has one leader, which stops when it did not beat for a lease, asleep or not."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._owners: dict[Ballot, tuple[int, int]] = {}
        self._beat_at: dict[tuple[Ballot, int], float] = {}
        self._asked: dict[Ballot, dict[object, bool]] = {}
        self._granted: dict[Ballot, dict[bytes, bool]] = {}

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        """Count votes where they arrive: one that is lost on its way elects nobody."""
        if kind != PACKET or kind_of(payload) != VOTE_REPLY:
            return
        frame = read(payload)
        _, counter, owner, is_pre_vote, is_granted = frame.body[:5]
        if is_granted and not is_pre_vote and owner == host.node_id != frame.sender:
            self._granted.setdefault((counter, owner), {})[frame.sender] = True

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if not isinstance(effect, SendPacket):
            return
        kind = kind_of(effect.payload)
        if kind not in (BEAT, VOTE_REQUEST):
            return
        frame = read(effect.payload)
        if kind == BEAT:
            self._take_beat(host, frame, now)
            return
        _, counter, owner, is_pre_vote = frame.body[:4]
        if not is_pre_vote:
            self._asked.setdefault((counter, owner), {})[effect.destination] = True

    def _take_beat(self, host: Host, frame: Seen, now: float) -> None:
        ballot = frame.ballot
        if frame.beat < 1:
            return  # it stopped to lead in the moment in which it would have sent this
        mine = (host.index, host.epoch)
        if ballot not in self._owners:
            voters = len(self._asked.get(ballot, {})) + 1
            votes = len(self._granted.get(ballot, {})) + 1
            if 2 * votes <= voters and host.node_id not in self.truth.forgot:
                self.fail(
                    "S4", f"{self.name(host)} leads under {_show(ballot)} with {votes} votes of {voters}"
                )
        owner = self._owners.setdefault(ballot, mine)
        if owner != mine and host.node_id not in self.truth.forgot:
            other = self.cluster.hosts[owner[0]]
            self.fail("S4", f"{self.name(host)} and {self.name(other)} lead under {_show(ballot)}")
        self._check_stall(host, ballot, now)

    def _check_stall(self, host: Host, ballot: Ballot, now: float) -> None:
        """A leader that stood still for longer than its lease must have stopped to lead.

        Of strict meshes leases are judged in true time (`sims.checkers.strict`): who votes alone may lead on.
        What a starved process had to say before it stood still may leave seconds after.
        """
        if host.settings.quorum == STRICT:
            return
        lease_s = host.settings.election.lease_s
        led_at = self._beat_at.setdefault((ballot, host.index), now)
        begin_s, end_s = self.truth.stalls.get(host.index, (0.0, 0.0))
        if host.index in self.truth.starving or self.truth.starved_at >= begin_s > 0:
            return
        # A disk that is stuck silences nobody, and what waits for it leaves later still.
        if host.disk_stuck_until >= begin_s > 0:
            return
        # What waited for the disk when the process stopped leaves first.
        if led_at < begin_s and now >= end_s + DISK_SLACK_S and end_s - begin_s > lease_s + STALL_SLACK_S:
            self.fail(
                "S4",
                f"{self.name(host)} leads on under {_show(ballot)} after {end_s - begin_s:.1f} s of silence",
            )


def _show(ballot: Ballot) -> str:
    return f"({ballot[0]}, {ballot[1].hex()[:6]})"
