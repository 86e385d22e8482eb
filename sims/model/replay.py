"""Traces of the simulator, held against the model: every step of a real node must be one of the rules.

The nodes are the daemon's own (`swarm.node.Node`), under all faults of a trial. What is compared is what
crosses the boundary of a node: the frames that it takes, what it writes, what it sends, and what it says it
is. Between two looks at a node the model may take any steps of `sims.model.rules` that these inputs allow;
each input may be ignored, as if it had been lost. One sequence of steps must give the same writes and sends
in the same order, the same fence and the same role, or the trace is none of the model (``V1``).

Beside the rules of the exhaustive search this knows what that leaves out as being of no concern to safety:

* pre-votes: nobody stands without those of a majority, unless told to by a leader, or alone in its council;
  none is given by a leader, or for a ballot that is not above the fence;
* beats: nobody is followed before its beat was heard, from itself or growing;
* orders and beats are sent only under ballots that the node led in this life.

Durability: what the model puts behind a write is not sent before the disk has it (``V2``), and what a node
tells, promises and restarts from is what is on its disk (``V3``). Nodes whose disks lied or were damaged
start from whatever is there.

In strict meshes that holds as well, whoever votes; who that is, and the leases, is for
`sims.model.strict_replay`, which looks at the same traces.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from sims.checkers.base import Checker, Truth, Violation
from sims.checkers.frames import (
    BEAT,
    CLIENT_HELLO,
    ORDERS,
    REFUSED,
    RELAYED,
    RELAYED_PACKET,
    VOTE_REPLY,
    VOTE_REQUEST,
    Ballot,
    Seen,
    kind_of,
    read,
    read_ballot,
)
from sims.checkers.strict import ballots_in_ledger
from sims.host import Host, identity
from sims.model.explaining import ASK_FIRST, GRANT_FIRST, PRE_CANDIDATE, Input, Item, Search
from sims.model.rules import (
    ASK,
    CANDIDATE,
    FOLLOWER,
    GRANT,
    LEAD,
    LEADER,
    WRITE_FENCE,
    WRITE_PROMISE,
    Local,
    Rules,
)
from sims.model.strict_replay import STAND, StrictReplay
from sims.observer import MESSAGE, PACKET
from sims.trials.case import Case
from sims.trials.run import Trial
from swarm.core.effects import Effect, Persist, SendMessage, SendPacket
from swarm.core.quorums import STRICT

GENERATIONS: Final = 12
"""Identities that a host may have one after the other."""
ROLES: Final = {
    "FOLLOWER": FOLLOWER,
    "RETIRED": FOLLOWER,
    "PRE_CANDIDATE": PRE_CANDIDATE,
    "CANDIDATE": CANDIDATE,
    "LEADER": LEADER,
}
CANDIDATES_MAX: Final = 256


@final
class Watched:
    """What the replay knows of one node in one life.

    Attributes:
        name: its identity.
        me: the number of that.
        states: model states that it may be in, without disk and queue.
        inputs: frames that it took since the last look, the newest at `input_at`.
        queue: writes under way, as (kind, ballot), oldest first.
        writes: how many of the queue's writes the driver has begun.
        disk_fence, disk_promise: what is on its disk.
        told, granted: the highest fence that it told, and ballot that it granted.
        led: ballots that it led in this life.
        beats: (highest beat heard, whether it counts as a leader's) of a ballot.
        is_excused: its disk is not to be trusted.
    """

    def __init__(self, name: bytes, me: int, fence: int, promise: int, is_excused: bool) -> None:
        self.name: Final = name
        self.me: Final = me
        self.states: list[Local] = []
        self.inputs: list[Seen] = []
        self.input_at = 0.0
        self.queue: list[Item] = []
        self.writes = 0
        self.disk_fence = fence
        self.disk_promise = promise
        self.told = 0
        self.granted = 0
        self.led: dict[int, bool] = {}
        self.beats: dict[int, tuple[int, bool]] = {}
        self.is_excused = is_excused


@final
class ModelReplay(Checker):
    """Refuses every trace that is none of the model.

    Attributes:
        steps: looks at nodes that were explained so far.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._numbers: Final = numbered(truth)
        self._rules: Final = Rules(len(self._numbers))
        self._everybody: Final = (1 << len(self._numbers)) - 1
        self._watched: Final[dict[int, Watched]] = {}
        self._last: Final[dict[bytes, Watched]] = {}
        self._deepest = 0
        self.steps = 0

    # What is seen

    def on_boot(self, host: Host, now: float) -> None:
        """A life begins with what is on the disk, which is what the last one had written."""
        fence = self._number(read_ballot(host.disk.row("node", b"fence")))
        promise = self._number(read_ballot(host.disk.row("node", b"promise")))
        is_excused = host.node_id in self.truth.forgot or host.node_id in self.truth.cloned
        is_excused = is_excused or host.disk.is_lying or host.index in self.truth.clones
        before = self._last.pop(host.node_id, None)
        if before is not None and not (is_excused or before.is_excused):
            self._judge_restart(host, before, fence, promise)
        watched = Watched(host.node_id, self._numbers[host.node_id], fence, promise, is_excused)
        if before is not None and not is_excused:
            watched.told, watched.granted = before.told, before.granted
        in_ledger = [self._number(ballot) for ballot in ballots_in_ledger(host)]
        promise = max(promise, in_ledger[0])
        watched.states = [Local(fence=max(fence, promise, in_ledger[1]), promise=promise)]
        self._watched[host.index] = watched

    def on_down(self, host: Host, how: str, now: float) -> None:
        """A life ends, with writes under way or without."""
        watched = self._watched.pop(host.index, None)
        if watched is not None:
            self._last[watched.name] = watched

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        """Note a frame that the node is about to take, after a look at what became of those before."""
        if kind not in (MESSAGE, PACKET) or kind_of(payload) == CLIENT_HELLO:
            return
        watched = self._watched[host.index]
        last = watched.inputs[-1] if watched.inputs and watched.input_at == now else None
        if last is None or last.kind not in (RELAYED, RELAYED_PACKET):
            self._look_at(host, [])
        # What a relay brought is shown behind the frame that it came in, before the node takes both.
        watched.input_at = now
        frame = read(payload)
        if frame.sender != host.node_id:
            watched.inputs.append(frame)

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        """Explain what the node wants done."""
        self._look_at(host, effects)

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        """See that what leaves did not have to wait for the disk."""
        watched = self._watched[host.index]
        if isinstance(effect, Persist):
            if _write_of(effect):
                watched.writes += 1
            return
        if not isinstance(effect, (SendPacket, SendMessage)):
            return
        frame = read(effect.payload)
        ballot = self._number(frame.ballot)
        item = self._send_of(frame)
        if item is not None and item[0] in (ASK, GRANT, LEAD):
            self._take_send(host, watched, item)
        is_told = ballot <= max(watched.disk_fence, watched.disk_promise)
        if not watched.is_excused and not (watched.told <= ballot and is_told):
            self.fail("V3", f"{self.name(host)} tells {self._shown(ballot)}, which is not its fence on disk")
        watched.told = max(watched.told, ballot)

    def on_synced(self, host: Host, now: float) -> None:
        """What was being written is on disk."""
        watched = self._watched[host.index]
        while watched.writes:
            watched.writes -= 1
            kind, ballot = watched.queue.pop(0)
            if kind == WRITE_FENCE:
                watched.disk_fence = ballot
            else:
                watched.disk_promise = ballot
        if host.disk.is_lying:
            watched.is_excused = True

    def look(self, now: float) -> None:
        """Look at all nodes."""
        for host in self.cluster.hosts:
            if host.index in self._watched and host.node is not None:
                self._look_at(host, [])

    def depth(self) -> int:
        """Return the highest counter of a ballot that was led."""
        return self._deepest

    # Explaining

    def _look_at(self, host: Host, effects: list[Effect]) -> None:
        """Find steps of the model from the last look to what the node is now, and wants done."""
        watched, node = self._watched.get(host.index), host.node
        if watched is None or node is None:
            return
        items, totals = self._items_of(effects)
        role = ROLES[node.election.role().name]
        fence = self._number(node.election.ballot())
        self._note_beats(watched)
        inputs = self._inputs_of(watched, fence)
        is_same = all([state.fence == fence and state.role == role for state in watched.states])
        if not (items or inputs) and is_same:
            watched.inputs = []
            self._judge_orders(host, watched, effects)
            self._judge_following(host, watched, fence)
            return
        electorate = len(node.election.voters()) or 1
        search = Search(self._rules, watched.me, self._everybody, totals, electorate)
        found = search.run(watched.states, inputs, items, (role, fence))
        if not found:
            self.fail("V1", self._refusal(host, watched, inputs, items, (role, fence)))
        watched.states = found[:CANDIDATES_MAX]
        watched.inputs = []
        watched.queue.extend([item for item in items if item[0] in (WRITE_FENCE, WRITE_PROMISE)])
        self.steps += 1
        for ballot in search.led:
            watched.led[ballot] = True
            self._deepest = max(self._deepest, self._rules.counter(ballot))
        self._judge_orders(host, watched, effects)
        self._judge_following(host, watched, fence)

    def _note_beats(self, watched: Watched) -> None:
        """Note whose beat was heard: from itself, or growing."""
        for frame in watched.inputs:
            ballot = self._number(frame.ballot)
            before, counts = watched.beats.get(ballot, (0, False))
            if frame.beat > before:
                is_owner = self._numbers[frame.sender] == self._rules.owner(ballot)
                watched.beats[ballot] = (frame.beat, counts or is_owner or before > 0)

    def _inputs_of(self, watched: Watched, after: int) -> list[Input]:
        """Return (step, ballot, sender) for everything that the frames taken allow.

        What they tell is left out when it is below the fence before, or above the one `after` them.
        """
        least = min([state.fence for state in watched.states])
        inputs: list[Input] = []
        for frame in watched.inputs:
            sender = self._numbers[frame.sender]
            told = [frame.ballot]
            if frame.kind in (REFUSED, STAND):
                told.append((frame.body[0], frame.body[1]))
            for one in told:
                ballot = self._number(one)
                if least < ballot <= after and ("hear", ballot, 0) not in inputs:
                    inputs.append(("hear", ballot, 0))
            if frame.kind == STAND:
                inputs.append(("told to stand", 0, sender))
            elif frame.kind in (VOTE_REQUEST, VOTE_REPLY):
                _, counter, owner, is_pre_vote, *rest = frame.body
                ballot = self._number((counter, owner))
                if frame.kind == VOTE_REQUEST:
                    inputs.append(("ask first" if is_pre_vote else "ask", ballot, sender))
                elif rest[0]:
                    inputs.append(("vote first" if is_pre_vote else "vote", ballot, sender))
        return inputs

    def _items_of(self, effects: list[Effect]) -> tuple[list[Item], dict[Item, int]]:
        """Return the writes and sends among effects, and how many were asked for each ballot.

        Requests of one round count once, and so do the beats of one ballot.
        """
        items: list[Item] = []
        totals: dict[Item, int] = {}
        for effect in effects:
            item: Item | None = None
            if isinstance(effect, Persist):
                kind = _write_of(effect)
                if kind:
                    item = (
                        WRITE_FENCE if kind == "fence" else WRITE_PROMISE,
                        self._number(read_ballot(effect.value)),
                    )
            elif isinstance(effect, SendPacket):
                item = self._send_of(read(effect.payload))
                if item is not None and item[0] in (ASK, ASK_FIRST):
                    totals[item] = totals.get(item, 1) + 1
            if item is not None and (item[0] not in (ASK, ASK_FIRST, LEAD) or item not in items):
                items.append(item)
        return items, totals

    def _send_of(self, frame: Seen) -> Item | None:
        if frame.kind == BEAT and frame.beat > 0:
            return (LEAD, self._number(frame.ballot))
        if frame.kind not in (VOTE_REQUEST, VOTE_REPLY):
            return None
        _, counter, owner, is_pre_vote, *rest = frame.body
        ballot = self._number((counter, owner))
        if frame.kind == VOTE_REQUEST:
            return (ASK_FIRST if is_pre_vote else ASK, ballot)
        return (GRANT_FIRST if is_pre_vote else GRANT, ballot) if rest[0] else None

    def _number(self, ballot: Ballot) -> int:
        counter, owner = ballot
        return counter * self._rules.nodes + self._numbers[owner] if counter else 0

    # Judging

    def _judge_following(self, host: Host, watched: Watched, fence: int) -> None:
        assert host.node is not None, "who follows runs"
        leader = host.node.election.leader()
        if leader and leader != host.node_id and not watched.beats.get(fence, (0, False))[1]:
            self.fail("V1", f"{self.name(host)} follows one of whom it heard no beat")

    def _judge_orders(self, host: Host, watched: Watched, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, (SendMessage, SendPacket)) and kind_of(effect.payload) in (*ORDERS, BEAT):
                frame = read(effect.payload)
                ballot = self._number(frame.ballot)
                if ballot not in watched.led and (frame.kind != BEAT or frame.beat > 0):
                    self.fail("V1", f"{self.name(host)} orders under a ballot that it does not lead")

    def _take_send(self, host: Host, watched: Watched, item: Item) -> None:
        """Take that a request, a vote or a beat leaves: its promise has to be on disk."""
        kind, ballot = item
        if watched.is_excused:
            return
        if ballot > watched.disk_promise:
            self.fail("V2", f"{self.name(host)} sends what has to wait for its disk")
        if kind == GRANT:
            if ballot < watched.granted:
                self.fail("V3", f"{self.name(host)} grants a lower ballot than before")
            watched.granted = ballot

    def _judge_restart(self, host: Host, before: Watched, fence: int, promise: int) -> None:
        """See that what is on disk is what was written: all that was synced, and none or some of the rest."""
        disk = (before.disk_fence, before.disk_promise)
        possible = [disk]
        for kind, ballot in before.queue:
            disk = (ballot, disk[1]) if kind == WRITE_FENCE else (disk[0], ballot)
            possible.append(disk)
        if (fence, promise) not in possible:
            self.fail("V3", f"{self.name(host)} restarts with a fence or promise that it had not written")

    def _refusal(
        self,
        host: Host,
        watched: Watched,
        inputs: list[Input],
        items: list[Item],
        after: tuple[int, int],
    ) -> str:
        names = {
            PRE_CANDIDATE: "asks for pre-votes",
            FOLLOWER: "follows",
            CANDIDATE: "stands",
            LEADER: "leads",
        }
        before = watched.states[0]
        return (
            f"{self.name(host)} {names[before.role]} at {self._shown(before.fence)}, takes "
            f"{[(step, self._shown(ballot)) for step, ballot, _ in inputs]}, does "
            f"{[(kind, self._shown(ballot)) for kind, ballot in items]} and then {names[after[0]]} at "
            f"{self._shown(after[1])}: no steps of the model do that"
        )

    def _shown(self, ballot: int) -> str:
        return f"{self._rules.counter(ballot)}.{self._rules.owner(ballot)}"


def numbered(truth: Truth) -> dict[bytes, int]:
    """Return the numbers of all identities that the hosts may have, in the order of the identities."""
    names: list[bytes] = []
    for host in truth.cluster.hosts:
        for generation in range(GENERATIONS):
            names.append(identity(host.seed, host.spec.name, generation))
    return {name: number for number, name in enumerate(sorted(names))}


def _write_of(effect: Persist) -> str:
    """Return which value of the election a write is about, "" for none."""
    return effect.key.decode() if effect.table == "node" and effect.key in (b"fence", b"promise") else ""


class Replayed(NamedTuple):
    """What came of a trace.

    Attributes:
        seed: of the case.
        steps: looks at nodes that were explained.
        refused: why the trace is none of the model, "" when it is one.
        depth: the highest counter of a ballot that was led.
        taken: steps of the rules of strict meshes that were taken.
    """

    seed: int
    steps: int
    refused: str
    depth: int
    taken: int = 0


def replay_case(case: Case) -> Replayed:
    """Run the first phase of a trial, with all its faults, under the eyes of the models alone."""
    trial = Trial(case)
    replay = ModelReplay(trial.truth)
    trial.checkers[:] = [replay]
    strict = StrictReplay(trial.truth, numbered(trial.truth))
    if case.quorum == STRICT:
        trial.checkers.append(strict)
    refused = ""
    try:
        for index in range(len(case.hosts)):
            trial.cluster.start(index)
        trial.run_faults()
    except Violation as violation:
        refused = str(violation)
    except AssertionError as error:
        refused = f"core: {error}"
    return Replayed(case.seed, replay.steps, refused, replay.depth(), strict.steps)
