"""One mesh of every Python at hand and of an arm64 userland: they meet, compute together and agree.

`make versions` makes the environments and names their list in SWARM_ENVIRONMENTS; without it all is skipped.
Nodes of this machine's own architecture are compiled where a C compiler is, the userland's is pure Python.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from swarm.net.invitation import new_secret
from tests.mesh_processes import (
    Node,
    agreed_leader,
    descendants,
    finished_json,
    finished_well,
    new_invitation,
    proportional_bytes,
    wait_for,
)
from tests.netns.lab import Lab, NamespaceHost, skipped_for, why_not

MIB = 1024 * 1024
KNOWN_WITHIN_S = 10.0
"""From a node's readiness until all agree on all: emulated ones answer late on a machine with two cores."""

READY_WITHIN_S = 90.0
JOB_WITHIN_S = 400.0
PARITY_WITHIN_S = 900.0
SIZE_BYTES = 256 * 1024
"""Of a value that does not ride inside messages."""

FACTS = """
import json, platform, sys
from swarm.version import is_compiled
python = "%d.%d" % sys.version_info[:2]
print(json.dumps([platform.python_version(), python, platform.machine(), is_compiled()]))
"""

# Submits, from whichever Python it runs on: calls of library functions and programs to each node by name, a
# value that goes from node to node, a bag of library functions for anybody, and functions of its own.
PROGRAM = f"""
import json, math, operator, platform, sys
import swarm

def own(number):
    return number * number, "%d.%d" % sys.version_info[:2]

def on(node):
    return [f"node={{node}}"]

names = sys.argv[1:]
with swarm.connect() as mesh:
    pythons = [mesh.submit(swarm.task(platform.python_version, tags=on(name))) for name in names]
    machines = [mesh.submit(swarm.program(["uname", "-m"], tags=on(name))) for name in names]
    value = mesh.submit(swarm.task(operator.mul, b"swarm", {SIZE_BYTES} // 5, tags=on(names[-1])))
    for name in names:
        value = mesh.submit(swarm.task(operator.concat, value, name.encode(), tags=on(name)))
    size = mesh.submit(len, value)
    factorials = mesh.map(math.factorial, range(40))
    while len(factorials) > 1:
        pairs = zip(factorials[::2], factorials[1::2])
        factorials = [mesh.submit(operator.add, *pair) for pair in pairs] + factorials[len(factorials) & ~1 :]
    squares = mesh.map(own, range(20))
    answer = {{
        "pythons": dict(zip(names, mesh.gather(pythons))),
        "machines": dict(zip(names, [text.decode().strip() for text in mesh.gather(machines)])),
        "tail": value.result()[-20:].decode(),
        "size": size.result(),
        "factorials": str(factorials[0].result()),
        "squares": mesh.gather(squares),
    }}
print(json.dumps(answer))
"""


def environments() -> tuple[list[dict[str, str]], list[str]]:
    """Return (environments, what is left out) of `tools/versions.py`; both empty when it did not run."""
    name = os.environ.get("SWARM_ENVIRONMENTS", "")
    if not name:
        return [], ["`make versions` makes the environments that this needs"]
    value = json.loads(Path(name).read_text(encoding="utf-8"))
    return value["environments"], value["left_out"]


def why_no_versions() -> str:
    made, left_out = environments()
    return why_not() or ("" if len(made) > 1 else "; ".join(left_out or ["PYTHONS names one Python only"]))


pytestmark = [
    skipped_for(why_no_versions()),
    pytest.mark.timeout(1200),
]


