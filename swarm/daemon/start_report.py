"""How a daemon tells whoever started it how that went, and how it starts anew in its own place."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from typing import Final, NoReturn, final

from swarm.core.errors import StorageError, SwarmError
from swarm.daemon.json_text import to_json
from swarm.daemon.mesh_file import MeshIsNear, NotAllowed
from swarm.daemon.options import DaemonOptions

CODE_FAILED: Final = 1
CODE_USAGE: Final = 2
CODE_NOT_ALLOWED: Final = 4


@final
class StartReport:
    """Tells whoever started us how it went: one line of JSON on a descriptor, or text on stderr."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)

    def ready(self, ready: dict[str, object], mesh: str, is_founded: bool, damage: str) -> None:
        """Say that the node is ready."""
        self._say({"ready": ready, "mesh": mesh, "founded": is_founded, "damage": damage})

    def failed(self, error: SwarmError) -> int:
        """Say why it is not, and return the exit code for that."""
        code = CODE_FAILED
        if isinstance(error, NotAllowed):
            code = CODE_NOT_ALLOWED
        elif isinstance(error, ValueError):
            code = CODE_USAGE
        message = " ".join(str(error).split())
        if self._descriptor >= 0:
            is_near = isinstance(error, MeshIsNear)
            self._say({"error": {"code": code, "message": message, "mesh_is_near": is_near}})
        else:
            sys.stderr.write(f"swarm: {message}\n")
        return code

    def pass_on(self) -> list[str]:
        """Return the argument by which a process that replaces this one tells in its place."""
        if self._descriptor < 0:
            return []
        os.set_inheritable(self._descriptor, True)
        return [f"--status-fd={self._descriptor}"]

    def _say(self, line: dict[str, object]) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, to_json(line).encode() + b"\n")
            os.close(self._descriptor)
            self._descriptor = -1


def begin_again(options: DaemonOptions, lifeline: int, report: StartReport) -> NoReturn:
    """Become a node in the same home and process that has just started.

    Raises:
        StorageError: the interpreter cannot be started.
    """
    again = dataclasses.replace(options, new=False)
    command = [sys.executable, "-m", "swarm.daemon", *again.to_arguments(), *report.pass_on()]
    if lifeline >= 0:
        os.set_inheritable(lifeline, True)
        command.append(f"--lifeline-fd={lifeline}")
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise StorageError(f"cannot start {command[0]}: {error.strerror}") from None
