"""A small mesh of elections of either kind in true time, where every node has a clock of its own.

Latency, loss, cuts, crashes between any two effects with the disk kept, sleep. Membership is played by an
oracle: a member that no path of open links reaches is missed by the observer from then on. Safety is checked
on every effect by code that shares nothing with the cores.
"""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from typing import Any, Final, Generic, TypeVar

from swarm.core.effects import Effect, LeaderChanged, Notify, Packet, Persist
from swarm.core.ids import NO_BALLOT, Address, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election.ballots import unpack_ballot_untrusted
from swarm.election.base import ElectionBase
from swarm.election.config import ElectionConfig
from swarm.wire.codec import Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import ACK, PING, VOTE_REPLY, VOTE_REQUEST

VIEW_INTERVAL_S: Final = 0.25
PROBE_INTERVAL_S: Final = 1.0

ElectionT = TypeVar("ElectionT", bound=ElectionBase)


class MeshNode(Generic[ElectionT]):
    """One node: the process, which comes and goes, its clock, and its disk, which stays."""

    def __init__(self, index: int, drift_ppm: float = 0.0, offset_s: float = 0.0) -> None:
        self.index = index
        self.node_id: NodeId = bytes([index + 1]) * 16
        self.address: Address = ("node", index)
        self.rate = 1.0 + drift_ppm * 1e-6
        self.offset_s = offset_s
        self.fitness = 100 - index
        self.election: ElectionT | None = None
        self.boots = 0
        self.fence = NO_BALLOT
        self.promise = NO_BALLOT
        self.is_asleep = False
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

    def promised(self) -> Ballot:
        """Return the highest ballot that it would still know to be promised after a crash."""
        return self.promise


NodeT = TypeVar("NodeT", bound=MeshNode[Any])


