"""Streams between nodes: one WebSocket per pair of nodes that talk, made when there is something to say.

Sending never waits: a payload goes into the peer's queue; a writer task takes all that is queued at once
and sends it as one batch. While there is no link, the queue waits for a dial that races the peer's
addresses. Two nodes that dial each other at once get two links; each sends on one of them.

A *break* of any link to a peer, a failed dial or a full queue means: the peer is lost. All its links are
closed, what was queued is dropped, `on_lost` is called once. So payloads arrive in order and whole, or
the loss is known. Links carry the boot of both processes: a peer that dials with a new boot has lost
its older links, whether or not they look alive.

Links are kept open, because the end of one proves at once that a process died. Over `LINK_COUNT_MAX` the
one not used for longest is closed in agreement (close code 1000), which is not a loss. A link that the peer
has dialled is kept rather than one dialled here: the peer may stand behind a translator, where no other link
can be made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Final

import trio

from swarm.core.errors import RemoteProtocolError
from swarm.core.ids import Address, NodeId
from swarm.net.dial import DIAL_TIMEOUT_S, DialError, race_tls, upgrade_stream
from swarm.net.keys import ALPN_SWARM, Credentials
from swarm.net.tls_ring import TlsRing, ring_of
from swarm.net.websocket import (
    CLOSE_GOING_AWAY,
    CLOSE_NORMAL,
    CLOSE_PROTOCOL_ERROR,
    LinkLost,
    WebSocket,
    split_batch_untrusted,
)

QUEUE_BYTES_MAX: Final = 192 * 1024 * 1024
"""Bytes waiting for one peer; two job parts of 64 MiB fit beside everything small."""
QUEUE_COUNT_MAX: Final = 200_000
BATCH_BYTES_MAX: Final = 1024 * 1024
"""Bytes gathered into one message; a bigger payload is a message by itself."""
LINK_COUNT_MAX: Final = 64
"""Peers with an open link, before the one not used for longest is closed; a node seldom talks to as many."""
ACCEPTED_COUNT_MAX: Final = 48
"""Among those, peers that have dialled. Who dialled can do so again and the other side perhaps not: it closes
first what it dialled itself."""
FAILED_COUNT_MAX: Final = 1024
"""Peers whose last failed dial is remembered; when full, all are forgotten."""
GOODBYE_TIMEOUT_S: Final = 5.0
REDIAL_GAP_S: Final = 0.1
"""Between a dial that failed and the next one to the same peer."""

_COUNTERS: Final = (
    "messages_in",
    "messages_out",
    "batches_in",
    "batches_out",
    "bytes_in",
    "bytes_out",
    "dials",
    "dials_failed",
    "accepted",
    "lost",
    "dropped",
    "queue_full",
    "garbage",
    "closed_unused",
    "closed_old_key",
)


class _Link:
    """One open WebSocket to a peer."""

    __slots__ = ("scope", "wake", "was_dialled", "websocket")

    def __init__(self, websocket: WebSocket, *, was_dialled: bool) -> None:
        self.websocket = websocket
        self.was_dialled = was_dialled
        self.wake = trio.Event()
        self.scope = trio.CancelScope()


class _Peer:
    """All that is kept of one peer: its links (the first is sent on), its queue, its dial."""

    __slots__ = ("addresses", "boot", "dial", "links", "queue", "queue_bytes", "used_at")

    def __init__(self) -> None:
        self.links: list[_Link] = []
        self.boot = b""
        self.queue: list[bytes] = []
        self.queue_bytes = 0
        self.dial: trio.CancelScope | None = None
        self.addresses: list[Address] = []
        self.used_at = 0.0

    def take_batch(self) -> list[bytes]:
        """Take from the queue what fits into one message; at least one payload."""
        queue = self.queue
        size, count = 0, 0
        if self.queue_bytes <= BATCH_BYTES_MAX:
            self.queue, self.queue_bytes = [], 0
            return queue
        while count < len(queue) and (count == 0 or size + len(queue[count]) <= BATCH_BYTES_MAX):
            size += len(queue[count])
            count += 1
        self.queue, self.queue_bytes = queue[count:], self.queue_bytes - size
        return queue[:count]

    def put_back(self, batch: list[bytes]) -> None:
        """Queue again, in front, what was not sent."""
        self.queue[:0] = batch
        self.queue_bytes += sum(map(len, batch))

    def end(self) -> None:
        """Stop the dial and all links."""
        if self.dial is not None:
            self.dial.cancel()
        for link in self.links:
            link.scope.cancel()


class PeerLinks:
    """The streams of one node to all others."""

    def __init__(
        self,
        credentials: Credentials | TlsRing,
        on_message: Callable[[NodeId, bytes], None],
        on_connected: Callable[[NodeId], None],
        on_lost: Callable[[NodeId, bool], None],
        on_batch_end: Callable[[], None] | None = None,
    ) -> None:
        """Prepare; nothing is sent before `run`.

        Args:
            credentials: of this node.
            on_message: gets the sender and one payload.
            on_connected: a first link to this peer is open.
            on_lost: see the head of this module; the bool is whether its host refused the dial or closed
                the link without a goodbye, which proves that the process is gone.
            on_batch_end: called after the last `on_message` of one read.
        """
        self._ring: Final = ring_of(credentials)
        self._ring.listen(self._close_links_under)
        self._boot: Final = os.urandom(8).hex().encode()
        self._on_message: Final = on_message
        self._on_connected: Final = on_connected
        self._on_lost: Final = on_lost
        self._on_batch_end: Final = on_batch_end
        self._peers: Final[dict[NodeId, _Peer]] = {}
        self._failed_at: Final[dict[NodeId, float]] = {}
        self._counts: Final[dict[str, int]] = dict.fromkeys(_COUNTERS, 0)
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Dial, send and receive until cancelled; then say goodbye to all peers."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    def send_nowait(self, peer: NodeId, addresses: list[Address], payload: bytes) -> None:
        """Queue a payload for a peer, dialling `addresses` when there is no link."""
        state = self._peers.get(peer)
        if state is None:
            state = self._peers[peer] = _Peer()
        if len(state.queue) >= QUEUE_COUNT_MAX or state.queue_bytes + len(payload) > QUEUE_BYTES_MAX:
            self._counts["queue_full"] += 1
            self._counts["dropped"] += 1
            # Told from a task of its own: the caller is in the middle of performing effects.
            self._running().start_soon(self._lose_soon, peer, state)
            return
        state.queue.append(payload)
        state.queue_bytes += len(payload)
        state.addresses = addresses
        if state.links:
            state.links[0].wake.set()
        elif state.dial is None:
            self._start_dial(peer, state)

    def connected(self) -> list[NodeId]:
        """Return the peers with an open link, sorted."""
        return sorted([peer for peer, state in self._peers.items() if state.links])

    def drop_nowait(self, peer: NodeId) -> None:
        """Close all links to a peer and forget its queue; `on_lost` is not called."""
        state = self._peers.pop(peer, None)
        if state is not None:
            self._counts["dropped"] += len(state.queue)
            state.end()

    async def serve(self, websocket: WebSocket, peer: NodeId, boot: bytes) -> None:
        """Use a link that a peer has opened, until it ends.

        Args:
            websocket: open; closed here in the end.
            peer: proven by its certificate.
            boot: which life of the peer's process has dialled.
        """
        self._counts["accepted"] += 1
        await self._use(websocket, peer, boot, was_dialled=False)

    @property
    def boot(self) -> bytes:
        """Which life of this process it is, for the opening handshakes."""
        return self._boot

    def statistics(self) -> dict[str, int]:
        """Return counts since the start, and how many links are open."""
        links = sum(len(state.links) for state in self._peers.values())
        queued = sum(state.queue_bytes for state in self._peers.values())
        return {**self._counts, "links": links, "queued_bytes": queued}

    def _running(self) -> trio.Nursery:
        assert self._nursery is not None, "PeerLinks is used before or after run"
        return self._nursery

    def _start_dial(self, peer: NodeId, state: _Peer) -> None:
        state.dial = trio.CancelScope()
        self._running().start_soon(self._dial, peer, state, state.dial)

    async def _dial(self, peer: NodeId, state: _Peer, scope: trio.CancelScope) -> None:
        with scope:
            wait_s = self._failed_at.pop(peer, -REDIAL_GAP_S) + REDIAL_GAP_S - trio.current_time()
            await trio.sleep(max(wait_s, 0.0))
            self._counts["dials"] += 1
            try:
                stream, _ = await race_tls(state.addresses, self._ring.dial_contexts(ALPN_SWARM), peer)
                with trio.fail_after(DIAL_TIMEOUT_S):
                    websocket, boot = await upgrade_stream(stream, "/peer", self._boot)
            except (DialError, trio.TooSlowError) as error:
                self._dial_failed(peer, state, was_refused=isinstance(error, DialError) and error.was_refused)
                return
            state.dial = None
            self._running().start_soon(partial(self._use, websocket, peer, boot, was_dialled=True))

    def _dial_failed(self, peer: NodeId, state: _Peer, *, was_refused: bool) -> None:
        self._counts["dials_failed"] += 1
        if len(self._failed_at) >= FAILED_COUNT_MAX:
            self._failed_at.clear()
        self._failed_at[peer] = trio.current_time()
        state.dial = None
        if not state.links:
            self._lose(peer, state, was_refused=was_refused)

    async def _use(self, websocket: WebSocket, peer: NodeId, boot: bytes, *, was_dialled: bool) -> None:
        """Send and receive on a link until it ends, and close it."""
        state = self._peers.get(peer)
        if state is not None and state.links and state.boot != boot:
            self._lose(peer, state, was_refused=False)
            state = None
        if state is None:
            state = self._peers[peer] = self._peers.get(peer) or _Peer()
        link = _Link(websocket, was_dialled=was_dialled)
        state.boot = boot
        state.links.append(link)
        state.used_at = trio.current_time()
        if len(state.links) == 1:
            self._on_connected(peer)
            self._end_batch()
        self._close_unused()
        code = CLOSE_GOING_AWAY
        end: Exception | None = None
        try:
            with link.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._send, link, state)
                    end = await self._receive(websocket, peer, state)
                    nursery.cancel_scope.cancel()
            if end is not None:
                code = self._link_ended(peer, state, link, end)
        finally:
            await websocket.aclose(code)

    async def _receive(self, websocket: WebSocket, peer: NodeId, state: _Peer) -> Exception:
        """Hand on what comes until the link ends; return why it did."""
        counts = self._counts
        try:
            while True:
                for message in await websocket.receive_messages():
                    payloads = split_batch_untrusted(message)
                    counts["batches_in"] += 1
                    counts["bytes_in"] += len(message)
                    counts["messages_in"] += len(payloads)
                    for payload in payloads:
                        self._on_message(peer, payload)
                state.used_at = trio.current_time()
                self._end_batch()
        except (LinkLost, RemoteProtocolError) as error:
            return error

    async def _send(self, link: _Link, state: _Peer) -> None:
        """Send what is queued whenever this link is the peer's first."""
        counts = self._counts
        while True:
            if not state.queue or not state.links or state.links[0] is not link:
                link.wake = trio.Event()
                await link.wake.wait()
                continue
            batch = state.take_batch()
            try:
                await link.websocket.send_batch(batch)
            except BaseException as error:
                # Either the peer is lost, and its queue with it, or the link was closed in agreement before
                # this batch: then it goes out on the next one.
                state.put_back(batch)
                if isinstance(error, LinkLost):
                    return
                raise
            state.used_at = trio.current_time()
            counts["batches_out"] += 1
            counts["messages_out"] += len(batch)
            counts["bytes_out"] += sum(map(len, batch))

    def _link_ended(self, peer: NodeId, state: _Peer, link: _Link, end: Exception) -> int:
        """Draw the consequences; return the close code that tells the peer why."""
        if not isinstance(end, LinkLost):
            self._counts["garbage"] += 1
        is_agreed = isinstance(end, LinkLost) and end.code == CLOSE_NORMAL
        if is_agreed or link not in state.links:
            if link in state.links:
                state.links.remove(link)
            self._go_on(peer, state)
        else:
            self._lose(peer, state, was_refused=isinstance(end, LinkLost) and end.was_closed)
        return CLOSE_NORMAL if isinstance(end, LinkLost) else CLOSE_PROTOCOL_ERROR

    def _go_on(self, peer: NodeId, state: _Peer) -> None:
        """After a link was closed in agreement: use another, dial for what is queued, or forget the peer."""
        if self._peers.get(peer) is not state:
            return
        if state.links:
            state.links[0].wake.set()
        elif state.dial is None:
            if state.queue:
                self._start_dial(peer, state)
            else:
                del self._peers[peer]

    def _lose(self, peer: NodeId, state: _Peer, *, was_refused: bool) -> None:
        if self._peers.get(peer) is not state:
            return
        del self._peers[peer]
        self._counts["lost"] += 1
        self._counts["dropped"] += len(state.queue)
        state.end()
        self._on_lost(peer, was_refused)
        self._end_batch()

    async def _lose_soon(self, peer: NodeId, state: _Peer) -> None:
        self._lose(peer, state, was_refused=False)

    def _close_unused(self) -> None:
        """Begin to close the link not used for longest when there are too many, a dialled one if possible."""
        dialled: list[tuple[float, NodeId]] = []
        accepted: list[tuple[float, NodeId]] = []
        for peer, state in self._peers.items():
            if state.links:
                kind = dialled if all([link.was_dialled for link in state.links]) else accepted
                kind.append((state.used_at, peer))
        if len(dialled) + len(accepted) <= LINK_COUNT_MAX:
            return
        kind = accepted if len(accepted) > ACCEPTED_COUNT_MAX else dialled
        state = self._peers[min(kind)[1]]
        if not state.queue:
            self._counts["closed_unused"] += 1
            links, state.links = state.links, []
            for link in links:
                self._running().start_soon(_say_goodbye, link)

    def _close_links_under(self, fingerprint: bytes) -> None:
        """Begin to close, in agreement, the links under a key that does not open any more.

        What is queued goes out on new links, which are dialled under a key that does.
        """
        for state in list(self._peers.values()):
            old = [link for link in state.links if link.websocket.key_fingerprint == fingerprint]
            self._counts["closed_old_key"] += len(old)
            state.links = [link for link in state.links if link not in old]
            for link in old:
                self._running().start_soon(_say_goodbye, link)

    def _end_batch(self) -> None:
        if self._on_batch_end is not None:
            self._on_batch_end()


async def _say_goodbye(link: _Link) -> None:
    """Ask the peer to close a link; its tasks go on until the peer agrees, or for a short while."""
    with trio.move_on_after(GOODBYE_TIMEOUT_S):
        try:
            await link.websocket.send_close(CLOSE_NORMAL)
        except LinkLost:
            return
        await trio.sleep(GOODBYE_TIMEOUT_S)
    link.scope.cancel()
