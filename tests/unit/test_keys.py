"""Identities, derived keys and certificates."""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given
from hypothesis import strategies as st

from swarm.core.errors import ConfigError, RemoteProtocolError, StorageError
from swarm.net import certificates
from swarm.net.identity import KEY_FILE, NodeKey, node_id_of
from swarm.net.keys import ALPN_SWARM, LABELS, ROLE_CLIENT, ROLE_NODE, MeshKeys, derive

SECRET = bytes(range(32))
KEY = NodeKey(bytes(32))
LEAF = MeshKeys(SECRET).node_credentials(KEY).certificate


def test_an_identity_is_kept_private_and_comes_back(tmp_path: Path) -> None:
    home = tmp_path / "state" / "node"
    key = NodeKey.load_or_create(home)
    assert NodeKey.load_or_create(home).node_id == key.node_id
    assert stat.S_IMODE((home / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in home.iterdir()] == [KEY_FILE]
    assert key.node_id == node_id_of(key.private_key.public_key().public_bytes_raw())
    assert len(key.node_id) == 16


def test_identities_differ(tmp_path: Path) -> None:
    assert NodeKey.load_or_create(tmp_path / "a").node_id != NodeKey.load_or_create(tmp_path / "b").node_id
    assert NodeKey.generate().node_id != NodeKey.generate().node_id


def test_a_damaged_key_is_said_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(StorageError, match="damaged"):
        NodeKey.load_or_create(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == b"short"


def test_a_key_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be used"):
        NodeKey.load_or_create(tmp_path / "file")


def test_a_file_system_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", no_link)
    key = NodeKey.load_or_create(tmp_path)
    assert NodeKey.load_or_create(tmp_path).node_id == key.node_id


def test_each_purpose_has_its_own_key() -> None:
    derived = [derive(SECRET, purpose) for purpose in LABELS]
    assert len({value[:8] for value in derived}) == len(LABELS)
    keys = MeshKeys(SECRET)
    assert (len(keys.tag), len(keys.gossip_key)) == (4, 32)
    other = MeshKeys(bytes(32))
    assert keys.tag != other.tag
    assert keys.gossip_key != other.gossip_key


def test_derivation_never_changes() -> None:
    # These values are on every network that exists: a change makes nodes of two versions strangers.
    assert derive(SECRET, "tag").hex() == "c4643bdc"
    assert derive(SECRET, "gossip").hex()[:16] == "ae4ee7eba48e64ef"
    assert derive(SECRET, "authority").hex()[:16] == "aa4e7e2970e56792"


def test_a_secret_has_32_bytes() -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        MeshKeys(b"short")


def test_certificates_are_the_same_on_every_node() -> None:
    first, second = MeshKeys(SECRET).node_credentials(KEY), MeshKeys(SECRET).node_credentials(KEY)
    assert first == second
    assert first.authority == MeshKeys(SECRET).client_credentials().authority
    assert first.authority != MeshKeys(bytes(32)).node_credentials(KEY).authority


def test_certificates_hold_on_a_board_without_a_clock() -> None:
    for der in (
        MeshKeys(SECRET).node_credentials(KEY).certificate,
        MeshKeys(SECRET).node_credentials(KEY).authority,
    ):
        parsed = x509.load_der_x509_certificate(der)
        assert parsed.not_valid_before_utc.year == 1970
        assert parsed.not_valid_after_utc.year == 2999


@pytest.mark.parametrize("role", [ROLE_NODE, ROLE_CLIENT])
def test_a_certificate_names_its_holder(role: str) -> None:
    keys = MeshKeys(SECRET)
    credentials = keys.node_credentials(KEY) if role == ROLE_NODE else keys.client_credentials(KEY)
    assert credentials.role == role
    assert certificates.identity_in_untrusted(credentials.certificate) == (role, KEY.node_id)
    authority = x509.load_der_x509_certificate(credentials.authority)
    x509.load_der_x509_certificate(credentials.certificate).verify_directly_issued_by(authority)


def test_a_certificate_is_rebuilt_from_keys_and_signature() -> None:
    credentials = MeshKeys(SECRET).client_credentials(KEY)
    authority_key = certificates.public_key_of(credentials.authority)
    authority = certificates.rebuild_authority(
        authority_key, certificates.signature_of(credentials.authority)
    )
    assert authority == credentials.authority
    leaf = certificates.rebuild_leaf(
        authority_key,
        KEY.private_key.public_key(),
        ROLE_CLIENT,
        certificates.signature_of(credentials.certificate),
    )
    assert leaf == credentials.certificate


def test_an_id_that_is_not_the_hash_of_the_key_is_refused() -> None:
    authority_key = Ed25519PrivateKey.from_private_bytes(derive(SECRET, "authority"))
    stolen = certificates._leaf(authority_key.public_key(), KEY.private_key.public_key(), ROLE_NODE)
    stolen._public_key = NodeKey.generate().private_key.public_key()
    der = stolen.sign(authority_key, None).public_bytes(Encoding.DER)
    with pytest.raises(RemoteProtocolError, match="not the hash"):
        certificates.identity_in_untrusted(der)


def test_a_certificate_of_something_else_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        certificates.identity_in_untrusted(MeshKeys(SECRET).node_credentials(KEY).authority)


@given(st.binary(max_size=600))
def test_any_bytes_as_certificate_raise_one_error_only(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        certificates.identity_in_untrusted(data)


# TLS has checked the signature of what a peer shows; where a library would warn, it may.
@pytest.mark.filterwarnings("ignore:Parsed a serial number:cryptography.utils.CryptographyDeprecationWarning")
@example(position=15, change=128)
@given(st.integers(0, len(LEAF) - 1), st.integers(1, 255))
def test_a_damaged_certificate_raises_one_error_only(position: int, change: int) -> None:
    der = bytearray(LEAF)
    der[position] ^= change
    with contextlib.suppress(RemoteProtocolError):
        certificates.identity_in_untrusted(bytes(der))


def test_contexts_demand_the_latest_tls_and_a_certificate() -> None:
    credentials = MeshKeys(SECRET).node_credentials(KEY)
    for context in (credentials.server_context(), credentials.client_context(ALPN_SWARM)):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_3
        assert context.verify_mode == ssl.CERT_REQUIRED
        assert len(context.get_ca_certs()) == 1
