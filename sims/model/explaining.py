"""Looking for steps of the model that explain what a node did between two looks at it."""

from __future__ import annotations

from typing import Final, TypeAlias, final

from sims.model.rules import (
    ASK,
    CANDIDATE,
    FOLLOWER,
    GRANT,
    ITEM_KINDS,
    LEAD,
    LEADER,
    Local,
    Rules,
)

PRE_CANDIDATE: Final = 3
"""A role that only this module knows: it asks for pre-votes."""
SEARCH_MAX: Final = 4000

ASK_FIRST: Final = 10
GRANT_FIRST: Final = 11
"""Sends of pre-votes; like ASK and GRANT."""

Item: TypeAlias = tuple[int, int]
"""A write or a send: its kind and its ballot."""
Input: TypeAlias = tuple[str, int, int]
"""What a frame allows: the step, the ballot that it is about, and who sent it."""
Explained: TypeAlias = tuple[Local, list[Item]]
"""A state, and what was written and sent on the way to it."""


@final
class Search:
    """Steps of the model that lead from some states to what was seen."""

    def __init__(
        self, rules: Rules, me: int, everybody: int, totals: dict[Item, int], electorate: int = 1
    ) -> None:
        """Begin.

        Args:
            rules: of the model.
            me: the node.
            everybody: all nodes, as bits.
            totals: how many were asked for a ballot, the node itself included.
            electorate: how many vote, when that is known: some of them may not be asked.
        """
        self._electorate: Final = electorate
        self._rules: Final = rules
        self._me: Final = me
        self._everybody: Final = everybody
        self._totals: Final = totals
        self.led: dict[int, bool] = {}

    def run(
        self,
        states: list[Local],
        inputs: list[Input],
        items: list[Item],
        after: tuple[int, int],
    ) -> list[Local]:
        """Return the states at the end of all sequences of steps that produce `items` and end as `after`.

        A state on the way is (local state, items produced).
        """
        found: dict[Local, bool] = {}
        waiting = [(state, 0) for state in states]
        seen: dict[tuple[Local, int], bool] = dict.fromkeys(waiting, True)
        while waiting and len(seen) < SEARCH_MAX:
            state, done = waiting.pop(0)
            if done == len(items) and (state.role, state.fence) == after:
                found[state] = True
            for following, made in self._steps(state, inputs, items[done:]):
                count = _matching(made, items[done:])
                if count < 0:
                    continue
                key = (following, done + count)
                if key not in seen:
                    seen[key] = True
                    waiting.append(key)
        return list(found)

    def _steps(self, state: Local, inputs: list[Input], left: list[Item]) -> list[Explained]:
        """Return (state, items) for every step that the inputs allow, or that needs none."""
        rules, me = self._rules, self._me
        steps: list[Explained] = []
        for step, ballot, sender in inputs:
            made = None
            if step == "hear":
                made = rules.hear(me, state, ballot)
            elif step == "ask" and rules.owner(ballot) == sender:
                made = rules.ask(me, state, ballot)
                if state.promise == state.fence == ballot:
                    steps.append((state, [(GRANT, ballot)]))
            elif step == "vote":
                made = rules.vote(me, state, ballot, sender)
            elif step == "vote first" and self._is_wanted(state, ballot, sender):
                counted = state._replace(votes=state.votes | (1 << sender), counted=state.counted + 1)
                steps.append((counted, []))
            elif step == "ask first" and ballot > state.fence and state.role != LEADER:
                steps.append((state, [(GRANT_FIRST, ballot)]))
            elif step == "told to stand":
                steps.extend(self._stand(state, left))
            if made is not None:
                steps.append(_taken(made.state, self._rules.nodes, made.sent))
        steps.extend(self._inner_steps(state, left))
        for following, _ in steps:
            if following.role == LEADER:
                self.led[following.fence] = True
        return steps

    def _inner_steps(self, state: Local, left: list[Item]) -> list[Explained]:
        steps: list[Explained] = []
        if state.role == LEADER:
            steps.append((state, [(LEAD, state.fence)]))
        if state.role == CANDIDATE:
            steps.append((state, [(ASK, state.fence)]))
        if state.role != FOLLOWER:
            steps.append((_follower(state), []))
        if state.role == PRE_CANDIDATE:
            steps.append((state, [(ASK_FIRST, state.council)]))
            if 2 * state.counted > state.total:
                steps.extend(self._stand(state, left))
        if state.role == FOLLOWER:
            ballot = self._rules.next_ballot(self._me, state.fence)
            total = self._total(ASK_FIRST, ballot)
            first = state._replace(
                role=PRE_CANDIDATE, votes=1 << self._me, counted=1, council=ballot, total=total
            )
            if total == 1:
                steps.extend(self._stand(first, left))
            else:
                steps.append((first, [(ASK_FIRST, ballot)] if (ASK_FIRST, ballot) in self._totals else []))
        return steps

    def _total(self, kind: int, ballot: int) -> int:
        return max(self._totals.get((kind, ballot), 1), self._electorate)

    def _stand(self, state: Local, left: list[Item]) -> list[Explained]:
        """Stand, before as many as are asked."""
        ballot = self._rules.next_ballot(self._me, state.fence)
        total = self._total(ASK, ballot)
        made = self._rules.stand(self._me, state, self._everybody, total)
        following, items = _taken(made.state, self._rules.nodes, made.sent)
        return [(following, [item for item in items if item[0] != ASK or (ASK, ballot) in self._totals])]

    def _is_wanted(self, state: Local, ballot: int, sender: int) -> bool:
        return state.role == PRE_CANDIDATE and state.council == ballot and not state.votes & (1 << sender)


def _follower(state: Local) -> Local:
    return state._replace(role=FOLLOWER, votes=0, counted=0, council=0, total=0)


def _taken(state: Local, nodes: int, sent: tuple[tuple[int, int, int], ...]) -> Explained:
    """Return a state without its queue, and what the queue held.

    Beats are not among that: who leads may have nobody to tell.
    """
    items = [(kind, ballot) for kind, ballot, _ in sent]
    for item in state.queue:
        number, kind = divmod(item, ITEM_KINDS)
        items.append((kind, number >> nodes if kind == ASK else number))
    bare = state._replace(queue=(), told=0, granted=0, disk_fence=0, disk_promise=0)
    return bare, [item for item in items if item[0] != LEAD]


def _matching(made: list[Item], left: list[Item]) -> int:
    """Return how many of the items seen these are, -1 when they are others. Writes in a row have no order."""
    if sorted(made[:2]) == sorted(left[:2]) and made[2:] == left[2 : len(made)]:
        return len(made)
    return len(made) if made == left[: len(made)] else -1
