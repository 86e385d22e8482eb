"""Who is disturbed by a fault, so that a doubt about them is no mistake of the failure detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

GRACE_S: Final = 30.0
"""A fault excuses doubts for so long after its end: a suspicion lasts up to 18 s, and its news travel."""


@final
class Excuses:
    """Disturbed hosts, and partitions that part pairs of them.

    Args:
        count: hosts.
    """

    def __init__(self, count: int) -> None:
        self._active: Final = [0] * count
        self._until_s: Final = [-1.0] * count
        self._sides: Final[dict[int, list[int]]] = {}
        self._past_sides: list[tuple[float, list[int]]] = []

    def disturb(self, hosts: Sequence[int]) -> None:
        """Let a fault of hosts begin."""
        for host in hosts:
            self._active[host] += 1

    def calm(self, hosts: Sequence[int], now: float) -> None:
        """Let a fault of hosts end."""
        for host in hosts:
            self._active[host] -= 1
            self._until_s[host] = now + GRACE_S

    def part(self, number: int, sides: list[int]) -> None:
        """Let a partition begin: the side of each host."""
        self._sides[number] = sides

    def join(self, number: int, now: float) -> None:
        """Let a partition end; one that is not known is no error."""
        sides = self._sides.pop(number, None)
        if sides is not None:
            self._past_sides.append((now + GRACE_S, sides))

    def is_disturbed(self, host: int, now: float) -> bool:
        """Return whether a host suffers from a fault, or did a moment ago."""
        return self._active[host] > 0 or now < self._until_s[host]

    def is_excused(self, observer: int, host: int, now: float) -> bool:
        """Return whether an observer may doubt a host: it is disturbed, or they are (or just were) parted."""
        if self.is_disturbed(host, now):
            return True
        for sides in self._sides.values():
            if sides[observer] != sides[host]:
                return True
        self._past_sides = [past for past in self._past_sides if now < past[0]]
        for _, sides in self._past_sides:
            if sides[observer] != sides[host]:
                return True
        return False
