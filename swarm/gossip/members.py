"""The table of members: one entry per node ever heard of, and a digest of those that live."""

from __future__ import annotations

from bisect import bisect_left, insort
from hashlib import blake2b
from typing import Final, final

from swarm.core.ids import Address, NodeId
from swarm.core.records import Record
from swarm.gossip.round_trip import RoundTrip
from swarm.gossip.rumours import ALIVE, DEAD, LEFT, STATE_NAMES, SUSPECT, Rumour, make_verdict

DIGEST_SIZE: Final = 8
_SOURCES_KEPT: Final = 2


@final
class Member(Record):
    """A view of one member, a copy.

    Attributes:
        node_id, name: who.
        addresses: where it can be reached, best first.
        incarnation: the highest one known.
        state: "alive", "suspect", "dead" or "left".
        facts: what it said about itself.
        since: when it came into this state, monotonic seconds.
    """

    __slots__ = ("addresses", "facts", "incarnation", "name", "node_id", "since", "state")

    def __init__(
        self,
        node_id: NodeId,
        name: str,
        addresses: list[Address],
        incarnation: int,
        state: str,
        facts: dict[str, object],
        since: float,
    ) -> None:
        self.node_id: Final = node_id
        self.name: Final = name
        self.addresses: Final = addresses
        self.incarnation: Final = incarnation
        self.state: Final = state
        self.facts: Final = facts
        self.since: Final = since

    def fields(self) -> tuple[object, ...]:
        return (
            self.node_id,
            self.name,
            self.addresses,
            self.incarnation,
            self.state,
            self.facts,
            self.since,
        )


class MemberEntry:
    """What this node holds about one member. Only `Membership` changes state and incarnation."""

    def __init__(self, description: Rumour, now: float) -> None:
        assert description.state == ALIVE, "a member is first heard of as alive"
        self.node_id: Final = description.node_id
        self.description = description
        self.incarnation = description.incarnation
        self.state = ALIVE
        self.accuser = description.node_id
        self.since = now
        self.death_incarnation = -1
        self.sources: list[Address] = []
        self.addresses: list[Address] = []
        self.persisted: list[Address] = []
        self.round_trip: Final = RoundTrip()
        self.window_start = now
        self.window_count = 0
        self.confirmed_at = -1e9
        self.answered_at = -1e9
        self.answered_source: Address = ("", 0)

    def is_listed(self) -> bool:
        """Return whether the member counts as there: alive or suspect."""
        return self.state in (ALIVE, SUSPECT)

    def view(self) -> Member:
        """Return a copy for others to read."""
        return Member(
            self.node_id,
            self.description.name,
            self.addresses[:],
            self.incarnation,
            STATE_NAMES[self.state],
            dict(self.description.facts),
            self.since,
        )

    def note_source(self, source: Address) -> bool:
        """Note where a packet of this member came from; return whether that was news."""
        if self.sources and self.sources[0] == source:
            return False
        kept = [place for place in self.sources if place[0] != source[0]]
        self.sources = [source, *kept][:_SOURCES_KEPT]
        return True

    def verdict(self) -> Rumour:
        """Return the rumour of the present state; the member must not be alive."""
        return make_verdict(self.state, self.node_id, self.incarnation, self.accuser)


def reachable_addresses(sources: list[Address], advertised: list[Address], count_max: int) -> list[Address]:
    """Return where to reach a member, best first.

    A packet's source host is known to work from here, the ports are the member's to tell: so first every
    (source host, advertised port), then the advertised list. Only of a member that advertises nothing
    is the source's port taken.
    """
    result: list[Address] = []
    for host, port in sources:
        chosen = advertised[0][1] if advertised else port
        for other, other_port in advertised:
            if other == host:
                chosen = other_port
                break
        if (host, chosen) not in result:
            result.append((host, chosen))
    for place in advertised:
        if place not in result:
            result.append(place)
    return result[:count_max]


