"""Run several commands at once, every line of theirs with its name in front; fail when one of them fails.

`python tools/side_by_side.py NAME "COMMAND" [NAME "COMMAND" ...]`: no shell is between. What waits
most of its time (real meshes on real networks) and what computes all of it (simulations) fill two cores so.
The last lines of what failed are said again at the end, where whoever reads only the end finds them.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
import time
from collections import deque

_WRONG_USE = 2
_REPEATED_LINES = 120  # of a command that failed; a summary of pytest with one or two tracebacks


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
        self._last: deque[str] = deque(maxlen=_REPEATED_LINES)
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
        """Wait for the end, and return its exit code."""
        self._thread.join()
        return self._process.wait()

    def repeat_if_failed(self) -> None:
        """Say the last lines of a command that failed once more."""
        if self._process.returncode:
            self._say(f"failed; its last {len(self._last)} lines:")
            for line in self._last:
                self._say(line)

    def _pass_on(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._last.append(line.rstrip("\n"))
            self._say(self._last[-1])
        code = self._process.wait()
        how = "done" if code == 0 else f"failed with {code}"
        self._say(f"{how} after {time.monotonic() - self._began:.0f} s")

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
    for lane in lanes:
        lane.repeat_if_failed()
    return 1 if any(codes) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
