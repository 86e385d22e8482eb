"""What a node that stands aside answers, because its disk cannot be written.

A node that cannot remember must not promise: it may not vote, take orders, keep records or acknowledge
submissions, and its executors have nowhere to put results. So it runs nothing and is silent in the mesh,
where the others take over its tasks; only its local API goes on, for people who want to know why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, final

from swarm.core.errors import DecodeError
from swarm.core.ids import NO_BALLOT
from swarm.wire.codec import Body, Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import CLIENT_CALL, CLIENT_REPLY

CODE_NO_MESH: Final = 3
_STAMP: Final = Stamp(b"", NO_BALLOT, 0)


@final
class StandIn:
    """Answers the local API in the place of the node.

    Args:
        ready: what the ready file said.
        reason: why the node stands aside.
        deliver: sends a frame to a session.
    """

    def __init__(
        self,
        ready: Mapping[str, object],
        reason: str,
        deliver: Callable[[int, bytes], None],
    ) -> None:
        self._ready: Final = dict(ready)
        self._text: Final = f"stands aside: {reason}"
        self._deliver: Final = deliver

    def on_client_opened(self, session: int, role: str) -> None:
        """See `swarm.daemon.api.Answerer`."""

    def on_client_closed(self, session: int) -> None:
        """See `swarm.daemon.api.Answerer`."""

    def receive_client(self, session: int, payload: bytes) -> None:
        """Answer a question: the status, or why there is no answer."""
        try:
            frame = unpack_frame_untrusted(payload)
            body = Body(frame.body)
            number, op = body.take_int(), body.take_text()
        except DecodeError:
            return
        if frame.kind != CLIENT_CALL:
            return
        if op == "status":
            answer: list[object] = [number, True, self._status()]
        else:
            message = f"this node {self._text}; ask another node of the mesh"
            answer = [number, False, {"code": CODE_NO_MESH, "message": message}]
        self._deliver(session, pack_frame(CLIENT_REPLY, _STAMP, answer))

    def _status(self) -> dict[str, object]:
        return {
            "name": self._ready.get("name", ""),
            "node": self._ready.get("id", ""),
            "leader": "",
            "ballot": [0, ""],
            "members": dict.fromkeys(("alive", "suspect", "dead", "left"), 0),
            "jobs": {},
            "reason": self._text,
            "stands_aside": True,
        }
