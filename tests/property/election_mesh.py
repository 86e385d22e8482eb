"""A small mesh of elections under a virtual clock: latency, loss, cuts, crashes with the disk kept, sleep.

Membership is played by an oracle with a delay: a member that no path of open links reaches is dead to the
observer after `DETECTION_S`. Safety is checked on every effect by code that shares nothing with the core.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

from swarm.core.effects import Effect, LeaderChanged, Notify, Packet, Persist
from swarm.core.ids import NO_BALLOT, Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election.ballots import unpack_ballot_untrusted
from swarm.election.config import ElectionConfig
from swarm.election.core import Election
from swarm.election.council import Candidate, choose_council
from swarm.wire.codec import Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import ACK, PING, VOTE_REPLY, VOTE_REQUEST

DETECTION_S: Final = 1.0
VIEW_INTERVAL_S: Final = 0.25
PROBE_INTERVAL_S: Final = 1.0


class MeshNode:
    """One node: the process, which comes and goes, and its disk, which stays."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.node_id: NodeId = bytes([index + 1]) * 16
        self.address: Address = ("node", index)
        self.fitness = 100 - index
        self.election: Election | None = None
        self.boots = 0
        self.fence = NO_BALLOT
        self.promise = NO_BALLOT
        self.is_asleep = False
        self.effects_until_crash = -1
        self.deadline = math.inf
        self.unreachable_since: dict[int, float] = {}
        self.council: list[tuple[NodeId, Address]] = []

    @property
    def is_running(self) -> bool:
        return self.election is not None and not self.is_asleep


