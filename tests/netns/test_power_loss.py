"""Disks that fail under real nodes: power lost everywhere, damaged, full, read-only and stalled journals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from swarm.core.errors import SwarmError
from swarm.daemon.home import running_pid
from swarm.net.invitation import new_secret
from tests.chaos.field import Disk
from tests.chaos.shim import Control, compiler
from tests.mesh_processes import Node, agreed_leader, events, finished_json, new_invitation, wait_for
from tests.netns.lab import Lab, needs_lab, skipped_for

pytestmark = needs_lab()

NAMES = ("a", "b", "c")
TASKS = 30
ANSWER = sum(number * number for number in range(TASKS))
AWAY_WITHIN_S = 40.0
ENDS_WITHIN_S = 90.0

# Two jobs, each acknowledged before the next line: one of no tasks to speak of, one that takes a while.
PROGRAM = f"""
import json, sys, time
import swarm
from swarm.client.graphs import new_job

def square(number, nap_s):
    time.sleep(nap_s)  # the work of a task
    return number * number

def total(*numbers):
    return sum(numbers)

held = []  # a future that is dropped tells the mesh that its result may go
with swarm.connect(sys.argv[1]) as mesh:
    for name, nap_s in (("short", 0.0), ("long", 0.4)):
        job = new_job(mesh, name, is_session=False)
        squares = [job.builder.add_task(swarm.task(square, number, nap_s)) for number in range({TASKS})]
        answer = job.builder.add_task(swarm.task(total, *squares))
        held.append(answer)
        job.is_complete = True
        mesh.start_job(job)
        mesh.wait_accepted(job)
        if name == "short":
            mesh.follow(job)
        print(json.dumps({{"job": job.job.hex(), "task": answer.task}}), flush=True)
    sys.stdin.read()
"""


class Mesh:
    """Three nodes that agree, each on a disk of its own and under a shim, and their jobs."""

    def __init__(self, lab: Lab, stack: contextlib.ExitStack, folder: Path) -> None:
        self.disks: list[Disk] = []
        self.controls: list[Control] = []
        self.nodes: list[Node] = []
        self.secret = new_secret()
        for number, name in enumerate(NAMES):
            host = lab.host()
            self.disks.append(Disk(host.folder))
            stack.callback(self.disks[-1].close)
            self.controls.append(Control(folder / f"control{number}"))
            self.nodes.append(host.node(name, "--cores", "1"))
        stack.callback(lab.close)
        invitation = new_invitation("power", secret=self.secret)
        for number in range(len(self.nodes)):
            self.begin(number, invitation)
        for node in self.nodes:
            node.wait_ready()
        self.whole()

    def begin(self, number: int, *words: str) -> None:
        environment = self.controls[number].environment() if compiler() else None
        self.nodes[number].begin(*words, environment=environment)

    def whole(self) -> Node:
        """Return the leader when all three agree."""
        name = wait_for(lambda: agreed_leader(self.nodes), 40.0, "one mesh")
        return self.nodes[NAMES.index(name)]

    def submit(self, node: Node) -> list[dict[str, Any]]:
        """Submit a short job, which ends, and a long one, which has only begun; {job, task} of each."""
        return self.run_program(node, PROGRAM, 2)

    def run_program(self, node: Node, program: str, line_count: int) -> list[dict[str, Any]]:
        """Run a program on a node's host until it has said so many lines, and return them."""
        host = node.host
        (host.folder / "program.py").write_text(program)
        invitation = new_invitation("power", [each.address for each in self.nodes], self.secret)
        words = [sys.executable, "program.py", "{}:{}".format(*node.address)]
        process = host.spawn(*words, environment={"SWARM_MESH": invitation}, takes_input=True)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(line_count)]
        assert all(lines), process.communicate()
        process.kill()
        return [json.loads(line) for line in lines]

    def kill_all(self) -> None:
        """Cut the power of everybody."""
        pids = [running_pid(node.home) for node in self.nodes]
        for pid in pids:
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        for node in self.nodes:
            node.kill()

    def restart(self, order: Sequence[int]) -> None:
        """Start everybody in an order, each when the one before is ready."""
        for number in order:
            self.begin(number)
            self.nodes[number].wait_ready()
        self.whole()

    def value_of(self, node: Node, told: dict[str, Any]) -> Any:
        """Return the answer of a job as a node tells it when the job is done, None before."""
        from swarm.core.ids import short
        from swarm.exec.serialize import load_value

        with contextlib.suppress(SwarmError):
            found = node.ask("results", {"job": short(bytes.fromhex(told["job"]))})
            if found["state"] == "done":
                row = next(row for row in found["results"] if row["task"] == told["task"])
                return load_value(row["data"], row["encoding"])
        return None

    def check(self, told: dict[str, Any]) -> None:
        """Check that every node comes to tell the right answer of a job."""
        for node in self.nodes:
            wait_for(lambda node=node: self.value_of(node, told) == ANSWER, ENDS_WITHIN_S, "the answer")  # type: ignore[misc]  # its defaults


