"""A bar on the terminal for long work; silent where there is no terminal."""

from __future__ import annotations

import sys

WIDTH = 30


class Progress:
    """Shows how much of `total` is done, and how much of that failed."""

    def __init__(self, total: int, done: int = 0) -> None:
        self._total = total
        self._done = done
        self._failed = 0

    def show(self, has_failed: bool) -> None:
        """Take that one more is done."""
        self._done += 1
        self._failed += has_failed
        if sys.stderr.isatty():
            filled = WIDTH * self._done // self._total
            bar = "#" * filled + "." * (WIDTH - filled)
            end = "\n" if self._done == self._total else ""
            text = f"\r[{bar}] {self._done}/{self._total}, {self._failed} failed"
            print(text, end=end, file=sys.stderr, flush=True)
