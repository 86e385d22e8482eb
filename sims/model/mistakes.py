"""Mistakes planted in the models: each must break the invariant that is there for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sims.model.election import NODES, ElectionModel
from sims.model.exploring import Explored, explore
from sims.model.keeping import KeepingMistakes, KeepingModel
from sims.model.rules import Mistakes
from sims.model.strict import StrictModel
from sims.model.strict_rules import StrictMistakes

STATES_MAX: Final = 1_000_000

ELECTION: Final = "election"
KEEPING: Final = "keeping"
STRICT: Final = "strict"


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A mistake and what must find it.

    Attributes:
        name: a field of `Mistakes`, `KeepingMistakes` or `StrictMistakes`.
        what: one line for people.
        broken: the invariant that it breaks.
        of: the model in which it is planted, one of the three above.
        nodes: of the mesh in which it can be seen, in the election.
        counters: by which nodes may be ahead of the last, or how often each stands in a strict mesh.
        losses: ledgers that may be lost in a strict mesh.
    """

    name: str
    what: str
    broken: str
    nodes: int = NODES
    counters: int = 2
    of: str = ELECTION
    losses: int = 0


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
        of=KEEPING,
    ),
    Planted(
        name="confirms_before_disk",
        what="a keeper confirms before the part is on its disk",
        broken="S6",
        of=KEEPING,
    ),
    Planted(
        name="confirms_memory",
        what="a keeper confirms a part that it has in memory alone",
        broken="S6",
        of=KEEPING,
    ),
    Planted(name="counts_itself", what="who took the part names itself twice", broken="S6", of=KEEPING),
    Planted(
        name="names_the_asked",
        what="a keeper that did not answer is named to the client",
        broken="S6",
        of=KEEPING,
    ),
    Planted(
        name="counts_lease_from_answer",
        what="an answer that was long under way counts as if its beat was just sent",
        broken="S4",
        counters=1,
        of=STRICT,
    ),
    Planted(
        name="forgets_hold",
        what="whoever starts votes at once, as if it had answered nobody",
        broken="S4",
        counters=1,
        of=STRICT,
    ),
    Planted(
        name="asks_and_leads_on",
        what="a leader that asks another one to stand leads on",
        broken="S4",
        counters=1,
        of=STRICT,
    ),
    Planted(
        name="votes_before_disk",
        what="a strict vote leaves before its promise is on disk",
        broken="S1",
        counters=1,
        of=STRICT,
    ),
    Planted(
        name="answers_before_disk",
        what="a configuration is said to be there before it is on disk",
        broken="S12",
        counters=1,
        of=STRICT,
    ),
    Planted(
        name="counts_half",
        what="half of the voters of a strict mesh are enough",
        broken="S12",
        counters=1,
        of=STRICT,
    ),
    Planted(
        name="changes_unkept",
        what="a configuration is changed that no majority has",
        broken="S12",
        counters=1,
        of=STRICT,
    ),
    Planted(
        name="changes_what_it_found",
        what="a leader changes a configuration that it did not write under its own ballot",
        broken="S12",
        counters=2,
        of=STRICT,
    ),
    Planted(
        name="changes_two",
        what="two voters are added or removed at once",
        broken="S12",
        counters=1,
        of=STRICT,
    ),
    Planted(
        name="ignores_marks",
        what="votes and answers count by the node alone, whatever its ledger",
        broken="S4",
        counters=1,
        losses=1,
        of=STRICT,
    ),
    Planted(
        name="keeps_mark",
        what="a node that lost its ledger begins another one with the same mark",
        broken="S1",
        counters=1,
        losses=1,
        of=STRICT,
    ),
    Planted(
        name="compares_versions",
        what="configurations are compared by their versions alone",
        broken="S12",
        counters=1,
        of=STRICT,
    ),
    Planted(
        name="votes_for_outdated",
        what="who knows a lower configuration gets votes, too",
        broken="S12",
        counters=1,
        of=STRICT,
    ),
)


def find(planted: Planted) -> Explored:
    """Search with a mistake until an invariant breaks."""
    mistake = {planted.name: True}
    if planted.of == KEEPING:
        return explore(KeepingModel(KeepingMistakes(**mistake)), STATES_MAX)
    if planted.of == STRICT:
        strict = StrictModel(3, planted.counters, 2, planted.losses, StrictMistakes(**mistake))
        return explore(strict, STATES_MAX)
    return explore(ElectionModel(planted.counters, 2, Mistakes(**mistake), planted.nodes), STATES_MAX)
