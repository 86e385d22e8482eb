"""Identities of homes that were copied: noticing the copy, and becoming a node of its own.

A home remembers the machine that it was made on. That it now lies on another one is no fault (a card moved
to a new board is the same node), but when two live processes have one identity, it tells which is the copy
(`swarm.gossip.clones`). The copy keeps everything, jobs and objects too, and gets a new key; the old one is
put aside.
"""

from __future__ import annotations

import os
import time
from typing import Final

from swarm.core.errors import StorageError
from swarm.core.ids import NodeId, short
from swarm.daemon import host
from swarm.daemon.home import Home, read_json_file, write_private
from swarm.daemon.json_text import to_json
from swarm.net.identity import KEY_FILE, NodeKey

INSTANCE_SIZE: Final = 8


def identity_facts(home: Home) -> dict[str, object]:
    """Return the facts by which clones know each other, and remember this machine if none is remembered.

    Raises:
        StorageError: the home cannot be written.
    """
    here = host.fingerprint()
    try:
        stored = home.machine.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        stored = ""
    if not stored:
        write_private(home.machine, here + "\n")
        stored = here
    facts: dict[str, object] = {"instance": os.urandom(INSTANCE_SIZE)}
    if stored != here:
        facts["moved"] = True
    return facts


def renew_identity(home: Home) -> NodeId:
    """Give the home of a node that does not run a new key, and return the new id.

    Raises:
        StorageError: the home cannot be written.
    """
    path = home.root / KEY_FILE
    was = NodeKey.load_or_create(home.root).node_id
    try:
        path.replace(home.root / f"{KEY_FILE}.{short(was)[:8]}")
    except OSError as error:
        raise StorageError(f"cannot put {path} aside: {error.strerror}") from None
    made = NodeKey.load_or_create(home.root).node_id
    write_private(home.machine, host.fingerprint() + "\n")
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    write_private(home.renewed, to_json({"was": short(was), "is": short(made), "time": moment}) + "\n")
    return made


def renewal_notice(home: Home) -> str:
    """Return for people that this node's identity was renewed, "" when it never was."""
    told = read_json_file(home.renewed)
    if told is None:
        return ""
    return (
        f"this home was a copy of node {str(told.get('was'))[:8]}, which runs too:"
        f" since {told.get('time')} it is a node of its own"
    )
