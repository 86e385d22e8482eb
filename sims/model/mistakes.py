"""Mistakes planted in the models: each must break the invariant that is there for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sims.model.election import NODES, ElectionModel
from sims.model.exploring import Explored, explore
from sims.model.keeping import KeepingMistakes, KeepingModel
from sims.model.rules import Mistakes

STATES_MAX: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A mistake and what must find it.

    Attributes:
        name: a field of `Mistakes` or `KeepingMistakes`.
        what: one line for people.
        broken: the invariant that it breaks.
        nodes, counters: of the mesh in which it can be seen, for mistakes of the election.
        is_of_keeping: whether it is one of `KeepingMistakes`.
    """

    name: str
    what: str
    broken: str
    nodes: int = NODES
    counters: int = 2
    is_of_keeping: bool = False


PLANTED: Final = (
    Planted(name="bare_terms", what="two ballots with one counter count as equal", broken="S4"),
    Planted(name="answers_before_disk", what="a vote leaves before its promise is on disk", broken="S1"),
    Planted(
        name="asks_before_disk", what="votes are asked for before the own promise is on disk", broken="S2"
    ),
    Planted(name="forgets_fence", what="a start restores the promise and not the fence", broken="S2"),
    # With three nodes one other vote is a majority of any council, so a second one never matters.
    Planted(
        name="counts_twice", what="a vote that comes twice counts twice", broken="S4", nodes=4, counters=1
    ),
    Planted(name="counts_minority", what="half of a council is enough", broken="S4"),
    Planted(name="obeys_anything", what="orders below the fence are executed", broken="S3"),
    Planted(name="leads_on", what="a leader that hears of a higher ballot goes on", broken="S4"),
    Planted(name="reuses_counter", what="who stands takes its own last counter again", broken="S4"),
    Planted(
        name="acknowledges_before_disk",
        what="the client is told before the part is on the own disk",
        broken="S6",
        is_of_keeping=True,
    ),
    Planted(
        name="confirms_before_disk",
        what="a keeper confirms before the part is on its disk",
        broken="S6",
        is_of_keeping=True,
    ),
    Planted(
        name="confirms_memory",
        what="a keeper confirms a part that it has in memory alone",
        broken="S6",
        is_of_keeping=True,
    ),
    Planted(
        name="counts_itself", what="who took the part names itself twice", broken="S6", is_of_keeping=True
    ),
    Planted(
        name="names_the_asked",
        what="a keeper that did not answer is named to the client",
        broken="S6",
        is_of_keeping=True,
    ),
)


def find(planted: Planted) -> Explored:
    """Search with a mistake until an invariant breaks."""
    if planted.is_of_keeping:
        return explore(KeepingModel(KeepingMistakes(**{planted.name: True})), STATES_MAX)
    mistakes = Mistakes(**{planted.name: True})
    return explore(ElectionModel(planted.counters, 2, mistakes, planted.nodes), STATES_MAX)
