"""A mesh of keyrings under a virtual clock: who hears whom follows from their keys, cuts and sleep.

A node hears another when both are awake on one side of the cut and it opens what the other one seals with.
Who was heard within `SILENCE_S` is there, all others are gone: that is what a failure detector makes of it.
Streams work under any key that both have.
"""

from __future__ import annotations

from hashlib import blake2b

from swarm.core.ids import Address
from swarm.core.rng import Rng
from swarm.keyring.config import KeyringConfig
from swarm.keyring.core import Keyring
from swarm.keyring.effects import ExchangeKeys, KeepRing, SendBeacon, UseKeys

STEP_S = 0.5
SILENCE_S = 4.0
FOUNDING = b"\x01" * 32


def fingerprint_of(secret: bytes) -> bytes:
    return blake2b(secret, digest_size=8).digest()


class Host:
    """One node: its keyring, what its daemon was told to use, and what its disk holds."""

    def __init__(self, number: int, mesh: KeyringMesh) -> None:
        self.number = number
        self.node_id = number.to_bytes(2, "big") * 8
        self.address: Address = (f"host{number}", 7117)
        self.mesh = mesh
        self.side = 0
        self.is_asleep = False
        self.disk = b""
        self.mesh_file = (FOUNDING, 0)
        self.use = UseKeys(FOUNDING, 0, [FOUNDING], [])
        self.heard_at: dict[int, float] = {}
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Start, or start again from the disk."""
        self.starts += 1
        secret, number = self.mesh_file
        rng = Rng(f"{self.mesh.seed}:{self.number}:{self.starts}")
        self.ring = Keyring(
            self.node_id, secret, number, fingerprint_of, rng, self.mesh.config, self.disk, self.mesh.now
        )
        assert self.ring.damage == ""
        self.perform()

    def opens(self) -> list[bytes]:
        return [fingerprint_of(secret) for secret in self.use.opening]

    def returning(self) -> list[bytes]:
        return [fingerprint_of(secret) for secret in self.use.returning]

    def seals(self) -> bytes:
        return fingerprint_of(self.use.primary)

    def tell_members(self) -> None:
        there: dict[bytes, list[Address]] = {}
        gone: dict[bytes, list[Address]] = {}
        for other, at in self.heard_at.items():
            host = self.mesh.hosts[other]
            (there if self.mesh.now - at < SILENCE_S else gone)[host.node_id] = [host.address]
        self.ring.on_members(there, gone, self.mesh.now)

    def perform(self) -> None:
        """Perform what the ring wants, in order."""
        while effects := self.ring.take_effects():
            for effect in effects:
                if isinstance(effect, KeepRing):
                    self.disk = effect.blob
                elif isinstance(effect, UseKeys):
                    assert effect.primary == effect.opening[0]
                    assert len(effect.opening) + len(effect.returning) <= 3
                    self.use = effect
                    self.mesh_file = (effect.primary, effect.number)
                elif isinstance(effect, ExchangeKeys):
                    self.mesh.exchange(self, effect)
                elif isinstance(effect, SendBeacon):
                    self.mesh.beacon(self, effect)
        self.ring.check_invariants()


class KeyringMesh:
    """Hosts that know each other from the start.

    Args:
        count: how many.
        seed: of all choices.
        loss: share of exchanges that break.
        config: times of the keyrings.
    """

    def __init__(
        self, count: int, seed: str = "0", loss: float = 0.0, config: KeyringConfig | None = None
    ) -> None:
        self.seed = seed
        self.rng = Rng(f"{seed}:mesh")
        self.loss = loss
        self.config = config or KeyringConfig()
        self.now = 1000.0
        self.exchanges = 0
        self.hosts: list[Host] = []
        for number in range(count):
            self.hosts.append(Host(number, self))
        for host in self.hosts:
            for other in self.hosts:
                if other is not host:
                    host.heard_at[other.number] = self.now
        self.run(STEP_S)

    def rotate(self, number: int, *excluded: int) -> bytes:
        """Start a rotation on a host and return the fingerprint of the new key."""
        host = self.hosts[number]
        secret = blake2b(f"{self.seed}:{number}:{self.now}".encode(), digest_size=32).digest()
        made = host.ring.rotate(secret, [self.hosts[other].node_id for other in excluded], self.now)
        host.perform()
        return made

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self.now < until:
            self.now += STEP_S
            awake = [host for host in self.hosts if not host.is_asleep]
            for host in awake:
                for other in awake:
                    if other is host or other.side != host.side:
                        continue
                    seal = other.seals()
                    if seal in host.opens():
                        host.heard_at[other.number] = self.now
                    elif seal in host.returning():
                        host.ring.on_hint(other.node_id[:8], other.address, seal, self.now)
            for host in awake:
                host.tell_members()
                if host.ring.next_deadline() <= self.now:
                    host.ring.handle_deadline(self.now)
                host.perform()

    def exchange(self, host: Host, effect: ExchangeKeys) -> None:
        """Let a host meet a peer over a stream, under the first key that both have."""
        self.exchanges += 1
        peer = self.host_at(effect.addresses[0])
        broken = peer.is_asleep or host.is_asleep or peer.side != host.side or self.rng.unit() < self.loss
        tried = [effect.via] if effect.via else host.opens()
        common = [via for via in tried if via in peer.opens() + peer.returning()]
        if broken or not common or peer.node_id != effect.peer:
            host.ring.on_exchange_failed(effect.peer)
            return
        via = common[0]
        told = host.ring.tell(peer.node_id, via)
        peer.ring.receive_untrusted(host.node_id, via, told, self.now)
        answer = peer.ring.tell(host.node_id, via)
        if self.rng.unit() >= self.loss:
            host.ring.receive_untrusted(peer.node_id, via, answer, self.now)
        if peer is not host:
            peer.perform()

    def beacon(self, host: Host, effect: SendBeacon) -> None:
        """Let everybody on the same side who has the key hear a beacon."""
        for other in self.hosts:
            if other is not host and other.side == host.side and not other.is_asleep:
                if effect.via in other.returning() or effect.via == other.seals():
                    other.ring.on_hint(host.node_id[:8], host.address, effect.via, self.now)

    def host_at(self, address: Address) -> Host:
        return next(host for host in self.hosts if host.address == address)

    def seals(self) -> list[bytes]:
        """Return what each host seals with."""
        return [host.seals() for host in self.hosts]

    def is_done(self) -> bool:
        """Return whether all hosts seal with one key and no rotation is under way."""
        return len(set(self.seals())) == 1 and all(host.ring.is_settled for host in self.hosts)

    def is_whole(self) -> bool:
        """Return whether everybody hears everybody."""
        return all(
            self.now - host.heard_at.get(other.number, -1e9) < SILENCE_S
            for host in self.hosts
            for other in self.hosts
            if other is not host
        )

    def run_until_done(self, seconds: float = 900.0) -> float:
        """Let time pass until :meth:`is_done` and :meth:`is_whole`; return how long that took."""
        began = self.now
        while not (self.is_done() and self.is_whole()):
            assert self.now - began < seconds, f"not done after {seconds:g} s: {self.state()}"
            self.run(STEP_S)
        return self.now - began

    def state(self) -> list[object]:
        """Return who seals with what and how far it is, for messages."""
        return [(host.number, host.seals().hex()[:6], host.ring.is_settled) for host in self.hosts]
