"""Everything that is derived from the mesh's secret, and the TLS contexts made of it.

HKDF (RFC 5869, SHA-256, no salt) with one label per purpose; the table of labels is `LABELS` and is
repeated in docs/WIRE.md. Node to node and client to node are plain mutual TLS 1.3 with the mesh's
authority as the only one trusted.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from hashlib import blake2b
from pathlib import Path
from typing import Final, final

import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from swarm.core.errors import ConfigError, RemoteProtocolError
from swarm.core.ids import short
from swarm.core.records import Record
from swarm.net import certificates
from swarm.net.certificates import ROLE_CLIENT, ROLE_NODE
from swarm.net.identity import NodeKey

__all__ = [
    "ALPN_HTTP",
    "ALPN_SWARM",
    "ROLE_CLIENT",
    "ROLE_NODE",
    "Credentials",
    "KeyContext",
    "MeshKeys",
    "fingerprint_of",
    "key_of",
    "peer_identity",
]

SECRET_SIZE: Final = 32
FINGERPRINT_SIZE: Final = 8
ALPN_SWARM: Final = "swarm/1"
ALPN_HTTP: Final = "http/1.1"

LABELS: Final[dict[str, tuple[bytes, int]]] = {
    "tag": (b"swarm 1 mesh tag", 4),
    "gossip": (b"swarm 1 gossip key", 32),
    "authority": (b"swarm 1 authority key", 32),
}
"""Purpose -> (HKDF info, bytes derived)."""


class KeyContext(ssl.SSLContext):
    """A TLS context under one key of the mesh.

    Attributes:
        fingerprint: names the key.
        server_name: what a dialler sends as the name of the server, so that the server, which may have
            several keys, shows the certificate of this one.
        is_open: False: only the exchange of keys is served under it (`swarm.keyring`).
    """

    fingerprint: bytes
    server_name: str
    is_open: bool


@final
class Credentials(Record):
    """What a node or client shows to others, and the authority by which it knows them.

    Attributes:
        role: "node" or "client".
        identity: the id in the certificate.
        authority, certificate: DER.
        key_seed: the 32 private bytes of the certificate's key. A secret.
    """

    __slots__ = ("authority", "certificate", "identity", "key_seed", "role")

    def __init__(
        self, role: str, identity: bytes, authority: bytes, certificate: bytes, key_seed: bytes
    ) -> None:
        self.role: Final = role
        self.identity: Final = identity
        self.authority: Final = authority
        self.certificate: Final = certificate
        self.key_seed: Final = key_seed

    def fields(self) -> tuple[object, ...]:
        return (self.role, self.identity, self.authority, self.certificate, self.key_seed)

    def __repr__(self) -> str:
        return f"Credentials({self.role!r}, {self.identity!r})"

    @property
    def fingerprint(self) -> bytes:
        """Name of the key of the mesh that these credentials belong to; holders of either role know it."""
        return _fingerprint(certificates.public_key_of(self.authority).public_bytes_raw())

    def server_context(self) -> KeyContext:
        """Return a context that accepts both protocols, from holders of a certificate of this mesh only."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols([ALPN_SWARM, ALPN_HTTP])
        context.num_tickets = 0  # nobody resumes: tickets would only be bytes that a short client never reads
        return context

    def client_context(self, protocol: str) -> KeyContext:
        """Return a context for dialling nodes of this mesh and speaking `protocol` (an ALPN name)."""
        context = self._context(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols([protocol])
        return context

    def _context(self, side: ssl._SSLMethod) -> KeyContext:
        context = KeyContext(side)
        context.fingerprint = self.fingerprint
        context.server_name = f"{short(context.fingerprint)}.swarm"
        context.is_open = True
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # identity is never an address: see peer_identity
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=self.authority)
        key = Ed25519PrivateKey.from_private_bytes(self.key_seed)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        pem += ssl.DER_cert_to_PEM_cert(self.certificate).encode()
        # The ssl module reads keys from files only: a private directory, gone in a moment.
        with tempfile.TemporaryDirectory(prefix="swarm-") as directory:
            path = Path(directory) / "leaf.pem"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(pem)
            context.load_cert_chain(path)
        return context


class MeshKeys:
    """The keys of a mesh.

    Attributes:
        tag: 4 bytes in the clear on every datagram, so that foreign ones are dropped before any crypto.
        gossip_key: 32 bytes, seals datagrams.
        fingerprint: 8 bytes that name the secret and tell nothing about it.
    """

    def __init__(self, secret: bytes) -> None:
        """Derive from the mesh's 32 secret bytes."""
        if len(secret) != SECRET_SIZE:
            raise ConfigError(f"a mesh secret has {SECRET_SIZE} bytes, this one {len(secret)}")
        self._secret: Final = secret
        self.tag: Final = derive(secret, "tag")
        self.gossip_key: Final = derive(secret, "gossip")
        self.fingerprint: Final = fingerprint_of(secret)

    def node_credentials(self, key: NodeKey) -> Credentials:
        """Return the credentials of the node that holds `key`."""
        return self._credentials(key, ROLE_NODE)

    def client_credentials(self, key: NodeKey | None = None) -> Credentials:
        """Return credentials that let their holder submit and watch but not become a node.

        They hold nothing from which the secret could be found. None makes a new key.
        """
        return self._credentials(key or NodeKey.generate(), ROLE_CLIENT)

    def _credentials(self, key: NodeKey, role: str) -> Credentials:
        authority_key = Ed25519PrivateKey.from_private_bytes(derive(self._secret, "authority"))
        return Credentials(
            role,
            key.node_id,
            certificates.make_authority(authority_key),
            certificates.make_leaf(authority_key, key.private_key.public_key(), role),
            key.private_key.private_bytes_raw(),
        )


def derive(secret: bytes, purpose: str) -> bytes:
    """Return the key derived from `secret` for a purpose named in `LABELS`."""
    label, size = LABELS[purpose]
    return HKDF(SHA256(), size, salt=None, info=label).derive(secret)


def fingerprint_of(secret: bytes) -> bytes:
    """Return the 8 bytes that name a secret: a hash of the public key of its authority."""
    authority_key = Ed25519PrivateKey.from_private_bytes(derive(secret, "authority"))
    return _fingerprint(authority_key.public_key().public_bytes_raw())


def _fingerprint(authority_public_key: bytes) -> bytes:
    return blake2b(authority_public_key, digest_size=FINGERPRINT_SIZE, person=b"swarm key").digest()


def peer_identity(stream: trio.SSLStream[trio.SocketStream]) -> tuple[str, bytes]:
    """Return (role, id) of whoever is at the other end of a stream after its handshake.

    Raises:
        RemoteProtocolError: no certificate, or one that does not name a node or client by its own key.
    """
    certificate = stream.getpeercert(binary_form=True)
    if not isinstance(certificate, bytes):
        raise RemoteProtocolError("the peer showed no certificate")
    return certificates.identity_in_untrusted(certificate)


def key_of(stream: trio.SSLStream[trio.SocketStream]) -> KeyContext:
    """Return the context under whose key a stream works, after its handshake."""
    context: object = stream.context
    assert isinstance(context, KeyContext), "streams are opened with contexts of Credentials"
    return context
