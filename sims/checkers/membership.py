"""S10, D1 to D3: incarnations, verdicts about members, the time they take, and answers to them."""

from __future__ import annotations

from typing import Final

from sims.checkers.base import Checker, Truth
from sims.checkers.frames import RUMOURS, answer_in, digest_in, kind_of, read, rumours_in
from sims.host import Host
from sims.observer import PACKET
from swarm.core.effects import Effect, Notify, SendHello, SendPacket
from swarm.core.ids import short

WELL_FOR_S: Final = 12.0
"""Whoever was well for so long before the first accusation has been accused wrongly."""
PACKET_BYTES: Final = 1200
REVIVAL_S: Final = 20.0
"""How long the news that somebody is back may be under way."""
REFUTATION_BYTES: Final = 400
"""What a node says of itself needs no more; a packet with less room left may be full of refutations."""
ECHOES: Final = 2
"""Others that tell a node's answer themselves: then it spreads without the node."""
MATCHES: Final = 3
"""Datagrams in a row with the digest of a node's own table: then nobody needs its news of the living."""


class MembershipChecker(Checker):
    """S10 only a node raises its incarnation, and the dead need a higher one. D2 the well are never dead."""

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._gone: dict[tuple[int, int, str], int] = {}
        self._accused: dict[tuple[str, int], float] = {}

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if not isinstance(effect, Notify) or not effect.event.startswith("member_"):
                continue
            member = str(effect.values["member"])
            incarnation = effect.values["incarnation"]
            assert isinstance(incarnation, int), "an incarnation is a number"
            key = (host.index, host.epoch, member)
            state = effect.event.removeprefix("member_")
            if state in ("suspect", "dead"):
                self._accused.setdefault((member, incarnation), now)
            if state in ("dead", "left"):
                self._gone[key] = max(incarnation, self._gone.get(key, -1))
            elif state == "alive" and incarnation <= self._gone.get(key, -1):
                self.fail("S10", f"for {self.name(host)}, {member} is alive at {incarnation}, where it died")
            if state == "dead":
                self._judge_death(host, member, now - self._accused[(member, incarnation)] + WELL_FOR_S)

    def _judge_death(self, judge: Host, member: str, for_s: float) -> None:
        """Judge a verdict by what was done since shortly before anybody first accused the member."""
        for host in self.cluster.hosts:
            if host.node is not None and short(host.node_id) == member:
                if self.truth.is_well_here(host.index, for_s) and self.truth.is_well_here(judge.index, for_s):
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


class RefutationChecker(Checker):
    """D3 an accused node's answer goes before other news: into its next datagram with any.

    Behind a crowd of other rumours it would come too late, and the well would be dead (D2).

    Nothing is owed any more once others hold the same table: their datagrams carry its digest, in which the
    answer is counted. The answer travels on streams too (whole tables), and comes back from those who heard
    of it from the accuser, so that a node may be done before it sends any other datagram with news: when two
    have told it back, it is on its way whatever the node does.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._owed: dict[tuple[int, int], int] = {}
        self._revived: dict[tuple[int, int, str], float] = {}
        self._own: dict[tuple[int, int], dict[bytes, bool]] = {}
        self._heard: dict[tuple[int, int], tuple[bytes, int]] = {}
        self._claims: dict[tuple[int, int], int] = {}
        self._echoes: dict[tuple[int, int], dict[int, bool]] = {}

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        key = (host.index, host.epoch)
        if kind != PACKET or key not in self._owed or kind_of(payload) > RUMOURS:
            return
        frame = read(payload)
        if answer_in(frame, host.node_id) > self._claims[key]:
            self._echoes[key][source] = True
            if len(self._echoes[key]) >= ECHOES:
                del self._owed[key]
                return
        digest = digest_in(frame)
        if digest:
            before, count = self._heard.get(key, (b"", 0))
            self._heard[key] = (digest, count + 1 if digest == before else 1)

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        key = (host.index, host.epoch)
        if isinstance(effect, Notify):
            if effect.event == "refuted":
                # The first answer goes to the accuser alone.
                self._owed[key] = 2
                self._own[key] = {}
                self._claims[key] = int(str(effect.values["incarnation"]))
                self._echoes[key] = {}
                self._heard.pop(key, None)
            elif effect.event == "member_alive":
                self._revived[(*key, str(effect.values["member"]))] = now
            return
        if key not in self._owed:
            return
        if isinstance(effect, SendHello):
            del self._owed[key]
        elif isinstance(effect, SendPacket):
            self._judge(host, key, effect, now)

    def _judge(self, host: Host, key: tuple[int, int], effect: SendPacket, now: float) -> None:
        if kind_of(effect.payload) > RUMOURS:
            return
        frame = read(effect.payload)
        self._own[key][digest_in(frame)] = True
        told = rumours_in(frame)
        if (0, host.node_id) in told:
            self._owed[key] -= 1
            if not self._owed[key] or len(told) > 1:
                del self._owed[key]
            return
        if len(told) == 1 and told[0][0]:
            return  # Who is accused is told so and nothing else, at every address it ever had.
        has_room = len(effect.payload) + REFUTATION_BYTES <= PACKET_BYTES
        news = [member for state, member in told if state]
        # That others are alive after all is as urgent, that they describe themselves anew is not.
        for state, member in told:
            if not state and now - self._revived.get((*key, short(member)), 0.0) > REVIVAL_S:
                news.append(member)
        if self._is_known(key):
            del self._owed[key]
        elif news and has_room and not self.truth.clones:
            self.fail("D3", f"{self.name(host)} tells of others before it answers that it is alive")

    def _is_known(self, key: tuple[int, int]) -> bool:
        """Return whether others hold the table that a node has held since it answered."""
        digest, count = self._heard.get(key, (b"", 0))
        return count >= MATCHES and digest in self._own[key]