class ElectionMesh:
    """Nodes, links and one heap of events."""

    def __init__(self, seed: str, count: int, loss: float = 0.0, latency_s: float = 0.02) -> None:
        self.rng = Rng(f"mesh:{seed}")
        self.seed = seed
        self.now = 0.0
        self.loss = loss
        self.latency_s = latency_s
        self.config = ElectionConfig()
        self.nodes = [MeshNode(index) for index in range(count)]
        self.closed: dict[tuple[int, int], bool] = {}
        self.history: list[tuple[float, int, NodeId, Ballot]] = []
        self.leaderships: dict[Ballot, tuple[int, int]] = {}
        self.reasons: list[str] = []
        self.packet_count = 0
        self._events: list[tuple[float, int, str, int, int, bytes]] = []
        self._order = 0
        for node in self.nodes:
            phase = self.rng.unit()
            self._push(phase * VIEW_INTERVAL_S, "view", node.index, 0, b"")
            self._push(phase * PROBE_INTERVAL_S, "probe", node.index, 0, b"")

    # What happens to nodes and links

    def start(self, index: int) -> None:
        """Start or restart a node from what is on its disk."""
        node = self.nodes[index]
        assert node.election is None
        node.boots += 1
        node.is_asleep = False
        node.effects_until_crash = -1
        node.unreachable_since = {}
        node.council = []
        rng = Rng(f"{self.seed}:{index}:{node.boots}")
        node.election = Election(self.config, node.node_id, rng, node.fence, node.promise)
        assert node.election.ballot() == max(node.fence, node.promise)
        node.election.start(self.now)
        self._view(node)
        self._perform(node)

    def crash(self, index: int) -> None:
        """Kill the process; the disk stays."""
        self.nodes[index].election = None
        self.nodes[index].deadline = math.inf

    def sleep(self, index: int) -> None:
        """Suspend a node: what is sent to it is lost, its clock goes on."""
        self.nodes[index].is_asleep = True

    def wake(self, index: int) -> None:
        """Let a suspended node go on."""
        node = self.nodes[index]
        node.is_asleep = False
        if node.election is not None:
            node.election.wake(self.now)
            self._perform(node)

    def resign(self, index: int) -> None:
        """Tell a node to stop gracefully."""
        election = self.nodes[index].election
        assert election is not None
        election.resign(self.now)
        self._perform(self.nodes[index])

    def close(self, left: int, right: int, both_ways: bool = True) -> None:
        """Cut the link from `left` to `right`."""
        self.closed[(left, right)] = True
        if both_ways:
            self.closed[(right, left)] = True

    def split(self, left: list[int], bridge: int = -1) -> None:
        """Cut every link between `left` and the rest, but for those of a node that sees both."""
        for one in left:
            for other in range(len(self.nodes)):
                if other not in left and bridge not in (one, other):
                    self.close(one, other)

    def heal(self) -> None:
        """Open all links."""
        self.closed.clear()

    # Views

    def running(self) -> list[MeshNode]:
        """Return the nodes that are up and awake."""
        return [node for node in self.nodes if node.is_running]

    def leaders(self) -> list[int]:
        """Return the nodes that believe to lead."""
        return [
            node.index for node in self.running() if node.election is not None and node.election.is_leader()
        ]

    def agreed(self) -> int:
        """Return the one leader that every running node names, under one ballot; -1 when there is none."""
        leaders = self.leaders()
        if len(leaders) != 1:
            return -1
        wanted = self.nodes[leaders[0]]
        assert wanted.election is not None
        for node in self.running():
            if node.election is None or node.election.leader() != wanted.node_id:
                return -1
            if node.election.ballot() != wanted.election.ballot():
                return -1
        return leaders[0]

    # Time

    def run(self, duration_s: float) -> None:
        """Let everything happen that is due in the next `duration_s` seconds."""
        end = self.now + duration_s
        while self._step(end):
            pass
        self.now = end

    def run_until_agreed(self, limit_s: float) -> float:
        """Run until all agree on a leader; return how long it took, at least 0, or fail."""
        began_at = self.now
        while self.agreed() < 0:
            assert self._step(began_at + limit_s), (
                f"no leader known to all after {limit_s} s: seed {self.seed}"
            )
        return self.now - began_at

    def _step(self, end: float) -> bool:
        first = self._events[0][0] if self._events else math.inf
        due = min([node.deadline for node in self.nodes if node.is_running], default=math.inf)
        when = max(self.now, min(first, due))
        if when > end:
            return False
        self.now = when
        if first <= due:
            _, _, kind, index, source, payload = heapq.heappop(self._events)
            self._happen(kind, self.nodes[index], source, payload)
        else:
            for node in self.nodes:
                if node.is_running and node.deadline <= self.now and node.election is not None:
                    node.election.handle_deadline(self.now)
                    self._perform(node)
        return True

    def _push(self, when: float, kind: str, index: int, source: int, payload: bytes) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, kind, index, source, payload))

    def _happen(self, kind: str, node: MeshNode, source: int, payload: bytes) -> None:
        if kind == "view":
            self._push(self.now + VIEW_INTERVAL_S, "view", node.index, 0, b"")
            if node.is_running:
                self._view(node)
                self._perform(node)
        elif kind == "probe":
            self._push(self.now + PROBE_INTERVAL_S, "probe", node.index, 0, b"")
            others = [other for other in self.nodes if other is not node]
            if node.is_running and others:
                self._send(node, self.rng.choose(others), PING, [])
        elif node.is_running:
            self._receive(node, source, payload)

    def _receive(self, node: MeshNode, source: int, payload: bytes) -> None:
        election = node.election
        assert election is not None
        frame = unpack_frame_untrusted(payload)
        election.on_stamp(frame.stamp, self.now)
        if frame.kind == PING:
            self._send(node, self.nodes[source], ACK, [])
        elif frame.kind != ACK:
            address = self.nodes[source].address
            election.receive_packet(frame.stamp, frame.kind, frame.body, address, self.now)
        self._perform(node)

    # Effects and their checks

    def _perform(self, node: MeshNode) -> None:
        election = node.election
        assert election is not None
        election.check_invariants()
        for effect in election.take_effects():
            if node.effects_until_crash == 0:
                self.crash(node.index)
                return
            node.effects_until_crash -= 1
            self._perform_one(node, effect)
        node.deadline = election.next_deadline()

    def _perform_one(self, node: MeshNode, effect: Effect) -> None:
        if isinstance(effect, Persist):
            assert effect.durable
            ballot = unpack_ballot_untrusted(effect.value)
            if effect.key == b"fence":
                assert ballot > node.fence, "S2: the fence on disk never falls"
                node.fence = ballot
            else:
                assert effect.key == b"promise"
                assert ballot > node.promise, "S1: the promise on disk never falls"
                node.promise = ballot
        elif isinstance(effect, LeaderChanged):
            self.history.append((self.now, node.index, effect.leader, effect.ballot))
            if effect.leader == node.node_id:
                assert effect.ballot == node.promise == node.fence, "a leadership is on disk"
                assert effect.ballot not in self.leaderships, "S4: no two leaderships share a ballot"
                self.leaderships[effect.ballot] = (node.index, node.boots)
        elif isinstance(effect, Notify):
            self.reasons.append(str(effect.values["reason"]))
        else:
            assert isinstance(effect, Packet)
            self._check_promised(node, effect)
            self._send(node, self.nodes[effect.destination[1]], effect.kind, effect.body)

    def _check_promised(self, node: MeshNode, packet: Packet) -> None:
        """S1: no request for a vote and no vote leaves before its promise is on disk."""
        body = packet.body
        is_vote = packet.kind == VOTE_REPLY and body[3] is False and body[4] is True
        is_request = packet.kind == VOTE_REQUEST and body[3] is False
        if is_vote or is_request:
            counter, owner = body[1], body[2]
            assert isinstance(counter, int)
            assert isinstance(owner, bytes)
            assert node.promise >= (counter, owner), "S1: a promise is on disk before it is told"

    def _send(self, node: MeshNode, target: MeshNode, kind: int, body: list[object]) -> None:
        election = node.election
        if election is None:
            return
        ballot, beat = election.stamp()
        self.packet_count += 1
        if self.closed.get((node.index, target.index), False) or self.rng.unit() < self.loss:
            return
        payload = pack_frame(kind, Stamp(node.node_id, ballot, beat), body)
        delay_s = self.latency_s * self.rng.uniform(0.8, 1.5)
        self._push(self.now + delay_s, "packet", target.index, node.index, payload)

    # Membership

    def _reached(self, start: int) -> list[int]:
        found = [start]
        for one in found:
            for other in self.nodes:
                is_open = not self.closed.get((one, other.index)) and not self.closed.get((other.index, one))
                if other.is_running and other.index not in found and is_open:
                    found.append(other.index)
        return found

    def _view(self, node: MeshNode) -> None:
        election = node.election
        assert election is not None
        reached = self._reached(node.index)
        for index in reached:
            node.unreachable_since[index] = math.inf
        candidates: list[Candidate] = []
        for index, since in node.unreachable_since.items():
            if index not in reached and since == math.inf:
                node.unreachable_since[index] = self.now
            lost_for_s = max(0.0, self.now - node.unreachable_since[index])
            state = "dead" if lost_for_s > DETECTION_S else "alive"
            dead_for_s = max(0.0, lost_for_s - DETECTION_S)
            other = self.nodes[index]
            candidates.append(Candidate(other.node_id, other.address, other.fitness, state, dead_for_s))
        leader = election.leader()
        council = choose_council(candidates, leader, self.config)
        if council != node.council:
            node.council = council
            election.on_council(council, self.now)
            everybody = [(candidate.node_id, candidate.address) for candidate in candidates]
            election.on_members(everybody, self.now)


