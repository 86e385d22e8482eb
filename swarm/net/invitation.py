"""Invitations: the text that lets a machine into a mesh.

``swarm1:`` is followed by the mesh's secret and makes its holder a node; ``swarm1c:`` by the credentials
of one client, who can submit and watch. The rest is base32 (so it can be read out, and fits a QR code in
its dense alphanumeric mode) of a msgpack array and a check of 5 bytes, which catches mistyped and cut
invitations before anything is tried.
"""

from __future__ import annotations

import base64
import binascii
import os
from hashlib import blake2b
from typing import Final, final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from swarm.core.errors import ConfigError, DecodeError
from swarm.core.ids import Address
from swarm.core.quorums import AVAILABLE, QUORUMS
from swarm.core.records import Record
from swarm.net import certificates
from swarm.net.certificates import ROLE_CLIENT, SIGNATURE_SIZE
from swarm.net.identity import SEED_SIZE, NodeKey
from swarm.net.keys import SECRET_SIZE, Credentials
from swarm.wire.codec import Body, pack, unpack_untrusted

NODE_PREFIX: Final = "swarm1:"
CLIENT_PREFIX: Final = "swarm1c:"
ADDRESS_COUNT_MAX: Final = 8
MESH_NAME_SIZE_MAX: Final = 64
TEXT_SIZE_MAX: Final = 4096
_CHECK_SIZE: Final = 5
_PUBLIC_KEY_SIZE: Final = 32


def new_secret() -> bytes:
    """Return the 32 random bytes that found a mesh."""
    return os.urandom(SECRET_SIZE)


@final
class Invitation(Record):
    """What an invitation says.

    Attributes:
        secret: the mesh's secret, b"" in a client's invitation.
        credentials: the client's, None in a node's invitation.
        mesh: name of the mesh, for people; at most 64 bytes of UTF-8.
        addresses: where members were when it was written, at most 8.
        number: how many rotations of the key made the secret; 0 in a client's invitation.
        quorum: what the mesh is, one of `QUORUMS`; a client's invitation does not say.
    """

    __slots__ = ("addresses", "credentials", "mesh", "number", "quorum", "secret")

    def __init__(
        self,
        secret: bytes,
        credentials: Credentials | None,
        mesh: str,
        addresses: list[Address],
        number: int = 0,
        quorum: str = AVAILABLE,
    ) -> None:
        if (credentials is None) == (secret == b""):
            raise ConfigError("an invitation holds either a secret or a client's credentials")
        if credentials is None and len(secret) != SECRET_SIZE:
            raise ConfigError(f"the invitation's secret has {len(secret)} bytes instead of {SECRET_SIZE}")
        if len(mesh.encode("utf-8", "replace")) > MESH_NAME_SIZE_MAX:
            raise ConfigError(f"the mesh name {mesh!r} is longer than {MESH_NAME_SIZE_MAX} bytes")
        if quorum not in QUORUMS:
            raise ConfigError(f"the invitation is for a mesh with quorum {quorum!r}, unknown here")
        self.secret: Final = secret
        self.credentials: Final = credentials
        self.mesh: Final = mesh
        self.addresses: Final = addresses[:ADDRESS_COUNT_MAX]
        self.number: Final = number
        self.quorum: Final = quorum

    def fields(self) -> tuple[object, ...]:
        return (self.secret, self.credentials, self.mesh, self.addresses, self.number, self.quorum)

    def __repr__(self) -> str:
        return f"Invitation(mesh={self.mesh!r}, is_client={self.is_client}, addresses={self.addresses!r})"

    @property
    def is_client(self) -> bool:
        """Whether it makes its holder a client only."""
        return self.credentials is not None

    def renewed(self, secret: bytes, number: int) -> Invitation:
        """Return the invitation to the same mesh after a rotation of its key."""
        return Invitation(secret, None, self.mesh, self.addresses, number, self.quorum)

    def placed(self, addresses: list[Address]) -> Invitation:
        """Return the invitation to the same mesh with other addresses to try."""
        return Invitation(self.secret, self.credentials, self.mesh, addresses, self.number, self.quorum)

    def to_text(self) -> str:
        """Return the text that people pass on. A secret."""
        addresses = [[host, port] for host, port in self.addresses]
        if self.credentials is None:
            more: list[object] = [self.number] if self.number else []
            if self.quorum != AVAILABLE:
                more = [self.number, self.quorum]
            return _armour(NODE_PREFIX, pack([self.secret, self.mesh, addresses, *more]))
        authority_key = certificates.public_key_of(self.credentials.authority)
        fields = [
            self.credentials.key_seed,
            certificates.signature_of(self.credentials.certificate),
            authority_key.public_bytes_raw(),
            certificates.signature_of(self.credentials.authority),
            self.mesh,
            addresses,
        ]
        return _armour(CLIENT_PREFIX, pack(fields))

    @classmethod
    def from_text(cls, text: str) -> Invitation:
        """Return the invitation that `text` is; white space and upper case do no harm.

        Raises:
            ConfigError: says which part of the text is wrong.
        """
        prefix, payload = _unarmour("".join(text.split()).lower())
        try:
            body = Body(_fields(payload))
            if prefix == NODE_PREFIX:
                secret = body.take_id(SECRET_SIZE)
                mesh, places = body.take_text(), _take_addresses(body)
                number = body.take_int() if body.has_more() else 0
                quorum = body.take_text() if body.has_more() else AVAILABLE
                return cls(secret, None, mesh, places, number, quorum)
            credentials = _take_credentials(body)
            return cls(b"", credentials, body.take_text(), _take_addresses(body))
        except DecodeError as error:
            raise ConfigError(f"the invitation's content is wrong: {error}") from None


