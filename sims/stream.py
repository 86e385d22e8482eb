"""One stream between two hosts, and what travels on it, as plain data for `sims.streams`."""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import NodeId

NEVER: Final = float("inf")


@final
class Stream:
    """One connection between two processes, as both ends see it.

    An end holds a stream while its host's `links` lead to it. An end may go on holding one that the other end
    has let go: it finds out when it sends, or when it asks whether the other is still there.

    Attributes:
        opener: the host that dials.
        opener_epoch: which start of it.
        opener_id: its identity; the host may have another one later, and the stream is lost under this one.
        target: the host that is dialled.
        target_epoch: which start of it has answered, -1 before.
        target_id: whom the opener dialled there.
        is_open: whether both ends can send; before, messages of the opener wait in `waiting`.
        is_agreed: closed in agreement, so that what is under way still arrives.
        used_s: when something was last sent or arrived.
        give_up_s: when a dial without an answer ends.
        wait_s: until the next attempt of a dial that got no answer.
        silent_s: since when the network was seen not to carry it, infinity while it does.
    """

    def __init__(
        self,
        opener: int,
        opener_epoch: int,
        opener_id: NodeId,
        target: int,
        target_id: NodeId,
        now: float,
    ) -> None:
        self.opener: Final = opener
        self.opener_epoch: Final = opener_epoch
        self.opener_id: Final = opener_id
        self.target: Final = target
        self.target_id: Final = target_id
        self.target_epoch = -1
        self.is_open = False
        self.is_agreed = False
        self.waiting: list[bytes] = []
        self.used_s = now
        self.give_up_s = NEVER
        self.wait_s = 1.0
        self.silent_s = NEVER

    def epoch_of(self, host: int) -> int:
        """Return which start of one of its two hosts the stream belongs to."""
        return self.opener_epoch if host == self.opener else self.target_epoch

    def identity_of(self, host: int) -> NodeId:
        """Return under which identity one of its two hosts is at its end."""
        return self.opener_id if host == self.opener else self.target_id


@final
class Arrival:
    """Something on its way to one start of a host.

    Attributes:
        epoch: of the start of the host.
        source: a host, an executor or a session; -1 for none.
        payload: whatever it is about.
        stream: on which it travels.
        is_end: whether it is the end of that stream and no message.
    """

    def __init__(
        self,
        epoch: int,
        source: int,
        payload: bytes,
        stream: Stream | None = None,
        is_end: bool = False,
    ) -> None:
        self.epoch: Final = epoch
        self.source: Final = source
        self.payload: Final = payload
        self.stream: Final = stream
        self.is_end: Final = is_end


@final
class Stuck:
    """Messages on an open stream that the network does not carry at present."""

    def __init__(self, epoch: int, target: int, stream: Stream, since: float, wait_s: float) -> None:
        self.epoch: Final = epoch
        self.target: Final = target
        self.stream: Final = stream
        self.since: Final = since
        self.wait_s = wait_s


@final
class Dial:
    """The attempt of one start of a host to open a stream."""

    def __init__(self, epoch: int, peer_epoch: int, stream: Stream) -> None:
        self.epoch: Final = epoch
        self.peer_epoch: Final = peer_epoch
        self.stream: Final = stream
