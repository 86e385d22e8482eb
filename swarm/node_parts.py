"""The parts of a node: how they are made, and what is asked of all of them alike."""

from __future__ import annotations

from typing import Final

from swarm.core.errors import DecodeError
from swarm.core.quorums import STRICT
from swarm.core.rng import Rng
from swarm.election.roster import Roster
from swarm.exec.core import ExecCore
from swarm.gossip.core import Gossip
from swarm.node_capacity import STRAIN
from swarm.node_config import NodeConfig
from swarm.node_election import Foreigners, make_election, quorum_status, why_no_leader
from swarm.node_exchange import pass_on
from swarm.node_facts import fitted, merged
from swarm.node_handover import Handover
from swarm.node_relays import Relays
from swarm.node_restore import remembered_addresses
from swarm.node_views import mesh_status, node_row, own_capacity, own_facts, work_status
from swarm.scheduler.core import Scheduler
from swarm.scheduler.gateway import Gateway
from swarm.scheduler.invariants import check_scheduler
from swarm.scheduler.records import JobRecords
from swarm.wire.codec import Frame, Stamp, pack_frame, unpack_frame_untrusted
from swarm.wire.messages import HELLO

_HELLO_HEAD: Final = bytes([0x96, HELLO])
COUNTS: Final = ("malformed", "own_packets", "wrong_sender", "refused", "orders_late", "foreign")
"""What a node counts itself; the last two: orders that were kept back because no lease covered them any more,
and what was heard from members of another kind of mesh."""


