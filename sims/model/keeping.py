"""All states of the acceptance of one part among three nodes: submitting, keeping, acknowledging, losing.

The network is the set of messages that were ever sent, as in `sims.model.election`. A node that is asked to
keep the part writes it and says so; the node that took it waits for whom it asked, may give up on any of
them at any time (it believes them dead or they are silent), and then tells the client who keeps it. Any
node may get the part into memory without keeping it, as a leader does. Crashes lose what is not on disk; a
disk may be destroyed, and its node's identity with it.

Nothing here orders nodes, so of the six states that differ by the names of nodes only one is looked at. A run
ends with an acknowledgement: from then on a copy disappears by destruction, or when three others have
theirs (S7 of the simulator; `tests/property/test_spare_copies.py`), and what one node acknowledges does not
depend on what another one has.

Invariants:

S6 Everybody who is named to the client has the part on disk, unless that disk was destroyed; nobody is named
   twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple, final

NODES: Final = 3
EVERYBODY: Final = (1 << NODES) - 1

MEMORY: Final = 1
WRITING: Final = 2
DISK: Final = 4
DESTROYED: Final = 8
"""What a node has of the part, as bits; WRITING is a write under way."""


@dataclass(frozen=True, kw_only=True)
class KeepingMistakes:
    """Rules that may be broken, to see that the model notices; all off for the protocol as it is.

    Attributes:
        acknowledges_before_disk: the client is told before the own write is done.
        confirms_before_disk: a keeper confirms before its write is done.
        confirms_memory: a keeper that has the part in memory confirms it without writing.
        counts_itself: whoever took the part names itself among the others, too.
        names_the_asked: whoever was given up on is named to the client as well.
    """

    acknowledges_before_disk: bool = False
    confirms_before_disk: bool = False
    confirms_memory: bool = False
    counts_itself: bool = False
    names_the_asked: bool = False


class Keeping(NamedTuple):
    """A state.

    Attributes:
        parts: what each node has of the part.
        is_open: nodes that took it and have not acknowledged, as bits, like all below.
        asked: for each node whom it asked and has no answer of.
        confirmed: for each node who confirmed.
        stores: requests to keep it, sent: a bit for each (from, to).
        stored: confirmations sent, the same way (from the keeper, to who asked).
    """

    parts: tuple[int, int, int] = (0, 0, 0)
    is_open: int = 0
    asked: tuple[int, int, int] = (0, 0, 0)
    confirmed: tuple[int, int, int] = (0, 0, 0)
    stores: int = 0
    stored: int = 0


ORDERS: Final = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


@final
class KeepingModel:
    """The transition system; see the module's text."""

    def __init__(self, mistakes: KeepingMistakes | None = None) -> None:
        self._mistakes: Final = KeepingMistakes() if mistakes is None else mistakes

    def start(self) -> Keeping:
        """Return the state before the client has done anything."""
        return Keeping()

    def show(self, state: Keeping) -> str:
        """Return a state for people."""
        words = {MEMORY: "in memory", WRITING: "being written", DISK: "on disk", DESTROYED: "destroyed"}
        rows: list[str] = []
        for node in range(NODES):
            has = [word for bit, word in words.items() if state.parts[node] & bit]
            rows.append(f"{chr(ord('A') + node)}: {', '.join(has) or 'nothing'}")
        return "; ".join(rows)

    def successors(self, state: Keeping, found: list[Keeping]) -> str:
        """Append the states after one step; return the invariant that one of them breaks, "" for none."""
        after: list[Keeping] = []
        for node in range(NODES):
            if not state.parts[node] & DESTROYED:
                if self._is_acknowledged_wrongly(state, node):
                    return "S6"
                self._submit(state, node, after)
                self._receive(state, node, after)
                self._write(state, node, after)
                self._end(state, node, after)
        found.extend([_canonical(one) for one in after])
        return ""

    def _submit(self, state: Keeping, node: int, after: list[Keeping]) -> None:
        """The client gives the part, for the first time or again, to a node, which asks any others."""
        bit = 1 << node
        if state.is_open & bit:
            return
        others = EVERYBODY & ~bit
        for asked in range(1 << NODES):
            if asked & ~others == 0:
                opened = _with_part(state, node, state.parts[node] | MEMORY | WRITING)
                after.append(
                    opened._replace(
                        is_open=state.is_open | bit,
                        asked=_put(state.asked, node, asked),
                        confirmed=_put(state.confirmed, node, 0),
                    )
                )

    def _receive(self, state: Keeping, node: int, after: list[Keeping]) -> None:
        has, bit = state.parts[node], 1 << node
        if any(state.parts) and not has & MEMORY:
            after.append(_with_part(state, node, has | MEMORY))
        for other in range(NODES):
            if other == node:
                continue
            if state.stores & _pair(other, node):
                kept = _with_part(state, node, has | MEMORY | WRITING)
                is_hasty = self._mistakes.confirms_before_disk
                if is_hasty or (self._mistakes.confirms_memory and has & MEMORY):
                    kept = kept._replace(stored=state.stored | _pair(node, other))
                if kept != state and not (has & DISK and state.stored & _pair(node, other)):
                    after.append(kept)
            if state.is_open & bit and state.asked[node] & (1 << other):
                silent = state._replace(asked=_put(state.asked, node, state.asked[node] & ~(1 << other)))
                if self._mistakes.names_the_asked:
                    silent = silent._replace(confirmed=_with_bit(state.confirmed, node, other))
                after.append(silent)
                if state.stored & _pair(other, node):
                    after.append(
                        state._replace(
                            asked=_put(state.asked, node, state.asked[node] & ~(1 << other)),
                            confirmed=_with_bit(state.confirmed, node, other),
                        )
                    )

    def _write(self, state: Keeping, node: int, after: list[Keeping]) -> None:
        """The write ends: requests and confirmations that waited for it leave."""
        has = state.parts[node]
        if not has & WRITING:
            return
        stores, stored = state.stores, state.stored
        for other in range(NODES):
            if other != node and state.is_open & (1 << node) and state.asked[node] & (1 << other):
                stores |= _pair(node, other)
            if other != node and state.stores & _pair(other, node):
                stored |= _pair(node, other)
        written = _with_part(state, node, (has | DISK) & ~WRITING)
        after.append(written._replace(stores=stores, stored=stored))

    def _is_acknowledged_wrongly(self, state: Keeping, node: int) -> bool:
        """Return whether a node tells the client now of a copy that is not on disk, or of one copy twice."""
        has = state.parts[node]
        is_due = bool(state.is_open & (1 << node)) and not state.asked[node]
        is_written = bool(has & DISK) and not has & WRITING
        if not is_due or not (is_written or self._mistakes.acknowledges_before_disk):
            return False
        if self._mistakes.counts_itself:
            return True
        named = (1 << node) | state.confirmed[node]
        on_disk = [bool(state.parts[one] & (DISK | DESTROYED)) for one in range(NODES) if named & (1 << one)]
        return not all(on_disk)

    def _end(self, state: Keeping, node: int, after: list[Keeping]) -> None:
        """The node crashes and starts again, or loses its disk for ever."""
        has, bit = state.parts[node], 1 << node
        closed = state._replace(
            is_open=state.is_open & ~bit,
            asked=_put(state.asked, node, 0),
            confirmed=_put(state.confirmed, node, 0),
        )
        after.append(_with_part(closed, node, DISK | MEMORY if has & DISK else 0))
        after.append(_with_part(closed, node, DESTROYED))


