"""What the parts of gossip share: settings, timers, random numbers, effects and counts."""

from __future__ import annotations

from typing import Final

from swarm.core.effects import Effect, Notify, Packet
from swarm.core.ids import Address, NodeId
from swarm.core.rng import Rng
from swarm.core.timers import Timers
from swarm.gossip.config import GossipConfig

PROBE_TICK: Final = 1
PROBE_DIRECT: Final = 2
PROBE_END: Final = 3
PROBE_AGAIN: Final = 4
RELAY_END: Final = 5
SPREAD: Final = 6
SUSPICION: Final = 7
HELLO: Final = 8
RECONNECT: Final = 9
LEAVE: Final = 10
EXPIRE: Final = 11
FACTS: Final = 12

_SEQUENCE_SIZE: Final = 8


class Context:
    """One per Gossip object; the parts write to it, the core drains it.

    Attributes:
        go_betweens: of members that only a helper heard when they were last probed, that helper.
    """

    def __init__(self, config: GossipConfig, node_id: NodeId, rng: Rng) -> None:
        self.config: Final = config
        self.node_id: Final = node_id
        self.rng: Final = rng
        self.timers: Final = Timers()
        self.effects: list[Effect] = []
        self.counts: dict[str, int] = {}
        self.go_betweens: dict[NodeId, NodeId] = {}
        # A random start keeps answers to an earlier life of this node from matching.
        self._sequence = rng.below(2**31)

    def next_sequence(self) -> int:
        """Return a number that names one request of this node; never the same again."""
        self._sequence += 1
        return self._sequence

    def emit(self, effect: Effect) -> None:
        """Append an effect."""
        self.effects.append(effect)

    def send(self, destination: Address, kind: int, body: list[object]) -> None:
        """Append a packet and count it."""
        self.effects.append(Packet(destination, kind, body))
        self.count("packets_sent")

    def notify(self, event: str, values: dict[str, object]) -> None:
        """Append something for the operator's log."""
        self.effects.append(Notify(event, values))

    def count(self, name: str) -> None:
        """Add one to a counter of `statistics()`."""
        self.counts[name] = self.counts.get(name, 0) + 1


def sequence_subject(sequence: int) -> bytes:
    """Return the timer subject that stands for a sequence number."""
    return sequence.to_bytes(_SEQUENCE_SIZE, "big")


def subject_sequence(subject: bytes) -> int:
    """Return the sequence number of a timer subject."""
    return int.from_bytes(subject, "big")
