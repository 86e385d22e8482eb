"""Run several commands at once, every line of theirs with its name in front; fail when one of them fails.

`python tools/side_by_side.py NAME "COMMAND" [NAME "COMMAND" ...]`: no shell is between. What waits
most of its time (real meshes on real networks) and what computes all of it (simulations) fill two cores so.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
import time

_WRONG_USE = 2


class Lane:
    """One command, and the thread that passes on what it says.

    Args:
        name: stands in front of its lines.
        command: a program and its arguments, quoted as for a shell.
        width: columns for the name.
    """

    def __init__(self, name: str, command: str, width: int) -> None:
        self._name = name
        self._width = width
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            shlex.split(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._thread = threading.Thread(target=self._pass_on)
        self._thread.start()

    def join(self) -> int:
        """Wait for the end; say how it ended, and return its exit code."""
        self._thread.join()
        code = self._process.wait()
        how = "done" if code == 0 else f"failed with {code}"
        self._say(f"{how} after {time.monotonic() - self._began:.0f} s")
        return code

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._say(line.rstrip("\n"))

    def _say(self, line: str) -> None:
        sys.stdout.write(f"{self._name:<{self._width}} | {line}\n")
        sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Run the commands; return 0 when all ended well, 1 when not, 2 for a wrong use."""
    names, commands = arguments[::2], arguments[1::2]
    if not commands or len(names) != len(commands):
        print(__doc__, file=sys.stderr)
        return _WRONG_USE
    width = max(len(name) for name in names)
    lanes = [Lane(name, command, width) for name, command in zip(names, commands, strict=True)]
    try:
        codes = [lane.join() for lane in lanes]
    except KeyboardInterrupt:
        return 130
    return 1 if any(codes) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
