"""What the keyring asks of its daemon, performed in order."""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import Address, NodeId
from swarm.core.records import Record


class KeyEffect(Record):
    """Base of all effects of the keyring."""

    __slots__ = ()


@final
class KeepRing(KeyEffect):
    """Write the ring to the disk, readable by its owner only; what stands behind waits until it is there."""

    __slots__ = ("blob",)

    def __init__(self, blob: bytes) -> None:
        self.blob: Final = blob

    def fields(self) -> tuple[object, ...]:
        return (self.blob,)

    def __repr__(self) -> str:
        return f"KeepRing({len(self.blob)} bytes)"


@final
class UseKeys(KeyEffect):
    """From now on seal with one key, open with some, and let members return under others.

    Attributes:
        primary: secret that seals.
        number: the primary's number, for invitations.
        opening: secrets that open datagrams and streams, the primary first, then the newest first.
        returning: secrets under which nothing is opened but the exchange of keys.
    """

    __slots__ = ("number", "opening", "primary", "returning")

    def __init__(self, primary: bytes, number: int, opening: list[bytes], returning: list[bytes]) -> None:
        self.primary: Final = primary
        self.number: Final = number
        self.opening: Final = opening
        self.returning: Final = returning

    def fields(self) -> tuple[object, ...]:
        return (self.primary, self.number, self.opening, self.returning)

    def __repr__(self) -> str:
        return f"UseKeys(opening={len(self.opening)}, returning={len(self.returning)})"


@final
class ExchangeKeys(KeyEffect):
    """Open a stream to a member, tell it what is known of the keys and take what it knows.

    Attributes:
        peer: who; its certificate must prove it.
        addresses: where to find it.
        via: fingerprint of the key to meet under, b"" for any key that opens.
    """

    __slots__ = ("addresses", "peer", "via")

    def __init__(self, peer: NodeId, addresses: list[Address], via: bytes) -> None:
        self.peer: Final = peer
        self.addresses: Final = addresses
        self.via: Final = via

    def fields(self) -> tuple[object, ...]:
        return (self.peer, self.addresses, self.via)


@final
class SendBeacon(KeyEffect):
    """Send an empty datagram under an old key, to everybody near by and to some addresses.

    Attributes:
        via: fingerprint of the key.
        addresses: where members that are away were last.
    """

    __slots__ = ("addresses", "via")

    def __init__(self, via: bytes, addresses: list[Address]) -> None:
        self.via: Final = via
        self.addresses: Final = addresses

    def fields(self) -> tuple[object, ...]:
        return (self.via, self.addresses)
