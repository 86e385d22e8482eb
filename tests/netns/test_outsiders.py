"""Who does not hold the mesh's secret stays out: whatever comes is counted, nothing else happens."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swarm.net.invitation import new_secret
from tests.mesh_processes import Node, agreed_leader, finished_json, new_invitation, wait_for
from tests.netns.lab import Lab, NamespaceHost, needs_lab, start_together

pytestmark = needs_lab()

# Parts of the programs that strangers run; each is given one JSON value as its argument.
HEAD = """
import json, os, socket, ssl, sys
given = json.loads(sys.argv[1])
target = (given.get("host"), given.get("port"))
def send(*datagrams):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for datagram in datagrams:
            sock.sendto(datagram, target)
def plain():
    return socket.create_connection(target, timeout=10)
def ends(sock):
    sock.settimeout(10)
    heard = 0
    try:
        while data := sock.recv(65536):
            heard += len(data)
    except (ConnectionError, ssl.SSLError):
        pass
    return heard
"""

# Reads whole frames from the wire of its namespace and keeps datagrams to the node's own port.
CAPTURE = """
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as wire:
    wire.settimeout(20)
    print("listening", flush=True)
    found = []
    while len(found) < given["count"]:
        frame = wire.recv(65536)
        size = 14 + 4 * (frame[14] & 15)
        is_ours = frame[23] == 17 and socket.inet_ntoa(frame[30:34]) == given["host"]
        if is_ours and int.from_bytes(frame[size + 2 : size + 4], "big") == given["port"]:
            found.append(frame[size + 8 : size + int.from_bytes(frame[size + 4 : size + 6], "big")].hex())
    print(json.dumps(found))
"""

SEALED = """
from swarm.net.identity import NodeKey
from swarm.net.keys import MeshKeys
from swarm.net.seal import Sealer
from swarm.core.ids import NO_BALLOT
from swarm.wire.codec import Stamp, pack_frame
from swarm.wire.messages import HELLO
node = NodeKey.generate().node_id
sealer = Sealer(MeshKeys(bytes.fromhex(given["secret"])), node)
made = [sealer.seal(pack_frame(HELLO, Stamp(node, NO_BALLOT, 0), [])) for _ in range(given["count"])]
if given["tag"]:  # seen on the wire by anybody: it only sorts meshes apart
    made = [bytes.fromhex(given["tag"]) + datagram[4:] for datagram in made]
