"""All states that three nodes can reach in an election: every interleaving, loss, delay, doubling and crash.

The network is the set of messages that were ever sent: each may arrive at any time, any number of times, or
never. A cut is a network in which some messages do not arrive for a while, so cuts are covered.

Four reductions, of which none loses a violation of the protocol:

* What waits for no write leaves at once (`sims.model.rules`).
* Messages and old values that can change nothing any more are forgotten: a request below its target's fence
  on disk, a vote for a ballot whose round is over, a promise below the fence.
* Counters are counted from the lowest fence on disk: an election after the thousandth ballot is the same as
  one after the first. So the number of elections, crashes and messages is not bounded; what is bounded is
  by how many counters a node may be ahead of the last one, and how many writes a disk may be behind.
* The order of the nodes' ids, which decides between ballots with one counter, is fixed: its six
  permutations are renamings of each other.

The second and third hold for the protocol as it is; with a mistake planted they are left out, and counters
end at the bound.

A state is one number: for each node the number of its local state, and the network's bits above them. What
a node can do depends on its local state only and is computed once.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from sims.model.rules import (
    ASK,
    CANDIDATE,
    GRANT,
    ITEM_KINDS,
    LEAD,
    NO_MISTAKES,
    ROLE_NAMES,
    WRITE_FENCE,
    Local,
    Mistakes,
    Rules,
    Step,
)

NODES: Final = 3
_PLACE: Final = 20
_LOCAL: Final = (1 << _PLACE) - 1


class Move(NamedTuple):
    """A step of one node, as often as its local state occurs.

    Attributes:
        need: network bit that it takes, 0 for none.
        add: network bits that it sets.
        once: network bits that must not be set before: S4 is broken when they are.
        after: the number of the local state afterwards.
        broken: the invariant that it breaks, "" for none.
    """

    need: int
    add: int
    once: int
    after: int
    broken: str


@final
class ElectionModel:
    """The transition system; states are numbers.

    Args:
        counters: how many counters a node may be ahead of the last one.
        writes: how many writes a disk may be behind; a node with as many takes no input.
        mistakes: planted in all nodes.
    """

    def __init__(
        self, counters: int, writes: int, mistakes: Mistakes = NO_MISTAKES, nodes: int = NODES
    ) -> None:
        self.rules: Final = Rules(nodes, mistakes)
        self.nodes: Final = nodes
        self.is_reduced = mistakes == NO_MISTAKES
        # Bits of a ballot: asked of each other node, granted by each other node, told, led.
        self._asked: Final = 0
        self._granted: Final = nodes - 1
        self._told: Final = 2 * nodes - 2
        self._led: Final = 2 * nodes - 1
        self._bits: Final = 2 * nodes
        self._net: Final = nodes * _PLACE
        self._counters: Final = counters
        self._writes: Final = writes
        self._numbers: Final[list[dict[Local, int]]] = [{} for _ in range(nodes)]
        self._locals: Final[list[list[Local]]] = [[] for _ in range(nodes)]
        self._moves: Final[list[list[list[Move] | None]]] = [[] for _ in range(nodes)]
        self._alive: Final[list[list[int]]] = [[] for _ in range(nodes)]
        self._lowest: Final[list[list[int]]] = [[] for _ in range(nodes)]
        self._shifted: Final[list[dict[int, int]]] = [{} for _ in range(nodes)]

    def start(self) -> int:
        """Return the state of three nodes that have never run."""
        state = 0
        for me in range(self.nodes):
            state |= self._number(me, Local()) << (me * _PLACE)
        return state

    def local(self, state: int, me: int) -> Local:
        """Return what a node is in a state."""
        return self._locals[me][(state >> (me * _PLACE)) & _LOCAL]

    def state_of(self, other: ElectionModel, state: int) -> int:
        """Return a state of another model as this one numbers it."""
        same = 0
        for me in range(self.nodes):
            same |= self._number(me, other.local(state, me)) << (me * _PLACE)
        return same | ((state >> self._net) << self._net)

    def successors(self, state: int, found: list[int]) -> str:
        """Append the states after one step; return the invariant that a step breaks, "" for none."""
        net = state >> self._net
        for me in range(self.nodes):
            place = me * _PLACE
            number = (state >> place) & _LOCAL
            rest = state & ~(_LOCAL << place)
            moves = self._moves[me][number]
            for move in self._moves_of(me, number) if moves is None else moves:
                if move.need & net != move.need:
                    continue
                if move.broken:
                    return move.broken
                if move.once & net:
                    return "S4"
                after = rest | (move.after << place) | (move.add << self._net)
                if self.is_reduced:
                    after = self.reduce(after)
                found.append(after)
        return ""

    def reduce(self, state: int) -> int:
        """Forget messages that can change nothing, and count counters from the lowest fence on disk."""
        alive, lowest = self._alive, self._lowest
        bits, shift, rest = 0, _LOCAL, state
        for me in range(self.nodes):
            number = rest & _LOCAL
            rest >>= _PLACE
            bits |= alive[me][number]
            least = lowest[me][number]
            shift = min(shift, least)
        net = rest & bits
        if shift <= 1:
            return (state & ((1 << self._net) - 1)) | (net << self._net)
        reduced = net >> ((shift - 1) * self._bits * self.nodes)
        for me in range(self.nodes - 1, -1, -1):
            number = (state >> (me * _PLACE)) & _LOCAL
            reduced = (reduced << _PLACE) | self._shift(me, number, shift - 1)
        return reduced

    def show(self, state: int) -> str:
        """Return a state for people."""
        return "; ".join([self._show_local(me, self.local(state, me)) for me in range(self.nodes)])

    def _show_local(self, me: int, local: Local) -> str:
        waits = f", {len(local.queue)} wait for its disk" if local.queue else ""
        return f"{_name(me)} {ROLE_NAMES[local.role]} at {self._show_ballot(local.fence)}{waits}"

    def _show_ballot(self, ballot: int) -> str:
        return f"({ballot // self.nodes}, {_name(ballot % self.nodes)})" if ballot else "none"

    # Local states

    def _number(self, me: int, local: Local) -> int:
        if self.is_reduced:
            local = _without_past(local)
        numbers = self._numbers[me]
        known = numbers.get(local)
        if known is not None:
            return known
        number = len(numbers)
        assert number <= _LOCAL, "more local states than places for them"
        numbers[local] = number
        self._locals[me].append(local)
        self._moves[me].append(None)
        self._alive[me].append(self._alive_bits(me, local))
        self._lowest[me].append(self.rules.counter(local.disk_fence))
        return number

    def _shift(self, me: int, number: int, shift: int) -> int:
        key = number * 64 + shift
        known = self._shifted[me].get(key)
        if known is None:
            known = self._number(me, _lowered(self._locals[me][number], shift, self.nodes))
            self._shifted[me][key] = known
        return known

    def _alive_bits(self, me: int, local: Local) -> int:
        """Return the network bits that still concern a node."""
        bits = 0
        for ballot in range(self.nodes, (self._counters + 2) * self.nodes):
            base = self._base(ballot)
            owner = ballot % self.nodes
            if ballot > local.disk_fence:
                bits |= 1 << (base + self._told)
            if ballot >= local.disk_fence:
                bits |= 1 << (base + self._led)
            if owner != me and (ballot > local.disk_promise or ballot > local.disk_fence):
                if ballot >= local.disk_fence:
                    bits |= 1 << (base + self._asked + self._other(owner, me))
            if owner == me and local.role == CANDIDATE and local.fence == ballot:
                for voter in range(self.nodes):
                    if voter != me and not local.votes & (1 << voter):
                        bits |= 1 << (base + self._granted + self._other(me, voter))
        return bits

    # Moves

    def _moves_of(self, me: int, number: int) -> list[Move]:
        moves = self._moves[me][number]
        if moves is None:
            moves = self._find_moves(me, number)
            self._moves[me][number] = moves
        return moves

    def _find_moves(self, me: int, number: int) -> list[Move]:
        rules, local = self.rules, self._locals[me][number]
        moves: list[Move] = []
        self._add(moves, me, number, 0, rules.flush(me, local))
        self._add(moves, me, number, 0, rules.restart(me, local))
        for ballot in range(self.nodes, (self._counters + 1) * self.nodes):
            broken = rules.obey(me, local, ballot)
            if broken and ballot % self.nodes != me:
                moves.append(Move(1 << (self._base(ballot) + self._led), 0, 0, number, broken))
        broken = rules.lead(me, local)
        if broken:
            moves.append(Move(0, 0, 0, number, broken))
        if sum([1 for item in local.queue if item % ITEM_KINDS < ASK]) < self._writes:
            self._find_takings(moves, me, number, local)
        return moves

    def _find_takings(self, moves: list[Move], me: int, number: int, local: Local) -> None:
        """Find the steps that add to what waits for the disk."""
        rules = self.rules
        for ballot in range(self.nodes, (self._counters + 1) * self.nodes):
            base, owner = self._base(ballot), ballot % self.nodes
            self._add(moves, me, number, 1 << (base + self._told), rules.hear(me, local, ballot))
            if owner != me:
                bit = 1 << (base + self._asked + self._other(owner, me))
                self._add(moves, me, number, bit, rules.ask(me, local, ballot))
                continue
            for voter in range(self.nodes):
                if voter != me:
                    bit = 1 << (base + self._granted + self._other(me, voter))
                    self._add(moves, me, number, bit, rules.vote(me, local, ballot, voter))
        if rules.counter(rules.next_ballot(me, local.fence)) <= self._counters:
            for council in range(1 << self.nodes):
                if council & (1 << me):
                    self._add(moves, me, number, 0, rules.stand(me, local, council))

    def _add(self, moves: list[Move], me: int, number: int, need: int, step: Step | None) -> None:
        if step is None:
            return
        add, once = 0, 0
        for kind, ballot, council in step.sent:
            base = self._base(ballot)
            if kind == WRITE_FENCE:
                add |= 1 << (base + self._told)
            elif kind == ASK:
                for other in range(self.nodes):
                    if other != me and council & (1 << other):
                        add |= 1 << (base + self._asked + self._other(me, other))
            elif kind == GRANT:
                add |= 1 << (base + self._granted + self._other(ballot % self.nodes, me))
            elif kind == LEAD:
                add |= 1 << (base + self._led)
                once |= 1 << (base + self._led)
                if self.rules.mistakes.bare_terms:
                    for owner in range(self.nodes):
                        once |= 1 << (self._base(ballot - ballot % self.nodes + owner) + self._led)
        after = self._number(me, step.state)
        if after != number or add or step.broken:
            moves.append(Move(need, add, once, after, step.broken))

    def _base(self, ballot: int) -> int:
        return (ballot - self.nodes) * self._bits

    def _other(self, me: int, other: int) -> int:
        """Return the place of another node among the others of a node."""
        return (other - me - 1) % self.nodes


def _without_past(local: Local) -> Local:
    """Return a local state without values that can change nothing any more."""
    fence = local.disk_fence
    return local._replace(
        promise=local.promise if local.promise >= local.fence else 0,
        disk_promise=local.disk_promise if local.disk_promise >= fence else 0,
        told=local.told if local.told > fence else 0,
        granted=local.granted if local.granted >= fence else 0,
    )


def _lowered(local: Local, counters: int, nodes: int) -> Local:
    """Return a local state with the counter of every ballot lowered."""
    by = counters * nodes
    queue: list[int] = []
    for item in local.queue:
        factor = (1 << nodes) * ITEM_KINDS if item % ITEM_KINDS == ASK else ITEM_KINDS
        queue.append(item - by * factor)
    return local._replace(
        fence=local.fence - by,
        promise=max(local.promise - by, 0),
        disk_fence=local.disk_fence - by,
        disk_promise=max(local.disk_promise - by, 0),
        queue=tuple(queue),
        told=max(local.told - by, 0),
        granted=max(local.granted - by, 0),
    )


def _name(me: int) -> str:
    return chr(ord("A") + me)
