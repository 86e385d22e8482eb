"""Ballots: (counter, node id), ordered as a pair, so that two nodes can never lead under the same one.

Source: Lamport, "The Part-Time Parliament" (1998), ballot numbers; Raft's bare terms are not unique once
both sides of a partition shrink their electorate.
"""

from __future__ import annotations

from swarm.core.ids import NO_BALLOT, NODE_ID_SIZE, Ballot, NodeId
from swarm.wire.codec import COUNTER_MAX, Body, pack, unpack_untrusted


def next_ballot(fence: Ballot, node_id: NodeId) -> Ballot:
    """Return the lowest ballot of `node_id` whose counter is above that of `fence`."""
    assert fence[0] + 1 < COUNTER_MAX, "ballot counters are used up"
    return (fence[0] + 1, node_id)


def is_ballot(ballot: Ballot) -> bool:
    """Return whether somebody can have stood for this: it has a counter of at least 1 and an owner."""
    return 1 <= ballot[0] < COUNTER_MAX and len(ballot[1]) == NODE_ID_SIZE


def is_jump(ballot: Ballot, fence: Ballot, jump_max: int) -> bool:
    """Return whether `ballot` is implausibly far above `fence`.

    One bad frame must not be able to use up the counters. Real elections raise the counter by one each.

    Args:
        ballot: what a peer says.
        fence: the own fence.
        jump_max: the largest believable difference of counters, >= 1.
    """
    return ballot[0] - fence[0] > jump_max


def pack_ballot(ballot: Ballot) -> bytes:
    """Return the bytes of a ballot as the journal keeps them."""
    return pack([ballot[0], ballot[1]])


def unpack_ballot_untrusted(row: bytes) -> Ballot:
    """Return the ballot in a row of the journal.

    Raises:
        DecodeError: these are not the bytes of a ballot.
    """
    ballot = Body([unpack_untrusted(row)]).take_body().take_ballot()
    return ballot if is_ballot(ballot) else NO_BALLOT