def changes_after(mesh: ElectionMesh, when: float) -> list[tuple[float, int, NodeId, Ballot]]:
    """Return the changes of leader that nodes told after `when`."""
    return [change for change in mesh.history if change[0] > when]


def new_mesh(seed: str, count: int, loss: float = 0.0) -> ElectionMesh:
    """Return a mesh whose nodes were all started at once and agree on a leader."""
    mesh = ElectionMesh(seed, count, loss)
    for index in range(count):
        mesh.start(index)
    mesh.run_until_agreed(10.0)
    return mesh


def end_some_faults(mesh: ElectionMesh, rng: Rng) -> None:
    """Let each kind of earlier fault end as often as not."""
    if rng.unit() < 0.5:
        mesh.heal()
    for node in mesh.nodes:
        if node.election is None and rng.unit() < 0.5:
            mesh.start(node.index)
        elif node.is_asleep and rng.unit() < 0.5:
            mesh.wake(node.index)


def cut_loose(mesh: ElectionMesh, rng: Rng) -> None:
    """Let one random fault happen, to a leader as often as not."""
    running = [node.index for node in mesh.running()]
    if not running:
        return
    victim = rng.choose(mesh.leaders() if mesh.leaders() and rng.unit() < 0.5 else running)
    count = len(mesh.nodes)
    draw = rng.unit()
    if draw < 0.15:
        mesh.crash(victim)
    elif draw < 0.35:
        mesh.nodes[victim].effects_until_crash = rng.below(8)
    elif draw < 0.45:
        mesh.resign(victim)
        mesh.nodes[victim].effects_until_crash = 3
    elif draw < 0.55:
        mesh.sleep(victim)
    elif draw < 0.7:
        mesh.split(rng.sample(list(range(count)), 1 + rng.below(count)))
    elif draw < 0.85:
        mesh.split(rng.sample(list(range(count)), 1 + rng.below(count)), bridge=rng.below(count))
    else:
        mesh.close(victim, rng.below(count), both_ways=rng.unit() < 0.3)


def recover(mesh: ElectionMesh) -> None:
    """End all faults: links open, everybody up and awake, retired nodes started anew."""
    mesh.heal()
    mesh.loss = 0.0
    for node in mesh.nodes:
        node.effects_until_crash = -1
        if node.election is not None and node.election.role().name == "RETIRED":
            mesh.crash(node.index)
        if node.election is None:
            mesh.start(node.index)
        elif node.is_asleep:
            mesh.wake(node.index)
