"""Parts on their way to their keepers: k copies on disk before a submission is acknowledged.

A keeper that does not confirm in `record_retry_s`, or dies, is replaced by the next best; with nobody
left to ask, the copies there are must do, and the client is told which they are.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect, Message, Notify
from swarm.core.ids import JobId, NodeId, short
from swarm.core.timers import Timers
from swarm.scheduler.config import SchedulerConfig
from swarm.scheduler.replication import Keeper, choose_keepers
from swarm.wire.messages import RECORD_STORE

_TIMER_RETRY: Final = 1


@final
class Acceptance:
    """A part that waits for its keepers to confirm."""

    def __init__(self, request: int, job: JobId, part: int, parts_total: int, blob: bytes) -> None:
        self.request: Final = request
        self.job: Final = job
        self.part: Final = part
        self.parts_total: Final = parts_total
        self.blob: Final = blob
        self.tokens: list[int] = []
        self.waiting: list[NodeId] = []
        self.confirmed: list[NodeId] = []
        self.failed: list[NodeId] = []


@final
class Acceptances:
    """All parts that this node is having kept.

    Attributes:
        accepted: (token, job, part, holders) of the parts that are kept, for the gateway to take.
    """

    def __init__(self, config: SchedulerConfig, node_id: NodeId) -> None:
        self._config: Final = config
        self._me = Keeper(node_id, b"", 0)
        self._others: list[Keeper] = []
        self._open: dict[tuple[JobId, int], Acceptance] = {}
        self._requests: dict[int, Acceptance] = {}
        self._next_request = 1
        self._timers = Timers()
        self._effects: list[Effect] = []
        self.accepted: list[tuple[int, JobId, int, list[NodeId]]] = []

    def on_keepers(self, me: Keeper, others: list[Keeper], now: float) -> None:
        """Take the members that could keep copies now: `others` without this node."""
        self._me = me
        self._others = others
        alive = [keeper.node for keeper in others]
        for acceptance in list(self._open.values()):
            gone = [node for node in acceptance.waiting if node not in alive]
            if gone:
                self._replace(acceptance, gone, now)

    def begin(
        self, token: int, job: JobId, part: int, parts_total: int, blob: bytes, now: float
    ) -> list[NodeId]:
        """Have a part kept that this node has written already; return who was asked to."""
        acceptance = self._open.get((job, part))
        if acceptance is not None:
            acceptance.tokens.append(token)
            return acceptance.waiting[:]
        acceptance = Acceptance(self._next_request, job, part, parts_total, blob)
        self._next_request += 1
        acceptance.tokens.append(token)
        self._open[(job, part)] = acceptance
        self._requests[acceptance.request] = acceptance
        self._ask(acceptance, now)
        asked = acceptance.waiting[:]
        self._settle(acceptance)
        return asked

    def on_answer(self, request: int, sender: NodeId, ok: bool, now: float) -> bool:
        """Take a keeper's answer; return whether one was expected."""
        acceptance = self._requests.get(request)
        if acceptance is None or sender not in acceptance.waiting:
            return False
        if not ok:
            self._replace(acceptance, [sender], now)
            return True
        acceptance.waiting.remove(sender)
        acceptance.confirmed.append(sender)
        self._settle(acceptance)
        return True

    def handle_deadline(self, now: float) -> None:
        """Replace keepers that have not confirmed in time."""
        while True:
            due = self._timers.pop_due(now)
            if due is None:
                return
            acceptance = self._requests.get(int.from_bytes(due[1], "big"))
            if acceptance is not None:
                self._replace(acceptance, acceptance.waiting[:], now)

    def next_deadline(self) -> float:
        """Return when `handle_deadline` is wanted next."""
        return self._timers.next_deadline()

    def has_effects(self) -> bool:
        """Return whether `take_effects` would return any."""
        return len(self._effects) > 0

    def has_open(self) -> bool:
        """Return whether a part waits for its keepers."""
        return len(self._open) > 0

    def take_accepted(self) -> list[tuple[int, JobId, int, list[NodeId]]]:
        """Return and clear the acceptances: (token, job, part, holders)."""
        accepted = self.accepted
        self.accepted = []
        return accepted

    def take_effects(self) -> list[Effect]:
        """Return and clear the effects, oldest first."""
        effects = self._effects
        self._effects = []
        return effects

    def check_invariants(self, me: NodeId) -> None:
        """Audit R1: what is announced has an own copy, what is open is found by its request."""
        for _, _, _, holders in self.accepted:
            assert me in holders, "R1: accepted without an own copy"
        for key, acceptance in self._open.items():
            assert key == (acceptance.job, acceptance.part), "R1: an acceptance under another key"
            assert self._requests.get(acceptance.request) is acceptance, "R1: an acceptance lost its request"

    def _ask(self, acceptance: Acceptance, now: float) -> None:
        having = acceptance.waiting + acceptance.confirmed
        copies = self._config.replicas
        if len(having) >= copies - 1:
            return
        fields: list[object] = [
            acceptance.request,
            acceptance.job,
            acceptance.part,
            acceptance.parts_total,
            acceptance.blob,
        ]
        for node in choose_keepers(acceptance.job, self._me, self._others, copies, acceptance.failed, having):
            acceptance.waiting.append(node)
            self._effects.append(Message(node, RECORD_STORE, fields))
        self._timers.set(
            _TIMER_RETRY, acceptance.request.to_bytes(8, "big"), now + self._config.record_retry_s
        )

    def _replace(self, acceptance: Acceptance, gone: list[NodeId], now: float) -> None:
        acceptance.waiting = [node for node in acceptance.waiting if node not in gone]
        acceptance.failed += gone
        self._ask(acceptance, now)
        self._settle(acceptance)

    def _settle(self, acceptance: Acceptance) -> None:
        if acceptance.waiting:
            return
        del self._open[(acceptance.job, acceptance.part)]
        del self._requests[acceptance.request]
        self._timers.cancel(_TIMER_RETRY, acceptance.request.to_bytes(8, "big"))
        holders = [self._me.node, *acceptance.confirmed]
        for token in acceptance.tokens:
            self.accepted.append((token, acceptance.job, acceptance.part, holders))
        if len(holders) < min(self._config.replicas, len(self._others) + 1):
            values: dict[str, object] = {"job": short(acceptance.job), "copies": len(holders)}
            self._effects.append(Notify("few_copies", values))
