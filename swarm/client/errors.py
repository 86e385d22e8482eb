"""Errors that only a client raises; the tree of all the others is in `swarm.core.errors`."""

from __future__ import annotations

from typing import Final

from swarm.core.errors import SwarmError

CODE_NO_MESH: Final = 3
"""Nobody could answer at present: whoever asks again later may get an answer."""


class Refused(SwarmError):
    """A node said no to a request; nothing was changed by it.

    Attributes:
        code: the exit code that the command line ends with: 1 failed, 2 wrong usage, 3 unreachable,
            4 not allowed.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