def _pair(source: int, target: int) -> int:
    return 1 << (source * NODES + target)


def _put(values: tuple[int, int, int], node: int, value: int) -> tuple[int, int, int]:
    first, second, third = values
    return (
        value if node == 0 else first,
        value if node == 1 else second,
        value if node == 2 else third,
    )


def _with_bit(values: tuple[int, int, int], node: int, other: int) -> tuple[int, int, int]:
    return _put(values, node, values[node] | (1 << other))


def _with_part(state: Keeping, node: int, has: int) -> Keeping:
    return state._replace(parts=_put(state.parts, node, has))


def _canonical(state: Keeping) -> Keeping:
    """Return the least of the states that differ by the names of the nodes only."""
    best = state
    for order in ORDERS[1:]:
        renamed = _renamed(state, order)
        if renamed < best:
            best = renamed
    return best


def _renamed(state: Keeping, order: tuple[int, int, int]) -> Keeping:
    """Return the state in which node n is what node order[n] was."""
    first, second, third = order
    parts, asked, confirmed = state.parts, state.asked, state.confirmed
    return Keeping(
        parts=(parts[first], parts[second], parts[third]),
        is_open=_bits(state.is_open, order),
        asked=(_bits(asked[first], order), _bits(asked[second], order), _bits(asked[third], order)),
        confirmed=(
            _bits(confirmed[first], order),
            _bits(confirmed[second], order),
            _bits(confirmed[third], order),
        ),
        stores=_pairs(state.stores, order),
        stored=_pairs(state.stored, order),
    )


@cache
def _bits(bits: int, order: tuple[int, int, int]) -> int:
    return sum([1 << node for node in range(NODES) if bits & (1 << order[node])])


@cache
def _pairs(bits: int, order: tuple[int, int, int]) -> int:
    return sum(
        [
            _pair(source, target)
            for source in range(NODES)
            for target in range(NODES)
            if bits & _pair(order[source], order[target])
        ]
    )
