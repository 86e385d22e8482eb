"""The trace of a run: every input of every node folded into one digest, and kept as rows when asked for."""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import Final, TypeAlias, final

from swarm.wire import messages

PACKET: Final = 1
MESSAGE: Final = 2
DEADLINE: Final = 3
LINK_LOST: Final = 4
SYNCED: Final = 5
EXECUTOR: Final = 6
RESULT: Final = 7
FETCHED: Final = 8
REFUSED: Final = 9
FLUSH: Final = 10
EXIT: Final = 11
RECALL: Final = 12
CLIENT: Final = 13
STARTED: Final = 14
DOWN: Final = 15
FAULT: Final = 16
RESUME: Final = 17
STUCK: Final = 18
FLOW: Final = 19
FETCH: Final = 20
ENTERING: Final = 21
DIAL: Final = 22
WATCH: Final = 23
RENEWED: Final = 24
STALL: Final = 25
"""Kinds of events: of the engine, and of rows in a trace."""

EVENT_NAMES: Final = {
    PACKET: "packet",
    MESSAGE: "message",
    DEADLINE: "deadline",
    LINK_LOST: "link_lost",
    SYNCED: "synced",
    EXECUTOR: "executor",
    RESULT: "result",
    FETCHED: "fetched",
    REFUSED: "refused",
    EXIT: "exit",
    RECALL: "recall",
    CLIENT: "client",
    STARTED: "started",
    DOWN: "down",
    FAULT: "fault",
    RESUME: "resume",
}

Row: TypeAlias = tuple[float, int, str, int, int, str]
"""One row: seconds, node, event, peer (-1 for none), bytes, detail."""

_FRAMES: Final = [
    (messages.HELLO, "hello"),
    (messages.PING, "ping"),
    (messages.ACK, "ack"),
    (messages.PING_REQ, "ping_req"),
    (messages.NACK, "nack"),
    (messages.RUMOURS, "rumours"),
    (messages.CLIENT_HELLO, "client_hello"),
    (messages.VOTE_REQUEST, "vote_request"),
    (messages.VOTE_REPLY, "vote_reply"),
    (messages.BEAT, "beat"),
    (messages.BEAT_REPLY, "beat_reply"),
    (messages.STAND, "stand"),
    (messages.PUSH_PULL, "push_pull"),
    (messages.RECORD_STORE, "record_store"),
    (messages.RECORD_STORED, "record_stored"),
    (messages.RECORD_OFFER, "record_offer"),
    (messages.RECORD_WANT, "record_want"),
    (messages.RECORD_GIVE, "record_give"),
    (messages.FACTS, "facts"),
    (messages.JOB_INTENT, "job_intent"),
    (messages.JOB_FORGET, "job_forget"),
    (messages.JOB_ENDED, "job_ended"),
    (messages.INVENTORY, "inventory"),
    (messages.ASSIGN, "assign"),
    (messages.CANCEL_ATTEMPTS, "cancel_attempts"),
    (messages.RELEASE_OBJECTS, "release_objects"),
    (messages.RETRACT, "retract"),
    (messages.RETRACTED, "retracted"),
    (messages.COMPLETIONS, "completions"),
    (messages.REFUSED, "refused"),
    (messages.TASK_OUTPUT, "task_output"),
    (messages.OBJECT_LOST, "object_lost"),
    (messages.OBJECT_COPIED, "object_copied"),
    (messages.WATCH, "watch"),
    (messages.JOB_UPDATE, "job_update"),
    (messages.ASK, "ask"),
    (messages.ANSWER, "answer"),
    (messages.WATCHED_OUTPUT, "watched_output"),
    (messages.JOB_RELEASE, "job_release"),
    (messages.REPORT_WANTED, "report_wanted"),
    (messages.OBJECT_GIVE, "object_give"),
    (messages.CLIENT_SUBMIT, "client_submit"),
    (messages.CLIENT_ACCEPTED, "client_accepted"),
    (messages.CLIENT_REFUSED, "client_refused"),
    (messages.CLIENT_WATCH, "client_watch"),
    (messages.CLIENT_UPDATE, "client_update"),
    (messages.CLIENT_OUTPUT, "client_output"),
    (messages.CLIENT_CALL, "client_call"),
    (messages.CLIENT_REPLY, "client_reply"),
    (messages.CLIENT_UNWATCH, "client_unwatch"),
    (messages.CLIENT_RELEASE, "client_release"),
    (messages.CLIENT_WELCOME, "client_welcome"),
]
_FRAME_NAMES: Final = dict(_FRAMES)

_HEAD: Final = struct.Struct("<diii")
_CHUNK_BYTES: Final = 1 << 16


@final
class Trace:
    """Folds events into a digest by which two runs are compared.

    Args:
        keep: whether rows are kept, for reading.

    Attributes:
        rows: what happened, oldest first, if kept.
        events: how many were folded in.
    """

    def __init__(self, keep: bool = False) -> None:
        self._hash = blake2b(digest_size=16)
        self._pending = bytearray()
        self._keep: Final = keep
        self.rows: list[Row] = []
        self.events = 0

    def add(self, time_s: float, kind: int, node: int, peer: int, payload: bytes) -> None:
        """Fold one event in: when, what kind, at which node, from whom, with which bytes."""
        self.events += 1
        pending = self._pending
        pending += _HEAD.pack(time_s, kind, node, peer)
        pending += payload
        if len(pending) >= _CHUNK_BYTES:
            self._hash.update(pending)
            self._pending = bytearray()
        if self._keep:
            self.rows.append((time_s, node, EVENT_NAMES[kind], peer, len(payload), _detail(kind, payload)))

    def digest(self) -> str:
        """Return the digest of all events so far, 32 hex digits."""
        folded = self._hash.copy()
        folded.update(self._pending)
        return folded.hexdigest()


def _detail(kind: int, payload: bytes) -> str:
    if kind in (PACKET, MESSAGE):
        return frame_name(payload)
    if kind == STARTED:
        return payload.hex()
    if kind in (LINK_LOST, DOWN, FAULT):
        return payload.decode("utf-8", "replace")
    return ""


def frame_name(payload: bytes) -> str:
    """Return the name of the kind of a frame, "" when these bytes are none."""
    # A frame is a msgpack array of six whose first item, the kind, is below 128: one byte.
    return _FRAME_NAMES.get(payload[1], "") if len(payload) > 1 else ""
