"""A small mesh of strict elections in true time: every node has a clock of its own, which drifts.

Latency, loss, cuts, crashes between any two effects, disks that are lost, sleep, processes that stand still.
Who is judged is judged in true time by code that shares nothing with the core: leases by :meth:`StrictMesh.
holders`, promises and configurations by what is on the disks when something is told.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

from swarm.core.effects import Effect, LeaderChanged, Notify, Packet, Persist
from swarm.core.ids import NO_BALLOT, Address, NodeId
from swarm.core.rng import Rng
from swarm.election.ballots import unpack_ballot_untrusted
from swarm.election.config import ElectionConfig
from swarm.election.configuration import NO_CONFIGURATION, Configuration
from swarm.election.ledger import LEDGER_KEY, Ledger, founding_row, unpack_ledger_untrusted
from swarm.election.strict import StrictElection
from swarm.election.strict_config import StrictConfig
from swarm.wire.codec import Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import ACK, BEAT_REPLY, PING, VOTE_REPLY, VOTE_REQUEST

VIEW_INTERVAL_S: Final = 0.25
PROBE_INTERVAL_S: Final = 1.0
DETECTION_S: Final = 2.0


class StrictNode:
    """A process that comes and goes, its clock, and its disk."""

    def __init__(self, index: int, drift_ppm: float, offset_s: float) -> None:
        self.index = index
        self.node_id: NodeId = bytes([index + 1]) * 16
        self.address: Address = ("node", index)
        self.rate = 1.0 + drift_ppm * 1e-6
        self.offset_s = offset_s
        self.fitness = 100 - index
        self.election: StrictElection | None = None
        self.boots = 0
        self.fence = NO_BALLOT
        self.promise = NO_BALLOT
        self.ledger = b""
        self.is_asleep = False
        self.slept_from = 0.0
        self.effects_until_crash = -1
        self.unreachable_since: dict[int, float] = {}

    def local(self, true_s: float) -> float:
        """Return what its clock shows."""
        return self.offset_s + true_s * self.rate

    @property
    def is_running(self) -> bool:
        return self.election is not None and not self.is_asleep

    @property
    def deadline(self) -> float:
        """The true time at which it wants to be called."""
        if not self.is_running or self.election is None:
            return math.inf
        return (self.election.next_deadline() - self.offset_s) / self.rate

    def configuration(self) -> Configuration:
        """Return what is on its disk."""
        return unpack_ledger_untrusted(self.node_id, self.ledger)[2] if self.ledger else NO_CONFIGURATION


class StrictMesh:
    """Nodes, links and one heap of events; node 0 founds."""

    def __init__(self, seed: str, count: int, loss: float = 0.0, drift_ppm: float = 500.0) -> None:
        self.rng = Rng(f"strict:{seed}")
        self.seed = seed
        self.now = 0.0
        self.loss = loss
        self.latency_s = 0.02
        self.config = ElectionConfig()
        self.strict = StrictConfig()
        self.nodes = [
            StrictNode(index, self.rng.choose([-drift_ppm, drift_ppm]), self.rng.uniform(0.0, 1000.0))
            for index in range(count)
        ]
        self.nodes[0].ledger = founding_row(self.nodes[0].node_id, self.rng)
        self.closed: dict[tuple[int, int], bool] = {}
        self.history: list[tuple[float, int, NodeId]] = []
        self.reasons: list[str] = []
        self.configurations: dict[tuple[object, int], list[tuple[NodeId, bytes]]] = {}
        self._led: dict[object, int] = {}
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
        rng = Rng(f"{self.seed}:{index}:{node.boots}")
        ledger = Ledger(node.node_id, rng, node.fence, node.promise, node.ledger)
        node.election = StrictElection(self.config, self.strict, node.node_id, rng, ledger)
        node.election.start(node.local(self.now))
        self._view(node)
        self._perform(node)

    def crash(self, index: int) -> None:
        """Kill the process; the disk stays."""
        self.nodes[index].election = None

    def lose_disk(self, index: int) -> None:
        """Kill the process and lose everything but its identity, as a damaged journal does."""
        node = self.nodes[index]
        node.election = None
        node.fence, node.promise, node.ledger = NO_BALLOT, NO_BALLOT, b""

    def sleep(self, index: int) -> None:
        """Suspend a node: what is sent to it is lost, its clock counts on; it finds out on waking."""
        self.nodes[index].is_asleep = True
        self.nodes[index].slept_from = self.now

    def wake(self, index: int, is_told: bool = True) -> None:
        """Let a suspended node go on; it may not notice that it slept, but by its clock."""
        node = self.nodes[index]
        node.is_asleep = False
        if node.election is not None and is_told:
            node.election.wake(node.local(self.now))
            self._perform(node)

    def resign(self, index: int, is_for_good: bool = True) -> None:
        """Tell a node to stop gracefully."""
        election = self.nodes[index].election
        assert election is not None
        election.resign(self.nodes[index].local(self.now), is_for_good)
        self._perform(self.nodes[index])

    def split(self, left: list[int], bridge: int = -1) -> None:
        """Cut every link between `left` and the rest, but for those of a node that sees both."""
        for one in left:
            for other in range(len(self.nodes)):
                if other not in left and bridge not in (one, other):
                    self.closed[(one, other)] = True
                    self.closed[(other, one)] = True

    def heal(self) -> None:
        """Open all links."""
        self.closed.clear()

    # Views

    def holders(self) -> list[int]:
        """Return the nodes that may give orders now, as they believe by their own clocks, in true time."""
        found: list[int] = []
        for node in self.nodes:
            if node.election is not None and node.election.lease_until() > node.local(self.now):
                found.append(node.index)
        return found

    def agreed(self) -> int:
        """Return the one leader that every running node names, -1 when there is none."""
        holders = self.holders()
        if len(holders) != 1:
            return -1
        wanted = self.nodes[holders[0]].node_id
        for node in self.nodes:
            if node.is_running and node.election is not None and node.election.leader() != wanted:
                return -1
        return holders[0]

    def latest(self) -> Configuration:
        """Return the highest configuration on any disk."""
        best = NO_CONFIGURATION
        for node in self.nodes:
            if node.configuration().name > best.name:
                best = node.configuration()
        return best

    # Time

    def run(self, duration_s: float) -> None:
        """Let everything happen that is due in the next `duration_s` true seconds."""
        end = self.now + duration_s
        while self._step(end):
            pass
        self.now = end

    def run_until_agreed(self, limit_s: float) -> float:
        """Run until all agree on a leader; return how long it took, or fail."""
        began_at = self.now
        while self.agreed() < 0:
            assert self._step(began_at + limit_s), f"no leader after {limit_s} s: seed {self.seed}"
        return self.now - began_at

    def run_until_voters(self, count: int, limit_s: float) -> float:
        """Run until so many nodes vote; return how long it took, or fail."""
        began_at = self.now
        while len(self.latest().voters) != count or self.agreed() < 0:
            assert self._step(began_at + limit_s), (
                f"{len(self.latest().voters)} voters after {limit_s} s, not {count}: seed {self.seed}"
            )
        return self.now - began_at

    def _step(self, end: float) -> bool:
        first = self._events[0][0] if self._events else math.inf
        due = min([node.deadline for node in self.nodes], default=math.inf)
        when = max(self.now, min(first, due))
        if when > end:
            return False
        self.now = when
        if first <= due:
            _, _, kind, index, source, payload = heapq.heappop(self._events)
            self._happen(kind, self.nodes[index], source, payload)
        else:
            for node in self.nodes:
                if node.election is not None and node.deadline <= self.now:
                    local = max(node.local(self.now), node.election.next_deadline())
                    node.election.handle_deadline(local)
                    self._perform(node)
        self._judge()
        return True

    def _judge(self) -> None:
        holders = self.holders()
        assert len(holders) <= 1, f"S4: {holders} hold leases at {self.now:.3f} s: seed {self.seed}"

    def _push(self, when: float, kind: str, index: int, source: int, payload: bytes) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, kind, index, source, payload))

    def _happen(self, kind: str, node: StrictNode, source: int, payload: bytes) -> None:
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

    def _receive(self, node: StrictNode, source: int, payload: bytes) -> None:
        election = node.election
        assert election is not None
        frame = unpack_frame_untrusted(payload)
        now = node.local(self.now)
        election.on_stamp(frame.stamp, now)
        if frame.kind == PING:
            self._send(node, self.nodes[source], ACK, [])
        elif frame.kind != ACK:
            election.receive_packet(frame.stamp, frame.kind, frame.body, self.nodes[source].address, now)
        self._perform(node)

    # Effects and their checks

    def _perform(self, node: StrictNode) -> None:
        election = node.election
        assert election is not None
        election.check_invariants()
        for effect in election.take_effects():
            if node.effects_until_crash == 0:
                self.crash(node.index)
                return
            node.effects_until_crash -= 1
            self._perform_one(node, effect)

    def _perform_one(self, node: StrictNode, effect: Effect) -> None:
        if isinstance(effect, Persist):
            self._write(node, effect)
        elif isinstance(effect, LeaderChanged):
            self.history.append((self.now, node.index, effect.leader))
            if effect.leader == node.node_id:
                assert effect.ballot == node.promise == node.fence, "a leadership is on disk"
                assert self._led.setdefault(effect.ballot, node.index) == node.index, "S4: a ballot led twice"
        elif isinstance(effect, Notify):
            self.reasons.append(str(effect.values["reason"]))
        else:
            assert isinstance(effect, Packet)
            self._check_told(node, effect)
            self._send(node, self.nodes[int(effect.destination[1])], effect.kind, effect.body)

    def _write(self, node: StrictNode, effect: Persist) -> None:
        assert effect.durable
        if effect.key == b"fence":
            ballot = unpack_ballot_untrusted(effect.value)
            assert ballot > node.fence, "S2: the fence on disk never falls"
            node.fence = ballot
        elif effect.key == b"promise":
            ballot = unpack_ballot_untrusted(effect.value)
            assert ballot > node.promise, "S1: the promise on disk never falls"
            node.promise = ballot
        else:
            assert effect.key == LEDGER_KEY
            before = node.configuration()
            node.ledger = effect.value
            after = node.configuration()
            assert after.name >= before.name, "S1: the configuration on disk never falls"
            known = self.configurations.setdefault(after.name, after.voters)
            assert known == after.voters, "a configuration has one meaning"

    def _check_told(self, node: StrictNode, packet: Packet) -> None:
        """S1: no request, vote or answer leaves before what it rests on is on disk."""
        body = packet.body
        is_vote = packet.kind == VOTE_REPLY and body[3] is False and body[4] is True
        is_request = packet.kind == VOTE_REQUEST and body[3] is False
        mark, promise, _ = unpack_ledger_untrusted(node.node_id, node.ledger)
        if is_vote or is_request:
            counter, owner = body[1], body[2]
            assert isinstance(counter, int)
            assert isinstance(owner, bytes)
            assert min(promise, node.promise) >= (counter, owner), (
                "S1: a promise is on disk before it is told"
            )
        if packet.kind == BEAT_REPLY:
            assert body[1] == mark, "S1: a ledger is on disk before it answers"

    def _send(self, node: StrictNode, target: StrictNode, kind: int, body: list[object]) -> None:
        election = node.election
        if election is None:
            return
        ballot, beat = election.stamp()
        if self.closed.get((node.index, target.index), False) or self.rng.unit() < self.loss:
            return
        payload = pack_frame(kind, Stamp(node.node_id, ballot, beat), body)
        delay_s = self.latency_s * self.rng.uniform(0.8, 1.5)
        if self.rng.unit() < 0.02:
            delay_s = self.rng.uniform(0.0, 4.0)  # on its way for longer than a lease
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

    def _view(self, node: StrictNode) -> None:
        election = node.election
        assert election is not None
        reached = self._reached(node.index)
        for index in reached:
            node.unreachable_since[index] = math.inf
        present: list[StrictNode] = []
        for index, since in node.unreachable_since.items():
            if index not in reached and since == math.inf:
                node.unreachable_since[index] = self.now
            if self.now - node.unreachable_since[index] < DETECTION_S:
                present.append(self.nodes[index])
        voters = election.voters()
        ranked = sorted(
            present,
            key=lambda one: (-one.fitness * (1.2 if one.node_id in voters else 1.0), one.node_id),
        )
        now = node.local(self.now)
        election.on_council([(one.node_id, one.address) for one in ranked[: self.config.council_size]], now)
        election.on_members([(one.node_id, one.address) for one in present], now)


def new_strict_mesh(seed: str, count: int, loss: float = 0.0, voters: int = 0) -> StrictMesh:
    """Return a mesh whose nodes were all started at once, with all its voters."""
    mesh = StrictMesh(seed, count, loss)
    for index in range(count):
        mesh.start(index)
    mesh.run_until_voters(voters or min(5, count if count % 2 else count - 1), 60.0)
    return mesh