# A job with an argument too large for a message, which its client brings to the attached node first.
GIVEN = """
import json, sys, time
import swarm
from swarm.client.graphs import new_job

def length(data, nap_s):
    time.sleep(nap_s)  # the work of a task
    return len(data)

with swarm.connect(sys.argv[1]) as mesh:
    job = new_job(mesh, "given", is_session=False)
    first = job.builder.add_task(swarm.task(length, b"", 6.0))
    answer = job.builder.add_task(swarm.task(lambda data, _: len(data), bytes(1_000_000), first))
    job.is_complete = True
    mesh.start_job(job)
    mesh.wait_accepted(job)
    print(json.dumps({"job": job.job.hex(), "task": answer.task}), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with contextlib.ExitStack() as stack:
        yield Mesh(Lab(), stack, tmp_path)


def flip_bits_of_jobs(home: Path) -> None:
    """Turn over one bit behind the word by which a part is found: SQLite itself does not notice that."""
    flipped = 0
    for path in (home / "journal.db-wal", home / "journal.db"):
        data = bytearray(path.read_bytes()) if path.exists() else bytearray()
        place = data.find(b"parts")
        while place >= 0:
            data[place + 20] ^= 0x01
            flipped += 1
            place = data.find(b"parts", place + 1)
        if path.exists():
            path.write_bytes(data)
    assert flipped, "there is a part to damage"


def tear_log(home: Path) -> None:
    """Cut the write-ahead log in the middle of a frame, as a torn write leaves it."""
    path = home / "journal.db-wal"
    if path.exists():
        os.truncate(path, path.stat().st_size * 2 // 3 + 100)


def corrupt_database(home: Path) -> None:
    (home / "journal.db").write_bytes(b"no database at all" * 1000)
    (home / "journal.db-wal").unlink(missing_ok=True)


DAMAGE: dict[str, tuple[Callable[[Path], None], bool]] = {
    "nothing": (lambda home: None, False),
    "a torn log": (tear_log, False),
    "a flipped bit": (flip_bits_of_jobs, True),
    "a corrupted database": (corrupt_database, True),
    "no journal at all": (lambda home: (home / "journal.db").unlink(), True),
}
"""What happens to one disk, and whether the node can notice."""


@pytest.mark.parametrize(
    "name",
    [name if name == "a flipped bit" else pytest.param(name, marks=pytest.mark.soak) for name in DAMAGE],
)
def test_power_is_lost_everywhere_and_one_journal_is_damaged(mesh: Mesh, name: str) -> None:
    damage, is_noticed = DAMAGE[name]
    short_job, long_job = mesh.submit(mesh.nodes[0])
    mesh.kill_all()
    victim = mesh.nodes[1]
    damage(victim.home.root)
    mesh.restart((1, 2, 0))
    mesh.check(short_job)
    mesh.check(long_job)
    assert bool(events(victim, "journal_damaged")) == is_noticed
    aside = list(victim.home.root.glob("journal.db.damaged-*"))
    assert bool(aside) == is_noticed, "the log of a journal that is gone is put aside, too"


def test_what_a_client_brought_survives_a_power_cut_and_the_node_that_took_it(mesh: Mesh) -> None:
    taker, *keepers = mesh.nodes
    (told,) = mesh.run_program(taker, GIVEN, 1)
    mesh.kill_all()
    for number in (1, 2):
        mesh.begin(number)
        mesh.nodes[number].wait_ready()
    for node in keepers:
        wait_for(lambda node=node: mesh.value_of(node, told) == 1_000_000, ENDS_WITHIN_S, "the answer")  # type: ignore[misc]  # its defaults


def status_of(node: Node) -> dict[str, Any]:
    try:
        return dict(node.ask("status"))
    except SwarmError:
        return {}


@skipped_for("" if compiler() else "the shim needs a C compiler")
@pytest.mark.parametrize("trouble", ["full", pytest.param("broken", marks=pytest.mark.soak)])
def test_a_node_whose_disk_cannot_be_written_stands_aside_until_it_can(mesh: Mesh, trouble: str) -> None:
    victim = mesh.whole()
    number = mesh.nodes.index(victim)
    others = [node for node in mesh.nodes if node is not victim]
    if trouble == "full":
        mesh.disks[number].fill()
    else:
        mesh.controls[number].break_disk(True)
    _, long_job = mesh.submit(others[0])
    wait_for(lambda: status_of(victim).get("stands_aside"), AWAY_WITHIN_S, "it stands aside")
    reason = status_of(victim)["reason"]
    assert ("no space left" if trouble == "full" else "disk I/O error") in reason
    told = finished_json(victim.host.swarm("status", "--json", "--home", str(victim.home.root)))
    assert told["reason"] == reason
    assert wait_for(lambda: agreed_leader(others, 2), 20.0, "the others go on")
    for node in others:
        wait_for(lambda node=node: mesh.value_of(node, long_job) == ANSWER, ENDS_WITHIN_S, "the answer")  # type: ignore[misc]  # its defaults
    if trouble == "full":
        mesh.disks[number].free()
    else:
        mesh.controls[number].break_disk(False)
    mesh.whole()
    mesh.check(long_job)


@skipped_for("" if compiler() else "the shim needs a C compiler")
def test_a_leader_whose_disk_stalls_holds_up_nobody(mesh: Mesh) -> None:
    leader = mesh.whole()
    number = mesh.nodes.index(leader)
    others = [node for node in mesh.nodes if node is not leader]
    mesh.controls[number].stall_disk(True)
    short_job, long_job = mesh.submit(others[0])
    for told in (short_job, long_job):
        wait_for(lambda told=told: mesh.value_of(others[0], told) == ANSWER, ENDS_WITHIN_S, "the answer")  # type: ignore[misc]  # its defaults
    mesh.controls[number].stall_disk(False)
    mesh.whole()
    mesh.check(long_job)


@pytest.mark.soak
def test_a_node_whose_disk_is_read_only_says_so_and_does_not_start(mesh: Mesh) -> None:
    victim = mesh.nodes[0]
    folder = victim.host.folder
    _, long_job = mesh.submit(mesh.nodes[1])
    victim.kill()
    for how in ("ro", "rw"):
        wait_for(lambda how=how: is_remounted(folder, how), 20.0, f"a disk that is {how}")  # type: ignore[misc]  # its defaults
        mesh.begin(0)
        if how == "ro":
            with pytest.raises(AssertionError, match="Read-only file system"):
                victim.wait_ready()
    victim.wait_ready()
    mesh.whole()
    mesh.check(long_job)


def is_remounted(folder: Path, how: str) -> bool:
    """Remount a file system; one is busy as long as somebody writes there."""
    command = ["mount", "-o", f"remount,{how}", str(folder)]
    return subprocess.run(command, check=False, capture_output=True, timeout=20).returncode == 0


@pytest.mark.soak
def test_a_node_that_stands_aside_can_be_stopped(mesh: Mesh) -> None:
    victim = mesh.nodes[0]
    mesh.disks[0].fill()
    mesh.submit(mesh.nodes[1])
    wait_for(lambda: status_of(victim).get("stands_aside"), AWAY_WITHIN_S, "it stands aside")
    stopped = victim.host.swarm("leave", "--json", "--home", str(victim.home.root))
    finished_json(stopped)
    assert running_pid(victim.home) is None
