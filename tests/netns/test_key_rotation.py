"""`swarm key rotate` on real nodes: nobody is lost, work goes on, and old keys are worth nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any

from swarm.net.invitation import new_secret
from tests.mesh_processes import (
    Node,
    agreed_leader,
    finished,
    finished_json,
    finished_well,
    new_invitation,
    wait_for,
)
from tests.netns.lab import Lab, needs_lab, start_together

pytestmark = needs_lab()

WORK = """
import swarm, sys, time
def slow(number):
    time.sleep(0.05)  # taking so long is the task
    return number * number
mesh = swarm.connect()
futures = mesh.map(slow, range(int(sys.argv[1])))
assert sum(future.result(timeout=120) for future in futures) == sum(n * n for n in range(int(sys.argv[1])))
print("right")
"""

# Seals under an old key in the name of a member, as somebody does who has the old secret but no node key.
FORGED = """
import json, os, socket, sys
from swarm.net.keys import MeshKeys
from swarm.net.seal import Sealer
from swarm.core.ids import NO_BALLOT
from swarm.wire.codec import Stamp, pack_frame
from swarm.wire.messages import HELLO, PING
given = json.loads(sys.argv[1])
sent = heard = 0
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for text in given["names"]:
        node = bytes.fromhex(text)
        sealer = Sealer(MeshKeys(bytes.fromhex(given["secret"])), node)
        hello = [b"", bytes(8), True, 1, 1, True]
        for kind, body in ((HELLO, []), (PING, [1, node, bytes(8), []]), (HELLO, hello)):
            for _ in range(given["count"]):
                datagram = sealer.seal(pack_frame(kind, Stamp(node, NO_BALLOT, 0), body))
                sent += sock.sendto(datagram, (given["host"], given["port"]))
        sent += sock.sendto(sealer.seal(b""), (given["host"], given["port"]))
    sock.settimeout(2.0)
    try:
        while True:
            heard += len(sock.recv(65536))
    except TimeoutError:
        pass
print(json.dumps([sent, heard]))
"""


class Old:
    """A mesh, and the secret it had before."""

    def __init__(self, lab: Lab, *names: str) -> None:
        self.secret = new_secret()
        self.invitation = new_invitation("rotating", secret=self.secret)
        self.nodes = lab.nodes(names, "--cores", "1")
        start_together(self.nodes, self.invitation)


def rotate(node: Node, *words: str) -> dict[str, Any]:
    said = finished_json(node.host.swarm("key", "rotate", "--json", "--home", str(node.home.root), *words))
    assert isinstance(said, dict)
    return said


def primary(node: Node) -> str:
    """Return the fingerprint of the key that a node seals with."""
    return str(next(key for key in node.ask("key_list")["keys"] if key["state"] == "primary")["fingerprint"])


def is_over(nodes: list[Node], fingerprint: str) -> bool:
    return all(primary(node) == fingerprint and not node.ask("key_list")["rotating"] for node in nodes)


class Watcher:
    """Looks at what nodes believe of each other until it is stopped; notes every member that is not alive."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.looks = 0
        self.losses: list[Any] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            for node in self.nodes:
                members = node.ask("status")["members"]
                self.looks += 1
                if members["alive"] + members["suspect"] != len(self.nodes):
                    self.losses.append((node.name, members))


def test_nobody_is_lost_while_the_mesh_works(lab: Lab) -> None:
    old = Old(lab, "a", "b", "c", "d")
    script = old.nodes[0].host.folder / "work.py"
    script.write_text(WORK)
    here = {"SWARM_HOME": str(old.nodes[0].home.root)}
    work = old.nodes[0].host.spawn(sys.executable, str(script), "1500", environment=here)
    wait_for(lambda: any(node.ask("status")["running"] for node in old.nodes), what="work")
    with Watcher(old.nodes) as watcher:
        made = [rotate(node)["fingerprint"] for node in (old.nodes[1], old.nodes[2])]
    assert finished_well(work) == "right\n"
    assert watcher.losses == []
    assert watcher.looks > 100
    assert is_over(old.nodes, made[1])
    assert len({*made, primary(old.nodes[0])}) == 2
    for node in old.nodes:
        assert node.count("keys", "returning") == 2
        for name in ("keys", "mesh"):
            assert (node.home.root / name).stat().st_mode & 0o777 == 0o600
    assert finished(old.nodes[0].host.swarm("status", "--mesh", old.invitation))[0] == 3
    newer = old.nodes[3].ask("invite")["invitation"]
    assert finished_json(lab.host().swarm("status", "--json", "--mesh", newer))["members"]["alive"] == 4


