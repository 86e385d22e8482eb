"""What `make demo` shows: a mesh of three nodes on this machine counts the words of real files.

Three daemons with a secret of their own start on the loopback interface, a graph of tasks runs on them
(one task for each batch of files, then a tree of merges), the answer is checked against a count in this
process, and everything is gone at the end.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
import time
from collections import Counter
from pathlib import Path

import swarm
from swarm.version import __version__, is_compiled

NODES = 3
CORPUS_BYTES = 24_000_000
BATCH_BYTES = 500_000
FAN_IN = 4
SHOWN = 8
TIMEOUT_S = 120.0
BAR_WIDTH = 30

Counted = tuple[Counter[str], Counter[int]]
"""Words, and how many tasks each fork server (one per node) ran."""


def find_corpus() -> list[list[str]]:
    """Return batches of text files of this machine, together at most CORPUS_BYTES."""
    library = Path(sysconfig.get_paths()["stdlib"])
    batches: list[list[str]] = [[]]
    total = batch = 0
    for path in sorted([*library.rglob("*.py"), *Path("/usr/share/doc").rglob("*.txt")]):
        size = path.stat().st_size if path.is_file() and os.access(path, os.R_OK) else 0
        if not size or total + size > CORPUS_BYTES:
            continue
        if batch + size > BATCH_BYTES and batches[-1]:
            batches.append([])
            batch = 0
        batches[-1].append(str(path))
        total += size
        batch += size
    return batches


def count_words(paths: list[str]) -> Counted:
    """Return the words of some files, and where this ran."""
    words: Counter[str] = Counter()
    for path in paths:
        words.update(re.findall(r"[a-z]+", Path(path).read_text(encoding="utf-8", errors="replace").lower()))
    return words, Counter([os.getppid()])


def merge(parts: list[Counted]) -> Counted:
    """Return several counts as one."""
    words: Counter[str] = Counter()
    places: Counter[int] = Counter()
    for part_words, part_places in parts:
        words.update(part_words)
        places.update(part_places)
    return words, places


def show(done: int, total: int, begun: float) -> None:
    """Draw how far the job is: in place on a terminal, else a line at each fifth of the way."""
    is_terminal = sys.stdout.isatty()
    if is_terminal or done == total or done * 5 // total > (done - 1) * 5 // total:
        filled = BAR_WIDTH * done // total
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        end = "\n" if done == total or not is_terminal else "\r"
        print(f"  [{bar}] {done}/{total} tasks  {time.monotonic() - begun:5.1f} s", end=end, flush=True)


def wait_for_nodes(mesh: swarm.Mesh) -> list[str]:
    """Return the names of the nodes once they have all met."""
    while True:
        names = sorted([str(node["name"]) for node in mesh.nodes() if node["state"] == "alive"])
        if len(names) == NODES:
            return names
        time.sleep(0.05)


def run(mesh: swarm.Mesh, batches: list[list[str]]) -> Counted:
    """Count on the mesh, showing progress, and return the answer."""
    begun = time.monotonic()
    level = mesh.map(count_words, batches)
    futures = list(level)
    while len(level) > 1:
        level = [mesh.submit(merge, level[start : start + FAN_IN]) for start in range(0, len(level), FAN_IN)]
        futures += level
    for done, _ in enumerate(mesh.as_completed(futures, timeout=TIMEOUT_S), 1):
        show(done, len(futures), begun)
    answer: Counted = level[0].result(timeout=TIMEOUT_S)
    return answer


def main() -> int:
    """Show it; 1 when the answer is wrong."""
    begun = time.monotonic()
    print(f"swarm {__version__}, cores {'compiled' if is_compiled() else 'pure Python'}")
    batches = find_corpus()
    files = [path for batch in batches for path in batch]
    size = sum([Path(path).stat().st_size for path in files])
    with swarm.local(nodes=NODES) as mesh:
        names = ", ".join(wait_for_nodes(mesh))
        print(f"a mesh of {NODES} nodes is up after {time.monotonic() - begun:.1f} s: {names}")
        print(f"counting the words of {len(files)} files, {size / 1e6:.1f} MB")
        words, places = run(mesh, batches)
    tasks = " + ".join([str(count) for count in sorted(places.values(), reverse=True)])
    print(f"{words.total()} words, {len(words)} different; counting tasks per node: {tasks}")
    print("  " + ", ".join([f"{word} {count}" for word, count in words.most_common(SHOWN)]))
    alone, _ = count_words(files)
    is_right = alone == words
    print(
        "a count in one process says the same" if is_right else f"WRONG: one process counts {alone.total()}"
    )
    print(f"everything is stopped and removed; {time.monotonic() - begun:.1f} s in all")
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
