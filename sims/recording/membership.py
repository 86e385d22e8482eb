"""Membership against the truth: who lists whom, how soon deaths are seen, who is wronged.

A *member* is an identity, which a host keeps over restarts unless its disk is destroyed. The pair of a
running node and a member is right when the node lists it (as alive or suspect) and it runs, or does not list
it and it does not run. Beliefs are taken from the log events ``member_alive``, ``member_suspect``,
``member_dead`` and ``member_left`` when nodes hand them out; whether they are right is decided by the truth.
"""

from __future__ import annotations

from typing import Final, final

from sims.host import Host
from sims.observer import Observer
from sims.recording.excuses import GRACE_S, Excuses
from sims.recording.rows import NEVER, Death, Doubt, Event
from swarm.core.effects import Effect, Notify
from swarm.core.ids import short

UNKNOWN: Final = 0
ALIVE: Final = 1
SUSPECT: Final = 2
DEAD: Final = 3
LEFT: Final = 4
_STATES: Final = {"alive": ALIVE, "suspect": SUSPECT, "dead": DEAD, "left": LEFT}
_NAMES: Final = ("", "alive", "suspect", "dead", "left")

_PREFIX: Final = "member_"


@final
class _Member:
    """An identity: how many hosts run under it, how many list it, and its death that is being watched."""

    def __init__(self, number: int, host: int) -> None:
        self.number: Final = number
        self.host = host
        self.running = 0
        self.listed = 0
        self.booted_s = NEVER
        self.was_dead = False
        self.death: _Watch | None = None


@final
class _Watch:
    """A death that the others have not all seen yet."""

    def __init__(self, host: int, how: str, time_s: float, pending: dict[int, bool]) -> None:
        self.host: Final = host
        self.how: Final = how
        self.time_s: Final = time_s
        self.pending: Final = pending
        self.observers: Final = len(pending)
        self.first_suspect_s = NEVER
        self.first_s = NEVER
        self.last_s = NEVER
        self.restarted_s = NEVER

    def row(self) -> Death:
        """Return what is known by now."""
        all_s = NEVER if self.pending else self.last_s
        return Death(
            self.host,
            self.how,
            self.time_s,
            self.observers,
            self.first_suspect_s,
            self.first_s,
            all_s,
            self.restarted_s,
        )