def supersedes(state: int, incarnation: int, held_state: int, held_incarnation: int) -> bool:
    """Return whether a rumour overrides what is held about the same member.

    A higher incarnation wins; within one, LEFT beats DEAD beats SUSPECT beats ALIVE. Only ALIVE brings
    back the dead or those that left, and only with a higher incarnation.

    Source: Das, Gupta, Motivala, "SWIM" (2002), section 4.2, with LEFT added.
    """
    if state == ALIVE:
        return incarnation > held_incarnation
    if state == SUSPECT and held_state in (DEAD, LEFT):
        return False
    if incarnation == held_incarnation:
        return state > held_state
    return incarnation > held_incarnation


class MemberTable:
    """All entries, kept so that the views that others ask for often are cheap."""

    def __init__(self) -> None:
        self.entries: dict[NodeId, MemberEntry] = {}
        self._digest = 0
        self._packed_digest = b""
        self._listed: list[NodeId] = []

    def get(self, node_id: NodeId) -> MemberEntry | None:
        """Return the entry of a member."""
        return self.entries.get(node_id)

    def add(self, entry: MemberEntry) -> None:
        """Add an entry that lives."""
        assert entry.node_id not in self.entries, "a member is added once"
        assert entry.is_listed(), "only the living are added"
        self.entries[entry.node_id] = entry
        self._digest ^= _fingerprint(entry.node_id, entry.incarnation)
        self._packed_digest = b""
        insort(self._listed, entry.node_id)

    def change(self, entry: MemberEntry, state: int, incarnation: int, accuser: NodeId, now: float) -> None:
        """Move an entry to another state or incarnation, keeping digest and views right."""
        assert incarnation >= entry.incarnation, "an incarnation never falls"
        was_listed = entry.is_listed()
        if was_listed:
            self._digest ^= _fingerprint(entry.node_id, entry.incarnation)
        if entry.state != state:
            entry.since = now
        entry.state = state
        entry.incarnation = incarnation
        entry.accuser = accuser
        self._packed_digest = b""
        if entry.is_listed():
            self._digest ^= _fingerprint(entry.node_id, entry.incarnation)
            if not was_listed:
                insort(self._listed, entry.node_id)
        else:
            entry.death_incarnation = max(entry.death_incarnation, incarnation)
            if was_listed:
                del self._listed[bisect_left(self._listed, entry.node_id)]

    def remove(self, node_id: NodeId) -> None:
        """Forget a member that is dead or left."""
        entry = self.entries.pop(node_id)
        assert not entry.is_listed(), "the living are not forgotten"

    def digest(self) -> bytes:
        """Return a digest of (id, incarnation) of all alive and suspect members, 8 bytes.

        Suspects count as alive and the gone not at all, so that a rumour still under way about a
        suspicion, or a death that some have forgotten already, makes no tables differ.
        """
        if not self._packed_digest:
            self._packed_digest = self._digest.to_bytes(DIGEST_SIZE, "big")
        return self._packed_digest

    def computed_digest(self) -> bytes:
        """Return what `digest` should be, from scratch (for the invariants)."""
        value = 0
        for entry in self.entries.values():
            if entry.is_listed():
                value ^= _fingerprint(entry.node_id, entry.incarnation)
        return value.to_bytes(DIGEST_SIZE, "big")

    def listed(self) -> list[NodeId]:
        """Return the ids of all alive and suspect members, sorted. Not a copy: do not change it."""
        return self._listed

    def place_of(self, node_id: NodeId) -> int:
        """Return where a member stands in :meth:`listed`, -1 when it is not there."""
        place = bisect_left(self._listed, node_id)
        return place if place < len(self._listed) and self._listed[place] == node_id else -1

    def with_state(self, state: int) -> list[MemberEntry]:
        """Return the entries in a state, in the order in which they were first heard of."""
        return [entry for entry in self.entries.values() if entry.state == state]


def _fingerprint(node_id: NodeId, incarnation: int) -> int:
    data = node_id + incarnation.to_bytes(8, "big")
    return int.from_bytes(blake2b(data, digest_size=DIGEST_SIZE).digest(), "big")
