"""What relays carry, shown to checkers as if it had come by itself: who wraps it is not their affair."""

from __future__ import annotations

from typing import Final

from sims.checkers.base import Checker
from sims.checkers.frames import RELAY, RELAYED, RELAYED_PACKET, kind_of, read
from sims.host import Host
from sims.observer import MESSAGE, PACKET, Observer
from swarm.core.effects import Effect, ExecutorTask, SendMessage
from swarm.core.ids import NodeId, ObjectName

_CARRIERS: Final = {MESSAGE: RELAYED, PACKET: RELAYED_PACKET}


class Unwrapping(Observer):
    """Passes everything on to checkers, and what is inside the frames of relays besides.

    Args:
        checkers: see everything, in this order.
    """

    def __init__(self, checkers: list[Checker]) -> None:
        self._checkers: Final = checkers
        self._hosts: dict[bytes, Host] = {}

    def on_boot(self, host: Host, now: float) -> None:
        """See Observer."""
        self._hosts[host.node_id] = host
        for checker in self._checkers:
            checker.on_boot(host, now)

    def on_down(self, host: Host, how: str, now: float) -> None:
        """See Observer."""
        for checker in self._checkers:
            checker.on_down(host, how, now)

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        """See Observer."""
        for checker in self._checkers:
            checker.on_input(host, kind, source, payload, now)
        if kind_of(payload) == _CARRIERS.get(kind):
            inner = read(payload).body[0]
            sender = read(inner).sender
            # Who gave it to the relay may have another identity by now.
            origin = self._hosts.get(sender)
            if origin is not None and sender != host.node_id:
                for checker in self._checkers:
                    checker.on_input(host, kind, origin.index, inner, now)

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        """See Observer."""
        effects = [part for effect in effects for part in _parts(effect)]
        for checker in self._checkers:
            checker.on_effects(host, effects, now)

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        """See Observer."""
        for part in _parts(effect):
            for checker in self._checkers:
                checker.on_performed(host, part, now)

    def on_synced(self, host: Host, now: float) -> None:
        """See Observer."""
        for checker in self._checkers:
            checker.on_synced(host, now)

    def on_copied(
        self, host: Host, name: ObjectName, failed: list[NodeId], is_here: bool, now: float
    ) -> None:
        """See Observer."""
        for checker in self._checkers:
            checker.on_copied(host, name, failed, is_here, now)

    def on_task(self, host: Host, task: ExecutorTask, begin_s: float, end_s: float, how: str) -> None:
        """See Observer."""
        for checker in self._checkers:
            checker.on_task(host, task, begin_s, end_s, how)


def _parts(effect: Effect) -> list[Effect]:
    """Return an effect, and behind it the message that it gives to a relay.

    Datagrams that go to a relay go to the target itself as well, and were seen there.
    """
    if isinstance(effect, SendMessage) and kind_of(effect.payload) == RELAY:
        target, inner = read(effect.payload).body[:2]
        return [effect, SendMessage(target, [], inner)]
    return [effect]