send(*made)
"""

RESENT = "send(*[bytes.fromhex(text) for text in given['datagrams']])"

RANDOM = """
send(*[os.urandom(size) for size in (0, 1, 23, 39, 40, 200, 1400, 9000)])
"""

TLS_GARBAGE = """
def client_hello():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    tls = context.wrap_bio(incoming, outgoing)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
hello = client_hello()
pieces = [hello[: len(hello) // 2], hello[:5], hello + os.urandom(50), os.urandom(4000)]
pieces += [b"GET / HTTP/1.1\\r\\n\\r\\n"]
for piece in pieces:
    with plain() as sock:
        sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        assert ends(sock) < 4096
print(json.dumps(len(pieces)))
"""

# Shows no certificate, then one of another mesh. TLS 1.3 tells a client so only when it reads.
STRANGE_TLS = """
from swarm.net.keys import MeshKeys
without = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
without.check_hostname = False
without.verify_mode = ssl.CERT_NONE
without.set_alpn_protocols(["swarm/1"])
other = MeshKeys(bytes.fromhex(given["secret"])).client_credentials().client_context("swarm/1")
other.verify_mode = ssl.CERT_NONE
for context in (without, other):
    try:
        with context.wrap_socket(plain()) as sock:
            sock.sendall(b"GET /client HTTP/1.1\\r\\n\\r\\n")
            assert ends(sock) == 0, "a stranger was answered"
    except (ConnectionError, ssl.SSLError):
        pass
"""

# Holds a client's invitation, so that TLS lets it in; what it then says is no WebSocket, or not for clients.
BAD_CLIENT = """
from swarm.net.invitation import Invitation
context = Invitation.from_text(given["invitation"]).credentials.client_context("swarm/1")
def upgraded(path):
    sock = context.wrap_socket(plain())
    key = "AAAAAAAAAAAAAAAAAAAAAA=="
    lines = [f"GET {path} HTTP/1.1", "host: x", "upgrade: websocket", "connection: upgrade"]
    lines += ["sec-websocket-version: 13", f"sec-websocket-key: {key}", "", ""]
    sock.sendall("\\r\\n".join(lines).encode())
    return sock, sock.recv(4096)
codes = []
for garbage in (b"\\xff" * 40, os.urandom(64) + b"\\x00" * 100, b"\\x82\\xff" + b"\\xff" * 12):
    sock, head = upgraded("/client")
    codes.append(head.split()[1].decode())
    sock.sendall(garbage)
    ends(sock)
    sock.close()
for path in ("/peer", "/elsewhere"):
    sock, head = upgraded(path)
    codes.append(head.split()[1].decode())
    ends(sock)
    sock.close()
print(json.dumps(codes))
"""


class Siege:
    """Two nodes that agree, and a stranger on the same network.

    Attributes:
        target: the node that the stranger sends to; the other one is its peer.
    """

    def __init__(self, lab: Lab) -> None:
        self.nodes = lab.nodes(("a", "b"), "--cores", "1")
        self.secret = new_secret()
        self.leader = start_together(self.nodes, new_invitation("besieged", secret=self.secret)).leader
        self.target: Node = self.nodes[0]
        self.stranger: NamespaceHost = lab.host()
        self.client: NamespaceHost = lab.host()
        self.ballot = self.target.ask("status")["ballot"]

    def run(self, program: str, **given: Any) -> Any:
        """Run a program of the stranger and return what it prints, None when it prints nothing."""
        host, port = self.target.address
        words = json.dumps({"host": host, "port": port, **given})
        done = self.stranger.run(sys.executable, "-c", HEAD + program, words)
        return json.loads(done) if done.strip() else None

    def rises(self, by: int, *path: str) -> Callable[[], None]:
        """Return a check that waits until a counter of the target has risen from now by at least `by`."""
        before = self.target.count(*path)

        def check() -> None:
            wait_for(lambda: self.target.count(*path) >= before + by, 15.0, f"{by} more of {'.'.join(path)}")

        return check

    def check_unharmed(self) -> None:
        """Check that nobody new is seen, the leadership is the same, and jobs get their answers."""
        assert agreed_leader(self.nodes) == self.leader
        for node in self.nodes:
            status = node.ask("status")
            assert status["ballot"] == self.ballot
            assert sum(status["members"].values()) == 2
            assert "daemon_bug" not in node.home.log.read_text()
            assert "Traceback" not in node.home.log.read_text()
        invitation = new_invitation("besieged", [self.target.address], self.secret)
        said = finished_json(
            self.client.swarm(
                "submit", "--json", "--mesh", invitation, "--command", "--", "sh", "-c", "echo $((6 * 7)) >&2"
            )
        )
        assert said["state"] == "done"


@pytest.fixture(scope="module")
def siege() -> Iterator[Siege]:
    with contextlib.closing(Lab()) as lab:
        yield Siege(lab)


def captured(siege: Siege, count: int) -> list[str]:
    """Return datagrams that its peer has sent to the target, read from the wire."""
    host, port = siege.target.address
    given = json.dumps({"host": host, "port": port, "count": count})
    watcher = siege.target.host.spawn(sys.executable, "-c", HEAD + CAPTURE, given)
    found: list[str] = finished_json(watcher)
    assert len(found) == count
    return found


def test_datagrams_of_another_mesh(siege: Siege) -> None:
    check = siege.rises(20, "seal", "refused_tag")
    siege.run(SEALED, secret=new_secret().hex(), tag="", count=20)
    check()
    siege.check_unharmed()


def test_datagrams_with_our_tag_under_another_secret(siege: Siege) -> None:
    check = siege.rises(20, "seal", "refused_seal")
    tag = captured(siege, 1)[0][:16]
    siege.run(SEALED, secret=new_secret().hex(), tag=tag, count=20)
    check()
    siege.check_unharmed()


def test_datagrams_from_the_wire_again(siege: Siege) -> None:
    datagrams = captured(siege, 4)
    wait_for(lambda: siege.target.count("seal", "opened") > 0)
    before = siege.target.count("node", "gossip", "packets_received")
    check = siege.rises(40, "seal", "refused_replay")
    siege.run(RESENT, datagrams=datagrams * 10)
    check()
    assert siege.target.count("node", "gossip", "packets_received") < before + 30
    siege.check_unharmed()


def test_datagrams_from_the_wire_changed(siege: Siege) -> None:
    """Any flipped bit, in the sealed part or in the authenticated header behind the tag."""
    genuine = [bytes.fromhex(text) for text in captured(siege, 2)]
    changed = []
    for datagram in genuine:
        for at in (8, 15, 18, 23, 24, 36, len(datagram) - 1):
            altered = bytearray(datagram)
            altered[at] ^= 1
            changed.append(bytes(altered).hex())

    def refused() -> int:
        """Count both: one whose counter is old or was seen is not even tried to open."""
        return siege.target.count("seal", "refused_seal") + siege.target.count("seal", "refused_replay")

    seals, before = siege.rises(4, "seal", "refused_seal"), refused()
    siege.run(RESENT, datagrams=changed)
    seals()
    wait_for(lambda: refused() >= before + len(changed), 15.0, "as many refusals")
    siege.check_unharmed()


def test_random_datagrams(siege: Siege) -> None:
    short, tag = siege.rises(4, "seal", "refused_short"), siege.rises(4, "seal", "refused_tag")
    siege.run(RANDOM)
    short()
    tag()
    siege.check_unharmed()


def test_truncated_and_broken_handshakes(siege: Siege) -> None:
    before = siege.target.count("server", "tls_failed")
    count = siege.run(TLS_GARBAGE)
    wait_for(lambda: siege.target.count("server", "tls_failed") == before + count, what="failed handshakes")
    siege.check_unharmed()


def test_tls_without_a_certificate_or_with_a_foreign_one(siege: Siege) -> None:
    check = siege.rises(2, "server", "tls_failed")
    sessions = siege.target.count("sessions", "opened")
    siege.run(STRANGE_TLS, secret=new_secret().hex())
    check()
    assert siege.target.count("sessions", "opened") == sessions
    siege.check_unharmed()


def test_websocket_frames_of_garbage(siege: Siege) -> None:
    invitation = siege.target.ask("invite", {"client": True})["invitation"]
    garbage = siege.rises(3, "sessions", "garbage")
    role, path = siege.rises(1, "server", "wrong_role"), siege.rises(1, "server", "wrong_path")
    assert siege.run(BAD_CLIENT, invitation=invitation) == ["101", "101", "101", "403", "404"]
    garbage()
    role()
    path()
    siege.check_unharmed()


def test_a_client_invitation_makes_no_node(siege: Siege) -> None:
    invitation = siege.target.ask("invite", {"client": True})["invitation"]
    home = siege.stranger.folder / "pretender"
    process = siege.stranger.swarm("join", invitation, "--home", str(home))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 4
    assert err.startswith("swarm: ")
    assert err.count("\n") == 1
    siege.check_unharmed()


def test_nobody_connects_and_says_nothing_for_ever(siege: Siege) -> None:
    """Silent connections are cut, and meanwhile others are served."""
    with_nothing = HEAD + "sock = plain(); print('open', flush=True); sock.settimeout(30); ends(sock)"
    host, port = siege.target.address
    check = siege.rises(1, "server", "tls_timed_out")
    silent = siege.stranger.spawn(
        sys.executable, "-c", with_nothing, json.dumps({"host": host, "port": port})
    )
    assert silent.stdout is not None
    assert silent.stdout.readline() == "open\n"
    siege.check_unharmed()
    check()
