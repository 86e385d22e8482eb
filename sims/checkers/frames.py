"""Reading frames without the code that writes them: see docs/WIRE.md."""

from __future__ import annotations

from typing import Any, Final, TypeAlias, final

import msgpack

Ballot: TypeAlias = tuple[int, bytes]

VOTE_REQUEST: Final = 20
VOTE_REPLY: Final = 21
BEAT: Final = 22
BEAT_REPLY: Final = 23
HELLO: Final = 1
PING: Final = 2
ACK: Final = 3
PING_REQ: Final = 4
NACK: Final = 5
RUMOURS: Final = 6
CLIENT_HELLO: Final = 7
RELAYED_PACKET: Final = 31
RELAY: Final = 41
RELAYED: Final = 42
RECORD_STORE: Final = 50
RECORD_STORED: Final = 51
INVENTORY: Final = 60
ASSIGN: Final = 61
CANCEL_ATTEMPTS: Final = 62
RELEASE_OBJECTS: Final = 63
RETRACTED: Final = 65
COMPLETIONS: Final = 66
REFUSED: Final = 67
JOB_UPDATE: Final = 72
ORDERS: Final = (ASSIGN, CANCEL_ATTEMPTS, RELEASE_OBJECTS, 64, 77, 78, 103, 104)
"""Kinds that only a leader sends; docs/WIRE.md calls them orders."""
CLIENT_ACCEPTED: Final = 81
CLIENT_UPDATE: Final = 84


@final
class Seen:
    """A frame: its kind, the stamp of its sender, its body."""

    __slots__ = ("ballot", "beat", "body", "kind", "sender")

    def __init__(self, kind: int, sender: bytes, ballot: Ballot, beat: int, body: list[Any]) -> None:
        self.kind: Final = kind
        self.sender: Final = sender
        self.ballot: Final = ballot
        self.beat: Final = beat
        self.body: Final = body


def kind_of(payload: bytes) -> int:
    """Return the kind of a frame: the first item of an array of six, below 128, is one byte."""
    return payload[1] if len(payload) > 1 else 0


def read(payload: bytes) -> Seen:
    """Return a frame that a node sent; nodes send no garbage."""
    fields: Any = msgpack.unpackb(payload, raw=False, strict_map_key=False)
    kind, sender, counter, owner, beat, body = fields
    return Seen(kind, sender, (counter, owner), beat, body)


def rumours_in(frame: Seen) -> list[tuple[int, bytes]]:
    """Return (state, member) of the rumours that a frame of the membership protocol carries; 0 is alive."""
    found: list[tuple[int, bytes]] = []
    if frame.kind in (PING, ACK, PING_REQ, NACK, RUMOURS):
        for packed in frame.body[-1]:
            fields: Any = msgpack.unpackb(packed, raw=False, strict_map_key=False)
            found.append((fields[0], fields[1]))
    return found


def answer_in(frame: Seen, member: bytes) -> int:
    """Return the incarnation under which a membership frame calls a member alive, -1 for none."""
    if frame.kind in (PING, ACK, PING_REQ, NACK, RUMOURS):
        for packed in frame.body[-1]:
            fields: Any = msgpack.unpackb(packed, raw=False, strict_map_key=False)
            if fields[0] == 0 and fields[1] == member:
                return int(fields[2])
    return -1


def digest_in(frame: Seen) -> bytes:
    """Return the digest of its sender's table of members that a frame carries, b"" for none."""
    digest = b""
    if frame.kind in (HELLO, ACK):
        digest = frame.body[1]
    elif frame.kind == PING:
        digest = frame.body[2]
    return digest


def read_ballot(row: bytes | None) -> Ballot:
    """Return a ballot from a row of a journal, (0, b"") for none."""
    if row is None:
        return (0, b"")
    fields: Any = msgpack.unpackb(row, raw=False)
    return (fields[0], fields[1])


def read_intents(row: bytes) -> list[Any]:
    """Return [parts in total, is cancelled, how it ended or 0] from a job's row of intents in a journal."""
    fields: Any = msgpack.unpackb(row, raw=False)
    return list(fields)
