"""Pairing's texts and datagrams: codes as people type them, calls that nothing can be made of but calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.errors import ConfigError, DecodeError
from swarm.net.pairing import (
    CALL_SIZE_MAX,
    MAGIC,
    Call,
    Code,
    here_datagram,
    is_pairing,
    new_nonce,
    parse_call_untrusted,
)


def test_a_code_survives_being_read_out() -> None:
    code = Code.from_text("42-917-305")
    assert (code.plate, code.password) == (42, "917305")
    for text in ("42917305", " 42 917 305 ", "4291-7305", "42-917-305\n"):
        assert Code.from_text(text) == code
    assert code.to_text() == "42-917-305"
    assert Code.from_text("00-000-007").to_text() == "00-000-007"
    assert "917305" not in repr(code)


@pytest.mark.parametrize("text", ["", "1234567", "123456789", "42-917-30x", "swarm1:abc", "٤٢٩١٧٣٠٥"])
def test_what_is_no_code_is_said_so(text: str) -> None:
    with pytest.raises(ConfigError, match="a code has 8 digits"):
        Code.from_text(text)


def test_codes_are_drawn_from_all_there_are() -> None:
    codes = [Code.generate() for _ in range(500)]
    assert len({code.password for code in codes}) > 490
    assert len({code.plate for code in codes}) > 80
    assert all(Code.from_text(code.to_text()) == code for code in codes)


@given(st.integers(0, 99), st.integers(0, 65535), st.text(max_size=80), st.binary(min_size=8, max_size=8))
def test_a_call_comes_as_it_was_sent(plate: int, port: int, name: str, nonce: bytes) -> None:
    name = name.encode("utf-8", "ignore").decode()
    datagram = Call(plate, port, name, nonce).to_datagram()
    assert len(here_datagram()) < len(datagram) <= CALL_SIZE_MAX
    assert is_pairing(datagram)
    heard = parse_call_untrusted(datagram)
    assert heard is not None
    assert (heard.plate, heard.port, heard.nonce) == (plate, port, nonce)
    assert len(heard.name.encode()) <= 64
    assert heard.name.isprintable() or not heard.name


def test_an_answer_is_no_call() -> None:
    assert parse_call_untrusted(here_datagram()) is None


@given(st.binary(max_size=600))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for datagram in (MAGIC + data, data):
        try:
            parse_call_untrusted(datagram)
        except DecodeError:
            continue


def test_short_and_long_calls_are_refused() -> None:
    """A short one might be answered with more than was asked."""
    datagram = Call(1, 2, "x", new_nonce()).to_datagram()
    for wrong in (datagram[:63], datagram + bytes(600), MAGIC, here_datagram() + b"\0"):
        with pytest.raises(DecodeError):
            parse_call_untrusted(wrong)
