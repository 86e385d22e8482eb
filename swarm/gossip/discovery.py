"""Discovery: hellos to everybody, answers to them, and asking again those that do not answer.

Hellos go out in a burst at start and wake, then by the Trickle algorithm: once an interval, not at all when
enough others did, the interval doubling while nothing new is heard and falling back when a stranger is.
A hello to everybody is answered, by unicast to its source, by a few of the mesh; one sent to us alone,
always.

Seeds, remembered addresses and the dead are greeted again from a second on, backing off, and the dead all
at once when one of them comes back: no two halves of a mesh stay apart for ever.

Source: RFC 6206 (Trickle).
"""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Packet
from swarm.core.ids import EVERYWHERE, Address, NodeId
from swarm.gossip.context import HELLO, RECONNECT, Context
from swarm.gossip.limits import TokenBucket, choose_some
from swarm.gossip.members import MemberEntry
from swarm.gossip.membership import Membership
from swarm.gossip.rumours import DEAD, is_address
from swarm.wire.messages import HELLO as HELLO_PACKET
from swarm.wire.messages import PROTOCOL_MAX, PROTOCOL_MIN, RUMOURS

_GREETED_ADDRESSES_MAX: Final = 4
_ANSWERS_ENOUGH: Final = 3
_COPIES_WITHIN_S: Final = 0.05
_COPIES_KNOWN_MAX: Final = 256
"""Hellos remembered to know their copies by: no bound on right or wrong, an answer too many does no harm."""


