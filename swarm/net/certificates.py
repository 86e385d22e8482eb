"""Certificates of a mesh: one authority derived from the secret, one leaf for each node and client.

Everything in them is fixed or follows from the keys, so the same keys always give the same bytes: each
holder of the secret makes the authority's certificate by itself. They are valid from 1970 to 2999,
because boards without a battery start with a clock that is decades wrong.

A leaf says what its holder is by one URI, ``swarm://node/<id>`` or ``swarm://client/<id>``; the id is
the hash of the leaf's own key. Only nodes' leaves may be used by a TLS server.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from swarm.core.errors import RemoteProtocolError
from swarm.core.ids import NODE_ID_SIZE, parse_short, short
from swarm.net.identity import node_id_of

ROLE_NODE: Final = "node"
ROLE_CLIENT: Final = "client"
ROLES: Final = (ROLE_NODE, ROLE_CLIENT)
SIGNATURE_SIZE: Final = 64

_NOT_BEFORE: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_AFTER: Final = datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)
_AUTHORITY_SERIAL: Final = 1
_PARSE_ERRORS: Final = (
    x509.InvalidVersion,
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_AUTHORITY_NAME: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "swarm mesh")])


def make_authority(authority_key: Ed25519PrivateKey) -> bytes:
    """Return the certificate of the mesh's authority (DER)."""
    public_key = authority_key.public_key()
    return _authority(public_key).sign(authority_key, None).public_bytes(Encoding.DER)


def make_leaf(authority_key: Ed25519PrivateKey, public_key: Ed25519PublicKey, role: str) -> bytes:
    """Return the certificate (DER) that makes the holder of `public_key` a node or client of the mesh.

    Args:
        authority_key: the mesh's authority.
        public_key: key of the node or client.
        role: `ROLE_NODE` or `ROLE_CLIENT`.
    """
    leaf = _leaf(authority_key.public_key(), public_key, role)
    return leaf.sign(authority_key, None).public_bytes(Encoding.DER)


def signature_of(certificate: bytes) -> bytes:
    """Return the signature, the last 64 bytes, of a certificate made here."""
    return certificate[-SIGNATURE_SIZE:]


def public_key_of(certificate: bytes) -> Ed25519PublicKey:
    """Return the key in a certificate made here (DER)."""
    public_key = x509.load_der_x509_certificate(certificate).public_key()
    assert isinstance(public_key, Ed25519PublicKey), "certificates of a mesh have Ed25519 keys"
    return public_key


def rebuild_authority(public_key: Ed25519PublicKey, signature: bytes) -> bytes:
    """Return the authority's certificate from its public key and its signature.

    All else in it is fixed, so an invitation needs to carry only these 96 bytes.
    """
    return _with_signature(_authority(public_key), signature)


def rebuild_leaf(
    authority_key: Ed25519PublicKey, public_key: Ed25519PublicKey, role: str, signature: bytes
) -> bytes:
    """Return a leaf certificate from the public keys, the role and the authority's signature."""
    return _with_signature(_leaf(authority_key, public_key, role), signature)


def identity_in_untrusted(certificate: bytes) -> tuple[str, bytes]:
    """Return (role, id) named by a certificate (DER) whose signature TLS has checked.

    Raises:
        RemoteProtocolError: it is no certificate of a node or client, or its id is not the hash of its key.
    """
    try:
        parsed = x509.load_der_x509_certificate(certificate)
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        public_key = parsed.public_key()
    except _PARSE_ERRORS as error:
        raise RemoteProtocolError(f"a certificate cannot be read: {error}") from None
    if len(uris) != 1 or not isinstance(public_key, Ed25519PublicKey):
        raise RemoteProtocolError("a certificate of a mesh has an Ed25519 key and one name")
    scheme, _, rest = uris[0].partition("://")
    role, _, text = rest.partition("/")
    if scheme != "swarm" or role not in ROLES:
        raise RemoteProtocolError(f"a certificate names {uris[0]!r}, neither a node nor a client")
    try:
        identity = parse_short(text, NODE_ID_SIZE)
    except ValueError as error:
        raise RemoteProtocolError(f"a certificate names {uris[0]!r}: {error}") from None
    if identity != node_id_of(public_key.public_bytes_raw()):
        raise RemoteProtocolError(f"a certificate names {uris[0]!r}, which is not the hash of its key")
    return role, identity


def _authority(public_key: Ed25519PublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(_AUTHORITY_NAME, _AUTHORITY_NAME, public_key, _AUTHORITY_SERIAL)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _leaf(
    authority_key: Ed25519PublicKey, public_key: Ed25519PublicKey, role: str
) -> x509.CertificateBuilder:
    assert role in ROLES, f"no such role: {role}"
    identity = node_id_of(public_key.public_bytes_raw())
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if role == ROLE_NODE:
        usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"swarm {role}")])
    uri = x509.UniformResourceIdentifier(f"swarm://{role}/{short(identity)}")
    serial = int.from_bytes(blake2b(role.encode() + identity, digest_size=15).digest(), "big") + 2
    return (
        x509.CertificateBuilder(_AUTHORITY_NAME, subject, public_key, serial)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key), critical=False)
    )


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _with_signature(builder: x509.CertificateBuilder, signature: bytes) -> bytes:
    """Return the certificate with this signature, by signing with any key and exchanging the last bytes."""
    draft = builder.sign(Ed25519PrivateKey.from_private_bytes(bytes(32)), None).public_bytes(Encoding.DER)
    return draft[:-SIGNATURE_SIZE] + signature
