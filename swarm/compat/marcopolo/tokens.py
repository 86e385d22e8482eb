"""Tokens: proof that whoever calls the local API can read the files of the user it names.

A token is ``<uid>:<hex>``, a keyed hash of the uid under a secret of this node. It is written, readable by
its owner only, into ``.polo/token`` of the user's home, never told over the network. Who asks for the token
of somebody else makes only that somebody's file.

The original encrypted the uid with AES in ECB mode under a key that was the same after every installation.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
from hashlib import blake2b
from pathlib import Path
from typing import Final, final

from swarm.core.errors import StorageError
from swarm.registry.files import User, write_file
from swarm.registry.records import BadService, shown

TOKEN_FOLDER: Final = Path(".polo")
TOKEN_FILE: Final = "token"  # noqa: S105 - the name of a file
TOKEN_SIZE_MAX: Final = 128
_SECRET_SIZE: Final = 32
_DIGEST_SIZE: Final = 24
_MODE: Final = 0o600


@final
class Tokens:
    """Makes and checks tokens.

    Args:
        secret: 32 bytes of this node, which nobody else knows.
    """

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == _SECRET_SIZE, "a secret has 32 bytes"
        self._secret: Final = secret

    @staticmethod
    def kept_in(path: Path) -> Tokens:
        """Return the tokens of a node whose secret is kept in a file, which is made when it is missing.

        Raises:
            StorageError: the file can be neither read nor written.
        """
        with contextlib.suppress(OSError):
            secret = path.read_bytes()
            if len(secret) == _SECRET_SIZE:
                return Tokens(secret)
        secret = secrets.token_bytes(_SECRET_SIZE)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot replace {path}: {error.strerror}") from None
        write_file(path.parent, path.name, secret, _MODE, None)
        return Tokens(secret)

    def make(self, uid: int) -> str:
        """Return the token of a user."""
        digest = blake2b(str(uid).encode(), key=self._secret, digest_size=_DIGEST_SIZE)
        return f"{uid}:{digest.hexdigest()}"

    def uid_of_untrusted(self, token: object) -> int:
        """Return the uid that a token proves.

        Raises:
            BadService: it is none of ours.
        """
        if not isinstance(token, str) or not 0 < len(token.strip()) <= TOKEN_SIZE_MAX or not token.isascii():
            raise BadService("a token is needed; ask for one with Request-token and read ~/.polo/token")
        text = token.strip()
        number = text.partition(":")[0]
        uid = int(number) if number.isdecimal() and len(number) <= 10 else -1
        if uid < 0 or not hmac.compare_digest(self.make(uid), text):
            raise BadService("the token is wrong: it is not of this node, or damaged")
        return uid

    def hand_out(self, user: User) -> bool:
        """Write a user's token into the user's home; return whether it was not there yet. Blocks.

        Raises:
            BadService: this node may not write there.
            StorageError: the file system says no.
        """
        if os.geteuid() not in (0, user.uid):
            raise BadService(f"wrong uid {shown(user.uid)}: this node runs as uid {os.geteuid()}")
        folder = user.home / TOKEN_FOLDER
        data = self.make(user.uid).encode()
        try:
            write_file(folder, TOKEN_FILE, data, _MODE, user)
        except BadService:
            return self._replace(folder, data, user)
        return True

    def _replace(self, folder: Path, data: bytes, user: User) -> bool:
        """Replace a token of an earlier node; return whether that was needed."""
        path = folder / TOKEN_FILE
        descriptor = -1
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            if os.read(descriptor, TOKEN_SIZE_MAX + 1).strip() == data:
                return False
        except OSError:
            pass
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        write_file(folder, TOKEN_FILE, data, _MODE, user, is_replacing=True)
        return True