class HelloSchedule:
    """When to say hello to everybody: a burst, then Trickle. Pure arithmetic; the owner holds the timer."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._burst_next = 0
        self._burst_start = 0.0
        self.interval_s = context.config.hello_interval_min_s
        self._interval_end = 0.0
        self._is_sent = True
        self._heard: list[NodeId] = []
        self.answer_count = 0

    def start_burst(self, now: float) -> float:
        """Begin with a burst; return when the first hello is due (now)."""
        self._burst_next = 0
        self._burst_start = now
        self.answer_count = 0
        return now

    def is_bursting(self) -> bool:
        """Return whether hellos of the burst are still to come."""
        return self._burst_next < len(self._context.config.hello_burst_s)

    def fire(self, now: float) -> tuple[bool, float]:
        """Return (whether to say hello now, when to call this again)."""
        config = self._context.config
        if self.is_bursting():
            is_wanted = self.answer_count < _ANSWERS_ENOUGH
            self._burst_next += 1
            if self.is_bursting():
                jitter = self._context.rng.uniform(0.9, 1.1)
                due = self._burst_start + config.hello_burst_s[self._burst_next] * jitter
                return (is_wanted, max(now, due))
            return (is_wanted, self._begin_interval(config.hello_interval_min_s, now))
        if self._is_sent:
            doubled = min(2 * self.interval_s, config.hello_interval_max_s)
            return (False, self._begin_interval(doubled, now))
        self._is_sent = True
        return (len(self._heard) < config.hello_redundancy, max(now, self._interval_end))

    def hear(self, sender: NodeId) -> None:
        """Note a hello to everybody by a member we know."""
        if sender not in self._heard and len(self._heard) < self._context.config.hello_redundancy:
            self._heard.append(sender)

    def hear_stranger(self, now: float) -> float:
        """Fall back to the shortest interval; return when to call `fire`, -1 for no change."""
        shortest = self._context.config.hello_interval_min_s
        if self.is_bursting() or self.interval_s <= shortest:
            return -1.0
        return self._begin_interval(shortest, now)

    def _begin_interval(self, interval_s: float, now: float) -> float:
        self.interval_s = interval_s
        self._interval_end = now + interval_s
        self._is_sent = False
        self._heard = []
        return now + self._context.rng.uniform(interval_s / 2, interval_s)


class Discovery:
    """Sends and answers hellos; keeps the addresses that somebody may be found at."""

    def __init__(self, context: Context, membership: Membership, remembered: list[Address]) -> None:
        self._context = context
        self._membership = membership
        self.schedule = HelloSchedule(context)
        self.contacts: dict[Address, NodeId] = {}
        self._backoff_s = context.config.reconnect_interval_min_s
        rate = context.config.hello_answers_per_second
        self._answers = TokenBucket(rate, rate)
        self._next_group_greeting = 0.0
        self._answered: dict[NodeId, tuple[float, Address]] = {}
        self._answered_before: dict[NodeId, tuple[float, Address]] = {}
        self._answered_since = 0.0
        self._remembered: Final = remembered

    def start(self, seeds: list[Address], now: float) -> None:
        """Begin to look for others; seeds are kept before remembered addresses."""
        for place in seeds + self._remembered:
            if len(self.contacts) >= self._context.config.contacts_max:
                self._context.count("contacts_dropped")
            elif is_address(place[0], place[1]) and place not in self._membership.own.addresses:
                self.contacts[place] = b""
        self.burst(now)

    def burst(self, now: float) -> None:
        """Say hello everywhere now and some times soon; ask the dead again from the shortest interval."""
        self._backoff_s = self._context.config.reconnect_interval_min_s
        self._context.timers.set(HELLO, b"", self.schedule.start_burst(now))
        self._plan_reconnection(now)

    # Timers

    def on_hello_timer(self, now: float) -> None:
        """Say hello to everybody when the schedule says so; in a burst, to unanswered addresses too."""
        if now - self._answered_since >= 2 * _COPIES_WITHIN_S and self._answered:
            self._answered = {}
            self._answered_before = {}
        is_burst = self.schedule.is_bursting()
        is_due, when = self.schedule.fire(now)
        if is_due:
            # Not counted as a packet: it leaves by every interface at once.
            self._context.emit(Packet(EVERYWHERE, HELLO_PACKET, self._hello(is_burst, False)))
            self._context.count("hellos_to_everybody")
        if is_burst:
            for place in self.unanswered_contacts():
                self.greet(place)
        self._context.timers.set(HELLO, b"", when)

    def on_reconnect_timer(self, now: float) -> None:
        """Greet some of the dead and some unanswered addresses, and back off.

        The rarer the rounds, the fewer are greeted in one; and members share the greeting of the dead.
        """
        config = self._context.config
        rng = self._context.rng
        rarity = self._backoff_s / config.reconnect_interval_min_s
        count = max(1, int(config.reconnect_count_max / rarity**2))
        for place in choose_some(rng, self.unanswered_contacts(), count):
            self.greet(place)
        share = config.reconnect_mesh_count / max(1, self._membership.alive_count())
        if share < count:
            count = int(share) + (1 if rng.unit() < share - int(share) else 0)
        for entry in choose_some(rng, self._membership.table.with_state(DEAD), count):
            self._greet_member(entry)
        self._backoff_s = min(2 * self._backoff_s, config.reconnect_interval_max_s)
        self._plan_reconnection(now)

    # What the others do

    def on_hello(
        self, sender: NodeId, source: Address, was_listed: bool, is_wanted: bool, is_direct: bool, now: float
    ) -> None:
        """React to a hello whose rumour has been applied.

        Args:
            sender, source: who, and where the packet came from.
            was_listed: the sender was alive or suspect for us before.
            is_wanted: it asks for an answer.
            is_direct: it was sent to us alone.
            now: monotonic seconds.
        """
        if not is_direct:
            if was_listed:
                self.schedule.hear(sender)
            else:
                when = self.schedule.hear_stranger(now)
                if when >= 0:
                    self._context.timers.set(HELLO, b"", when)
        elif not is_wanted:
            self.schedule.answer_count += 1
            if source in self.contacts:
                self.contacts[source] = sender
        if is_wanted:
            if not self._is_copy(sender, source, now) and (is_direct or self._is_chosen()):
                self._answer(source, now)
        elif not is_direct and not was_listed and self._is_chosen():
            self.greet_stranger(source, now)

    def answer_client(self, source: Address, now: float) -> None:
        """Say hello to one that is no member but holds the secret."""
        self._answer(source, now)

    def greet(self, place: Address) -> None:
        """Say hello to an address and ask for an answer."""
        self._context.send(place, HELLO_PACKET, self._hello(True, True))

    def greet_stranger(self, source: Address, now: float) -> None:
        """Greet the source of a packet whose sender is not alive in our table, at a bounded rate."""
        if self._answers.take(now):
            self.greet(source)

    def tell_who_is_here(self, source: Address, now: float) -> None:
        """Tell one that looks for somebody else at this address who lives here now, at a bounded rate.

        The sender of the packet is all that it says: the answer is shorter than the question.
        """
        if self._answers.take(now):
            self._context.send(source, RUMOURS, [[]])

    def on_own_echo(self, source: Address) -> None:
        """One of the addresses to try turned out to be our own."""
        self.contacts.pop(source, None)

    def on_death(self, now: float) -> None:
        """Somebody died: ask again soon whether it is really gone."""
        self._backoff_s = self._context.config.reconnect_interval_min_s
        self._plan_reconnection(now)

    def on_revival(self, now: float) -> None:
        """One of the dead is back: probably others are, a cut has healed. Greet them all."""
        if now < self._next_group_greeting:
            return
        config = self._context.config
        self._next_group_greeting = now + config.reconnect_interval_min_s
        dead = self._membership.table.with_state(DEAD)
        for entry in choose_some(self._context.rng, dead, config.reconnect_burst_max):
            self._greet_member(entry)
        self._backoff_s = config.reconnect_interval_min_s
        self._plan_reconnection(now)

    def unanswered_contacts(self) -> list[Address]:
        """Return the seeds and remembered addresses at which no alive member is known."""
        if not self.contacts:
            return []
        table = self._membership.table
        known: dict[Address, bool] = {}
        for node_id in table.listed():
            for place in table.entry(node_id).addresses:
                known[place] = True
        result: list[Address] = []
        for place, node_id in self.contacts.items():
            answerer = table.get(node_id)
            if place not in known and (answerer is None or not answerer.is_listed()):
                result.append(place)
        return result

    # Inside

    def _answer(self, source: Address, now: float) -> None:
        if self._answers.take(now):
            self._context.send(source, HELLO_PACKET, self._hello(False, True))
        else:
            self._context.count("hellos_unanswered")

    def _is_copy(self, sender: NodeId, source: Address, now: float) -> bool:
        """Return whether this hello came from the same source a moment ago, by another way."""
        if now - self._answered_since >= _COPIES_WITHIN_S or len(self._answered) >= _COPIES_KNOWN_MAX:
            self._answered_before = self._answered
            self._answered = {}
            self._answered_since = now
        last = self._answered.get(sender)
        if last is None:
            last = self._answered_before.get(sender)
        if last is not None and last[1] == source and now - last[0] < _COPIES_WITHIN_S:
            return True
        self._answered[sender] = (now, source)
        return False

    def _hello(self, is_wanted: bool, is_direct: bool) -> list[object]:
        own = self._membership.own.description.packed
        digest = self._membership.table.digest()
        return [own, digest, is_wanted, PROTOCOL_MIN, PROTOCOL_MAX, is_direct]

    def _is_chosen(self) -> bool:
        share = self._context.config.hello_answers_wanted / max(1, self._membership.alive_count())
        return share >= 1.0 or self._context.rng.unit() < share

    def _greet_member(self, entry: MemberEntry) -> None:
        for place in entry.addresses[:_GREETED_ADDRESSES_MAX]:
            self.greet(place)

    def _plan_reconnection(self, now: float) -> None:
        # Jitter keeps the two sides of a cut, or many nodes that lost one, from asking in step.
        pause_s = self._backoff_s * self._context.rng.uniform(0.8, 1.0)
        self._context.timers.set(RECONNECT, b"", now + pause_s)
