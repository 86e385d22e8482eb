"""Identities: how nodes, jobs, tasks, attempts, objects and ballots are named.

All are plain immutable values (bytes, ints, tuples), so that they sort, hash and travel alike on
every Python and in compiled code.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, TypeAlias

NodeId: TypeAlias = bytes
"""First 16 bytes of the BLAKE2b of a node's public key. Never an address."""

JobId: TypeAlias = bytes
"""10 bytes chosen by the client, so that a submission repeated after a lost answer is the same job."""

Address: TypeAlias = tuple[str, int]
"""Host (IPv4, or IPv6 with its scope: ``fe80::1%eth0``) and port."""

Ballot: TypeAlias = tuple[int, bytes]
"""A leadership: (counter, node id), ordered as a pair. Two leaders can never share one."""

TaskKey: TypeAlias = tuple[bytes, int]
"""(job id, index of the task in its job)."""

AttemptKey: TypeAlias = tuple[bytes, int, int]
"""(job id, task index, attempt number >= 1): one run of a task."""

ObjectName: TypeAlias = tuple[bytes, int, int]
"""(job id, task index, output index): an immutable object, the output of a task."""

NODE_ID_SIZE: Final = 16
JOB_ID_SIZE: Final = 10
DIGEST_SIZE: Final = 16
NO_NODE: Final = b""
NO_BALLOT: Final[Ballot] = (0, b"")
EVERYWHERE: Final[Address] = ("*", 0)
"""Destination of a packet that goes out by every means of discovery."""


def short(identity: bytes) -> str:
    """Return the short form of a node or job id that people see: lower-case base32, no padding."""
    return base64.b32encode(identity).decode("ascii").rstrip("=").lower()


def parse_short(text: str, size_bytes: int) -> bytes:
    """Return the id whose :func:`short` form is `text`.

    Args:
        text: base32, either case.
        size_bytes: the size that the id must have.

    Raises:
        ValueError: `text` is not base32 or names an id of another size.
    """
    padded = text.strip().upper() + "=" * (-len(text.strip()) % 8)
    try:
        identity = base64.b32decode(padded)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{text!r} is not an id: {error}") from None
    if len(identity) != size_bytes:
        raise ValueError(f"{text!r} names {len(identity)} bytes, an id of this kind has {size_bytes}")
    return identity


def object_path(name: ObjectName) -> str:
    """Return the form of an object's name used in URLs and file names: ``<job>.<task>.<output>``."""
    return f"{short(name[0])}.{name[1]}.{name[2]}"


def parse_object_path(text: str) -> ObjectName:
    """Return the object name whose :func:`object_path` is `text`.

    An object has one name, either case: ``007`` is no number here, for files would lie under other names than
    those by which they are looked for.

    Raises:
        ValueError: `text` is not of that form.
    """
    parts = text.split(".")
    if len(parts) != 3 or not parts[1].isdecimal() or not parts[2].isdecimal():
        raise ValueError(f"{text!r} is not an object name (job.task.output)")
    name = (parse_short(parts[0], JOB_ID_SIZE), int(parts[1]), int(parts[2]))
    if object_path(name) != text.lower():
        raise ValueError(f"{text!r} is another spelling of the object name {object_path(name)}")
    return name