class NodeParts:
    """Gossip, election, records, scheduler, gateway and execution of one node; `swarm.node` connects them.

    Args:
        config: identity, capacity and settings.
        rows: what an earlier run persisted: (table, key, value).
        rng: source of every random choice.
    """

    def __init__(self, config: NodeConfig, rows: list[tuple[str, bytes, bytes]], rng: Rng) -> None:
        self._config: Final = config
        self._me: Final = config.node_id
        self._interner: Final = config.interner
        self._facts = own_facts(config)
        self.counts: dict[str, int] = dict.fromkeys(COUNTS, 0)
        self.gossip = Gossip(
            config.gossip,
            config.node_id,
            config.name,
            list(config.addresses),
            fitted(self._facts, config.gossip.facts_size_max_bytes),
            config.incarnation,
            rng,
            remembered_addresses(rows),
            config.interner,
        )
        self.roster = Roster(config.election)
        self.election = make_election(config, rows, rng)
        self.foreigners: Final = Foreigners(config.quorum)
        self.records = JobRecords(config.scheduler, config.node_id)
        self.records.restore(rows)
        self.scheduler = Scheduler(config.scheduler, config.node_id, self.records)
        self.gateway = Gateway(config.scheduler, config.node_id, config.name)
        self.relays = Relays(config.node_id)
        self.handover = Handover()
        self.handover.take(config.facts.get(STRAIN))
        self.exec = ExecCore(config.exec, config.node_id, config.cores, config.memory_bytes)

    def decode_untrusted(self, payload: bytes) -> Frame | None:
        """Return the frame in what a peer sent; what is none is counted."""
        try:
            # A hello goes to everybody: it begins as an array of six whose first item is its kind.
            if self._interner is not None and payload[:2] == _HELLO_HEAD:
                return self._interner.frame(payload)
            return unpack_frame_untrusted(payload)
        except DecodeError:
            self.counts["malformed"] += 1
            return None

    def pack(self, kind: int, body: list[object]) -> bytes:
        """Return a frame with this node's stamp."""
        ballot, beat = self.election.stamp()
        if self._interner is not None:
            return self._interner.packer.pack(kind, self._me, ballot, beat, body)
        return pack_frame(kind, Stamp(self._me, ballot, beat), body)

    def start_to_drain(self, now: float) -> None:
        """Tell the mesh that this node takes no more tasks, and give back those that have not started."""
        self._facts = merged(self._facts, {"draining": True})
        self.gossip.set_facts(fitted(self._facts, self._config.gossip.facts_size_max_bytes), now)
        self.exec.drain(now)

    def take_facts(self, changes: dict[str, object], now: float) -> None:
        """Take what changed about this node: new values by fact, None for those that are no more.

        Raises:
            ConfigError: the facts could not be told any more; nothing changed.
        """
        facts = merged(self._facts, changes)
        self.gossip.update_facts(fitted(facts, self._config.gossip.facts_size_max_bytes), now)
        self._facts = facts
        self.handover.take(facts.get(STRAIN))

    def handle_parts_deadline(self, now: float) -> None:
        """Let everything that is due in a part happen."""
        if self.gossip.next_deadline() <= now:
            self.gossip.handle_deadline(now)
        if self.election.next_deadline() <= now:
            self.election.handle_deadline(now)
        if self.records.next_deadline() <= now:
            self.records.handle_deadline(now)
        if self.scheduler.next_deadline() <= now:
            self.scheduler.handle_deadline(now)
        if self.gateway.next_deadline() <= now:
            self.gateway.why_no_leader = self.why_no_leader()
            self.gateway.handle_deadline(now)
        if self.exec.next_deadline() <= now:
            self.exec.handle_deadline(now)

    def next_parts_deadline(self) -> float:
        """Return when a part wants :meth:`handle_parts_deadline` next, `math.inf` for never."""
        first = self.gossip.next_deadline()
        when = self.election.next_deadline()
        if when < first:
            first = when
        when = self.records.next_deadline()
        if when < first:
            first = when
        when = self.scheduler.next_deadline()
        if when < first:
            first = when
        when = self.gateway.next_deadline()
        if when < first:
            first = when
        when = self.exec.next_deadline()
        return when if when < first else first

    def answer_questions(self, now: float) -> None:
        """Answer what clients ask about this node and its mesh, and pass between the parts what they ask."""
        for question in self.gateway.take_own_questions():
            self.gateway.answer(question, self.status() if question.op == "status" else self.node_rows())
        pass_on(self.gateway, self.records, self.exec, self.scheduler, now)

    def status(self) -> dict[str, object]:
        """Return what `swarm status --json` shows, without what only the daemon knows."""
        members = self.gossip.members()
        value = mesh_status(self._me, self._config.name, members, self.election)
        value["quorum"] = quorum_status(self.election, self._config.quorum, members, self.foreigners.ids)
        value.update(work_status(self.scheduler, self.records, self.exec))
        value.update(self.capacity())
        value["draining"] = self._facts.get("draining") is True
        value["clients"] = self.gateway.session_count()
        return value

    def why_no_leader(self) -> str:
        """Return why nobody dispatches in a strict mesh, "" while somebody does, and in every other mesh."""
        if self._config.quorum != STRICT:
            return ""
        return why_no_leader(self.election, self.gossip.members())

    def node_rows(self) -> list[object]:
        """Return what `swarm nodes --json` shows, a row for each member."""
        leader = self.election.leader()
        return [node_row(member, leader) for member in self.gossip.members()]

    def capacity(self) -> dict[str, object]:
        """Return what this node could do now, and the reason when it runs nothing; cheap in a large mesh."""
        return own_capacity(self._facts, self.exec)

    def statistics(self) -> dict[str, object]:
        """Return the counters of all parts, by part."""
        return {
            "node": {**self.counts, **self.relays.counts},
            "gossip": self.gossip.statistics(),
            "election": self.election.statistics(),
            "records": dict(self.records.counts),
            "scheduler": dict(self.scheduler.counts),
            "gateway": dict(self.gateway.counts),
            "exec": self.exec.statistics(),
        }

    def check_invariants(self) -> None:
        """Audit every part; raises AssertionError with the number of the broken invariant."""
        self.gossip.check_invariants()
        self.election.check_invariants()
        self.records.check_invariants()
        check_scheduler(self.scheduler)
        self.relays.check_invariants()
        self.exec.check_invariants()
        assert not self.scheduler.is_leading or self.election.is_leader(), "N2: orders without leadership"
