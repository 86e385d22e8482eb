"""What nodes send and receive, in buckets of time: datagrams and messages on streams, and their bytes.

Bytes are those of frames, without the seal and the headers below them. A hello counts once as sent, however
many hear it. Copies of objects are counted by the network, not here.
"""

from __future__ import annotations

from array import array
from math import ceil
from typing import Final, final

from sims.host import Host
from sims.observer import MESSAGE, PACKET, Observer
from swarm.core.effects import Effect, SendHello, SendMessage, SendPacket

BUCKETS_MAX: Final = 600
COLUMNS: Final = (
    "packets_sent",
    "packet_bytes_sent",
    "messages_sent",
    "message_bytes_sent",
    "packets_received",
    "packet_bytes_received",
    "messages_received",
    "message_bytes_received",
)


def bucket_length_s(seconds: float) -> float:
    """Return the length of a bucket: one second, more in runs of more than 600 s."""
    return float(max(1, ceil(seconds / BUCKETS_MAX)))


@final
class TrafficRecorder(Observer):
    """Counts.

    Args:
        count: hosts.
        seconds: of the run.

    Attributes:
        bucket_s: length of a bucket.
        columns: name of `COLUMNS` -> for each host one number after the other: `buckets` of them.
        buckets: how many.
    """

    def __init__(self, count: int, seconds: float) -> None:
        self.bucket_s: Final = bucket_length_s(seconds)
        self.buckets: Final = int(seconds / self.bucket_s) + 1
        self.columns: Final = {name: array("q", bytes(8 * count * self.buckets)) for name in COLUMNS}
        self._packets_sent: Final = self.columns["packets_sent"]
        self._packet_bytes_sent: Final = self.columns["packet_bytes_sent"]
        self._messages_sent: Final = self.columns["messages_sent"]
        self._message_bytes_sent: Final = self.columns["message_bytes_sent"]
        self._packets_received: Final = self.columns["packets_received"]
        self._packet_bytes_received: Final = self.columns["packet_bytes_received"]
        self._messages_received: Final = self.columns["messages_received"]
        self._message_bytes_received: Final = self.columns["message_bytes_received"]

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, (SendPacket, SendHello)):
            place = host.index * self.buckets + int(now / self.bucket_s)
            self._packets_sent[place] += 1
            self._packet_bytes_sent[place] += len(effect.payload)
        elif isinstance(effect, SendMessage):
            place = host.index * self.buckets + int(now / self.bucket_s)
            self._messages_sent[place] += 1
            self._message_bytes_sent[place] += len(effect.payload)

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        place = host.index * self.buckets + int(now / self.bucket_s)
        if kind == PACKET:
            self._packets_received[place] += 1
            self._packet_bytes_received[place] += len(payload)
        elif kind == MESSAGE:
            self._messages_received[place] += 1
            self._message_bytes_received[place] += len(payload)
