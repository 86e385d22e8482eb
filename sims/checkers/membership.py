"""S10, D1, D2: incarnations, verdicts about members, and the time they take."""

from __future__ import annotations

from typing import Final

from sims.checkers.base import Checker, Truth
from sims.host import Host
from swarm.core.effects import Effect, Notify
from swarm.core.ids import short

WELL_FOR_S: Final = 45.0
"""A verdict may be about something that was the matter a long suspicion ago."""


class MembershipChecker(Checker):
    """S10 only a node raises its incarnation, and the dead need a higher one. D2 the well are never dead."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._gone: dict[tuple[int, int, str], int] = {}

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if not isinstance(effect, Notify) or not effect.event.startswith("member_"):
                continue
            member = str(effect.values["member"])
            incarnation = effect.values["incarnation"]
            assert isinstance(incarnation, int), "an incarnation is a number"
            key = (host.index, host.epoch, member)
            state = effect.event.removeprefix("member_")
            if state in ("dead", "left"):
                self._gone[key] = max(incarnation, self._gone.get(key, -1))
            elif state == "alive" and incarnation <= self._gone.get(key, -1):
                self.fail("S10", f"for {self.name(host)}, {member} is alive at {incarnation}, where it died")
            if state == "dead":
                self._judge_death(host, member, now)

    def _judge_death(self, judge: Host, member: str, now: float) -> None:
        for host in self.cluster.hosts:
            if host.node is not None and short(host.node_id) == member:
                if self.truth.is_well(host.index, WELL_FOR_S) and self.truth.is_well(judge.index, WELL_FOR_S):
                    self.fail("D2", f"{self.name(judge)} declares {self.name(host)} dead, which is well")

    def look(self, now: float) -> None:
        true: dict[bytes, int] = {}
        for host in self.cluster.hosts:
            if host.node is not None:
                me = host.node.gossip.member(host.node_id)
                if me is not None:
                    true[host.node_id] = max(me.incarnation, true.get(host.node_id, 0))
        for host in self.cluster.hosts:
            if host.node is None:
                continue
            for member in host.node.gossip.members():
                known = true.get(member.node_id)
                if (
                    known is not None
                    and member.incarnation > known
                    and member.node_id not in self.truth.forgot
                ):
                    self.fail(
                        "S10",
                        f"{self.name(host)} holds {member.name} at incarnation {member.incarnation}, "
                        f"which itself is at {known}",
                    )
