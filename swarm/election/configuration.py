"""The configuration of a strict mesh: who votes, under which number.

A configuration is named by (ballot, version) and ordered by that pair: the leader that wrote it, and its
number. A leader that begins writes the one it was elected by anew under its own ballot; each change raises
the version and adds or removes one voter, so that any majority of one configuration meets any majority of the
next.

A voter is a node together with the *mark* of its ledger (`swarm.election.ledger`). A node whose disk lost its
promises starts a ledger with another mark, and what it says then is no voter's.

Source: Schultz, Dardik, Tripakis, "Design and Analysis of a Logless Dynamic Reconfiguration Protocol" (2021);
Ongaro, "Consensus: Bridging Theory and Practice" (2014), §4.1: one server at a time.
"""

from __future__ import annotations

from typing import Final, TypeAlias, final

from swarm.core.errors import DecodeError
from swarm.core.ids import NO_BALLOT, NODE_ID_SIZE, Ballot, NodeId
from swarm.core.records import Record
from swarm.election.council import majority_of
from swarm.wire.codec import Body

MARK_SIZE: Final = 8
VOTER_COUNT_MAX: Final = 64

ConfigurationId: TypeAlias = tuple[Ballot, int]
"""(ballot of the leader that wrote it, version), ordered as a pair."""

VoterSeat: TypeAlias = tuple[NodeId, bytes]
"""A node, and the mark of the ledger with which it votes."""


@final
class Configuration(Record):
    """Who votes.

    Attributes:
        ballot: of the leader that wrote it; NO_BALLOT for the founding one.
        version: its number, 1 for the founding one, 0 for none at all.
        voters: sorted, each node once.
    """

    __slots__ = ("ballot", "version", "voters")

    def __init__(self, ballot: Ballot, version: int, voters: list[VoterSeat]) -> None:
        self.ballot: Final = ballot
        self.version: Final = version
        self.voters: Final = sorted(voters)
        assert len(dict(voters)) == len(voters), "each node votes once"

    def fields(self) -> tuple[object, ...]:
        return (self.ballot, self.version, self.voters)

    @property
    def name(self) -> ConfigurationId:
        """What it is ordered by."""
        return (self.ballot, self.version)

    def ids(self) -> list[NodeId]:
        """Return the nodes that vote."""
        return [node for node, _ in self.voters]

    def has(self, node: NodeId, mark: bytes) -> bool:
        """Return whether `node` votes with the ledger of this mark."""
        return (node, mark) in self.voters

    def majority(self) -> int:
        """Return how many voters decide."""
        return majority_of(len(self.voters))

    def owned_by(self, ballot: Ballot) -> Configuration:
        """Return the same voters, written by the leader of a higher ballot."""
        assert ballot > self.ballot, "a leader writes under its own ballot"
        return Configuration(ballot, self.version, self.voters)

    def plus(self, node: NodeId, mark: bytes) -> Configuration:
        """Return the next configuration, with one voter more."""
        assert node not in self.ids(), "a voter is added once"
        return Configuration(self.ballot, self.version + 1, [*self.voters, (node, mark)])

    def minus(self, node: NodeId) -> Configuration:
        """Return the next configuration, with one voter less."""
        left = [seat for seat in self.voters if seat[0] != node]
        assert 0 < len(left) == len(self.voters) - 1, "a voter is removed, and some stay"
        return Configuration(self.ballot, self.version + 1, left)

    def rows(self) -> list[object]:
        """Return the voters as they travel."""
        rows: list[object] = []
        for node, mark in self.voters:
            rows.append([node, mark])
        return rows


NO_CONFIGURATION: Final = Configuration(NO_BALLOT, 0, [])


def founding(node: NodeId, mark: bytes) -> Configuration:
    """Return the first configuration of a mesh: its founder votes alone."""
    return Configuration(NO_BALLOT, 1, [(node, mark)])


def take_configuration_name(fields: Body) -> ConfigurationId:
    """Return the next three fields as the name of a configuration; raises DecodeError."""
    ballot = fields.take_ballot()
    return (ballot, fields.take_int())


def take_configuration(name: ConfigurationId, fields: Body) -> Configuration:
    """Return the configuration of a name, whose voters are the next field; raises DecodeError."""
    voters: dict[NodeId, bytes] = {}
    rows = fields.take_list()
    if len(rows) > VOTER_COUNT_MAX:
        raise DecodeError(f"{len(rows)} voters are too many")
    for row in rows:
        seat = Body([row]).take_body()
        node = seat.take_id(NODE_ID_SIZE)
        voters[node] = seat.take_id(MARK_SIZE)
    if len(voters) != len(rows):
        raise DecodeError("a node votes twice")
    if (name[1] == 0) != (not voters):
        raise DecodeError("exactly no configuration has no voters")
    return Configuration(name[0], name[1], list(voters.items()))