def test_who_is_stopped_killed_or_just_comes_finds_its_way(lab: Lab) -> None:
    """One is stopped meanwhile, one is killed, and so is the starter, right after it began."""
    old = Old(lab, "a", "b", "c", "d", "e")
    a, b, c, d, _ = old.nodes
    os.kill(b.pid, signal.SIGSTOP)
    try:
        made = c.ask("key_rotate")["fingerprint"]
        c.kill()
        d.kill()
        wait_for(lambda: a.ask("status")["members"]["dead"] == 3, 60.0, "three deaths")
    finally:
        os.kill(b.pid, signal.SIGCONT)
    c.join()
    d.join()
    wait_for(lambda: is_over(old.nodes, made), 90.0, "one key everywhere")
    wait_for(lambda: agreed_leader(old.nodes), 60.0, "one mesh with one leader")


def test_two_rotations_at_once_end_with_one_key(lab: Lab) -> None:
    old = Old(lab, "a", "b", "c")
    made = [old.nodes[0].ask("key_rotate")["fingerprint"], old.nodes[2].ask("key_rotate")["fingerprint"]]
    wait_for(lambda: is_over(old.nodes, max(made)), 60.0, "one key everywhere")
    assert agreed_leader(old.nodes)


def test_who_is_thrown_out_stays_out(lab: Lab) -> None:
    old = Old(lab, "a", "b", "thief")
    a, b, thief = old.nodes
    said = rotate(a, "--without", "thief")
    assert len(said["excluded"]) == 1
    wait_for(lambda: is_over([a, b], said["fingerprint"]), 60.0)
    wait_for(lambda: a.ask("status")["members"]["dead"] == 1, 60.0, "its death")
    assert primary(thief) != said["fingerprint"]
    thief.ask("key_rotate")
    thief.kill()
    thief.join()
    before = a.count("keys", "refused")
    wait_for(lambda: a.count("seal", "refused_old") + b.count("seal", "refused_old") > 0, what="its calls")
    assert a.count("keys", "refused") >= before
    assert a.ask("status")["members"]["alive"] == b.ask("status")["members"]["alive"] == 2
    assert primary(a) == primary(b) == said["fingerprint"]


def test_the_holder_of_the_old_secret_changes_nothing(lab: Lab) -> None:
    """It starts a whole node with the old invitation, and forges datagrams in the names of members."""
    old = Old(lab, "a", "b")
    a = old.nodes[0]
    rotate(a)
    before = [node.ask("status") for node in old.nodes]
    keys = [node.ask("key_list")["keys"][0] for node in old.nodes]
    attacker = lab.host().node("attacker", "--cores", "1")
    attacker.join(old.invitation, "--peer", f"{a.address[0]}:{a.address[1]}")
    wait_for(lambda: a.count("seal", "refused_old") > 3, what="datagrams under the old key")
    assert attacker.ask("status")["members"] == {"alive": 1, "suspect": 0, "dead": 0, "left": 0}
    given = {
        "host": a.address[0],
        "port": a.address[1],
        "secret": old.secret.hex(),
        "names": [_node_id(node).hex() for node in old.nodes] + [os.urandom(16).hex()],
        "count": 50,
    }
    refused = a.count("seal", "refused_old")
    sent, heard = json.loads(lab.host().run(sys.executable, "-c", FORGED, json.dumps(given)))
    assert heard == 0
    assert sent > 0
    wait_for(lambda: a.count("seal", "refused_old") >= refused + 300, what="every forged datagram")
    assert a.count("keys", "hints") <= 3
    assert [node.ask("status")["members"] for node in old.nodes] == [said["members"] for said in before]
    assert [node.ask("status")["ballot"] for node in old.nodes] == [said["ballot"] for said in before]
    for node, key in zip(old.nodes, keys, strict=True):
        now = node.ask("key_list")["keys"][0]
        assert (now["fingerprint"], now["state"]) == (key["fingerprint"], "primary")


def _node_id(node: Node) -> bytes:
    from swarm.net.identity import NodeKey

    return NodeKey((node.home.root / "node.key").read_bytes()).node_id
