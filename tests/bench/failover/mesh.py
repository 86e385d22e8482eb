"""Leaders of real meshes are killed, again and again, in the middle of a job of a thousand tasks."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from swarm.net.invitation import new_secret
from tests.bench.failover.tasks import TASK_S, TASKS, Ran
from tests.mesh_processes import (
    Node,
    agreed_leader,
    events,
    finished_json,
    logged_at,
    new_invitation,
    wait_for,
)
from tests.netns.lab import Lab, start_together

NODES: Final = 5
KILLED_AFTER: Final = (0.15, 0.6)
"""Share of the job that has begun when the leader dies, drawn evenly."""
AGREE_WITHIN_S: Final = 30.0
SURVIVES_WITHIN_S: Final = 60.0
Say = Callable[[str], None]


class Mesh:
    """A mesh of real nodes, each in a namespace, and clients on their hosts.

    Args:
        lab: the network.
        count: of nodes; each runs two tasks at a time.
    """

    def __init__(self, lab: Lab, count: int) -> None:
        self.nodes: Final = lab.nodes([f"n{number}" for number in range(count)], "--cores", "2")
        self._secret = new_secret()
        start_together(self.nodes, new_invitation("failover", secret=self._secret))
        self._jobs = 0

    def leader(self) -> Node:
        """Return the leader on whom all agree."""
        name = wait_for(lambda: agreed_leader(self.nodes), AGREE_WITHIN_S, "one mesh")
        return next(node for node in self.nodes if node.name == name)

    def submit(self, node: Node, count: int = TASKS, nap_s: float = TASK_S) -> Job:
        """Submit a job through a node, from its own host, and return it when everything is on its way."""
        self._jobs += 1
        addresses = [each.address for each in self.nodes]
        path = node.host.folder / f"ran{self._jobs}"
        words = [f"{node.address[0]}:{node.address[1]}", str(path), str(count), str(nap_s)]
        command = [sys.executable, "-P", "-m", "tests.bench.failover.client", *words]
        invitation = new_invitation("failover", addresses, self._secret)
        environment = {"SWARM_MESH": invitation, "PYTHONPATH": ":".join(sys.path)}
        return Job(node.host.spawn(*command, environment=environment), path)


class Job:
    """A job that is under way."""

    def __init__(self, process: subprocess.Popen[str], path: Path) -> None:
        self._process = process
        self._path = path
        assert process.stdout is not None
        assert process.stdout.readline() == "submitted\n", process.communicate()[1]

    def ran(self) -> Ran:
        """Return what its tasks have written so far."""
        return Ran(self._path)

    def wait_begun(self, count: int) -> None:
        """Wait until so many tasks have begun."""
        wait_for(lambda: len(self.ran().begins) >= count, AGREE_WITHIN_S, f"{count} tasks begun")

    def result(self) -> dict[str, int]:
        """Wait for its end and return how many answers were right, wrong and missing."""
        found: dict[str, int] = finished_json(self._process, 200.0)
        return found


def leader_deaths(rounds: int, say: Say) -> list[dict[str, float]]:
    """Kill the leader of a mesh of five so many times, each time in the middle of a job.

    Returns:
        For each time: seconds from the kill until the last survivor knew the new leader (`known_s`), from
        then until the next task began (`next_s`), the longest time after the kill without a beginning
        (`gap_s`), how often a task began on the average (`executions`), tasks that had ended and began again
        (`again`; of those that ended more than a second before the kill `again_late`), and wrong or missing
        answers (`broken`).
    """
    draw = random.Random(rounds)
    rows: list[dict[str, float]] = []
    with contextlib.closing(Lab()) as lab:
        mesh = Mesh(lab, NODES)
        for number in range(rounds):
            leader = mesh.leader()
            survivors = [node for node in mesh.nodes if node is not leader]
            job = mesh.submit(draw.choice(survivors))
            job.wait_begun(int(TASKS * draw.uniform(*KILLED_AFTER)))
            offset = time.time() - time.monotonic()
            killed_at = leader.kill() + offset
            wait_for_leader_among(survivors)
            known_at = known_to_all_at(survivors, killed_at)
            result = job.result()
            ran = job.ran()
            rows.append(
                {
                    "known_s": round(known_at - killed_at, 3),
                    "next_s": round(max(ran.first_begin(known_at) - known_at, 0.0), 3),
                    "gap_s": round(ran.longest_gap_s(killed_at), 3),
                    "executions": round(ran.executions_per_task(), 4),
                    "again": ran.again(killed_at),
                    "again_late": len(_begun_again_long_after(ran, killed_at)),
                    "broken": result["wrong"] + result["failed"],
                }
            )
            say(f"kill {number + 1} of {rounds}: {rows[-1]}")
            leader.join()
    return rows


def lone_survivors(of: int, rounds: int, say: Say) -> list[dict[str, float]]:
    """Kill all nodes of a mesh but one at once, the leader among them, in the middle of a job.

    Returns:
        For each time: seconds until the survivor, leading, began a task (`survives_s`), and wrong or missing
        answers (`broken`).
    """
    rows: list[dict[str, float]] = []
    with contextlib.closing(Lab()) as lab:
        mesh = Mesh(lab, of)
        for number in range(rounds):
            leader = mesh.leader()
            survivor = next(node for node in mesh.nodes if node is not leader)
            doomed = [node for node in mesh.nodes if node is not survivor]
            job = mesh.submit(survivor)
            job.wait_begun(int(TASKS * KILLED_AFTER[0]))
            killed_at = time.time()
            for node in doomed:
                node.kill()
            wait_for_leader_among([survivor])
            known_at = known_to_all_at([survivor], killed_at)
            wait_for(
                lambda job=job, since=known_at: job.ran().first_begin(since) < float("inf"),  # type: ignore[misc]  # its defaults
                SURVIVES_WITHIN_S,
                "a task that begins",
            )
            rows.append({"survives_s": round(job.ran().first_begin(known_at) - killed_at, 3)})
            broken = job.result()
            rows[-1]["broken"] = broken["wrong"] + broken["failed"]
            say(f"lone survivor of {of}, {number + 1} of {rounds}: {rows[-1]}")
            for node in doomed:
                node.join()
    return rows


def wait_for_leader_among(nodes: Sequence[Node]) -> str:
    """Return the leader when nodes agree that it is one of them."""
    names = [node.name for node in nodes]
    return wait_for(
        lambda: name if (name := agreed_leader(nodes)) in names else "", AGREE_WITHIN_S, "a new leader"
    )


def known_to_all_at(nodes: Sequence[Node], since: float) -> float:
    """Return when the last of some nodes wrote into its log that it follows the leader they all have now."""
    counter = nodes[0].ask("status")["ballot"][0]
    moments: list[float] = []
    for node in nodes:
        told = [
            line for line in events(node, "leader_changed") if line["counter"] == counter and line["leader"]
        ]
        moments += [moment for moment in [logged_at(line) for line in told] if moment >= since][:1]
    assert len(moments) == len(nodes), f"only {len(moments)} of the nodes told of ballot {counter}"
    return max(moments)


def _begun_again_long_after(ran: Ran, killed_at: float) -> list[int]:
    ended = {task for moment, task in ran.ends if moment < killed_at - 1.0}
    return sorted({task for moment, task in ran.begins if moment > killed_at and task in ended})