class MeshBase(ABC, Generic[NodeT]):
    """Nodes, links and one heap of events."""

    def __init__(self, rng: Rng, seed: str, nodes: list[NodeT], loss: float, latency_s: float) -> None:
        self.rng = rng
        self.seed = seed
        self.now = 0.0
        self.loss = loss
        self.latency_s = latency_s
        self.config = ElectionConfig()
        self.nodes = nodes
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
        election = self._new_election(node, Rng(f"{self.seed}:{index}:{node.boots}"))
        node.election = election
        election.start(node.local(self.now))
        self._view(node)
        self._perform(node)

    def crash(self, index: int) -> None:
        """Kill the process; the disk stays."""
        self.nodes[index].election = None

    def sleep(self, index: int) -> None:
        """Suspend a node: what is sent to it is lost, its clock counts on; it finds out on waking."""
        self.nodes[index].is_asleep = True

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

    def split_somewhere(self, rng: Rng, *, is_bridged: bool) -> None:
        """Split the mesh at random, with a random node that sees both sides or without one."""
        count = len(self.nodes)
        left = rng.sample(list(range(count)), 1 + rng.below(count))
        self.split(left, rng.below(count) if is_bridged else -1)

    def heal(self) -> None:
        """Open all links."""
        self.closed.clear()

    def end_some_faults(self, rng: Rng, *, start_share: float = 0.5, told_share: float = 1.0) -> None:
        """Let each kind of earlier fault end about as often as not.

        Args:
            rng: decides.
            start_share: how often who is down starts, 0..1.
            told_share: how often who wakes is told that it slept, 0..1.
        """
        if rng.unit() < 0.5:
            self.heal()
        for node in self.nodes:
            if node.election is None and rng.unit() < start_share:
                self.start(node.index)
            elif node.is_asleep and rng.unit() < 0.5:
                self.wake(node.index, is_told=told_share == 1.0 or rng.unit() < told_share)

    def recover(self) -> None:
        """End all faults: links open, everybody up and awake, retired nodes started anew."""
        self.heal()
        self.loss = 0.0
        for node in self.nodes:
            node.effects_until_crash = -1
            if node.election is not None and node.election.role().name == "RETIRED":
                self.crash(node.index)
            if node.election is None:
                self.start(node.index)
            elif node.is_asleep:
                self.wake(node.index)

    # Views

    def running(self) -> list[NodeT]:
        """Return the nodes that are up and awake."""
        return [node for node in self.nodes if node.is_running]

    @abstractmethod
    def agreed(self) -> int:
        """Return the one leader that every running node names, -1 when there is none."""

    # Time

    def run(self, duration_s: float) -> None:
        """Let everything happen that is due in the next `duration_s` true seconds."""
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

    @abstractmethod
    def _judge(self) -> None:
        """Fail when what the nodes believe at this moment cannot be."""

    def _push(self, when: float, kind: str, index: int, source: int, payload: bytes) -> None:
        self._order += 1
        heapq.heappush(self._events, (when, self._order, kind, index, source, payload))

    def _happen(self, kind: str, node: NodeT, source: int, payload: bytes) -> None:
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

    def _receive(self, node: NodeT, source: int, payload: bytes) -> None:
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

    def _perform(self, node: NodeT) -> None:
        election = node.election
        assert election is not None
        election.check_invariants()
        for effect in election.take_effects():
            if node.effects_until_crash == 0:
                self.crash(node.index)
                return
            node.effects_until_crash -= 1
            self._perform_one(node, effect)

    def _perform_one(self, node: NodeT, effect: Effect) -> None:
        if isinstance(effect, Persist):
            assert effect.durable
            self._write(node, effect)
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
            self._check_told(node, effect)
            self._send(node, self.nodes[effect.destination[1]], effect.kind, effect.body)

    def _write(self, node: NodeT, effect: Persist) -> None:
        ballot = unpack_ballot_untrusted(effect.value)
        if effect.key == b"fence":
            assert ballot > node.fence, "S2: the fence on disk never falls"
            node.fence = ballot
        else:
            assert effect.key == b"promise"
            assert ballot > node.promise, "S1: the promise on disk never falls"
            node.promise = ballot

    def _check_told(self, node: NodeT, packet: Packet) -> None:
        """S1: no request for a vote and no vote leaves before its promise is on disk."""
        body = packet.body
        is_vote = packet.kind == VOTE_REPLY and body[3] is False and body[4] is True
        is_request = packet.kind == VOTE_REQUEST and body[3] is False
        if is_vote or is_request:
            counter, owner = body[1], body[2]
            assert isinstance(counter, int)
            assert isinstance(owner, bytes)
            assert node.promised() >= (counter, owner), "S1: a promise is on disk before it is told"

    def _send(self, node: NodeT, target: NodeT, kind: int, body: list[object]) -> None:
        election = node.election
        if election is None:
            return
        ballot, beat = election.stamp()
        self.packet_count += 1
        if self.closed.get((node.index, target.index), False) or self.rng.unit() < self.loss:
            return
        payload = pack_frame(kind, Stamp(node.node_id, ballot, beat), body)
        self._push(self.now + self._delay_s(), "packet", target.index, node.index, payload)

    def _delay_s(self) -> float:
        return self.latency_s * self.rng.uniform(0.8, 1.5)

    # Nodes and membership

    @abstractmethod
    def _new_election(self, node: NodeT, rng: Rng) -> ElectionBase:
        """Return an election that knows what is on the disk of a node."""

    @abstractmethod
    def _view(self, node: NodeT) -> None:
        """Tell a node who is there."""

    def _missed_for_s(self, node: NodeT) -> dict[int, float]:
        """Return for everybody whom a node reached since its start for how long it has not."""
        reached = self._reached(node.index)
        for index in reached:
            node.unreachable_since[index] = math.inf
        missed: dict[int, float] = {}
        for index, since in node.unreachable_since.items():
            if index not in reached and since == math.inf:
                node.unreachable_since[index] = self.now
            missed[index] = max(0.0, self.now - node.unreachable_since[index])
        return missed

    def _reached(self, start: int) -> list[int]:
        found = [start]
        for one in found:
            for other in self.nodes:
                is_open = not self.closed.get((one, other.index)) and not self.closed.get((other.index, one))
                if other.is_running and other.index not in found and is_open:
                    found.append(other.index)
        return found