class Mixed:
    """A mesh with one node for each environment, which have joined one after the other.

    Attributes:
        nodes: they have the names of their environments.
        facts: by name: [version of Python, minor version, architecture, whether swarm is compiled].
        figures: by name: seconds from `join` to ready, and from then until all agreed; bytes.
        invitation: one with the address of the first node.
    """

    def __init__(self, lab: Lab) -> None:
        self.nodes: list[Node] = []
        self.facts: dict[str, list[Any]] = {}
        self.figures: dict[str, list[float]] = {}
        secret = new_secret()
        for row in environments()[0]:
            host = lab.host(row["python"], row["root"])
            self.facts[row["name"]] = finished_json(host.spawn(host.python, "-P", "-c", FACTS))
            self._join(host.node(row["name"], "--cores", "1"), new_invitation("mixed", secret=secret))
        self.invitation = new_invitation("mixed", [self.nodes[0].address], secret)
        for node in self.nodes:
            whole = [node.pid, *descendants(node.pid)]
            self.figures[node.name] += [proportional_bytes(node.pid), sum(map(proportional_bytes, whole))]

    def _join(self, node: Node, invitation: str) -> None:
        began_at = time.monotonic()
        node.join(invitation)
        ready_at = time.monotonic()
        self.nodes.append(node)
        wait_for(lambda: agreed_leader(self.nodes), KNOWN_WITHIN_S, f"one mesh with {node.name}")
        self.figures[node.name] = [ready_at - began_at, time.monotonic() - ready_at]

    def by_host(self) -> list[tuple[Node, NamespaceHost]]:
        return [(node, node.host) for node in self.nodes if isinstance(node.host, NamespaceHost)]

    def names(self) -> list[str]:
        return [node.name for node in self.nodes]

    def table(self) -> str:
        """Return the figures as a table."""
        lines = ["node      python   machine  build     ready s  known s  node MiB  all MiB"]
        for name, (ready_s, known_s, own, whole) in self.figures.items():
            python, _, machine, is_compiled = self.facts[name]
            build = "compiled" if is_compiled else "pure"
            times = f"{ready_s:>8.2f} {known_s:>8.2f} {own / MIB:>9.1f} {whole / MIB:>8.1f}"
            lines.append(f"{name:<10}{python:<9}{machine:<9}{build:<9}{times}")
        return "\n".join([*lines, *[f"left out: {line}" for line in environments()[1]]])


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mixed]:
    with contextlib.closing(Lab()) as lab:
        yield Mixed(lab)


def test_they_meet_and_every_one_tells_every_python_and_machine(
    mesh: Mixed, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print(f"\n{mesh.table()}")
    expected = {(name, facts[1], facts[2]) for name, facts in mesh.facts.items()}
    assert len({row[1:] for row in expected}) == len(expected), "each is of another Python or machine"
    for node, host in mesh.by_host():
        rows = finished_json(host.swarm("nodes", "--json", "--home", str(node.home.root)))
        assert {(row["name"], row["python"], row["arch"]) for row in rows} == expected
        assert {row["state"] for row in rows} == {"alive"}
    assert max(ready_s for ready_s, *_ in mesh.figures.values()) < READY_WITHIN_S


@pytest.mark.parametrize("name", [row["name"] for row in environments()[0]])
def test_a_job_from_each_of_them_runs_on_all_of_them(mesh: Mixed, name: str) -> None:
    host = mesh.nodes[mesh.names().index(name)].host
    (host.folder / "program.py").write_text(PROGRAM)
    program = host.spawn(
        host.python, "program.py", *mesh.names(), environment={"SWARM_MESH": mesh.invitation}
    )
    answer = json.loads(finished_well(program, JOB_WITHIN_S).splitlines()[-1])
    assert answer["pythons"] == {name: facts[0] for name, facts in mesh.facts.items()}
    assert answer["machines"] == {name: facts[2] for name, facts in mesh.facts.items()}
    tail = "".join(mesh.names())
    assert answer["tail"] == ("swarm" * 20 + tail)[-20:]
    assert answer["size"] == SIZE_BYTES // 5 * 5 + len(tail)
    assert int(answer["factorials"]) == sum_of_factorials(40)
    minor = mesh.facts[name][1]
    assert answer["squares"] == [[number * number, minor] for number in range(20)]


def sum_of_factorials(count: int) -> int:
    total, factorial = 0, 1
    for number in range(count):
        factorial *= number or 1
        total += factorial
    return total


def test_a_node_of_each_leaves_and_the_others_go_on(mesh: Mixed) -> None:
    """The oldest version leaves with a word, and comes back as the same member."""
    node, host = mesh.by_host()[0]
    identity = node.ready["id"]
    finished_well(host.swarm("leave", "--home", str(node.home.root)))
    others = [other for other in mesh.nodes if other is not node]
    wait_for(lambda: agreed_leader(others), KNOWN_WITHIN_S, "a mesh of the others")
    assert node.join()["id"] == identity
    wait_for(lambda: agreed_leader(mesh.nodes), KNOWN_WITHIN_S, "one mesh again")


def test_simulated_meshes_are_equal_on_all_of_them(lab: Lab) -> None:
    """Compiled or not, on whatever Python and machine: the cores do the same to the last byte."""
    hosts = {row["name"]: lab.host(row["python"], row["root"]) for row in environments()[0]}

    def digests(host: NamespaceHost) -> dict[str, str]:
        process = host.spawn(host.python, "-P", "-m", "sims.parity", "--seeds", "1")
        value: dict[str, str] = json.loads(finished_well(process, PARITY_WITHIN_S))["digests"]
        return value

    with ThreadPoolExecutor(max_workers=len(hosts)) as pool:
        found = dict(zip(hosts, pool.map(digests, hosts.values()), strict=True))
    first = next(iter(found.values()))
    assert [name for name, value in found.items() if value != first] == [], found
