"""Bodies of the packets of the election: built here, and taken apart with every check that needs no state.

Layouts: `swarm.wire.messages`, kinds 20 to 24. Decoders raise only DecodeError.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.errors import DecodeError
from swarm.core.ids import Ballot, NodeId
from swarm.core.records import Record
from swarm.election.ballots import is_ballot
from swarm.wire.codec import Body, Stamp


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


def is_of_leader(stamp: Stamp) -> bool:
    """Return whether whoever sent this stamp led under the ballot in it when it left."""
    return is_ballot(stamp.ballot) and stamp.ballot[1] == stamp.sender and stamp.beat >= 1


def is_answer_short(question: Stamp, fence: Ballot, beat: int) -> bool:
    """Return whether the answer to a beat is no longer than the beat, so that it can flood nobody.

    Args:
        question: stamp of the beat; its body is a byte longer than that of the answer.
        fence, beat: of the answer's stamp.
    """
    asked = _packed_size(question.ballot[0]) + _packed_size(question.beat)
    return _packed_size(fence[0]) + _packed_size(beat) <= asked + 1


def _packed_size(count: int) -> int:
    """Return how many bytes msgpack takes for an int >= 0."""
    if count < 2**7:
        return 1
    if count < 2**8:
        return 2
    if count < 2**16:
        return 3
    return 5 if count < 2**32 else 9


def stand_body(ballot: Ballot) -> list[object]:
    """Return the body of a STAND."""
    return [ballot[0], ballot[1]]


def take_owned_ballot(sender: NodeId, fields: Body) -> Ballot:
    """Return the next two fields as a ballot that `sender` owns (all there is in a STAND)."""
    ballot = fields.take_ballot()
    if not is_ballot(ballot) or ballot[1] != sender:
        raise DecodeError("a ballot is used by its owner only")
    return ballot
