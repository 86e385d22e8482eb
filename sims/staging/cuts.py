"""Cuts of the network that overlap: each is made and mended by itself, the network has their sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from sims.network import Network

BOTH: Final = "both"
OUT: Final = "out"
IN: Final = "in"


@final
class Cuts:
    """The cuts that are in force.

    A cut of targets from everybody else is a partition, one with named others or a direction is a set of
    one-way blocks. Partitions multiply: hosts reach each other if no partition parts them.

    Args:
        network: whose `partition`, `block` and `unblock` are used.
        count: hosts.
    """

    def __init__(self, network: Network, count: int) -> None:
        self._network: Final = network
        self._count: Final = count
        self._next = 1
        self._partitions: dict[int, list[int]] = {}
        self._pairs: dict[int, list[tuple[int, int]]] = {}
        self._blocks: dict[tuple[int, int], int] = {}

    def make(self, targets: Sequence[int], others: Sequence[int] | None, direction: str) -> int:
        """Cut targets off from others, everybody else when None; return the number of the cut."""
        number = self._take_number()
        if others is None and direction == BOTH:
            side = [0] * self._count
            for host in targets:
                side[host] = 1
            self._partitions[number] = side
            self._part()
            return number
        self._block(number, pairs_of(targets, others, direction, self._count))
        return number

    def isolate(self, targets: Sequence[int], direction: str) -> int:
        """Cut each of the targets off from everybody, the other targets too; return the number of the cut."""
        if direction != BOTH:
            return self._isolate_one_way(targets, direction)
        number = self._take_number()
        side = [0] * self._count
        for place, host in enumerate(targets):
            side[host] = place + 1
        self._partitions[number] = side
        self._part()
        return number

    def mend(self, number: int) -> None:
        """End a cut; one that has ended already is no error."""
        if self._partitions.pop(number, None) is not None:
            self._part()
        for pair in self._pairs.pop(number, []):
            self._blocks[pair] -= 1
            if not self._blocks[pair]:
                del self._blocks[pair]
                self._network.unblock(pair[0], pair[1])

    def mend_all(self) -> None:
        """End every cut."""
        for number in [*self._partitions, *self._pairs]:
            self.mend(number)

    def _isolate_one_way(self, targets: Sequence[int], direction: str) -> int:
        number = self._take_number()
        pairs: dict[tuple[int, int], bool] = {}
        for target in targets:
            for other in range(self._count):
                if other != target:
                    pairs[(target, other) if direction == OUT else (other, target)] = True
        self._block(number, list(pairs))
        return number

    def _take_number(self) -> int:
        number = self._next
        self._next += 1
        return number

    def _block(self, number: int, pairs: list[tuple[int, int]]) -> None:
        self._pairs[number] = pairs
        for pair in pairs:
            self._blocks[pair] = self._blocks.get(pair, 0) + 1
            if self._blocks[pair] == 1:
                self._network.block(pair[0], pair[1])

    def _part(self) -> None:
        """Give the network the sides that all partitions make together."""
        if not self._partitions:
            self._network.partition([])
            return
        sides: dict[tuple[int, ...], list[int]] = {}
        for host in range(self._count):
            key = tuple([side[host] for side in self._partitions.values()])
            sides.setdefault(key, []).append(host)
        self._network.partition(list(sides.values()))


def pairs_of(
    targets: Sequence[int], others: Sequence[int] | None, direction: str, count: int
) -> list[tuple[int, int]]:
    """Return the ways (from, to) between targets and others, everybody else when None, each once.

    Args:
        targets: hosts.
        others: the other side.
        direction: "both", only "out" of the targets, or only "in" to them.
        count: hosts in all.
    """
    if others is None:
        inside = dict.fromkeys(targets)
        others = [host for host in range(count) if host not in inside]
    pairs: dict[tuple[int, int], bool] = {}
    for target in targets:
        for other in others:
            if other != target and direction != IN:
                pairs[(target, other)] = True
            if other != target and direction != OUT:
                pairs[(other, target)] = True
    return list(pairs)
