"""The keyring of one node: which keys it has, which one seals, and how the mesh goes over to a new one.

Theory of operation. A ring holds at most three keys, ordered by (number, fingerprint); the highest is the
*newest*, one is the *primary*, which seals. Every other key is *open* (it opens datagrams and streams like
the primary) or *returning* (under it nothing is done but the exchange of keys). A rotation is a new key
with the next number and runs in three steps, each decided by every node for itself from facts that only
grow:

1. *Spread.* Whoever has the newest key and is not done tells it to members over streams, a few each round,
   in both directions. The old primary goes on sealing.
2. *Switch.* When all members that are there hold the newest key, or `patience_s` after this node got it, it
   becomes the primary.
3. *Settle.* When all members that are there have switched and `grace_s` is over, or `overlap_max_s` after
   the switch, all other keys become returning; after `return_s` they are dropped.

Nobody leads a rotation: it goes on when its starter dies, and a node that restarts goes on where its disk
says. Of two rotations started at once the higher key wins everywhere; the other one is carried along as an
open key.

Who is away in the meantime (asleep, cut off) comes back under an old key. Its datagrams are not opened,
they are a *hint*: whoever hears one opens a stream to the sender under that key. The sender's certificate
proves its identity, and only identities on the newest key's *roster* are given it: everybody that the
starter knew, and whom each node knew when it went over. So the holder of a stolen old secret, who has no
such identity, is not let in, whether members are away or not; neither is who is *excluded*. Two sides of a
cut that both rotated and settled have an old key in common: beacons under it make them hear each other.

Timers: one tick, every `round_s` while a rotation is under way, else every `beacon_s`.

Invariants:
    1. A ring has 1 to 3 keys with different fingerprints, the primary among them.
    2. The newest key is open, and so is the primary; no key is newer than the newest.
    3. The primary's order never falls.
    4. A settled ring has the newest key as primary and no other open key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from swarm.core.errors import DecodeError, LocalProtocolError
from swarm.core.ids import NO_NODE, Address, NodeId
from swarm.core.rng import Rng
from swarm.keyring.acquaintances import Acquaintances
from swarm.keyring.config import KEY_COUNT_MAX, KNOWN_COUNT_MAX, NUMBER_JUMP_MAX, KeyringConfig
from swarm.keyring.effects import ExchangeKeys, KeepRing, KeyEffect, SendBeacon
from swarm.keyring.kept import FORMAT, KeptRing, unpack_ring_untrusted
from swarm.keyring.keys import SECRET_SIZE, HeardKey, KeyOrder, MeshKey, number_of, take_key
from swarm.keyring.ring import Ring
from swarm.wire.codec import Body, pack, unpack_untrusted

BEACON_ADDRESS_COUNT: Final = 8

_COUNTERS: Final = (
    "rotations",
    "adopted",
    "switched",
    "settled",
    "dropped",
    "exchanges",
    "exchange_failed",
    "hints",
    "hints_ignored",
    "refused",
    "garbage",
)


@final
class Keyring:
    """The keys of one node.

    Args:
        me: the node.
        secret: the mesh's secret that the node was given.
        number: of that key, as far as its invitation says.
        fingerprint_of: names a secret.
        rng: draws whom to tell.
        config: times.
        blob: what `KeepRing` kept, b"" for nothing. It counts only if the secret is in it.
        now: the time, seconds.
    """

    def __init__(
        self,
        me: NodeId,
        secret: bytes,
        number: int,
        fingerprint_of: Callable[[bytes], bytes],
        rng: Rng,
        config: KeyringConfig,
        blob: bytes,
        now: float,
    ) -> None:
        self._me: Final = me
        self._fingerprint_of: Final = fingerprint_of
        self._rng: Final = rng
        self._config: Final = config
        first = MeshKey(number, secret, fingerprint_of(secret))
        self._ring: Final = Ring(first)
        self._met: Final = Acquaintances(me, config)
        self._there: dict[NodeId, list[Address]] = {}
        self._gone: dict[NodeId, list[Address]] = {}
        self._is_settled = True
        self._got_at = now
        self._switched_at = now
        self._ticked_at = now
        self._tick_at = now
        self._kept_at = now
        self._is_changed = False
        self._effects: list[KeyEffect] = []
        self._counts: dict[str, int] = {}
        for name in _COUNTERS:
            self._counts[name] = 0
        self.damage: str = ""
        if blob:
            self._restore(blob, first)
        self._mark_self()
        self._use()

    # Inputs

    def rotate(self, secret: bytes, excluded: list[NodeId], now: float) -> bytes:
        """Begin to go over to a new key; return its fingerprint.

        Args:
            secret: 32 new random bytes.
            excluded: members that shall not get it.
            now: the time.

        Raises:
            LocalProtocolError: a rotation is under way, or this node would exclude itself; nothing changed.
        """
        if not self._is_settled:
            raise LocalProtocolError("a rotation is under way; `swarm key list` shows how far it is")
        if self._me in excluded:
            raise LocalProtocolError("a node cannot exclude itself; rotate on another one")
        assert len(secret) == SECRET_SIZE, "a secret has 32 bytes"
        key = MeshKey(self._ring.newest().number + 1, secret, self._fingerprint_of(secret))
        for node_id in excluded[:KNOWN_COUNT_MAX]:
            key.excluded[node_id] = True
            self._met.forget(node_id)
        self._counts["rotations"] += 1
        self._adopt(key, now)
        self._advance(now)
        return key.fingerprint

    def on_members(
        self, there: dict[NodeId, list[Address]], gone: dict[NodeId, list[Address]], now: float
    ) -> None:
        """Take who is a member now.

        Args:
            there: the members that are alive or suspect, without this node, and their addresses.
            gone: the dead and those that left.
            now: the time.
        """
        self._there = there
        self._gone = gone
        for node_id in sorted(gone):
            self._met.note(node_id, False)
        for node_id in sorted(there):
            self._met.note(node_id, True)
        self._advance(now)

    def on_admitted(self, node_id: NodeId, now: float) -> None:
        """Take that a person let somebody in."""
        self._met.note(node_id, True)
        self._advance(now)

    def on_hint(self, prefix: bytes, source: Address, via: bytes, now: float) -> None:
        """Take that a datagram under an old key came, which proves its sender holds that key.

        Args:
            prefix: the first 8 bytes of the sender's id, as far as it says.
            source: where it came from.
            via: fingerprint of the key.
            now: the time.
        """
        peer = self._met.named(prefix, self._ring.newest().roster)
        is_wanted = peer != NO_NODE and self._ring.find(via) is not None and not self._is_excluded(peer)
        if not is_wanted or not self._met.may_answer(peer, now):
            self._counts["hints_ignored"] += 1
            return
        self._counts["hints"] += 1
        self._effects.append(ExchangeKeys(peer, [source], via))

    def is_welcome(self, peer: NodeId, via: bytes) -> bool:
        """Return whether anything is taken from a peer that comes under the key `via`; counts who is not."""
        newest = self._ring.newest()
        is_known = peer in self._met.ids or peer in newest.roster or via == newest.fingerprint
        if self._ring.find(via) is not None and not self._is_excluded(peer) and is_known:
            return True
        self._counts["refused"] += 1
        return False

    def tell(self, peer: NodeId, via: bytes) -> bytes:
        """Return what a member may be told over a stream under the key `via`; b"" when nothing."""
        key = self._ring.find(via)
        if key is None or self._is_excluded(peer):
            return b""
        newest = self._ring.newest()
        may_know = via == newest.fingerprint or peer in newest.roster
        if not may_know and not (not self._ring.has_switched() and peer in self._met.ids):
            self._counts["refused"] += 1
            return b""
        fields: list[object] = []
        for mine in self._ring.keys:
            fields.append(mine.to_fields())
        return pack([FORMAT, fields])

    def receive_untrusted(self, peer: NodeId, via: bytes, payload: bytes, now: float) -> bool:
        """Take what a member has told over a stream under the key `via`; return whether it was believed."""
        if not self.is_welcome(peer, via):
            return False
        is_known = peer in self._met.ids or peer in self._ring.newest().roster
        try:
            heard = _take_keys(payload)
        except DecodeError:
            self._counts["garbage"] += 1
            return False
        self._counts["exchanges"] += 1
        if via == self._ring.newest().fingerprint:
            self._ring.newest().holders[peer] = True
        for item in sorted(heard, key=number_of):
            self._merge(item.to_key(self._fingerprint_of(item.secret)), is_known, now)
        self._met.on_met(peer)
        self._advance(now)
        return True

    def on_exchange_failed(self, peer: NodeId) -> None:
        """Take that a member could not be reached or did not want to talk."""
        self._counts["exchange_failed"] += 1

    def handle_deadline(self, now: float) -> None:
        """Do what is due."""
        if now < self._tick_at:
            return
        self._grow_old(max(now - self._ticked_at, 0.0))
        self._ticked_at = now
        self._advance(now)
        if self._is_settled:
            self._send_beacons()
            self._tick_at = now + self._config.beacon_s
        else:
            self._tell_some()
            self._tick_at = now + self._config.round_s * self._rng.uniform(0.75, 1.25)
        is_changed = self._is_changed or self._met.is_changed
        if is_changed and now - self._kept_at >= self._config.keep_s:
            self._keep(now)

    def next_deadline(self) -> float:
        """Return when `handle_deadline` wants to be called."""
        return self._tick_at

    def take_effects(self) -> list[KeyEffect]:
        """Return what is to be done, oldest first."""
        effects, self._effects = self._effects, []
        return effects

    # Views

    @property
    def is_settled(self) -> bool:
        """Whether no rotation is under way here."""
        return self._is_settled

    @property
    def has_switched(self) -> bool:
        """Whether the newest key seals here."""
        return self._ring.has_switched()

    def rows(self) -> list[dict[str, object]]:
        """Return one row for each key, the newest first, for `swarm key list`."""
        return self._ring.rows([self._me, *self._there], self._is_settled)

    def statistics(self) -> dict[str, int]:
        """Return counts since the start."""
        counts = dict(self._counts)
        counts["keys"] = len(self._ring.keys)
        counts["returning"] = len(self._ring.ages_s)
        counts["known"] = len(self._met.ids)
        counts["is_rotating"] = int(not self._is_settled)
        return counts

    def orders(self) -> list[KeyOrder]:
        """Return the order of each key, the oldest first."""
        return self._ring.orders()

    def primary_order(self) -> KeyOrder:
        """Return the order of the key that seals."""
        return self._ring.primary_key().order()

    def check_invariants(self) -> None:
        """Assert the invariants at the head of this module; for tests and the simulator."""
        self._ring.check_invariants(self._is_settled)

    # Steps

    def _merge(self, heard: MeshKey, is_known: bool, now: float) -> None:
        """Take over what was said about one key; new keys are believed from known members only."""
        mine = self._ring.find(heard.fingerprint)
        if mine is not None:
            # Who was invited with a number that is too low learns it; that of an older key decides nothing.
            is_number = mine is self._ring.newest() and heard.number <= mine.number + NUMBER_JUMP_MAX
            self._is_changed = self._is_changed or (is_number and heard.number > mine.number)
            mine.merge(heard, is_number)
            return
        newest = self._ring.newest()
        if not is_known or self._me in heard.excluded or heard.number > newest.number + NUMBER_JUMP_MAX:
            return
        if heard.order() > newest.order():
            self._counts["adopted"] += 1
            self._adopt(heard, now)
        elif heard.number == newest.number:
            _exclude(newest, heard)

    def _adopt(self, key: MeshKey, now: float) -> None:
        if key.number == self._ring.newest().number:
            _exclude(key, self._ring.newest())
        self._counts["dropped"] += self._ring.add(key)
        self._is_settled = False
        self._got_at = now
        self._tick_at = now
        self._mark_self()
        self._vouch(key)
        self._keep(now)
        self._use()

    def _advance(self, now: float) -> None:
        """Take every step that can be taken now."""
        if self._is_settled:
            return
        newest = self._ring.newest()
        if not self._ring.has_switched():
            self._vouch(newest)
            is_patient = now - self._got_at < self._config.patience_s
            if is_patient and not self._have_all(newest.holders, newest):
                return
            self._ring.primary = newest.fingerprint
            self._switched_at = now
            self._counts["switched"] += 1
            self._mark_self()
            self._keep(now)
            self._use()
        since_s = now - self._switched_at
        if since_s < self._config.grace_s:
            return
        if self._have_all(newest.switched, newest) or since_s >= self._config.overlap_max_s:
            self._is_settled = True
            self._counts["settled"] += 1
            self._tick_at = now
            self._ring.retire()
            self._keep(now)
            self._use()

    def _have_all(self, ids: dict[NodeId, bool], newest: MeshKey) -> bool:
        """Return whether everybody who is waited for is among `ids`."""
        for node_id in self._there:
            if node_id not in ids and node_id in newest.roster and not self._is_excluded(node_id):
                return False
        return True

    def _tell_some(self) -> None:
        newest = self._ring.newest()
        without: list[NodeId] = []
        behind: list[NodeId] = []
        for node_id in sorted(self._there):
            if self._is_excluded(node_id) or node_id not in newest.roster:
                continue
            if node_id not in newest.holders:
                without.append(node_id)
            elif node_id not in newest.switched:
                behind.append(node_id)
        chosen = self._rng.sample(without, self._config.fanout)
        if len(chosen) < self._config.fanout:
            chosen += self._rng.sample(behind, self._config.fanout - len(chosen))
        for node_id in chosen:
            self._effects.append(ExchangeKeys(node_id, self._there[node_id], b""))

    def _send_beacons(self) -> None:
        if not self._ring.ages_s:
            return
        away: list[Address] = []
        for node_id in sorted(self._gone):
            if not self._is_excluded(node_id):
                away.extend(self._gone[node_id][:2])
        for via in sorted(self._ring.ages_s):
            self._effects.append(SendBeacon(via, self._rng.sample(away, BEACON_ADDRESS_COUNT)))

    def _grow_old(self, passed_s: float) -> None:
        if not self._ring.ages_s:
            return
        self._is_changed = True
        dropped = self._ring.grow_old(passed_s, self._config.return_s)
        if dropped:
            self._counts["dropped"] += dropped
            self._keep(self._ticked_at)
            self._use()

    def _vouch(self, key: MeshKey) -> None:
        """Let everybody known so far be given a key; only before this node seals with it."""
        for node_id in self._met.ids:
            if node_id not in key.excluded and len(key.roster) < KNOWN_COUNT_MAX:
                key.roster[node_id] = True

    def _mark_self(self) -> None:
        newest = self._ring.newest()
        newest.roster[self._me] = True
        newest.holders[self._me] = True
        if self._ring.has_switched():
            newest.switched[self._me] = True

    def _is_excluded(self, node_id: NodeId) -> bool:
        return node_id in self._ring.newest().excluded

    def _use(self) -> None:
        self._effects.append(self._ring.to_effect())

    # The disk

    def _keep(self, now: float) -> None:
        self._kept_at = now
        self._is_changed = False
        self._met.is_changed = False
        kept = KeptRing(
            self._ring.keys, self._ring.primary, self._is_settled, self._ring.ages_s, self._met.ids
        )
        self._effects.append(KeepRing(kept.to_bytes()))

    def _restore(self, blob: bytes, first: MeshKey) -> None:
        """Take over what was kept, if the secret that the node was given belongs to it."""
        try:
            kept = unpack_ring_untrusted(blob, self._fingerprint_of)
        except DecodeError as error:
            self.damage = f"the kept keys are damaged ({error}); only the mesh's secret is left of them"
            return
        if first.fingerprint not in [key.fingerprint for key in kept.keys]:
            return  # the home belongs to another mesh now
        self._ring.keys = kept.keys
        self._ring.primary = kept.primary
        self._ring.ages_s = kept.ages_s
        self._met.ids = kept.known
        self._is_settled = kept.is_settled


def _take_keys(payload: bytes) -> list[HeardKey]:
    value = unpack_untrusted(payload)
    if not isinstance(value, list):
        raise DecodeError("not an array")
    body = Body(value)
    if body.take_int() != FORMAT:
        raise DecodeError("another format")
    found: list[HeardKey] = []
    for item in body.take_list()[:KEY_COUNT_MAX]:
        if not isinstance(item, list):
            raise DecodeError("a key is an array")
        found.append(take_key(Body(item)))
    return found


def _exclude(key: MeshKey, rival: MeshKey) -> None:
    """Of two rotations at once, let the exclusions of both count."""
    for node_id in rival.excluded:
        key.excluded[node_id] = True
