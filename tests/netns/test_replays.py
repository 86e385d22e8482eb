"""Somebody records everything on the wire and sends it again, to everybody, from elsewhere: nothing changes.

What a node has seen it refuses. What it has not seen, because it was sent to somebody else, is genuine and
fresh to it; then the frame inside must do no harm: it is for somebody else, or says what is known, and
what is answered is less than what came.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from tests.mesh_processes import Node, agreed_leader, finished_json, new_invitation, wait_for
from tests.netns.lab import Lab, NamespaceHost, needs_lab, start_together

pytestmark = needs_lab()

RECORD_S = float(os.environ.get("SWARM_REPLAY_S", "20"))
"""How long the wire is recorded; 3600 for the hour of the goals."""

# Keeps every UDP datagram that leaves its namespace.
CAPTURE = """
import json, select, socket, sys, time
given = json.loads(sys.argv[1])
found = []
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as wire:
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    print("listening", flush=True)
    end = time.monotonic() + given["seconds"]
    while (left := end - time.monotonic()) > 0:
        if not select.select([wire], [], [], left)[0]:
            continue
        frame, about = wire.recvfrom(65536)
        if about[2] != socket.PACKET_OUTGOING:
            continue
        if about[1] == 0x0800 and frame[23] == 17:
            start = 14 + 4 * (frame[14] & 15)
        elif about[1] == 0x86DD and frame[20] == 17:
            start = 54
        else:
            continue
        found.append(frame[start + 8 : start + int.from_bytes(frame[start + 4 : start + 6], "big")].hex())
print(json.dumps(found))
"""

# Sends all of them to each target, and counts the bytes both ways: host -> [sent, heard, answers].
REPLAY = """
import json, select, socket, sys, time
given = json.load(sys.stdin)
counts = {target[0]: [0, 0, 0] for target in given["targets"]}
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.setblocking(False)
    def listen(seconds):
        end = time.monotonic() + seconds
        while select.select([sock], [], [], max(end - time.monotonic(), 0))[0]:
            answer, source = sock.recvfrom(65536)
            counts[source[0]][1] += len(answer)
            counts[source[0]][2] += 1
    for number, text in enumerate(given["datagrams"]):
        datagram = bytes.fromhex(text)
        for target in given["targets"]:
            counts[target[0]][0] += sock.sendto(datagram, tuple(target))
        if number % 20 == 0:
            listen(0.02)
    listen(3.0)
print(json.dumps(counts))
"""


def beliefs(node: Node) -> dict[str, Any]:
    """Return everything that a node believes of members and leaders, but for how fresh what they tell is."""
    status = node.ask("status")
    members = [
        {key: row[key] for key in ("id", "name", "address", "state", "leader")} for row in node.ask("nodes")
    ]
    return {
        "members": sorted(members, key=lambda row: str(row["id"])),
        "leader": status["leader"],
        "ballot": status["ballot"],
        "keys": [(key["fingerprint"], key["state"]) for key in node.ask("key_list")["keys"]],
    }


def incarnations(node: Node) -> dict[str, int]:
    """Return the incarnations that a node knows; they rise when a member's load changes, and never fall."""
    return {str(row["id"]): int(row["incarnation"]) for row in node.ask("nodes")}


def refusals(node: Node) -> int:
    """Return how many datagrams a node has refused because it saw or sent them before."""
    return node.count("seal", "refused_replay") + node.count("seal", "refused_own")


def test_everything_on_the_wire_again_changes_nothing(lab: Lab) -> None:
    nodes = lab.nodes(("a", "b", "c", "d"), "--cores", "1")
    given = json.dumps({"seconds": RECORD_S})
    hosts = [node.host for node in nodes]
    watchers = [host.spawn(sys.executable, "-c", CAPTURE, given) for host in hosts]
    for watcher in watchers:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "listening\n"
    start_together(nodes[:3], new_invitation("recorded"))
    datagrams = [text for watcher in watchers for text in finished_json(watcher, RECORD_S + 60)]
    assert len(datagrams) > 100
    nodes[3].join(nodes[0].ask("invite")["invitation"])  # one that has seen nothing of it
    wait_agreed(nodes)
    before, known = [beliefs(node) for node in nodes], [incarnations(node) for node in nodes]
    opened = [node.count("seal", "opened") for node in nodes]
    refused = [refusals(node) for node in nodes]
    stranger: NamespaceHost = lab.host()
    targets = [list(node.address) for node in nodes] + [[node.address[0], 7118] for node in nodes]
    words = json.dumps({"datagrams": datagrams, "targets": targets})
    timeout_s = 20.0 + 0.01 * len(datagrams)
    counts = json.loads(stranger.run(sys.executable, "-c", REPLAY, text=words, timeout_s=timeout_s))
    print(f"{len(datagrams)} recorded")
    for node in nodes:
        sent, heard, answers = counts[node.address[0]]
        print(f"{node.name}: {sent} bytes sent, {heard} bytes in {answers} answers")
        assert heard <= sent, "also who has seen nothing yet is no amplifier"
    after = [beliefs(node) for node in nodes]
    assert after == before
    for node, earlier in zip(nodes, known, strict=True):
        assert all(now >= earlier[name] for name, now in incarnations(node).items())
    assert agreed_leader(nodes)
    for node, count, seen in zip(nodes, refused, opened, strict=True):
        print(node.name, refusals(node) - count, node.count("seal", "opened") - seen)
        assert refusals(node) - count > len(datagrams), "each came to two ports, and most were seen before"


def wait_agreed(nodes: list[Node]) -> None:
    wait_for(lambda: agreed_leader(nodes), 30.0, "one mesh with one leader")
