"""What performs the keyring of a node: keeps it on the disk, hands keys to the network, meets other members.

The exchange of keys is one message each way on a WebSocket at /keys, inside mutual TLS under some key that
both have: who dials tells first. See `swarm.keyring.core` for who is told and believed what.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, final

import trio

from swarm.core.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from swarm.core.ids import Address, NodeId, short
from swarm.core.rng import Rng
from swarm.daemon.clock import SystemClock
from swarm.daemon.home import Home
from swarm.daemon.logs import Log
from swarm.daemon.mesh_file import keep_mesh, read_ring, write_ring
from swarm.gossip.members import Member
from swarm.keyring.config import KeyringConfig
from swarm.keyring.core import Keyring
from swarm.keyring.effects import ExchangeKeys, KeepRing, SendBeacon, UseKeys
from swarm.keyring.keys import SECRET_SIZE
from swarm.net.dial import DialError, race_tls, upgrade_stream
from swarm.net.identity import NodeKey
from swarm.net.invitation import Invitation
from swarm.net.keys import ALPN_SWARM, MeshKeys, fingerprint_of
from swarm.net.seal import Sealer
from swarm.net.tls_ring import TlsRing
from swarm.net.udp import UdpEndpoint
from swarm.net.websocket import LinkLost, WebSocket

EXCHANGE_TIMEOUT_S: Final = 10.0
EXCHANGE_COUNT_MAX: Final = 8
"""Exchanges that this node has begun and not ended; more are left to a later round."""
LOOK_INTERVAL_S: Final = 0.5
"""How often the members are looked at while a rotation is under way."""


@final
class KeyService:
    """The keys of one daemon.

    Args:
        home: where they are kept.
        key: of the node.
        invitation: of the mesh, with the secret of this start.
        sealer: is told which keys to use.
        log: gets every change.
        config: times of the keyring.
    """

    def __init__(
        self,
        home: Home,
        key: NodeKey,
        invitation: Invitation,
        sealer: Sealer,
        log: Log,
        config: KeyringConfig | None = None,
    ) -> None:
        self._home = home
        self._key = key
        self._mesh = invitation.mesh
        self._given = invitation.secret
        self._sealer = sealer
        self._log = log
        self._clock = SystemClock()
        self._made: dict[bytes, MeshKeys] = {}
        self._meeting: dict[NodeId, bool] = {}
        self._wake = trio.Event()
        self._lock = trio.Lock()
        self._nursery: trio.Nursery | None = None
        self._members: Callable[[], list[Member]] = list
        self._udp: UdpEndpoint | None = None
        self.invitation: Invitation = invitation
        self.ring: Final = Keyring(
            key.node_id,
            invitation.secret,
            invitation.number,
            fingerprint_of,
            Rng(os.urandom(8).hex()),
            config or KeyringConfig(),
            read_ring(home),
            self._clock.now(),
        )
        self.tls: Final = TlsRing(self._keys_of(invitation.secret).node_credentials(key))
        for effect in self.ring.take_effects():
            if isinstance(effect, UseKeys):
                self._use(effect)
        if self.ring.damage:
            log.event("keys_damaged", {"damage": self.ring.damage})

    def attach(self, members: Callable[[], list[Member]], udp: UdpEndpoint) -> None:
        """From now on, look at these members and send from these sockets."""
        self._members = members
        self._udp = udp

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take the mesh's rotations along, until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            if self.invitation.secret != self._given:
                await self._keep_mesh()  # a crash came between the two files
            task_status.started()
            while True:
                await self._perform()
                self._look()
                self.ring.handle_deadline(self._clock.now())
                await self._perform()
                wait_s = max(self.ring.next_deadline() - self._clock.now(), 0.0)
                if not self.ring.is_settled:
                    wait_s = min(wait_s, LOOK_INTERVAL_S)
                with trio.move_on_after(wait_s):
                    await self._wake.wait()
                self._wake = trio.Event()

    async def serve(self, websocket: WebSocket, peer: NodeId) -> None:
        """Exchange keys with a node that has dialled."""
        try:
            with trio.move_on_after(EXCHANGE_TIMEOUT_S):
                via = websocket.key_fingerprint
                if not self.ring.is_welcome(peer, via):
                    return  # a stranger with an old key: nothing is read, nothing is told
                told = (await websocket.receive_messages())[0]
                if told and self.ring.receive_untrusted(peer, via, told, self._clock.now()):
                    await self._perform()
                await websocket.send_messages([self.ring.tell(peer, via)])
        except (LinkLost, RemoteProtocolError):
            pass  # it will come again
        finally:
            await websocket.aclose()
        self._wake.set()

    def on_old_datagram(self, sender: bytes, source: Address, fingerprint: bytes) -> None:
        """Take that a genuine datagram under an old key came, or an empty one under any."""
        self.ring.on_hint(sender, source, fingerprint, self._clock.now())
        self._wake.set()

    def on_admitted(self, peer: NodeId) -> None:
        """Take that a person has let a node in."""
        self.ring.on_admitted(peer, self._clock.now())

    async def rotate(self, without: list[str]) -> dict[str, object]:
        """Begin a rotation and say what it is called.

        Args:
            without: ids (or beginnings of ids) or names of members that shall not get the new key.

        Raises:
            ConfigError: no member, or several, are meant.
            LocalProtocolError: a rotation is under way.
        """
        members = self._members()
        excluded: list[NodeId] = []
        for text in without:
            found = [member for member in members if text and short(member.node_id).startswith(text.lower())]
            found = found or [member for member in members if member.name == text]
            if len(found) != 1:
                raise ConfigError(f"{text!r} means {len(found) or 'no'} members; `swarm nodes` lists them")
            excluded.append(found[0].node_id)
        self._look()
        made = self.ring.rotate(os.urandom(SECRET_SIZE), excluded, self._clock.now())
        await self._perform()
        self._wake.set()
        return {"fingerprint": made.hex(), "excluded": [short(node_id) for node_id in excluded]}

    def rows(self) -> dict[str, object]:
        """Return the keys for `swarm key list`."""
        rows: list[dict[str, object]] = []
        for row in self.ring.rows():
            name, excluded = row["fingerprint"], row["excluded"]
            assert isinstance(name, bytes)
            assert isinstance(excluded, list)
            rows.append({**row, "fingerprint": name.hex(), "excluded": [short(node) for node in excluded]})
        return {"keys": rows, "rotating": not self.ring.is_settled}

    def newcomers_invitation(self) -> Invitation:
        """Return the mesh's invitation for those who come now, without addresses.

        Raises:
            LocalProtocolError: the mesh is just going over to a new key.
        """
        if not self.ring.has_switched:
            raise LocalProtocolError("the mesh is just getting a new key; try again in a few seconds")
        return self.invitation

    def statistics(self) -> dict[str, int]:
        """Return counts since the start."""
        return {**self.ring.statistics(), "meeting": len(self._meeting)}

    def _look(self) -> None:
        there: dict[NodeId, list[Address]] = {}
        gone: dict[NodeId, list[Address]] = {}
        for member in self._members():
            if member.node_id != self._key.node_id:
                place = there if member.state in ("alive", "suspect") else gone
                place[member.node_id] = member.addresses
        self.ring.on_members(there, gone, self._clock.now())

    async def _perform(self) -> None:
        """Do what the ring wants, in order; when this returns all of it is done or begun."""
        async with self._lock:
            for effect in self.ring.take_effects():
                if isinstance(effect, KeepRing):
                    await trio.to_thread.run_sync(write_ring, self._home, effect.blob)
                elif isinstance(effect, UseKeys):
                    self._use(effect)
                    await self._keep_mesh()
                elif isinstance(effect, ExchangeKeys):
                    self._begin(effect)
                elif isinstance(effect, SendBeacon):
                    self._send_beacon(effect)

    async def _keep_mesh(self) -> None:
        """Let the home's file of the mesh have the key that seals: clients of this home look there."""
        await trio.to_thread.run_sync(keep_mesh, self._home, self.invitation, self.invitation.addresses)

    def _use(self, effect: UseKeys) -> None:
        opening = [self._keys_of(secret) for secret in effect.opening]
        returning = [self._keys_of(secret) for secret in effect.returning]
        self._sealer.use_keys(opening, returning)
        self.tls.replace(
            [keys.node_credentials(self._key) for keys in opening],
            [keys.node_credentials(self._key) for keys in returning],
        )
        old = self.invitation
        self.invitation = old.renewed(effect.primary, effect.number)
        names = [keys.fingerprint.hex() for keys in opening]
        if len(names) > 1 or effect.returning or effect.primary != old.secret:
            returned = len(effect.returning)
            self._log.event("keys_used", {"primary": names[0], "open": names, "returning": returned})

    def _keys_of(self, secret: bytes) -> MeshKeys:
        keys = self._made.get(secret)
        if keys is None:
            keys = self._made[secret] = MeshKeys(secret)
        return keys

    def _begin(self, effect: ExchangeKeys) -> None:
        if effect.peer in self._meeting or len(self._meeting) >= EXCHANGE_COUNT_MAX or self._nursery is None:
            return
        self._meeting[effect.peer] = True
        self._nursery.start_soon(self._meet, effect)

    async def _meet(self, effect: ExchangeKeys) -> None:
        try:
            with trio.fail_after(EXCHANGE_TIMEOUT_S):
                await self._exchange(effect)
        except (DialError, LinkLost, RemoteProtocolError, trio.TooSlowError) as error:
            self.ring.on_exchange_failed(effect.peer)
            self._log.event("keys_not_exchanged", {"peer": short(effect.peer), "error": str(error)})
        finally:
            del self._meeting[effect.peer]
        self._wake.set()

    async def _exchange(self, effect: ExchangeKeys) -> None:
        contexts = self.tls.dial_contexts(ALPN_SWARM, effect.via)
        stream, peer = await race_tls(effect.addresses, contexts, effect.peer)
        websocket, _ = await upgrade_stream(stream, "/keys")
        try:
            via = websocket.key_fingerprint
            await websocket.send_messages([self.ring.tell(peer, via)])
            answer = (await websocket.receive_messages())[0]
        finally:
            await websocket.aclose()
        if not answer or not self.ring.receive_untrusted(peer, via, answer, self._clock.now()):
            self.ring.on_exchange_failed(peer)

    def _send_beacon(self, effect: SendBeacon) -> None:
        if self._udp is None:
            return
        try:
            self._udp.send_everywhere_nowait(self._sealer.seal(b"", effect.via))
            for address in effect.addresses:
                self._udp.send_nowait(address, self._sealer.seal(b"", effect.via))
        except KeyError:
            return  # the key was dropped meanwhile
