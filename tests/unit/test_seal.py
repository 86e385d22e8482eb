"""Sealed datagrams: what outsiders can do with them."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from swarm.net import seal
from swarm.net.keys import MeshKeys
from swarm.net.seal import BadSeal, Sealer

SECRET = bytes(range(32))
KEYS = MeshKeys(SECRET)
SOURCE = ("192.0.2.7", 7117)


def _pair() -> tuple[Sealer, Sealer]:
    return Sealer(KEYS, b"a" * 16), Sealer(KEYS, b"b" * 16)


def _refusal(sealer: Sealer, datagram: bytes) -> str:
    before = sealer.statistics()
    with pytest.raises(BadSeal) as caught:
        sealer.open_untrusted(datagram, SOURCE)
    reason = caught.value.reason
    after = sealer.statistics()
    assert after[f"refused_{reason}"] == before[f"refused_{reason}"] + 1
    assert sum(after.values()) == sum(before.values()) + 1, "nothing but the count may change"
    return reason


@given(st.binary(max_size=2000))
def test_what_was_sealed_is_opened(payload: bytes) -> None:
    a, b = _pair()
    datagram = a.seal(payload)
    assert len(datagram) == len(payload) + seal.OVERHEAD_BYTES
    assert payload not in datagram or len(payload) < 4
    assert b.open_untrusted(datagram, SOURCE) == payload


def test_the_header_is_as_designed() -> None:
    a, _ = _pair()
    datagram = a.seal(b"")
    assert datagram[:4] == KEYS.tag
    assert datagram[4:6] == b"\x01\x00"
    assert datagram[6:14] == b"a" * 8
    assert seal.OVERHEAD_BYTES == 40
    assert seal.PAYLOAD_SIZE_MAX == 1360


def test_a_replayed_datagram_is_refused() -> None:
    a, b = _pair()
    first, second = a.seal(b"1"), a.seal(b"2")
    assert b.open_untrusted(second, SOURCE) == b"2"
    assert b.open_untrusted(first, SOURCE) == b"1"
    assert _refusal(b, first) == "replay"
    assert _refusal(b, second) == "replay"


def test_the_window_slides() -> None:
    a, b = _pair()
    datagrams = [a.seal(b"%d" % number) for number in range(2 * seal.WINDOW_SIZE)]
    last = datagrams[-1]
    assert b.open_untrusted(last, SOURCE)
    # Everything within the window behind the newest is new, once; what is older might be a replay.
    assert b.open_untrusted(datagrams[-seal.WINDOW_SIZE], SOURCE)
    assert _refusal(b, datagrams[-seal.WINDOW_SIZE]) == "replay"
    assert _refusal(b, datagrams[-seal.WINDOW_SIZE - 1]) == "replay"
    assert _refusal(b, datagrams[0]) == "replay"


@given(st.lists(st.integers(0, 3000), max_size=200))
def test_the_window_agrees_with_a_set(order: list[int]) -> None:
    window = seal._Sender(ChaCha20Poly1305(bytes(32)))
    seen: list[int] = []
    for counter in order:
        naive = counter not in seen and counter > max(seen, default=-1) - seal.WINDOW_SIZE
        assert window.is_fresh(counter, 0.0) == naive
        if naive:
            window.mark(counter)
            seen.append(counter)


def test_another_secret_is_refused_before_any_crypto() -> None:
    _, b = _pair()
    stranger = Sealer(MeshKeys(bytes(32)), b"c" * 16)
    assert _refusal(b, stranger.seal(b"hello")) == "tag"


def test_the_right_tag_with_another_key_is_refused() -> None:
    _, b = _pair()
    stranger = Sealer(MeshKeys(bytes(32)), b"c" * 16)
    assert _refusal(b, KEYS.tag + stranger.seal(b"hello")[4:]) == "seal"
    assert b.statistics()["senders"] == 0


def test_another_version_or_key_is_refused() -> None:
    a, b = _pair()
    datagram = a.seal(b"hello")
    assert _refusal(b, datagram[:4] + b"\x02" + datagram[5:]) == "version"
    assert _refusal(b, datagram[:5] + b"\x05" + datagram[6:]) == "key"
    assert _refusal(b, datagram[:39]) == "short"
    assert _refusal(b, b"") == "short"
    assert _refusal(b, datagram[:-1]) == "seal"


def test_an_own_datagram_that_comes_back_is_told_apart() -> None:
    a, _ = _pair()
    assert _refusal(a, a.seal(b"hello")) == "own"


def test_the_next_life_of_a_node_is_not_a_replay() -> None:
    a, b = _pair()
    old = a.seal(b"old")
    assert b.open_untrusted(old, SOURCE)
    again = Sealer(KEYS, b"a" * 16)
    assert b.open_untrusted(again.seal(b"new"), SOURCE) == b"new"
    assert _refusal(b, old) == "replay"


@given(st.data())
def test_any_changed_bit_is_found(data: st.DataObject) -> None:
    a, b = _pair()
    datagram = bytearray(a.seal(b"the payload"))
    position = data.draw(st.integers(0, len(datagram) * 8 - 1))
    datagram[position // 8] ^= 1 << position % 8
    assert _refusal(b, bytes(datagram)) in ("tag", "version", "key", "seal")


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_raise_one_error_only(data: bytes, has_header: bool) -> None:
    _, b = _pair()
    _refusal(b, KEYS.tag + b"\x01\x00" + data if has_header else data)


def test_nonces_are_unique() -> None:
    lives = [Sealer(KEYS, b"a" * 16) for _ in range(50)]
    seen = set()
    for life in lives:
        for _ in range(20):
            header = life.seal(b"x")[6:24]  # sender, boot and counter: key and nonce
            assert header not in seen
            seen.add(header)
    counters = [int.from_bytes(life.seal(b"")[18:24], "big") for life in lives]
    assert len(set(counters)) == len(counters), "even with equal boots the counters would differ"
    assert max(counters) < 2**47 + 2**20, "a counter has room for a life"


def test_the_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "SENDER_COUNT_MAX", 3)
    _, b = _pair()
    senders = [Sealer(KEYS, bytes([number]) * 16) for number in range(5)]
    for sender in senders:
        assert b.open_untrusted(sender.seal(b"x"), SOURCE) == b"x"
    assert b.statistics()["senders"] == 3
    assert b.statistics()["senders_forgotten"] == 2
    assert b.open_untrusted(senders[0].seal(b"y"), SOURCE) == b"y"


def test_a_big_payload_is_counted() -> None:
    a, b = _pair()
    assert b.open_untrusted(a.seal(bytes(5000)), SOURCE) == bytes(5000)
    assert a.statistics()["oversized"] == 1


def test_any_open_key_opens_and_the_primary_seals() -> None:
    a, b = _pair()
    newer = MeshKeys(b"n" * 32)
    b.use_keys([KEYS, newer], [])
    a.use_keys([newer, KEYS], [])
    assert a.seal(b"x")[:4] == newer.tag
    assert b.open_untrusted(a.seal(b"under the newer key"), SOURCE) == b"under the newer key"
    assert a.open_untrusted(b.seal(b"under the older key"), SOURCE) == b"under the older key"
    a.use_keys([newer], [])
    assert _refusal(a, b.seal(b"late")) == "tag"


@pytest.mark.parametrize("is_newer_first", [True, False])
def test_two_keys_with_one_tag_are_both_tried(monkeypatch: pytest.MonkeyPatch, is_newer_first: bool) -> None:
    newer = MeshKeys(b"n" * 32)
    monkeypatch.setattr(newer, "tag", KEYS.tag)  # as happens once in 4 billion
    keys = [newer, KEYS] if is_newer_first else [KEYS, newer]
    a, b = _pair()
    a.use_keys([KEYS, newer], [])
    b.use_keys(keys, [])
    under_the_older = a.seal(b"1")
    under_the_newer = a.seal(b"2", newer.fingerprint)
    for datagram, payload, key in ((under_the_newer, b"2", newer), (under_the_older, b"1", KEYS)):
        assert b.open_untrusted(datagram, SOURCE) == payload
        assert b.origin_of(datagram) == (b"a" * 8, key.fingerprint)
    b.use_keys(keys[::-1], [])
    assert b.open_untrusted(a.seal(b"3"), SOURCE) == b"3", "what is known of a sender stays with the key"
    assert b.open_untrusted(a.seal(b"4", newer.fingerprint), SOURCE) == b"4"
    for datagram in (under_the_older, under_the_newer):
        assert _refusal(b, datagram) in ("replay", "seal")
    b.use_keys([newer], [KEYS])
    assert b.open_untrusted(a.seal(b"5", newer.fingerprint), SOURCE) == b"5"
    with pytest.raises(BadSeal) as caught:
        b.open_untrusted(a.seal(b"6"), SOURCE)
    assert (caught.value.reason, caught.value.fingerprint) == ("old", KEYS.fingerprint)
    b.use_keys([newer], [])
    assert _refusal(b, a.seal(b"7")) == "seal"


def test_what_comes_under_a_returning_key_is_a_hint_and_nothing_else() -> None:
    a, b = _pair()
    newer = MeshKeys(b"n" * 32)
    b.use_keys([newer], [KEYS])
    datagram = a.seal(b"let me in")
    with pytest.raises(BadSeal) as caught:
        b.open_untrusted(datagram, SOURCE)
    refused = caught.value
    assert (refused.reason, refused.fingerprint, refused.sender) == ("old", KEYS.fingerprint, b"a" * 8)
    with pytest.raises(BadSeal) as caught:
        b.open_untrusted(datagram, SOURCE)
    assert caught.value.reason == "replay", "a recording is no sign of anybody"
    forged = KEYS.tag + Sealer(MeshKeys(bytes(32)), b"a" * 16).seal(b"hello")[4:]
    with pytest.raises(BadSeal) as caught:
        b.open_untrusted(forged, SOURCE)
    assert caught.value.reason == "seal", "the tag alone proves nothing"
    beacon = b.seal(b"", KEYS.fingerprint)
    assert a.open_untrusted(beacon, SOURCE) == b""
    assert a.origin_of(beacon) == (b"b" * 8, KEYS.fingerprint)
    with pytest.raises(KeyError):
        a.seal(b"", newer.fingerprint)


def test_what_was_sent_long_before_something_that_came_is_refused() -> None:
    """What was sent to others is fresh to us, but it is a recording when it comes so late."""
    now = [100.0]
    receiver = Sealer(KEYS, b"r" * 16, lambda: now[0])
    sender = Sealer(KEYS, b"s" * 16)
    to_others = [sender.seal(b"to others") for _ in range(10)]
    assert receiver.open_untrusted(sender.seal(b"one"), SOURCE) == b"one"
    now[0] += 9.0
    assert receiver.open_untrusted(to_others[0], SOURCE) == b"to others", "late, as packets may be"
    now[0] += 11.0
    later = sender.seal(b"two")
    assert receiver.open_untrusted(sender.seal(b"three"), SOURCE) == b"three"
    assert _refusal(receiver, to_others[1]) == "replay"
    assert receiver.open_untrusted(later, SOURCE) == b"two"
    now[0] += 3600.0
    assert [_refusal(receiver, datagram) for datagram in to_others[2:]] == ["replay"] * 8
    assert receiver.open_untrusted(sender.seal(b"four"), SOURCE) == b"four"


def test_an_hour_of_recordings_is_refused() -> None:
    """Five senders at a datagram a second each, all of it sent again in another order."""
    receiver = Sealer(KEYS, b"r" * 16)
    senders = [Sealer(KEYS, bytes([number]) * 16) for number in range(5)]
    recorded = [sender.seal(b"something") for _ in range(3600) for sender in senders]
    for datagram in recorded:
        receiver.open_untrusted(datagram, SOURCE)
    opened = receiver.statistics()["opened"]
    for datagram in [*recorded[::-1], *recorded]:
        with pytest.raises(BadSeal):
            receiver.open_untrusted(datagram, ("203.0.113.9", 1))
    counts = receiver.statistics()
    assert counts["opened"] == opened
    assert counts["refused_replay"] == 2 * len(recorded)
