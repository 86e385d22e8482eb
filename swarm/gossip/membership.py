"""Who is alive: every change of the member table happens here, by rumour or by our own verdict.

States and who moves them::

    unknown -> alive     a rumour by the member itself
    alive -> suspect     a rumour, or our own failed probe
    suspect -> alive     a higher incarnation, which only the member itself raises
    suspect -> dead      the suspicion's timer, or a rumour
    alive -> dead        a refused port that stayed silent, or a rumour
    any -> left          the member's own goodbye
    dead, left -> alive  a higher incarnation

What others say about *us* never changes our state: it makes us raise our incarnation above theirs and
say so before anything else is said.
"""

from __future__ import annotations

from typing import Final

from swarm.core.effects import MemberChanged, Persist
from swarm.core.errors import ConfigError, DecodeError
from swarm.core.ids import NO_NODE, Address, NodeId, short
from swarm.gossip.awareness import Awareness
from swarm.gossip.clones import CloneWatch
from swarm.gossip.context import EXPIRE, Context
from swarm.gossip.description import describe
from swarm.gossip.dissemination import RumourQueue, transmission_limit
from swarm.gossip.interning import Interner
from swarm.gossip.limits import Allowances
from swarm.gossip.members import (
    MemberEntry,
    MemberTable,
    reachable_addresses,
    sources_after,
    sources_told,
    supersedes,
)
from swarm.gossip.remembered import Remembered
from swarm.gossip.round_trip import RoundTrip
from swarm.gossip.rumours import (
    ALIVE,
    DEAD,
    LEFT,
    STATE_NAMES,
    SUSPECT,
    Rumour,
    is_address,
    make_verdict,
    unpack_rumour_untrusted,
)
from swarm.gossip.suspicion import Suspicions
from swarm.wire.codec import COUNTER_MAX, pack

_EXPIRE_EVERY_S: Final = 600.0
_PACKET_OVERHEAD_BYTES: Final = 80


