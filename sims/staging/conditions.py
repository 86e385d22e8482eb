"""The state of the network that faults change, where several faults may hold at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias, final

from sims.network import Network
from sims.recording.excuses import Excuses
from sims.staging.cuts import BOTH, Cuts, pairs_of

Undo: TypeAlias = Callable[[float], None]


@final
class Conditions:
    """Cuts, deafness, loss and latency; each method returns what undoes it.

    Of several losses, or factors on latency, the one that began last holds; when the last one has ended,
    the network is as configured.

    Args:
        network: that is changed.
        count: hosts.
        excuses: told who is disturbed.
    """

    def __init__(self, network: Network, count: int, excuses: Excuses) -> None:
        self._network: Final = network
        self._count: Final = count
        self._excuses: Final = excuses
        self._cuts: Final = Cuts(network, count)
        self._loss: Final = network.config.loss
        self._next = 1
        self._undos: dict[int, Undo] = {}
        self._deaf: Final = [0] * count
        self._losses: dict[int, float] = {}
        self._factors: dict[int, float] = {}

    def cut(self, targets: Sequence[int], others: Sequence[int] | None, direction: str) -> Undo:
        """Cut hosts off; see `Cuts.make`."""
        number = self._cuts.make(targets, others, direction)
        if others is None and direction == BOTH:
            side = [0] * self._count
            for host in targets:
                side[host] = 1
            return self._parted(number, side)
        return self._blocked(number, [*targets, *(others or [])])

    def isolate(self, targets: Sequence[int], direction: str) -> Undo:
        """Cut hosts off from everybody; see `Cuts.isolate`."""
        number = self._cuts.isolate(targets, direction)
        if direction != BOTH:
            return self._blocked(number, list(targets))
        side = [0] * self._count
        for place, host in enumerate(targets):
            side[host] = place + 1
        return self._parted(number, side)

    def clog(
        self, targets: Sequence[int], others: Sequence[int] | None, direction: str, until_s: float
    ) -> Undo:
        """Hold back what passes between hosts until a time."""
        for source, target in pairs_of(targets, others, direction, self._count):
            self._network.clog(source, target, until_s)
        return self._disturbed([*targets, *(others or [])])

    def heal(self, now: float) -> None:
        """End every cut and every deafness."""
        for number in list(self._undos):
            self._undos[number](now)

    def deafen(self, targets: Sequence[int]) -> Undo:
        """Let hosts hear no multicast."""
        for host in targets:
            self._deaf[host] += 1
            self._network.deafen(host)
        return self._once(partial(self._hear, list(targets)))

    def set_loss(self, share: float) -> Undo:
        """Let a share of all datagrams get lost."""
        number = self._take_number()
        self._losses[number] = share
        self._network.set_loss(share)
        return partial(self._end_loss, number)

    def set_latency_factor(self, factor: float) -> Undo:
        """Multiply every delay."""
        number = self._take_number()
        self._factors[number] = factor
        self._network.set_latency_factor(factor)
        return partial(self._end_factor, number)

    def _take_number(self) -> int:
        self._next += 1
        return self._next

    def _once(self, action: Undo) -> Undo:
        """Return an undo that acts once, be it called at its time or by :meth:`heal`."""
        number = self._take_number()
        undo = partial(self._undo_once, number, action)
        self._undos[number] = undo
        return undo

    def _undo_once(self, number: int, action: Undo, now: float) -> None:
        if self._undos.pop(number, None) is not None:
            action(now)

    def _parted(self, number: int, side: list[int]) -> Undo:
        self._excuses.part(number, side)
        return self._once(partial(self._join, number))

    def _join(self, number: int, now: float) -> None:
        self._cuts.mend(number)
        self._excuses.join(number, now)

    def _disturbed(self, hosts: list[int]) -> Undo:
        self._excuses.disturb(hosts)
        return partial(self._excuses.calm, hosts)

    def _blocked(self, number: int, hosts: list[int]) -> Undo:
        self._excuses.disturb(hosts)
        return self._once(partial(self._unblock, number, hosts))

    def _unblock(self, number: int, hosts: list[int], now: float) -> None:
        self._cuts.mend(number)
        self._excuses.calm(hosts, now)

    def _hear(self, targets: list[int], now: float) -> None:
        for host in targets:
            self._deaf[host] -= 1
            if not self._deaf[host]:
                self._network.undeafen(host)

    def _end_loss(self, number: int, now: float) -> None:
        self._losses.pop(number)
        self._network.set_loss(list(self._losses.values())[-1] if self._losses else self._loss)

    def _end_factor(self, number: int, now: float) -> None:
        self._factors.pop(number)
        self._network.set_latency_factor(list(self._factors.values())[-1] if self._factors else 1.0)
