"""The examples, run as their first lines say, in real meshes."""

from __future__ import annotations

import json
import runpy
import shutil
import struct
import sys
import zlib
from hashlib import blake2b
from pathlib import Path

import pytest

from tests.mesh_processes import EXAMPLES, Host, finished, finished_json, finished_well, new_invitation

SHORT_SIDE = 48


@pytest.fixture
def member(host: Host) -> Host:
    """A host with one node in its default home, as `swarm join` leaves it."""
    host.node("none", "--no-multicast").join("--new")
    return host


def pixels(png: bytes) -> tuple[int, int, bytes]:
    """Return (width, height, bytes of all pixels) of a PNG of 8-bit RGB; every chunk's check is checked."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed, sizes = 8, b"", (0, 0)
    kinds = []
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", png, at + 8 + size)[0] == zlib.crc32(kind + data)
        kinds.append(kind)
        if kind == b"IHDR":
            sizes = struct.unpack_from(">II", data)
            assert data[8:] == bytes([8, 2, 0, 0, 0])
        packed += data if kind == b"IDAT" else b""
        at += 12 + size
    assert kinds == [b"IHDR", b"IDAT", b"IEND"]
    raw, stride = zlib.decompress(packed), 3 * sizes[0] + 1
    assert len(raw) == stride * sizes[1]
    rows = [raw[row * stride : (row + 1) * stride] for row in range(sizes[1])]
    assert {row[0] for row in rows} == {0}
    return sizes[0], sizes[1], b"".join([row[1:] for row in rows])


def test_mandelbrot(host: Host) -> None:
    size = ["--width", "96", "--height", str(SHORT_SIDE)]
    program = str(EXAMPLES / "mandelbrot.py")
    first = host.spawn(sys.executable, program, *size, "--local", "2", "-o", "two.png")
    assert "3 tiles" in finished_well(first)
    picture = (host.folder / "two.png").read_bytes()
    drawn = runpy.run_path(program)
    alone = drawn["png"](96, SHORT_SIDE, drawn["draw_rows"](0, SHORT_SIDE, 96, SHORT_SIDE, 200))
    assert picture == alone, "the same picture as drawn by this process alone"
    width, height, data = pixels(picture)
    assert (width, height) == (96, SHORT_SIDE)
    middle = 3 * (width * (height // 2) + width // 2)
    assert data[middle : middle + 3] == b"\0\0\0", "the middle belongs to the set"
    rows = [data[at : at + 3 * width] for at in range(0, len(data), 3 * width)]
    assert rows[1:] == rows[:0:-1], "the set is its own mirror image"
    assert len({data[at : at + 3] for at in range(0, len(data), 3)}) > 20


def test_graph_replay(host: Host) -> None:
    """As its first line says, and a graph of other makers with wide tasks and real bytes along the edges."""
    program = [sys.executable, str(EXAMPLES / "graph_replay.py"), "--local", "2"]
    said = finished_well(host.spawn(*program, "--time-scale", "0.005"))
    assert said.startswith("peg-montage-50: ")
    check_replayed(said, 77)
    graph = str(EXAMPLES / "graphs" / "irw-mapreduce-80.json.gz")
    said = finished_well(
        host.spawn(*program, "--graph", graph, "--time-scale", "0.0005", "--size-scale", "0.0005")
    )
    check_replayed(said, 161)


def check_replayed(said: str, tasks: int) -> None:
    """Check that all tasks ran, and not faster than the graph allows."""
    assert f": {tasks} tasks" in said
    assert " is done: " in said
    took, best = said.split(" final results, ")[1].split(" s (at best ")
    assert float(took) >= float(best.split(" s)")[0])


def test_wordcount(host: Host) -> None:
    process = host.spawn(sys.executable, str(EXAMPLES / "wordcount.py"), "--local", "2", "--megabytes", "20")
    said = finished_well(process, 120.0)
    assert float(said.split(" MB of text")[0]) >= 20
    assert said.splitlines()[-1] == "the same as counted by this process alone: yes"


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_build_c(member: Host) -> None:
    workflow = EXAMPLES / "build_c" / "workflow.toml"
    output = member.folder / "results"
    report = finished_json(member.swarm("submit", str(workflow), "--json", "-o", str(output)))
    assert report["state"] == "done"
    assert report["tasks"] == {"total": 6, "done": 6, "failed": 0}
    assert report["results"]["check"] == "78498 primes up to 1000000, the last is 999983\n"
    assert len(list(output.iterdir())) == 1
    said = finished_well(member.swarm("submit", str(workflow)))
    assert said.strip() == "78498 primes up to 1000000, the last is 999983"


def test_submit_script_in_the_mesh_of_this_host(member: Host) -> None:
    """A script with a module beside it, arguments, output on both streams and an exit code."""
    folder = member.folder
    (folder / "beside.py").write_text("def triple(x):\n    return 3 * x\n")
    (folder / "script.py").write_text(
        "import sys, swarm\nfrom beside import triple\n"
        "with swarm.connect() as mesh:\n"
        "    print(sum(mesh.gather(mesh.map(triple, range(int(sys.argv[1]))))))\n"
        "print('to stderr', file=sys.stderr)\nsys.exit(int(sys.argv[2]))\n"
    )
    code, out, err = finished(member.swarm("submit", "script.py", "--", "10", "0"))
    assert (code, out, err) == (0, "135\n", "to stderr\n")
    code, out, err = finished(member.swarm("submit", "script.py", "--", "4", "3"))
    assert (code, out) == (1, "18\n")
    assert err.splitlines()[0] == "to stderr"
    assert "exited with 3" in err.splitlines()[1]
    jobs = json.loads(finished_well(member.swarm("jobs", "--json")))
    assert sorted([row["state"] for row in jobs]) == ["done", "done", "done", "failed"]


def test_examples_are_small() -> None:
    """What is in the repository is what people download."""
    files = [path for path in Path(EXAMPLES).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum([path.stat().st_size for path in files]) < 1_000_000
    digests = [blake2b(path.read_bytes()).digest() for path in files]
    assert len(set(digests)) == len(digests)


def test_a_mesh_of_a_minute(host: Host) -> None:
    """`swarm up` says how to reach it, works for clients, and is gone when interrupted."""
    import signal

    process = host.swarm("up", "--nodes", "2", "--json")
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert len(told["nodes"]) == 2
    rows = finished_json(host.swarm("nodes", "--json", "--mesh", told["invitation"]))
    assert [row["state"] for row in rows] == ["alive", "alive"]
    process.send_signal(signal.SIGINT)
    code, _, _ = finished(process)
    assert code == 130
    unreachable = host.swarm("nodes", "--mesh", new_invitation())
    assert finished(unreachable)[0] == 3