class Membership:
    """The table, the suspicions and the rumours about both.

    Attributes:
        table: the members, ourselves included.
        queue: rumours to pass on.
        awareness: our own health as a judge of others.
        round_trips: of members that have answered a ping.
        suspicions: one per suspect member.
        is_leaving: we said goodbye; nothing is believed any more.
        is_yielding: our identity belongs to another process; nothing is said any more.
        touched: members whose view changed in any way, or that were forgotten, since somebody looked.
        was_accused: somebody held an outdated or bad view of us since the flag was last cleared.
    """

    def __init__(
        self,
        context: Context,
        name: str,
        addresses: list[Address],
        facts: dict[str, object],
        incarnation: int,
        interner: Interner | None = None,
    ) -> None:
        config = context.config
        self._context = context
        self._interner: Final = interner
        self.table = MemberTable()
        self.queue = RumourQueue(config.rumour_queue_max)
        self.awareness = Awareness(config.awareness_max)
        self.suspicions: Final = Suspicions(context, self.awareness)
        self.is_leaving = self.is_yielding = False
        self._clones: Final = CloneWatch(context)
        self.touched: dict[NodeId, bool] = {}
        self.was_accused = False
        self._changes: list[tuple[NodeId, str, str]] = []
        self.round_trips: dict[NodeId, RoundTrip] = {}
        self._remembered: Final = Remembered(context, interner)
        self._allowances: Final = Allowances(config.rumours_per_second_max)
        self._limit_count = self._limit = 0
        if not 0 <= incarnation < COUNTER_MAX:
            raise ConfigError(f"incarnation {incarnation} is out of range")
        self.own = MemberEntry(self._known(describe(context, name, addresses, facts, incarnation)))
        self.table.add_own(self.own)
        self.touched[self.own.node_id] = True

    # Reading

    def alive_count(self) -> int:
        """Return how many members are alive or suspect, ourselves included, >= 0."""
        return len(self.table.listed())

    def listed_peers(self) -> list[NodeId]:
        """Return all alive and suspect members but ourselves, sorted."""
        own_id = self._context.node_id
        return [node_id for node_id in self.table.listed() if node_id != own_id]

    def choose_peers(self, count: int, without: NodeId) -> list[NodeId]:
        """Return `count` random members that are there, without ourselves and `without`."""
        return self.table.choose(self._context.rng, count, self._context.node_id, without)

    def settle(self, now: float) -> None:
        """Take that everybody seems to hold what we hold: what is queued about the living is known."""
        for node_id in self.queue.members():
            entry = self.table.get(node_id)
            if entry is not None and entry.state == ALIVE:
                self.queue.drop(node_id)
        self._allowances.tidy(now)
        if self._interner is not None:
            self._interner.share(self.table)

    def take_changes(self) -> list[tuple[NodeId, str, str]]:
        """Return and forget (member, state before, state after) since the last call, oldest first."""
        changes = self._changes
        self._changes = []
        return changes

    def packet_rumours(self, receiver: NodeId, reserved_bytes: int) -> list[object]:
        """Return the rumours to put into a packet to `receiver`.

        Whatever is held against the receiver goes first (Lifeguard's buddy system), so that it can
        answer. Nothing else is told to one held for gone or suspect, for it would count as told to
        somebody. `reserved_bytes` are kept free for more than the fixed fields of a packet.
        """
        config = self._context.config
        budget = config.packet_size_max_bytes - _PACKET_OVERHEAD_BYTES - reserved_bytes
        result: list[object] = []
        accusation = self.accusation_of(receiver)
        if accusation is not None:
            result.append(accusation)
            return result
        if len(self.queue) > 0:
            limit = self._transmission_limit()
            result.extend(self.queue.take(budget, limit, config.rumours_per_packet_max))
        return result

    def accusation_of(self, node_id: NodeId) -> bytes | None:
        """Return the rumour held against a member, None when it is alive or unknown."""
        entry = self.table.get(node_id)
        if entry is None or entry.state == ALIVE:
            return None
        return entry.verdict().packed

    def all_rumours(self, known: list[object]) -> list[bytes]:
        """Return the whole table as rumours, except those in `known`: one half of a push-pull."""
        seen: set[bytes] = set()
        for item in known:
            if isinstance(item, bytes):
                seen.add(item)
        result: list[bytes] = []
        for entry in self.table.members():
            if entry.is_listed() and entry.description.packed not in seen:
                result.append(entry.description.packed)
            if entry.state != ALIVE:
                verdict = entry.verdict().packed
                if verdict not in seen:
                    result.append(verdict)
        return result

    # What others say

    def receive_rumours(self, sender: NodeId, items: list[object], is_bulk: bool, now: float) -> int:
        """Apply rumours; undecodable ones and those over the sender's allowance are counted and dropped.

        Args:
            sender: who passed them on.
            items: as they came in the body.
            is_bulk: they came by push-pull: no allowance, and a death is taken for a suspicion, for it
                may be the view of the other side of a healed partition. Who declared it and who tells it
                are two accusers.
            now: monotonic seconds.

        Returns:
            How many changed what we hold.
        """
        config = self._context.config
        if not items:
            return 0
        allowed = len(items)
        if not is_bulk:
            # All strangers together are allowed what one member is.
            who = NO_NODE if self.table.get(sender) is None else sender
            allowed = self._allowances.take(who, min(allowed, config.rumours_per_packet_max), now)
        if allowed < len(items):
            self._context.count("rumours_over_limit")
        knew_others = self.alive_count() > 2
        changed = 0
        for index in range(allowed):
            item = items[index]
            if not isinstance(item, bytes):
                self._context.count("bad_rumours")
                continue
            try:
                rumour = self.decode_untrusted(item)
            except DecodeError:
                self._context.count("bad_rumours")
                continue
            if is_bulk and rumour.state == DEAD and rumour.node_id != self._context.node_id:
                is_change = self._hear_of_death(sender, rumour, now)
            else:
                is_change = self.apply(rumour, now)
            if is_change:
                changed += 1
                if is_bulk and not knew_others and rumour.node_id != self._context.node_id:
                    # Everybody we could tell is among those who told us.
                    self.queue.drop(rumour.node_id)
        return changed

    def _hear_of_death(self, teller: NodeId, death: Rumour, now: float) -> bool:
        """Suspect a member that somebody holds for dead, and count the teller among the accusers."""
        is_change = False
        for accuser in (death.accuser, teller):
            verdict = make_verdict(SUSPECT, death.node_id, death.incarnation, accuser)
            is_change = self.apply(verdict, now) or is_change
        return is_change

    def decode_untrusted(self, packed: bytes) -> Rumour:
        """Return the rumour in `packed`; raises DecodeError when it is none."""
        if self._interner is not None:
            return self._interner.rumour(packed)
        return unpack_rumour_untrusted(packed, self._context.config)

    def apply(self, rumour: Rumour, now: float) -> bool:
        """Apply one rumour; return whether it changed what we hold."""
        if rumour.node_id == self._context.node_id:
            return self._hear_about_self(rumour, now)
        entry = self.table.get(rumour.node_id)
        if entry is None:
            return self._meet(rumour, now)
        if rumour.incarnation > entry.incarnation + self._context.config.incarnation_jump_max:
            self._context.count("incarnation_jumps")
            return False
        if rumour.state == ALIVE and rumour.incarnation == entry.incarnation:
            return self._fill_in(entry, rumour)
        if rumour.state == SUSPECT and entry.state == SUSPECT and rumour.incarnation == entry.incarnation:
            return self._confirm(entry, rumour, now)
        if not supersedes(rumour.state, rumour.incarnation, entry.state, entry.incarnation):
            return False
        self._move(entry, rumour, now)
        return True

    # Our own verdicts

    def suspect(self, node_id: NodeId, now: float) -> None:
        """Accuse a member that did not answer; a member already suspect is confirmed."""
        entry = self.table.get(node_id)
        if entry is not None and entry.is_listed():
            self.apply(make_verdict(SUSPECT, node_id, entry.incarnation, self._context.node_id), now)

    def declare_dead(self, node_id: NodeId, now: float) -> None:
        """Declare an alive or suspect member dead."""
        entry = self.table.get(node_id)
        if entry is not None and entry.is_listed():
            self.apply(make_verdict(DEAD, node_id, entry.incarnation, self._context.node_id), now)

    def end_suspicion(self, node_id: NodeId, now: float) -> None:
        """Take that the time of a suspect is over: it is dead, unless there is reason to wait."""
        if self.suspicions.is_due(node_id, now):
            self.declare_dead(node_id, now)

    # Ourselves

    def announce(self) -> None:
        """Say for the first time that we are alive; persists the incarnation."""
        self._persist_incarnation()
        self.queue.put(self.own.node_id, self.own.description.packed, True)
        self._note_change(self.own, "unknown", "alive")

    def redescribe(self, addresses: list[Address], facts: dict[str, object]) -> None:
        """Tell everybody other addresses or facts, under a higher incarnation; too late once we leave.

        Raises:
            ConfigError: they are unusable; nothing changed.
        """
        if self.is_leaving:
            return
        name = self.own.description.name
        rumour = describe(self._context, name, addresses, facts, self.own.incarnation)
        if rumour.packed != self.own.description.packed:
            self._raise_incarnation(self.own.incarnation + 1, addresses, facts)

    def say_goodbye(self, now: float) -> bytes:
        """Move ourselves to LEFT and return the rumour to tell everybody."""
        self.is_leaving = True
        own = self.own
        self.table.change(own, LEFT, own.incarnation, own.node_id, now)
        self._note_change(own, "alive", "left")
        return own.verdict().packed

    # Addresses and memory

    def is_news(self, entry: MemberEntry, source: Address) -> bool:
        """Return whether a packet of this member comes from elsewhere than expected."""
        return not entry.is_from(source) and is_address(source[0], source[1])

    def note_source(self, entry: MemberEntry, source: Address) -> None:
        """Learn that this member is at `source`, which was proven (`swarm.gossip.paths`)."""
        sources = sources_after(entry, source)
        if sources != entry.sources:
            entry = self.table.private(entry)
            entry.sources = sources
            self._set_addresses(entry, entry.addresses)

    def expire(self, now: float) -> None:
        """Forget those that have been dead or away for long, and look again later."""
        config = self._context.config
        for entry in self.table.with_state(DEAD):
            if now - entry.since >= config.dead_kept_s:
                self._forget(entry)
        for entry in self.table.with_state(LEFT):
            if now - entry.since >= config.left_kept_s and entry is not self.own:
                self._forget(entry)
        self._context.timers.set(EXPIRE, b"", now + _EXPIRE_EVERY_S)

    # Inside

    def _transmission_limit(self) -> int:
        count = self.alive_count()
        if count != self._limit_count:
            self._limit_count = count
            self._limit = transmission_limit(self._context.config, count)
        return self._limit

    def _hear_about_self(self, rumour: Rumour, now: float) -> bool:
        own = self.own
        if self.is_leaving or self.is_yielding:
            return False
        if rumour.incarnation > own.incarnation + self._context.config.incarnation_jump_max:
            self._context.count("incarnation_jumps")
            return False
        if rumour.state == ALIVE:
            is_same = rumour.incarnation == own.incarnation and rumour.packed == own.description.packed
            if rumour.incarnation < own.incarnation or is_same:
                return False
            if self._clones.has_to_yield(own.description, rumour, now):
                self.is_yielding = True
                return False
        else:
            self.was_accused = True
            if rumour.incarnation < own.incarnation:
                return False
            self.awareness.change(1)
        self._context.count("refutations")
        claim = STATE_NAMES[rumour.state]
        told = {"accuser": self._short(rumour.accuser), "claim": claim, "incarnation": rumour.incarnation}
        self._context.notify("refuted", told)
        description = own.description
        self._raise_incarnation(rumour.incarnation + 1, description.addresses, description.facts)
        self.was_accused = True
        return True

    def _raise_incarnation(
        self, incarnation: int, addresses: list[Address], facts: dict[str, object]
    ) -> None:
        own = self.own
        assert incarnation > own.incarnation, "I1: our incarnation only rises"
        own.description = self._known(
            describe(self._context, own.description.name, addresses, facts, incarnation)
        )
        own.addresses = own.description.addresses
        self.table.change(own, ALIVE, incarnation, own.node_id, own.since)
        self._persist_incarnation()
        self.queue.put(own.node_id, own.description.packed, True)
        self._note_change(own, "alive", "alive")

    def _persist_incarnation(self) -> None:
        self._context.emit(Persist("node", b"incarnation", pack(self.own.incarnation), False))

    def _meet(self, rumour: Rumour, now: float) -> bool:
        if rumour.state != ALIVE:
            return False
        if rumour.incarnation > self._context.config.incarnation_first_max:
            self._context.count("incarnation_jumps")
            return False
        if len(self.table) >= self._context.config.members_max and not self._make_room():
            self._context.count("table_full")
            return False
        entry = MemberEntry(rumour) if self._interner is None else self._interner.entry(rumour)
        self.table.add(entry)
        self._note_addresses(entry, [], entry.addresses)
        if not self.queue.put(rumour.node_id, rumour.packed, False, True):
            self._context.count("rumours_dropped")
        self._note_change(entry, "unknown", "alive")
        return True

    def _make_room(self) -> bool:
        gone = self.table.with_state(LEFT) + self.table.with_state(DEAD)
        oldest: MemberEntry | None = None
        for entry in gone:
            if entry is not self.own and (oldest is None or entry.since < oldest.since):
                oldest = entry
        if oldest is None:
            return False
        self._context.count("members_evicted")
        self._forget(oldest)
        return True

    def _forget(self, entry: MemberEntry) -> None:
        self.queue.drop(entry.node_id)
        self.table.remove(entry.node_id)
        self.round_trips.pop(entry.node_id, None)
        self.touched[entry.node_id] = True
        self._remembered.forget(entry.node_id, self.table)

    def _fill_in(self, entry: MemberEntry, rumour: Rumour) -> bool:
        # A suspicion may have told us of this incarnation before the member's own words arrived.
        if entry.description.incarnation >= rumour.incarnation:
            return False
        self._describe(entry, rumour)
        return True

    def _describe(self, entry: MemberEntry, rumour: Rumour) -> None:
        """Take a member's own words of its present incarnation."""
        before = entry.addresses
        sources = sources_told(entry, rumour.addresses)
        if self._interner is not None and entry.state == ALIVE and not sources:
            self.table.replace(self._interner.entry(rumour))
            self._note_addresses(entry, before, rumour.addresses)
            return
        entry = self.table.private(entry)
        entry.description = rumour
        entry.sources = sources
        self._set_addresses(entry, before)

    def _confirm(self, entry: MemberEntry, rumour: Rumour, now: float) -> bool:
        if not self.suspicions.confirm(entry.node_id, rumour.accuser, now):
            return False
        self._pass_on(rumour, False)
        return True

    def _move(self, entry: MemberEntry, rumour: Rumour, now: float) -> None:
        node_id = entry.node_id
        before = entry.state
        if before == SUSPECT and rumour.state != SUSPECT:
            self.suspicions.end(node_id)
        entry = self.table.change(entry, rumour.state, rumour.incarnation, rumour.accuser, now)
        if rumour.state == ALIVE:
            self._describe(entry, rumour)
            entry = self.table.entry(node_id)
        elif rumour.state == SUSPECT:
            self.suspicions.begin(node_id, rumour.accuser, self.alive_count(), now)
        self._pass_on(rumour, rumour.state == ALIVE and before != ALIVE)
        self._note_change(entry, STATE_NAMES[before], STATE_NAMES[rumour.state])

    def _pass_on(self, rumour: Rumour, is_urgent: bool) -> None:
        if not self.queue.put(rumour.node_id, rumour.packed, is_urgent):
            self._context.count("rumours_dropped")

    def _note_change(self, entry: MemberEntry, before: str, after: str) -> None:
        self._context.emit(MemberChanged(entry.node_id, entry.incarnation, before, after))
        self._changes.append((entry.node_id, before, after))
        self.touched[entry.node_id] = True
        if before != after and entry is not self.own:
            self._context.count("members_" + after)
            self._context.notify(
                "member_" + after,
                {
                    "member": self._short(entry.node_id),
                    "name": entry.description.name,
                    "incarnation": entry.incarnation,
                    "before": before,
                    "accuser": self._short(entry.accuser),
                },
            )

    def _known(self, rumour: Rumour) -> Rumour:
        """Return the one object for a rumour, where there is an interner."""
        return rumour if self._interner is None else self._interner.rumour(rumour.packed)

    def _short(self, node_id: NodeId) -> str:
        return short(node_id) if self._interner is None else self._interner.short(node_id)

    def _set_addresses(self, entry: MemberEntry, before: list[Address]) -> None:
        count_max = self._context.config.addresses_max
        entry.addresses = reachable_addresses(entry.sources, entry.description.addresses, count_max)
        self._note_addresses(entry, before, entry.addresses)

    def _note_addresses(self, entry: MemberEntry, before: list[Address], after: list[Address]) -> None:
        node_id = entry.node_id
        self.touched[node_id] = True
        if sorted(before) != sorted(after):
            self._remembered.note(self.table.entry(node_id))