@final
class MembershipRecorder(Observer):
    """Keeps the share of right pairs up to date, and notes deaths and doubts.

    Args:
        excuses: who is disturbed.

    Attributes:
        doubts: about running members.
        events: rows for the trace since they were taken last.
    """

    def __init__(self, excuses: Excuses) -> None:
        self._excuses: Final = excuses
        self._members: Final[dict[str, _Member]] = {}
        self._by_number: Final[list[_Member]] = []
        self._own: Final[dict[int, _Member]] = {}
        # One byte for each pair: a dict would take a hundred.
        self._beliefs: Final[dict[int, bytearray]] = {}
        self._watches: Final[list[_Watch]] = []
        self._open: list[_Watch] = []
        self._running_members = 0
        self._right_listed = 0
        self._wrong_listed = 0
        self._suspects = 0
        self.doubts: Final[list[Doubt]] = []
        self.events: list[Event] = []

    # Views

    def share(self) -> float:
        """Return the share of (running node, member) pairs that are right; 1 when there is no pair."""
        nodes = len(self._beliefs)
        others = len(self._members) - 1
        if nodes == 0 or others <= 0:
            return 1.0
        down = len(self._members) - self._running_members
        return (self._right_listed + nodes * down - self._wrong_listed) / (nodes * others)

    def suspects(self) -> int:
        """Return in how many pairs a running node suspects a member."""
        return self._suspects

    def running(self) -> int:
        """Return how many nodes run."""
        return len(self._beliefs)

    def deaths(self) -> list[Death]:
        """Return all deaths so far, in order."""
        return [watch.row() for watch in self._watches]

    # Observing

    def on_boot(self, host: Host, now: float) -> None:
        name = short(host.node_id)
        member = self._members.get(name)
        if member is None:
            member = _Member(len(self._by_number), host.index)
            self._members[name] = member
            self._by_number.append(member)
        self._own[host.index] = member
        self._beliefs[host.index] = bytearray()
        member.host = host.index
        member.booted_s = now
        member.running += 1
        if member.running == 1:
            self._running_members += 1
            self._wrong_listed -= member.listed
            self._right_listed += member.listed
        if member.death is not None:
            member.death.restarted_s = now
            member.death = None

    def on_down(self, host: Host, how: str, now: float) -> None:
        member = self._own.pop(host.index)
        believed = self._beliefs.pop(host.index)
        for number in range(len(believed)):
            self._unlist(self._by_number[number], believed[number])
        self._open = [watch for watch in self._open if watch.pending and watch.restarted_s == NEVER]
        for watch in self._open:
            watch.pending.pop(host.index, None)
        member.running -= 1
        if member.running == 0:
            self._running_members -= 1
            self._right_listed -= member.listed
            self._wrong_listed += member.listed
            member.was_dead = True
            pending: dict[int, bool] = {}
            for observer, beliefs in self._beliefs.items():
                if member.number < len(beliefs) and beliefs[member.number] in (ALIVE, SUSPECT):
                    pending[observer] = True
            member.death = _Watch(host.index, how, now, pending)
            self._watches.append(member.death)
            self._open.append(member.death)

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Notify) and effect.event.startswith(_PREFIX):
                state = _STATES[effect.event[len(_PREFIX) :]]
                accuser = self._members.get(str(effect.values["accuser"]))
                judge = host.index if accuser is None else accuser.host
                self._believe(host.index, str(effect.values["member"]), state, judge, now)

    # Inside

    def _believe(self, observer: int, name: str, state: int, judge: int, now: float) -> None:
        """Note what an observer believes from now on of a member; `judge` is the host that said so first."""
        member = self._members.get(name)
        beliefs = self._beliefs.get(observer)
        if member is None or beliefs is None:
            return
        if member.number >= len(beliefs):
            beliefs.extend(bytes(len(self._by_number) - len(beliefs)))
        before = beliefs[member.number]
        beliefs[member.number] = state
        self._unlist(member, before)
        if state in (ALIVE, SUSPECT):
            member.listed += 1
            self._suspects += state == SUSPECT
            if member.running:
                self._right_listed += 1
            else:
                self._wrong_listed += 1
        event = _PREFIX + _NAMES[state]
        self.events.append(Event(now, observer, event, member.host, 0, _NAMES[before]))
        if member.running:
            if state in (SUSPECT, DEAD):
                self._doubt(observer, member, state, judge, now)
        elif member.death is not None and state != ALIVE:
            self._detect(member.death, observer, state, now)

    def _unlist(self, member: _Member, state: int) -> None:
        if state in (ALIVE, SUSPECT):
            member.listed -= 1
            self._suspects -= state == SUSPECT
            if member.running:
                self._right_listed -= 1
            else:
                self._wrong_listed -= 1

    def _doubt(self, observer: int, member: _Member, verdict: int, judge: int, now: float) -> None:
        has_just_started = member.was_dead and now - member.booted_s < GRACE_S
        excuses = self._excuses
        is_excused = (
            has_just_started
            or excuses.is_excused(observer, member.host, now)
            or excuses.is_excused(judge, member.host, now)
        )
        is_disturbed = excuses.is_disturbed(observer, now) or excuses.is_disturbed(judge, now)
        doubt = Doubt(now, observer, member.host, _NAMES[verdict], is_excused, is_disturbed)
        self.doubts.append(doubt)

    def _detect(self, watch: _Watch, observer: int, state: int, now: float) -> None:
        if state == SUSPECT:
            if watch.first_suspect_s == NEVER:
                watch.first_suspect_s = now
            return
        if watch.pending.pop(observer, False):
            watch.last_s = now
            if watch.first_s == NEVER:
                watch.first_s = now
