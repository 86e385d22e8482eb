"""The table of members: one entry per node ever heard of, and a digest of those that live."""

from __future__ import annotations

from bisect import bisect_left, insort
from hashlib import blake2b
from typing import Final, final

from swarm.core.ids import Address, NodeId
from swarm.core.records import Record
from swarm.core.rng import Rng
from swarm.gossip.limits import choose_indexes
from swarm.gossip.rumours import ALIVE, DEAD, LEFT, STATE_NAMES, SUSPECT, Rumour, make_verdict

DIGEST_SIZE: Final = 8
_SOURCES_KEPT: Final = 4
"""IPv4 and IPv6 on two interfaces."""


@final
class Member(Record):
    """A view of one member, a copy.

    Attributes:
        node_id, name: who.
        addresses: where it can be reached, best first.
        incarnation: the highest one known.
        state: "alive", "suspect", "dead" or "left".
        facts: what it said about itself.
        since: when it came into this state, monotonic seconds; 0 for the alive.
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


@final
class MemberEntry:
    """What this node holds about one member. Only `Membership` changes it, through `MemberTable`.

    Of a member that is alive and reached where it says, nothing is known but its own words: such entries
    are alike at all nodes, and where several nodes live in one process they are one object, never changed
    (`is_shared`, see `swarm.gossip.interning`).

    Attributes:
        description: its own words, the latest that arrived.
        state, incarnation, accuser: as of the latest rumour, which may be newer than the description.
        since: when it came into this state, monotonic seconds; 0 for the alive.
        sources: where it has answered us, the last one first, at most four hosts. None while that is only
            the host it advertises first.
        addresses: where to reach it, best first; never changed in place.
    """

    __slots__ = (
        "_fingerprint",
        "accuser",
        "addresses",
        "description",
        "incarnation",
        "is_shared",
        "node_id",
        "since",
        "sources",
        "state",
    )

    def __init__(self, description: Rumour, is_shared: bool = False) -> None:
        assert description.state == ALIVE, "a member is first heard of as alive"
        self.node_id: Final = description.node_id
        self.description = description
        self.incarnation = description.incarnation
        self.state = ALIVE
        self.accuser = description.node_id
        self.since = 0.0
        self.sources: tuple[Address, ...] = ()
        self.addresses: list[Address] = description.addresses
        self.is_shared: Final = is_shared
        self._fingerprint = -1

    def raise_to(self, incarnation: int) -> None:
        """Take a higher incarnation."""
        self.incarnation = incarnation
        self._fingerprint = -1

    def fingerprint(self) -> int:
        """Return this entry's part of the digest of a table: a hash of id and incarnation."""
        if self._fingerprint < 0:
            data = self.node_id + self.incarnation.to_bytes(8, "big")
            self._fingerprint = int.from_bytes(blake2b(data, digest_size=DIGEST_SIZE).digest(), "big")
        return self._fingerprint

    def is_listed(self) -> bool:
        """Return whether the member counts as there: alive or suspect."""
        return self.state == ALIVE or self.state == SUSPECT

    def is_plain(self) -> bool:
        """Return whether nothing is held about the member but its own words."""
        return self.state == ALIVE and not self.sources and self.description.incarnation == self.incarnation

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

    def copy(self) -> MemberEntry:
        """Return an entry like this one that may be changed."""
        copied = MemberEntry(self.description)
        copied.raise_to(self.incarnation)
        copied.state = self.state
        copied.accuser = self.accuser
        copied.since = self.since
        copied.sources = self.sources
        copied.addresses = self.addresses
        return copied

    def is_from(self, source: Address) -> bool:
        """Return whether packets from `source` are what this entry expects; most are.

        A member with several addresses is heard now from one, now from another of them, for ever.
        """
        for expected in self.sources:
            if self._is_same_host(source, expected):
                return True
        advertised = self.description.addresses
        return not self.sources and len(advertised) > 0 and source[0] == advertised[0][0]

    def is_reached_at(self, source: Address) -> bool:
        """Return whether `source` is where this member is reached first already."""
        return len(self.addresses) > 0 and self._is_same_host(source, self.addresses[0])

    def _is_same_host(self, source: Address, place: Address) -> bool:
        """Return whether both are one host; of a member that names no address the port counts too."""
        return source == place or (source[0] == place[0] and len(self.description.addresses) > 0)

    def verdict(self) -> Rumour:
        """Return the rumour of the present state; the member must not be alive."""
        return make_verdict(self.state, self.node_id, self.incarnation, self.accuser)


