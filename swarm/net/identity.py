"""The identity of a node: an Ed25519 key made at the first start and kept for ever.

The node id is a hash of the public key, so nobody can claim an id without its key. An identity is never
an address: a node that moves or changes its IP is the same member.
"""

from __future__ import annotations

import contextlib
import os
from hashlib import blake2b
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swarm.core.errors import StorageError
from swarm.core.ids import NODE_ID_SIZE, NodeId

KEY_FILE: Final = "node.key"
SEED_SIZE: Final = 32


def node_id_of(public_key: bytes) -> NodeId:
    """Return the node id that belongs to the 32 raw bytes of an Ed25519 public key."""
    return blake2b(public_key, digest_size=NODE_ID_SIZE).digest()


class NodeKey:
    """The private key of a node or a client, and the id that follows from it.

    Attributes:
        private_key: the Ed25519 key.
        node_id: hash of its public half.
    """

    def __init__(self, seed: bytes) -> None:
        """Take the 32 private bytes of the key."""
        self.private_key: Final = Ed25519PrivateKey.from_private_bytes(seed)
        self.node_id: Final = node_id_of(self.private_key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls) -> NodeKey:
        """Return a new key that is kept nowhere."""
        return cls(os.urandom(SEED_SIZE))

    @classmethod
    def load_or_create(cls, home: Path) -> NodeKey:
        """Return the key kept in `home`, making both when they do not exist.

        A key is on disk, synced and readable by its owner only, before it is returned. Of two processes
        that start at once in one empty home, both get the same key.

        Raises:
            StorageError: the file is damaged, or the directory cannot be read or written.
        """
        path = home / KEY_FILE
        try:
            home.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _write_new(path, os.urandom(SEED_SIZE))
            seed = path.read_bytes()
        except OSError as error:
            raise StorageError(f"the node's key {path} cannot be used: {error.strerror or error}") from None
        if len(seed) != SEED_SIZE:
            raise StorageError(
                f"the node's key {path} is damaged ({len(seed)} bytes instead of {SEED_SIZE}); "
                "put back a copy, or remove the file to become a new node"
            )
        return cls(seed)


def _write_new(path: Path, seed: bytes) -> None:
    """Write `seed` to a file that must not exist yet; losing a race against another writer is fine."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(seed)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links (phones, FAT)
            if not path.exists():
                draft.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
