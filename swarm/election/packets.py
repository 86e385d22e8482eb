"""Bodies of the packets of the election: built here, and taken apart with every check that needs no state.

Layouts: `swarm.wire.messages`, kinds 20 to 24. Decoders raise only DecodeError.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.errors import DecodeError
from swarm.core.ids import Ballot, NodeId
from swarm.core.records import Record
from swarm.election.ballots import is_ballot
from swarm.wire.codec import Body


@final
class Vote(Record):
    """A request for a vote, or the answer to one.

    Attributes:
        number: the round of the one who stands.
        ballot: what it stands for.
        is_pre_vote: whether nothing is promised yet.
        is_granted: the answer; False in a request.
    """

    __slots__ = ("ballot", "is_granted", "is_pre_vote", "number")

    def __init__(self, number: int, ballot: Ballot, is_pre_vote: bool, is_granted: bool) -> None:
        self.number: Final = number
        self.ballot: Final = ballot
        self.is_pre_vote: Final = is_pre_vote
        self.is_granted: Final = is_granted

    def fields(self) -> tuple[object, ...]:
        return (self.number, self.ballot, self.is_pre_vote, self.is_granted)


@final
class Beat(Record):
    """A leader's beat: its ballot, the beat, and whether the one it was sent to shall answer."""

    __slots__ = ("ballot", "beat", "is_answer_wanted")

    def __init__(self, ballot: Ballot, beat: int, is_answer_wanted: bool) -> None:
        self.ballot: Final = ballot
        self.beat: Final = beat
        self.is_answer_wanted: Final = is_answer_wanted

    def fields(self) -> tuple[object, ...]:
        return (self.ballot, self.beat, self.is_answer_wanted)


def vote_request_body(number: int, ballot: Ballot, is_pre_vote: bool) -> list[object]:
    """Return the body of a VOTE_REQUEST."""
    return [number, ballot[0], ballot[1], is_pre_vote]


def take_vote_request(sender: NodeId, body: list[object]) -> Vote:
    """Return the body of a VOTE_REQUEST; one stands only for an own ballot."""
    fields = Body(body)
    number = fields.take_int()
    ballot = take_owned_ballot(sender, fields)
    return Vote(number, ballot, fields.take_bool(), False)


def vote_reply_body(request: Vote, is_granted: bool) -> list[object]:
    """Return the body of the VOTE_REPLY to `request`."""
    return [request.number, request.ballot[0], request.ballot[1], request.is_pre_vote, is_granted]


def take_vote_reply(body: list[object]) -> Vote:
    """Return the body of a VOTE_REPLY."""
    fields = Body(body)
    number = fields.take_int()
    ballot = fields.take_ballot()
    is_pre_vote = fields.take_bool()
    return Vote(number, ballot, is_pre_vote, fields.take_bool())


def beat_body(ballot: Ballot, beat: int, is_answer_wanted: bool) -> list[object]:
    """Return the body of a BEAT."""
    return [ballot[0], ballot[1], beat, is_answer_wanted]


def take_beat(sender: NodeId, body: list[object]) -> Beat:
    """Return the body of a BEAT; one beats only for an own ballot, from 1."""
    fields = Body(body)
    ballot = take_owned_ballot(sender, fields)
    beat = fields.take_int()
    if beat < 1:
        raise DecodeError("beats start at 1")
    return Beat(ballot, beat, fields.take_bool())


def stand_body(ballot: Ballot) -> list[object]:
    """Return the body of a STAND."""
    return [ballot[0], ballot[1]]


def take_owned_ballot(sender: NodeId, fields: Body) -> Ballot:
    """Return the next two fields as a ballot that `sender` owns (all there is in a STAND)."""
    ballot = fields.take_ballot()
    if not is_ballot(ballot) or ballot[1] != sender:
        raise DecodeError("a ballot is used by its owner only")
    return ballot
