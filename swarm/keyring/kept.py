"""The ring on the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from swarm.core.errors import DecodeError
from swarm.core.ids import NodeId
from swarm.keyring.config import KEY_COUNT_MAX
from swarm.keyring.keys import FINGERPRINT_SIZE, MeshKey, order_of, take_ids, take_key
from swarm.wire.codec import Body, pack, unpack_untrusted

FORMAT: Final = 1


@final
class KeptRing:
    """What a node knew of its keys when it wrote them down.

    Attributes:
        keys: the oldest first.
        primary: fingerprint of the one that seals.
        is_settled: no rotation was under way.
        ages_s: of the returning keys, by fingerprint.
        known: identities of members, who was not seen for longest first.
    """

    def __init__(
        self,
        keys: list[MeshKey],
        primary: bytes,
        is_settled: bool,
        ages_s: dict[bytes, float],
        known: dict[NodeId, bool],
    ) -> None:
        self.keys: Final = keys
        self.primary: Final = primary
        self.is_settled: Final = is_settled
        self.ages_s: Final = ages_s
        self.known: Final = known

    def to_bytes(self) -> bytes:
        """Return it as bytes. A secret."""
        keys: list[object] = []
        ages: list[object] = []
        for key in self.keys:
            keys.append(key.to_fields())
            ages.append(self.ages_s.get(key.fingerprint, -1.0))
        return pack([FORMAT, keys, self.primary, self.is_settled, ages, list(self.known)])


def unpack_ring_untrusted(blob: bytes, fingerprint_of: Callable[[bytes], bytes]) -> KeptRing:
    """Return what :meth:`KeptRing.to_bytes` was called on.

    Raises:
        DecodeError: the bytes are damaged.
    """
    value = unpack_untrusted(blob)
    if not isinstance(value, list):
        raise DecodeError("not an array")
    body = Body(value)
    if body.take_int() != FORMAT:
        raise DecodeError("another format")
    keys: list[MeshKey] = []
    for item in body.take_list():
        if not isinstance(item, list):
            raise DecodeError("a key is an array")
        heard = take_key(Body(item))
        keys.append(heard.to_key(fingerprint_of(heard.secret)))
    primary = body.take_id(FINGERPRINT_SIZE)
    is_settled = body.take_bool()
    ages = body.take_body()
    ages_s: dict[bytes, float] = {}
    for key in keys:
        age_s = ages.take_number()
        if age_s >= 0:
            ages_s[key.fingerprint] = age_s
    known = take_ids(body.take_list())
    keys.sort(key=order_of)
    names: dict[bytes, bool] = {}
    for key in keys:
        names[key.fingerprint] = True
    if not 0 < len(keys) <= KEY_COUNT_MAX or len(names) != len(keys) or primary not in names:
        raise DecodeError("the keys do not make a ring")
    if primary in ages_s or keys[-1].fingerprint in ages_s:
        raise DecodeError("a key that is used cannot be a returning one")
    if is_settled and (primary != keys[-1].fingerprint or len(ages_s) != len(keys) - 1):
        raise DecodeError("a ring without a rotation has one key that opens")
    return KeptRing(keys, primary, is_settled, ages_s, known)