def _fields(payload: bytes) -> list[object]:
    fields = unpack_untrusted(payload)
    if not isinstance(fields, list):
        raise DecodeError("not an array")
    return fields


def _take_addresses(body: Body) -> list[Address]:
    addresses: list[Address] = []
    for item in body.take_list():
        if not isinstance(item, list):
            raise DecodeError("an address is a host and a port")
        fields = Body(item)
        host, port = fields.take_text(), fields.take_int()
        if not host or not 0 < port < 65536:
            raise DecodeError(f"{host!r} port {port} is no address")
        addresses.append((host, port))
    return addresses


def _take_credentials(body: Body) -> Credentials:
    key = NodeKey(body.take_id(SEED_SIZE))
    leaf_signature = body.take_id(SIGNATURE_SIZE)
    authority_key = Ed25519PublicKey.from_public_bytes(body.take_id(_PUBLIC_KEY_SIZE))
    authority = certificates.rebuild_authority(authority_key, body.take_id(SIGNATURE_SIZE))
    public_key = key.private_key.public_key()
    leaf = certificates.rebuild_leaf(authority_key, public_key, ROLE_CLIENT, leaf_signature)
    return Credentials(ROLE_CLIENT, key.node_id, authority, leaf, key.private_key.private_bytes_raw())


def _check(prefix: str, payload: bytes) -> bytes:
    return blake2b(payload, digest_size=_CHECK_SIZE, person=prefix.encode()).digest()


def _armour(prefix: str, payload: bytes) -> str:
    encoded = base64.b32encode(payload + _check(prefix, payload))
    return prefix + encoded.decode("ascii").rstrip("=").lower()


def _unarmour(text: str) -> tuple[str, bytes]:
    """Return (prefix, payload) of an invitation without white space, in lower case."""
    for prefix in (NODE_PREFIX, CLIENT_PREFIX):
        if text.startswith(prefix):
            break
    else:
        shown = text[:12] + ("…" if len(text) > 12 else "")
        raise ConfigError(f"{shown!r} is no invitation: those start with {NODE_PREFIX} or {CLIENT_PREFIX}")
    encoded = text[len(prefix) :]
    if len(encoded) > TEXT_SIZE_MAX:
        raise ConfigError(f"the invitation is {len(encoded)} characters long, more than {TEXT_SIZE_MAX}")
    for position, character in enumerate(encoded, len(prefix) + 1):
        if character not in "abcdefghijklmnopqrstuvwxyz234567":
            raise ConfigError(f"the invitation's character {position} is {character!r}: not a letter or 2-7")
    try:
        decoded = base64.b32decode(encoded.upper() + "=" * (-len(encoded) % 8))
    except (binascii.Error, ValueError):
        raise ConfigError("the invitation is cut off: a part of its end is missing") from None
    payload, check = decoded[:-_CHECK_SIZE], decoded[-_CHECK_SIZE:]
    if len(decoded) <= _CHECK_SIZE or _check(prefix, payload) != check:
        raise ConfigError("the invitation's check does not fit: it was mistyped or cut off; copy it again")
    return prefix, payload
