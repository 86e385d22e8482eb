"""Bodies of the election's packets in a strict mesh: those of every mesh, with more fields behind.

Layouts: `swarm.wire.messages`, kinds 20 to 24. Decoders raise only DecodeError.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect, Packet
from swarm.core.errors import DecodeError
from swarm.core.ids import EVERYWHERE, Address, Ballot, NodeId
from swarm.core.records import Record
from swarm.election.configuration import (
    MARK_SIZE,
    NO_CONFIGURATION,
    Configuration,
    ConfigurationId,
    take_configuration,
    take_configuration_name,
)
from swarm.election.office import Office
from swarm.election.packets import (
    Vote,
    take_vote_reply,
    take_vote_request,
    vote_reply_body,
    vote_request_body,
)
from swarm.election.votes import VoteRound
from swarm.wire.codec import Body
from swarm.wire.messages import BEAT, VOTE_REQUEST

_FIELDS_OF_REQUEST: Final = 4
_FIELDS_OF_REPLY: Final = 5


@final
class BeatNews(Record):
    """What stands in a beat.

    Attributes:
        is_answer_wanted: whether its receiver shall answer.
        name: of the leader's configuration.
        configuration: that one, NO_CONFIGURATION when the leader believes that it is known.
    """

    __slots__ = ("configuration", "is_answer_wanted", "name")

    def __init__(self, is_answer_wanted: bool, name: ConfigurationId, configuration: Configuration) -> None:
        self.is_answer_wanted: Final = is_answer_wanted
        self.name: Final = name
        self.configuration: Final = configuration

    def fields(self) -> tuple[object, ...]:
        return (self.is_answer_wanted, self.name, self.configuration)


def ask_body(
    number: int, ballot: Ballot, is_pre_vote: bool, name: ConfigurationId, released: Ballot
) -> list[object]:
    """Return the body of a VOTE_REQUEST: with the candidate's configuration, and who leads no more."""
    head = vote_request_body(number, ballot, is_pre_vote)
    return [*head, name[0][0], name[0][1], name[1], released[0], released[1]]


def take_ask(sender: NodeId, body: list[object]) -> tuple[Vote, ConfigurationId, Ballot]:
    """Return the body of a VOTE_REQUEST: vote, the candidate's configuration, and who leads no more."""
    vote = take_vote_request(sender, body)
    more = Body(body[_FIELDS_OF_REQUEST:])
    name = take_configuration_name(more)
    return vote, name, more.take_ballot()


def verdict_body(request: Vote, is_granted: bool, mark: bytes) -> list[object]:
    """Return the body of the VOTE_REPLY to `request`, with the mark of the voter's ledger."""
    return [*vote_reply_body(request, is_granted), mark]


def take_verdict(body: list[object]) -> tuple[Vote, bytes]:
    """Return the body of a VOTE_REPLY, and the mark of the voter's ledger."""
    vote = take_vote_reply(body)
    return vote, Body(body[_FIELDS_OF_REPLY:]).take_id(MARK_SIZE)


def beat_body(is_answer_wanted: bool, configuration: Configuration, is_whole: bool) -> list[object]:
    """Return the body of a BEAT, with the voters themselves when `is_whole`."""
    ballot, version = configuration.name
    return [is_answer_wanted, ballot[0], ballot[1], version, configuration.rows() if is_whole else []]


def take_beat(body: list[object]) -> BeatNews:
    """Return the body of a BEAT."""
    fields = Body(body)
    is_answer_wanted = fields.take_bool()
    name = take_configuration_name(fields)
    if name[1] == 0:
        raise DecodeError("a leader has voters")
    rows = fields.take_list()
    known = NO_CONFIGURATION
    if rows:
        known = take_configuration(name, Body([rows]))
    return BeatNews(is_answer_wanted, name, known)


def echo_body(beat: int, mark: bytes, is_installed: bool, is_leaving: bool) -> list[object]:
    """Return the body of a BEAT_REPLY: which beat is answered, by which ledger; shorter than any beat."""
    return [beat, mark, is_installed, is_leaving]


def take_echo(body: list[object]) -> tuple[int, bytes, bool, bool]:
    """Return the body of a BEAT_REPLY: beat, mark, whether its configuration is there, whether it leaves."""
    fields = Body(body)
    return fields.take_int(), fields.take_id(MARK_SIZE), fields.take_bool(), fields.take_bool()


def requests(vote_round: VoteRound, name: ConfigurationId, released: Ballot) -> list[Effect]:
    """Return the requests to every voter with an address that has not granted."""
    body = ask_body(vote_round.number, vote_round.ballot, vote_round.is_pre_vote, name, released)
    found: list[Effect] = []
    for address in vote_round.unanswered():
        if address != EVERYWHERE:
            found.append(Packet(address, VOTE_REQUEST, body))
    return found


def beats(office: Office, places: dict[NodeId, Address], now: float) -> list[Effect]:
    """Return the present beat to everybody who shall answer it, with the configuration for who lacks it."""
    found: list[Effect] = []
    for member in office.listeners(now):
        address = places.get(member, EVERYWHERE)
        if address != EVERYWHERE:
            body = beat_body(True, office.configuration, office.lacks_configuration(member))
            found.append(Packet(address, BEAT, body))
    return found


def announcements(office: Office, me: NodeId, places: dict[NodeId, Address], now: float) -> list[Effect]:
    """Return the present beat to everybody else, for no answer: so they know who votes."""
    listeners = office.listeners(now)
    found: list[Effect] = []
    for member, address in places.items():
        if member not in listeners and member != me and address != EVERYWHERE:
            found.append(Packet(address, BEAT, beat_body(False, office.configuration, True)))
    return found
