"""What `make demo` shows: a mesh of three nodes on this machine counts the words of real files.

Three daemons with a secret of their own start on the loopback interface, the graph of examples/wordcount.py
(a count for each chunk of text, then a tree of merges) runs on them, the answer is checked against a count
in this process, and everything is gone at the end.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import swarm
from swarm.version import __version__, is_compiled

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
import wordcount

NODES = 3
CORPUS_BYTES = 24_000_000
SHOWN = 8
TIMEOUT_S = 120.0
BAR_WIDTH = 30

Words = dict[bytes, int]


def wait_for_nodes(mesh: swarm.Mesh) -> list[str]:
    """Return the names of the nodes once they have all met."""
    while True:
        names = sorted([str(node["name"]) for node in mesh.nodes() if node["state"] == "alive"])
        if len(names) == NODES:
            return names
        time.sleep(0.05)


def show(done: int, total: int, begun: float) -> None:
    """Draw how far the job is: in place on a terminal, else a line at each fifth of the way."""
    is_terminal = sys.stdout.isatty()
    if is_terminal or done * 5 // total > (done - 1) * 5 // total:
        filled = BAR_WIDTH * done // total
        bar = "#" * filled + "." * (BAR_WIDTH - filled)
        end = "\n" if done == total or not is_terminal else "\r"
        print(f"  [{bar}] {done}/{total} tasks  {time.monotonic() - begun:5.1f} s", end=end, flush=True)


def run(mesh: swarm.Mesh, chunks: list[bytes]) -> Words:
    """Count on the mesh, showing progress, and return the answer."""
    begun = time.monotonic()
    level = mesh.map(wordcount.count, chunks)
    futures = list(level)
    while len(level) > 1:
        starts = range(0, len(level), wordcount.FAN_IN)
        level = [mesh.submit(wordcount.merge, *level[start : start + wordcount.FAN_IN]) for start in starts]
        futures += level
    for done, _ in enumerate(mesh.as_completed(futures, timeout=TIMEOUT_S), 1):
        show(done, len(futures), begun)
    words: Words = level[0].result(timeout=TIMEOUT_S)
    return words


def tasks_by_node(mesh: swarm.Mesh) -> Counter[str]:
    """Return how many tasks each node ran."""
    ran: Counter[str] = Counter()
    for job in mesh.jobs():
        detail = mesh.call("job", {"job": job["job"]})
        ran.update([task["node"] for task in detail["tasks_detail"] if task["node"]])
    return ran


def main() -> int:
    """Show it; 1 when the answer is wrong."""
    begun = time.monotonic()
    print(f"swarm {__version__}, cores {'compiled' if is_compiled() else 'in pure Python'}", flush=True)
    chunks = wordcount.read_corpus(CORPUS_BYTES)
    with swarm.local(nodes=NODES) as mesh:
        names = ", ".join(wait_for_nodes(mesh))
        print(f"a mesh of {NODES} nodes is up after {time.monotonic() - begun:.1f} s: {names}")
        print(f"counting the words of {sum(map(len, chunks)) / 1e6:.1f} MB of text found on this machine")
        words = run(mesh, chunks)
        places = ", ".join([f"{name} {count}" for name, count in sorted(tasks_by_node(mesh).items())])
    print(
        f"{sum(words.values())} words, {len(words)} different{'; tasks per node: ' if places else ''}{places}"
    )
    most_frequent = Counter(words).most_common(SHOWN)
    print("  " + ", ".join([f"{word.decode()} {count}" for word, count in most_frequent]))
    is_right = words == wordcount.merge(*map(wordcount.count, chunks))
    print(
        "a count in this process alone says the same" if is_right else "WRONG: this process counts otherwise"
    )
    print(f"everything is stopped and removed; {time.monotonic() - begun:.1f} s in all")
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
