"""What a soak has done, in a file, so that it can go on another day."""

from __future__ import annotations

import json
import time
from hashlib import blake2b
from pathlib import Path
from typing import Any

import sims
import swarm
from sims.trials.run import Verdict

SAVE_EVERY_S = 10.0


class SoakState:
    """Seeds that are done for one profile and one version of the sources.

    Args:
        path: of the file, None to remember nothing.
        profile: what is drawn.
    """

    def __init__(self, path: Path | None, profile: str) -> None:
        self._path = path
        self._key = f"{profile} {sources_digest()}"
        self._all: dict[str, Any] = {}
        if path is not None and path.exists():
            self._all = json.loads(path.read_text(encoding="utf-8"))
        mine = self._all.setdefault(self._key, {"ranges": [], "wall_s": 0.0, "virtual_s": 0.0, "failed": {}})
        self._mine: dict[str, Any] = mine
        self._done: set[int] = {seed for first, last in mine["ranges"] for seed in range(first, last + 1)}
        self._begun_s = self._saved_s = _now()

    def is_done(self, seed: int) -> bool:
        """Return whether a seed was run, with these sources."""
        return seed in self._done

    def note(self, verdict: Verdict) -> None:
        """Take what came of a seed."""
        self._done.add(verdict.seed)
        self._mine["virtual_s"] += verdict.virtual_s
        if verdict.checker:
            self._mine["failed"][str(verdict.seed)] = verdict.checker
        if _now() - self._saved_s >= SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Write the file."""
        now = _now()
        self._mine["wall_s"] += now - self._saved_s
        self._saved_s = now
        self._mine["ranges"] = _ranges(self._done)
        if self._path is not None:
            partial = self._path.with_suffix(".partial")
            partial.write_text(json.dumps(self._all, indent=1) + "\n", encoding="utf-8")
            partial.replace(self._path)

    def summary(self, wanted: int, failed: int) -> str:
        """Return one line for people."""
        return (
            f"{wanted} seeds, {failed} of this run broke an invariant; with these sources "
            f"{len(self._done)} seeds and {self._mine['virtual_s'] / 3600:.1f} simulated hours "
            f"in {self._mine['wall_s']:.0f} s"
        )


def sources_digest() -> str:
    """Return a digest of the sources of swarm and of the simulator, 12 hex digits."""
    digest = blake2b(digest_size=6)
    for package in (swarm, sims):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _now() -> float:
    return time.perf_counter()  # noqa: TID251  # how long people waited, not a time of the simulation


def _ranges(seeds: set[int]) -> list[list[int]]:
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if ranges and ranges[-1][1] == seed - 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ranges
