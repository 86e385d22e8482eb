"""Invitations: what is written can be read, what was damaged is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import ConfigError
from swarm.net.identity import NodeKey
from swarm.net.invitation import ADDRESS_COUNT_MAX, CLIENT_PREFIX, NODE_PREFIX, Invitation, new_secret
from swarm.net.keys import ROLE_CLIENT, MeshKeys
from swarm.wire.codec import pack

SECRET = bytes(range(32))
ADDRESSES = [("192.168.1.5", 7117), ("fd00::2", 7120)]


def _client() -> Invitation:
    return Invitation(b"", MeshKeys(SECRET).client_credentials(NodeKey(bytes(32))), "home", ADDRESSES)


def test_a_nodes_invitation_comes_back_whole() -> None:
    invitation = Invitation(SECRET, None, "home", ADDRESSES)
    text = invitation.to_text()
    assert text.startswith(NODE_PREFIX)
    assert text == text.lower()
    assert Invitation.from_text(text) == invitation
    assert not invitation.is_client


def test_a_clients_invitation_comes_back_whole_and_has_no_secret() -> None:
    invitation = _client()
    text = invitation.to_text()
    assert text.startswith(CLIENT_PREFIX)
    found = Invitation.from_text(text)
    assert found == invitation
    assert found.is_client
    assert found.secret == b""
    assert found.credentials is not None
    assert found.credentials.role == ROLE_CLIENT
    assert len(text) < 500


@given(st.text(max_size=16), st.lists(st.tuples(st.text(min_size=1, max_size=20), st.integers(1, 65535))))
def test_any_name_and_addresses_come_back(mesh: str, addresses: list[tuple[str, int]]) -> None:
    invitation = Invitation(SECRET, None, mesh, addresses)
    assert Invitation.from_text(invitation.to_text()) == invitation
    assert len(invitation.addresses) <= ADDRESS_COUNT_MAX


def test_white_space_and_capitals_do_no_harm() -> None:
    invitation = Invitation(SECRET, None, "home", ADDRESSES)
    text = invitation.to_text().upper()
    broken = "\n  ".join([text[start : start + 20] for start in range(0, len(text), 20)])
    assert Invitation.from_text(f"  {broken}\n") == invitation


def test_secrets_are_random() -> None:
    assert len(new_secret()) == 32
    assert new_secret() != new_secret()


def test_printing_an_invitation_does_not_tell_the_secret() -> None:
    assert str(SECRET) not in repr(Invitation(SECRET, None, "home", []))
    assert "key_seed" not in repr(_client())
    assert str(bytes(32)) not in repr(_client().credentials)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no invitation"),
        ("hello", "no invitation"),
        ("swarm2:aaaa", "no invitation"),
        (NODE_PREFIX, "mistyped or cut"),
        (NODE_PREFIX + "a", "cut off"),
        (NODE_PREFIX + "aaaa0aaa", "character 12 is '0'"),
        (NODE_PREFIX + "aaaaaaaaaaaaaaaa", "check does not fit"),
        (NODE_PREFIX + "a" * 5000, "characters long"),
    ],
)
def test_wrong_texts_say_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Invitation.from_text(text)


@given(st.data())
def test_one_wrong_character_is_found(data: st.DataObject) -> None:
    text = Invitation(SECRET, None, "home", ADDRESSES).to_text()
    position = data.draw(st.integers(len(NODE_PREFIX), len(text) - 1))
    wrong = data.draw(
        st.sampled_from("abcdefghijklmnopqrstuvwxyz234567").filter(lambda c: c != text[position])
    )
    with pytest.raises(ConfigError):
        Invitation.from_text(text[:position] + wrong + text[position + 1 :])


@given(st.integers(min_value=1))
def test_a_cut_invitation_is_found(cut: int) -> None:
    text = _client().to_text()
    with pytest.raises(ConfigError):
        Invitation.from_text(text[: -(cut % len(text)) or None][:-1])


@given(st.text())
def test_any_text_raises_nothing_but_config_error(text: str) -> None:
    for prefix in ("", NODE_PREFIX, CLIENT_PREFIX):
        with pytest.raises(ConfigError):
            Invitation.from_text(prefix + text)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"secret": SECRET},
        [SECRET, "home"],
        [SECRET[:-1], "home", []],
        [SECRET, 5, []],
        [SECRET, "x" * 65, []],
        [SECRET, "home", [["host", 0]]],
        [SECRET, "home", ["host"]],
        [SECRET, "home", [["", 1]]],
    ],
)
def test_a_wrong_content_with_a_right_check_is_a_config_error(content: object) -> None:
    from swarm.net import invitation

    with pytest.raises(ConfigError):
        Invitation.from_text(invitation._armour(NODE_PREFIX, pack(content)))
    with pytest.raises(ConfigError):
        Invitation.from_text(invitation._armour(CLIENT_PREFIX, pack(content)))


def test_an_invitation_is_for_a_node_or_for_a_client() -> None:
    with pytest.raises(ConfigError):
        Invitation(b"", None, "home", [])
    with pytest.raises(ConfigError):
        Invitation(SECRET, MeshKeys(SECRET).client_credentials(), "home", [])
    with pytest.raises(ConfigError):
        Invitation(b"short", None, "home", [])


def test_the_number_of_the_key_travels_and_old_invitations_have_none() -> None:
    assert Invitation.from_text(Invitation(SECRET, None, "m", ADDRESSES, 7).to_text()).number == 7
    assert Invitation.from_text(Invitation(SECRET, None, "m", ADDRESSES).to_text()).number == 0


def test_an_invitation_says_what_the_mesh_is() -> None:
    strict = Invitation(SECRET, None, "m", ADDRESSES, 0, "strict")
    assert Invitation.from_text(strict.to_text()) == strict
    assert strict.placed([]).renewed(SECRET, 3) == Invitation(SECRET, None, "m", [], 3, "strict")
    assert Invitation.from_text(Invitation(SECRET, None, "m", ADDRESSES).to_text()).quorum == "available"
    with pytest.raises(ConfigError, match="unknown here"):
        Invitation(SECRET, None, "m", [], 0, "lax")
