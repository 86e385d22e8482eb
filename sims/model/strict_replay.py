"""Traces of strict meshes, held against the rules of `sims.model.strict_rules`, beside `sims.model.replay`.

The whole mesh of the model is followed: what every node is, who answered whom, whose votes a candidate has.
Each frame that a node sends and each ledger that it writes must be a step of the rules from there. As in the
search, the end of a hold may come at any moment and takes the answers of that voter from all leaders. It is
let come when a vote wants it, so here it is where the rules meet clocks: a node that still believes in its
lease, by its own clock and at that moment, when the model has taken it, is refused (``V1``). So is a vote, a
change of the voters, or a beat that is no step.

What a node says of its configuration has to be on its disk (``V2``), and to be there when it starts (``V3``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NoReturn, final

from sims.checkers.base import Checker, Truth
from sims.checkers.frames import (
    BEAT,
    BEAT_REPLY,
    VOTE_REPLY,
    VOTE_REQUEST,
    Ballot,
    Seen,
    kind_of,
    read,
    read_ballot,
)
from sims.checkers.strict import LEDGER, is_holder, ledger_of, read_ledger
from sims.host import Host
from sims.model.rules import CANDIDATE, LEADER, ROLE_NAMES
from sims.model.strict_rules import FREE, NO_VOTERS, Name, Seat, StrictLocal, StrictRules, Voters
from sims.observer import PACKET
from swarm.core.effects import Effect, Persist, SendPacket

STAND: Final = 24
ABOUT_VOTERS: Final = (VOTE_REQUEST, VOTE_REPLY, BEAT, BEAT_REPLY, STAND)


@final
class Follower:
    """What the replay knows of one node in one life.

    Attributes:
        local: what it is in the model.
        taught: configurations that beats brought it.
        named: (ballot, name of the configuration) of beats that it took.
        asked: ballot -> configuration of who stands, and the ballot under which nobody leads, as it says.
        claims: answers on their way to the disk -> the configuration that they say is there.
    """

    def __init__(self, local: StrictLocal) -> None:
        self.local = local
        self.taught: Final[dict[Voters, bool]] = {}
        self.named: Final[dict[tuple[int, Name], bool]] = {}
        self.asked: Final[dict[int, tuple[Name, int]]] = {}
        self.claims: Final[dict[bytes, Name]] = {}


@final
class StrictReplay(Checker):
    """Refuses every trace of a strict mesh that is none of the model.

    Args:
        numbers: of all identities, in their order.

    Attributes:
        steps: that were taken so far.
    """

    def __init__(self, truth: Truth, numbers: dict[bytes, int]) -> None:
        super().__init__(truth)
        self._numbers: Final = numbers
        self._rules: Final = StrictRules(len(numbers))
        self._followers: Final[dict[int, Follower]] = {}
        self._marks: Final[dict[tuple[int, bytes], int]] = {}
        self._told: Final[dict[Seat, Name]] = {}
        self._stopped: Final[dict[int, bool]] = {}
        self.steps = 0

    # What is seen

    def on_boot(self, host: Host, now: float) -> None:
        """A life begins with the ledger that is on the disk, or with none."""
        me = self._numbers[host.node_id]
        row = host.disk.row("node", LEDGER)
        if row is None:
            self._followers[me] = Follower(StrictLocal(mark=0))
            return
        bare, name, rows = read_ledger(row)
        mark = self._mark(me, bare)
        voters = self._voters(*name, rows)
        if voters.name < self._told.get((me, mark), NO_VOTERS.name) and not self._is_excused(host):
            self.fail("V3", f"{self.name(host)} starts with a lower configuration than it told")
        heard = [read_ballot(host.disk.row("node", key)) for key in (b"fence", b"promise")]
        fence = max(*[self._number(ballot) for ballot in heard], voters.ballot)
        local = StrictLocal(fence=fence, mark=mark, voters=voters)
        self._followers[me] = Follower(self._rules.restart(me, local))

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        """Note what a node is about to learn."""
        if kind != PACKET or kind_of(payload) not in (BEAT, VOTE_REQUEST, STAND):
            return
        frame = read(payload)
        follower = self._followers[self._numbers[host.node_id]]
        if frame.kind == BEAT:
            _, counter, owner, version, rows = frame.body
            voters = self._voters((counter, owner), version, rows)
            follower.named[(self._number(frame.ballot), voters.name)] = True
            if rows:
                follower.taught[voters] = True
        elif frame.kind == VOTE_REQUEST:
            ballot, name, released = self._request(frame)
            follower.asked[ballot] = (name, released)
        else:
            ballot = self._number((frame.body[0], frame.body[1]))
            if ballot in self._stopped:
                released = max(ballot, follower.local.released)
                follower.local = follower.local._replace(released=released)

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        """Take the step behind each frame and each ledger."""
        me = self._numbers[host.node_id]
        for effect in effects:
            if isinstance(effect, Persist) and effect.table == "node" and effect.key == LEDGER:
                self._take_ledger(host, me, effect.value, now)
            elif isinstance(effect, SendPacket) and kind_of(effect.payload) in ABOUT_VOTERS:
                self._take_packet(host, me, effect.payload, now)
        self._judge_lease(host, now)

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        """See that what a node says of its configuration is on its disk."""
        if not isinstance(effect, SendPacket) or kind_of(effect.payload) not in ABOUT_VOTERS:
            return
        me = self._numbers[host.node_id]
        follower = self._followers[me]
        said = follower.claims.pop(effect.payload, NO_VOTERS.name)
        if self._is_excused(host):
            return
        ballot, version = ledger_of(host)[0]
        if said > (self._number(ballot), version):
            self.fail("V2", f"{self.name(host)} tells of a configuration that is not on its disk")
        seat = (me, follower.local.mark)
        self._told[seat] = max(said, self._told.get(seat, said))

    # Steps

    def _take_ledger(self, host: Host, me: int, row: bytes, now: float) -> None:
        """Explain a ledger: a new one, one with a promise, or another configuration."""
        follower = self._followers[me]
        bare, name, rows = read_ledger(row)
        if not follower.local.mark:
            follower.local = follower.local._replace(mark=self._mark(me, bare))
        if follower.local.mark != self._mark(me, bare):
            self._refuse(host, "changes the mark of its ledger")
        voters = self._voters(*name, rows)
        if voters == follower.local.voters:
            return
        if self._rules.ballots.owner(voters.ballot) != me or not voters.ballot:
            taken = self._rules.take(follower.local, voters.ballot, voters)
            if voters not in follower.taught or taken is None or taken.voters != voters:
                self._refuse(host, f"writes a configuration that no beat brought it: {voters}")
            self._set(me, taken)
        elif follower.local.role == LEADER and follower.local.fence == voters.ballot:
            if voters not in self._rules.changes(me, follower.local):
                self._refuse(host, f"may not change {follower.local.voters} to {voters}")
            self._set(me, follower.local._replace(voters=voters))
        else:
            self._win(host, me, voters, now)

    def _win(self, host: Host, me: int, voters: Voters, now: float) -> None:
        """Explain that a node leads: it stood, alone perhaps, and a majority voted for it."""
        follower = self._followers[me]
        if follower.local.role != CANDIDATE or follower.local.fence != voters.ballot:
            self._stand(host, me, voters.ballot, 0, now)
        leading = self._rules.win(me, follower.local)
        if leading is None or leading.voters != voters:
            self._refuse(host, f"leads with {voters}, voted for by {follower.local.votes}")
        self._set(me, leading)

    def _take_packet(self, host: Host, me: int, payload: bytes, now: float) -> None:
        """Explain a frame of the election."""
        follower = self._followers[me]
        frame = read(payload)
        if frame.kind == VOTE_REQUEST and not frame.body[3]:
            ballot, name, released = self._request(frame)
            if follower.local.role != CANDIDATE or follower.local.fence != ballot:
                self._stand(host, me, ballot, released, now)
            if name != follower.local.voters.name:
                self._refuse(host, f"stands with {name}, which is not its configuration")
            follower.claims[payload] = name
        elif frame.kind == VOTE_REPLY and frame.body[4] and not frame.body[3]:
            self._vote(host, me, self._number((frame.body[1], frame.body[2])), now)
        elif frame.kind == BEAT:
            ballot = self._number(frame.ballot)
            name = self._name(frame.body[1:4])
            is_leading = follower.local.role == LEADER and follower.local.fence == ballot
            if not is_leading or name != follower.local.voters.name:
                self._refuse(host, "beats without leading, or with another configuration")
            follower.claims[payload] = name
        elif frame.kind == BEAT_REPLY and frame.body[0]:
            self._answer(host, me, frame, payload)
        elif frame.kind == STAND:
            stopped = self._rules.stop(follower.local)
            if stopped is not None:
                self._stopped[follower.local.fence] = True
                self._set(me, stopped)

    def _stand(self, host: Host, me: int, ballot: int, released: int, now: float) -> None:
        follower = self._followers[me]
        if released > follower.local.released:
            self._refuse(host, "says that somebody leads no more who did not say so")
        standing = self._rules.stand(me, follower.local, ballot)
        if standing is None and follower.local.hold != FREE:
            self._end_hold(host, me, now)
            standing = self._rules.stand(me, follower.local, ballot)
        if standing is None:
            self._refuse(host, f"may not stand, being {self._shown(follower.local)}")
        self._set(me, standing)

    def _vote(self, host: Host, me: int, ballot: int, now: float) -> None:
        follower = self._followers[me]
        if ballot == follower.local.fence:
            return  # once more for the same
        name, released = follower.asked[ballot]
        voted = self._rules.vote(follower.local, ballot, name, released)
        if voted is None and follower.local.hold != FREE:
            self._end_hold(host, me, now)
            voted = self._rules.vote(follower.local, ballot, name, released)
        if voted is None:
            self._refuse(host, f"may not vote for who knows {name}, being {self._shown(follower.local)}")
        self._set(me, voted)
        owner = self._rules.ballots.owner(ballot)
        candidate = self._followers.get(owner)
        if candidate is not None and candidate.local.fence == ballot:
            counted = self._rules.count(candidate.local, (me, voted.mark))
            if counted is not None:
                self._set(owner, counted)

    def _answer(self, host: Host, me: int, frame: Seen, payload: bytes) -> None:
        """Explain the answer to a beat, which its leader may count from now on."""
        follower = self._followers[me]
        ballot = self._number(frame.ballot)
        taken = self._rules.take(follower.local, ballot, NO_VOTERS)
        _, bare, is_installed, _ = frame.body
        if taken is None or self._mark(me, bare) != taken.mark:
            self._refuse(host, f"may not answer a beat, being {self._shown(follower.local)}")
        name = taken.voters.name
        if is_installed and (ballot, name) not in follower.named:
            self._refuse(host, "says that it has a configuration, which is not that of the leader")
        self._set(me, taken)
        if is_installed:
            follower.claims[payload] = name
        owner = self._rules.ballots.owner(ballot)
        leader = self._followers.get(owner)
        if leader is not None and leader.local.role == LEADER and leader.local.fence == ballot:
            installed = name if is_installed else NO_VOTERS.name
            self._set(owner, self._rules.answer(owner, leader.local, (me, taken.mark), installed))

    def _end_hold(self, host: Host, me: int, now: float) -> None:
        """Let a hold be over: so is every lease that rests on an answer of this node."""
        follower = self._followers[me]
        self._set(me, follower.local._replace(hold=FREE))
        seat = (me, follower.local.mark)
        for other, leader in self._followers.items():
            if other != me and leader.local.role == LEADER:
                self._set(other, self._rules.forget(other, leader.local, seat))
        for holder in self.cluster.hosts:
            if holder is not host:
                self._judge_lease(holder, now)

    def _set(self, me: int, local: StrictLocal) -> None:
        self._followers[me].local = local
        self.steps += 1

    # Judging

    def _judge_lease(self, host: Host, now: float) -> None:
        """See that who believes in its lease has one in the model."""
        if not is_holder(host, now):
            return
        me = self._numbers[host.node_id]
        local = self._followers[me].local
        has_lease = local.role == LEADER and local.is_confirmed and self._rules.has_lease(me, local)
        if not has_lease:
            self._refuse(host, f"believes in a lease, being {self._shown(local)}")

    def _refuse(self, host: Host, text: str) -> NoReturn:
        self.fail("V1", f"{self.name(host)} {text}: no step of the model is that")
        raise AssertionError("a refusal ends the replay")

    def _shown(self, local: StrictLocal) -> str:
        lease = " with a lease" if local.is_confirmed else ""
        hold = f", holding its vote for {local.hold}" if local.hold != FREE else ""
        return (
            f"one that {ROLE_NAMES[local.role]}{lease} at {local.fence} and knows {local.voters.name}{hold}"
        )

    def _is_excused(self, host: Host) -> bool:
        is_sound = not host.disk.is_lying and not host.disk.is_damaged
        return not is_sound or host.node_id in self.truth.forgot or host.node_id in self.truth.cloned

    # Numbers

    def _number(self, ballot: Ballot) -> int:
        counter, owner = ballot
        return counter * self._rules.ballots.nodes + self._numbers[owner] if counter else 0

    def _mark(self, me: int, mark: bytes) -> int:
        """Return the number of a mark, by the order in which marks are met."""
        return self._marks.setdefault((me, mark), len(self._marks) + 1)

    def _voters(self, ballot: Ballot, version: int, rows: Iterable[Iterable[bytes]]) -> Voters:
        seats: list[Seat] = []
        for node, mark in rows:
            number = self._numbers[node]
            seats.append((number, self._mark(number, mark)))
        return Voters(self._number(ballot), version, tuple(sorted(seats)))

    def _name(self, fields: list[Any]) -> Name:
        counter, owner, version = fields
        return (self._number((counter, owner)), version)

    def _request(self, frame: Seen) -> tuple[int, Name, int]:
        """Return what is stood for, the configuration known, and the ballot under which nobody leads."""
        body = frame.body
        released = self._number((body[7], body[8]))
        return self._number((body[1], body[2])), self._name(body[4:7]), released
