"""Count the words of all the text found on this computer, as a map and a tree of reductions.

    swarm submit examples/wordcount.py                 inside the mesh
    python examples/wordcount.py --local 2             on a mesh of two nodes made for the occasion

The text (the sources of the standard library, /usr/share/doc …) is read here and cut into chunks; each chunk
travels to some node and is counted there; counts are merged eight by eight until one is left. The answer is
checked against a count in this one process.
"""

import argparse
import gzip
import os
import re
import sys
import sysconfig
import time
from collections import Counter
from pathlib import Path

import swarm

WORD = re.compile(rb"[a-z]+")
FAN_IN = 8
CHUNK_BYTES = 512 * 1024
PLACES = [
    sysconfig.get_path("stdlib"),
    "/usr/share/doc",
    "/usr/share/common-licenses",
    "/usr/share/perl",
    sysconfig.get_path("purelib"),
    "/usr/share",
]
ENDINGS = (
    ".py",
    ".txt",
    ".rst",
    ".md",
    ".html",
    ".pl",
    ".pm",
    ".pod",
    ".gz",
    "copyright",
    "README",
    "changelog",
)


def count(text: bytes) -> dict[bytes, int]:
    return dict(Counter(WORD.findall(text.lower())))


def merge(*counts: dict[bytes, int]) -> dict[bytes, int]:
    total: Counter[bytes] = Counter()
    for part in counts:
        total.update(part)
    return dict(total)


def read_corpus(wanted_bytes: int) -> list[bytes]:
    """Return about `wanted_bytes` of text as chunks that end where a line does."""
    chunks, buffer, size = [], bytearray(), 0
    for path in find_files():
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                data = file.read(4_000_000)
        except (OSError, EOFError):
            continue
        buffer += data + b"\n"
        size += len(data) + 1
        while len(buffer) > CHUNK_BYTES:
            end = buffer.rfind(b"\n", 0, CHUNK_BYTES) + 1 or CHUNK_BYTES
            chunks.append(bytes(buffer[:end]))
            del buffer[:end]
        if size >= wanted_bytes:
            break
    return [*chunks, bytes(buffer)]


def find_files():
    seen = set()
    for place in PLACES:
        for folder, subfolders, names in os.walk(place):
            subfolders.sort()
            for name in sorted(names):
                path = Path(folder, name).resolve()
                if name.endswith(ENDINGS) and path not in seen and path.is_file():
                    seen.add(path)
                    yield path


def main() -> int:
    parser = argparse.ArgumentParser(description="Count words in a mesh.")
    parser.add_argument("--megabytes", type=float, default=24, help="how much text (default 24)")
    parser.add_argument("--local", type=int, metavar="N", help="make a mesh of N nodes for this run")
    arguments = parser.parse_args()

    chunks = read_corpus(int(arguments.megabytes * 1e6))
    size = sum(len(chunk) for chunk in chunks)
    print(f"{size / 1e6:.1f} MB of text in {len(chunks)} chunks", flush=True)

    with swarm.local(arguments.local) if arguments.local else swarm.connect() as mesh:
        started = time.monotonic()
        counts = mesh.map(count, chunks)
        while len(counts) > 1:
            counts = [mesh.submit(merge, *counts[i : i + FAN_IN]) for i in range(0, len(counts), FAN_IN)]
        words = mesh.gather(counts)[0]
        seconds = time.monotonic() - started
    print(f"{sum(words.values())} words, {len(words)} different, counted in the mesh in {seconds:.1f} s")
    print("most frequent:", ", ".join(f"{word.decode()} {n}" for word, n in Counter(words).most_common(8)))

    expected = Counter()
    for chunk in chunks:
        expected.update(WORD.findall(chunk.lower()))
    if words == expected:
        print("the same as counted by this process alone: yes")
        return 0
    print("the same as counted by this process alone: NO", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