def sources_after(entry: MemberEntry, source: Address) -> tuple[Address, ...]:
    """Return the sources of an entry after a packet came from `source`."""
    kept = [source, *[place for place in entry.sources if place[0] != source[0]]]
    return _trimmed(kept[:_SOURCES_KEPT], entry.description.addresses)


def sources_told(entry: MemberEntry, advertised: list[Address]) -> tuple[Address, ...]:
    """Return the sources of an entry once its member says that it is at `advertised`.

    Hosts that it named before and names no more are where it was.
    """
    before = [host for host, _ in entry.description.addresses]
    after = [host for host, _ in advertised]
    kept = [place for place in entry.sources if place[0] in after or place[0] not in before]
    return _trimmed(kept, advertised)


def _trimmed(sources: list[Address], advertised: list[Address]) -> tuple[Address, ...]:
    if len(sources) == 1 and advertised and sources[0][0] == advertised[0][0]:
        return ()
    return tuple(sources)


def reachable_addresses(
    sources: tuple[Address, ...], advertised: list[Address], count_max: int
) -> list[Address]:
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


@final
class MemberTable:
    """All entries, kept so that the views that others ask for often are cheap.

    Entries of those that are there and of those that are gone lie apart. The former, and their sorted list,
    may be one object for several nodes that hold the same (`is_shared`); whoever has to change them takes a
    copy first. Nothing depends on the order in which entries came.
    """

    def __init__(self) -> None:
        self.own: MemberEntry | None = None
        self.is_shared = False
        self._entries: dict[NodeId, MemberEntry] = {}
        self._listed: list[NodeId] = []
        self._gone: dict[NodeId, MemberEntry] = {}
        self._digest = 0
        self._packed_digest = b""

    def __len__(self) -> int:
        return len(self._entries) + len(self._gone)

    def get(self, node_id: NodeId) -> MemberEntry | None:
        """Return the entry of a member."""
        own = self.own
        if own is not None and node_id == own.node_id:
            return own
        entry = self._entries.get(node_id)
        return self._gone.get(node_id) if entry is None else entry

    def entry(self, node_id: NodeId) -> MemberEntry:
        """Return the entry of a member that is known."""
        found = self.get(node_id)
        assert found is not None, "a member of the table"
        return found

    def members(self) -> list[MemberEntry]:
        """Return all entries: those that are there by id, then the gone by the time they went."""
        result = [self.entry(node_id) for node_id in self._listed]
        result.extend(self._gone.values())
        return result

    def add(self, entry: MemberEntry) -> None:
        """Add an entry that lives."""
        assert self.get(entry.node_id) is None, "a member is added once"
        assert entry.is_listed(), "only the living are added"
        self._unshare()
        self._entries[entry.node_id] = entry
        insort(self._listed, entry.node_id)
        self._toggle(entry)

    def add_own(self, entry: MemberEntry) -> None:
        """Add the entry of the node itself, which is found in its own place, whatever others share."""
        self.add(entry)
        self.own = entry

    def replace(self, entry: MemberEntry) -> None:
        """Put another entry of the same state and incarnation in the place of a member's."""
        held = self.entry(entry.node_id)
        assert held.state == entry.state, "another entry says the same"
        assert held.incarnation == entry.incarnation, "another entry says the same"
        if entry.node_id in self._gone:
            self._gone[entry.node_id] = entry
        else:
            self._unshare()
            self._entries[entry.node_id] = entry

    def private(self, entry: MemberEntry) -> MemberEntry:
        """Return the entry itself, or a copy put in its place when it is shared and must not be changed."""
        if not entry.is_shared:
            return entry
        copied = entry.copy()
        self.replace(copied)
        return copied

    def change(
        self, entry: MemberEntry, state: int, incarnation: int, accuser: NodeId, now: float
    ) -> MemberEntry:
        """Move an entry to another state or incarnation, keeping digest and views right; return it."""
        assert incarnation >= entry.incarnation, "an incarnation never falls"
        entry = self.private(entry)
        was_listed = entry.is_listed()
        if was_listed:
            self._toggle(entry)
        if entry.state != state:
            entry.since = 0.0 if state == ALIVE else now
        if not was_listed and state == ALIVE:
            assert incarnation > entry.incarnation, "I2: nobody rises without a higher incarnation"
        entry.state = state
        if incarnation != entry.incarnation:
            entry.raise_to(incarnation)
        entry.accuser = accuser
        if entry.is_listed():
            self._toggle(entry)
            if not was_listed:
                self._unshare()
                del self._gone[entry.node_id]
                self._entries[entry.node_id] = entry
                insort(self._listed, entry.node_id)
        elif was_listed:
            self._unshare()
            del self._entries[entry.node_id]
            self._gone[entry.node_id] = entry
            del self._listed[bisect_left(self._listed, entry.node_id)]
        return entry

    def remove(self, node_id: NodeId) -> None:
        """Forget a member that is dead or left."""
        entry = self._gone.pop(node_id)
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
        for entry in self.members():
            if entry.is_listed():
                value ^= entry.copy().fingerprint()
        return value.to_bytes(DIGEST_SIZE, "big")

    def listed(self) -> list[NodeId]:
        """Return the ids of all alive and suspect members, sorted. Not a copy: do not change it."""
        return self._listed

    def place_of(self, node_id: NodeId) -> int:
        """Return where a member stands in :meth:`listed`, -1 when it is not there."""
        place = bisect_left(self._listed, node_id)
        return place if place < len(self._listed) and self._listed[place] == node_id else -1

    def choose(self, rng: Rng, count: int, one: NodeId, other: NodeId) -> list[NodeId]:
        """Return `count` random alive or suspect members but `one` and `other`, fewer when there are.

        The time it takes does not grow with the mesh.
        """
        first, second = self.place_of(one), -1 if other == one else self.place_of(other)
        if first < 0 or 0 <= second < first:
            first, second = second, first
        skipped = (1 if first >= 0 else 0) + (1 if second >= 0 else 0)
        chosen: list[NodeId] = []
        for index in choose_indexes(rng, len(self._listed) - skipped, count):
            place = index
            if 0 <= first <= place:
                place += 1
            if 0 <= second <= place:
                place += 1
            chosen.append(self._listed[place])
        return chosen

    def with_state(self, state: int) -> list[MemberEntry]:
        """Return the entries in a state: the living by id, the gone by the time they went."""
        entries = list(self._gone.values()) if state in (DEAD, LEFT) else self.members()
        return [entry for entry in entries if entry.state == state]

    # Sharing

    def shared_part(self) -> tuple[dict[NodeId, MemberEntry], list[NodeId]]:
        """Return the entries of those that are there, and the list of their ids."""
        return (self._entries, self._listed)

    def adopt(self, entries: dict[NodeId, MemberEntry], listed: list[NodeId]) -> None:
        """Use these entries and this list, which say the same as the own ones, together with other tables."""
        assert len(entries) == len(self._entries), "what is adopted says the same"
        self._entries = entries
        self._listed = listed
        self.is_shared = True

    def _unshare(self) -> None:
        if self.is_shared:
            self.is_shared = False
            self._entries = self._entries.copy()
            self._listed = self._listed[:]

    def _toggle(self, entry: MemberEntry) -> None:
        self._digest ^= entry.fingerprint()
        self._packed_digest = b""
