"""What a node reads back from the rows that an earlier run of it persisted."""

from __future__ import annotations

from swarm.core.errors import DecodeError
from swarm.core.ids import NO_BALLOT, Address, Ballot
from swarm.wire.codec import Body, unpack_untrusted


def stored_row(rows: list[tuple[str, bytes, bytes]], key: bytes) -> bytes:
    """Return what an earlier run persisted of the node itself under `key`, b"" when there is nothing."""
    for table, row_key, value in rows:
        if (table, row_key) == ("node", key):
            return value
    return b""


def stored_ballot(rows: list[tuple[str, bytes, bytes]], key: bytes) -> Ballot:
    """Return the ballot that an earlier run persisted under `key`, NO_BALLOT when there is none."""
    try:
        return Body([unpack_untrusted(stored_row(rows, key))]).take_body().take_ballot()
    except DecodeError:
        return NO_BALLOT


def remembered_addresses(rows: list[tuple[str, bytes, bytes]]) -> list[Address]:
    """Return the addresses of members that an earlier run persisted."""
    found: list[Address] = []
    for table, _, value in rows:
        if table != "members":
            continue
        try:
            body = Body([unpack_untrusted(value)]).take_body()
            body.take_text()
            for item in body.take_list():
                place = Body([item]).take_body()
                found.append((place.take_text(), place.take_int()))
        except DecodeError:
            continue
    return found
