"""One key of a ring with the facts about it, and how both travel and are kept.

Everything that nodes tell each other about a key only grows (ids are added, numbers rise), so what two of
them know merges by union, in any order and any number of times.
"""

from __future__ import annotations

from typing import Final, TypeAlias, final

from swarm.core.errors import DecodeError
from swarm.core.ids import NODE_ID_SIZE, NodeId
from swarm.keyring.config import KNOWN_COUNT_MAX
from swarm.wire.codec import Body

SECRET_SIZE: Final = 32
FINGERPRINT_SIZE: Final = 8

KeyOrder: TypeAlias = tuple[int, bytes]
"""(number, fingerprint): of two keys the higher one is newer, on every node alike."""


@final
class MeshKey:
    """A key of the mesh and what is known about it.

    Attributes:
        number: how many rotations made it; 0 for the key that founded the mesh.
        secret: 32 bytes.
        fingerprint: names it; follows from the secret.
        excluded: members that the rotation to this key throws out.
        roster: members to whom the key may be given by somebody who meets them under an older one.
        holders: members that have it.
        switched: members that seal with it.
    """

    __slots__ = ("excluded", "fingerprint", "holders", "number", "roster", "secret", "switched")

    def __init__(self, number: int, secret: bytes, fingerprint: bytes) -> None:
        self.number = number
        self.secret: Final = secret
        self.fingerprint: Final = fingerprint
        self.excluded: dict[NodeId, bool] = {}
        self.roster: dict[NodeId, bool] = {}
        self.holders: dict[NodeId, bool] = {}
        self.switched: dict[NodeId, bool] = {}

    def order(self) -> KeyOrder:
        """Return what keys are ordered by."""
        return (self.number, self.fingerprint)

    def to_fields(self) -> list[object]:
        """Return the layout of docs/WIRE.md: ``[number, secret, excluded, roster, holders, switched]``."""
        return [
            self.number,
            self.secret,
            sorted(self.excluded),
            sorted(self.roster),
            sorted(self.holders),
            sorted(self.switched),
        ]

    def merge(self, other: MeshKey, with_number: bool) -> None:
        """Take over what somebody else knows of the same key, its number too if that may rise."""
        assert other.fingerprint == self.fingerprint, "only facts about one key are merged"
        if with_number:
            self.number = max(self.number, other.number)
        for mine, theirs in (
            (self.excluded, other.excluded),
            (self.roster, other.roster),
            (self.holders, other.holders),
            (self.switched, other.switched),
        ):
            for node_id in theirs:
                if len(mine) < KNOWN_COUNT_MAX:
                    mine[node_id] = True


@final
class HeardKey:
    """What a peer says of one key; its fingerprint is not computed yet."""

    __slots__ = ("number", "secret", "sets")

    def __init__(self, number: int, secret: bytes, sets: list[dict[NodeId, bool]]) -> None:
        self.number: Final = number
        self.secret: Final = secret
        self.sets: Final = sets

    def to_key(self, fingerprint: bytes) -> MeshKey:
        """Return it as a key."""
        key = MeshKey(self.number, self.secret, fingerprint)
        key.excluded, key.roster, key.holders, key.switched = self.sets
        return key


def take_key(body: Body) -> HeardKey:
    """Return a key from its fields.

    Raises:
        DecodeError: they are no key.
    """
    number = body.take_int()
    secret = body.take_id(SECRET_SIZE)
    sets: list[dict[NodeId, bool]] = []
    for _ in range(4):
        sets.append(take_ids(body.take_list()))
    return HeardKey(number, secret, sets)


def take_ids(items: list[object]) -> dict[NodeId, bool]:
    """Return node ids from an array of them.

    Raises:
        DecodeError: something else is among them, or there are too many.
    """
    if len(items) > KNOWN_COUNT_MAX:
        raise DecodeError(f"{len(items)} ids where at most {KNOWN_COUNT_MAX} may be")
    found: dict[NodeId, bool] = {}
    for item in items:
        if not isinstance(item, bytes) or len(item) != NODE_ID_SIZE:
            raise DecodeError("an id of a node has 16 bytes")
        found[item] = True
    return found


def order_of(key: MeshKey) -> KeyOrder:
    """Return the order of a key, for sorting."""
    return key.order()


def number_of(heard: HeardKey) -> int:
    """Return the number of a heard key, for sorting."""
    return heard.number


def count_ids(ids: dict[NodeId, bool], members: list[NodeId]) -> int:
    """Return how many of some members are among the ids."""
    count = 0
    for node_id in members:
        if node_id in ids:
            count += 1
    return count
