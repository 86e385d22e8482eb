"""What a node of a strict mesh must not forget: whom it voted for, and the configuration it knows.

One row of the journal holds both, under a *mark* drawn when the ledger was begun. So a ledger is there whole
or not at all: a node whose row is gone begins another one, with another mark, and is no voter until the
majority has made it one again. The row names its node; a node that had to take a new identity begins anew.

Source: Lamport, "The Part-Time Parliament" (1998): LastVote on the ledger. Raft asks for the same (a server
that lost its disk must come back under another name); etcd: member ids are never used again.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.effects import Effect, Persist
from swarm.core.errors import DecodeError
from swarm.core.ids import NO_BALLOT, NODE_ID_SIZE, Ballot, NodeId
from swarm.core.rng import Rng
from swarm.election.configuration import (
    MARK_SIZE,
    NO_CONFIGURATION,
    Configuration,
    founding,
    take_configuration,
    take_configuration_name,
)
from swarm.election.fence import Fence
from swarm.wire.codec import Body, pack, unpack_untrusted

LEDGER_TABLE: Final = "node"
LEDGER_KEY: Final = b"ledger"


@final
class Ledger:
    """Fence, promise and configuration of one node; whatever changes is written before it is relied on.

    Attributes:
        fence: with the promise; see `swarm.election.fence`.
        mark: of this ledger.
        configuration: the highest one this node ever knew.
        is_new: whether nothing of it is on disk yet.
    """

    def __init__(self, node_id: NodeId, rng: Rng, fence: Ballot, promise: Ballot, row: bytes) -> None:
        """Restore from the journal.

        Args:
            node_id: this node.
            rng: draws the mark of a new ledger.
            fence, promise: as last written in their own rows, NO_BALLOT when never.
            row: the ledger's, b"" when there is none; one that cannot be read counts as none.
        """
        self._node_id: Final = node_id
        mark, promised, configuration = b"", NO_BALLOT, NO_CONFIGURATION
        if row:
            try:
                mark, promised, configuration = unpack_ledger_untrusted(node_id, row)
            except DecodeError:
                mark = b""
        self.is_new = not mark
        self.mark: Final = mark or new_mark(rng)
        self.fence: Final = Fence(max(fence, configuration.ballot), max(promise, promised))
        self.configuration = configuration
        self._is_behind = promised < self.fence.promise  # a crash came between the two rows of a promise

    def is_voter(self) -> bool:
        """Return whether this node votes, as far as it knows."""
        return self.configuration.has(self._node_id, self.mark)

    def begin(self, effects: list[Effect]) -> None:
        """Write a new ledger down before its mark is told to anybody, and make an old one whole."""
        if self.is_new or self._is_behind:
            self.is_new = self._is_behind = False
            self._write(effects)

    def grant(self, ballot: Ballot, effects: list[Effect]) -> None:
        """Promise a ballot, see `Fence.grant`."""
        self.fence.grant(ballot, effects)
        self._write(effects)

    def install(self, configuration: Configuration, effects: list[Effect]) -> None:
        """Take a configuration above the one that is known."""
        assert configuration.name > self.configuration.name, "a configuration is replaced by a higher one"
        self.configuration = configuration
        self._write(effects)

    def _write(self, effects: list[Effect]) -> None:
        row = pack_ledger(self._node_id, self.mark, self.fence.promise, self.configuration)
        effects.append(Persist(LEDGER_TABLE, LEDGER_KEY, row, True))


def new_mark(rng: Rng) -> bytes:
    """Return the mark of a new ledger, at random."""
    high, low = rng.below(2**32), rng.below(2**32)
    return high.to_bytes(4, "big") + low.to_bytes(4, "big")


def founding_row(node_id: NodeId, rng: Rng) -> bytes:
    """Return the ledger of the node that founds a strict mesh: it is the only voter."""
    mark = new_mark(rng)
    return pack_ledger(node_id, mark, NO_BALLOT, founding(node_id, mark))


def pack_ledger(node_id: NodeId, mark: bytes, promise: Ballot, configuration: Configuration) -> bytes:
    """Return the row of a ledger."""
    ballot, version = configuration.name
    rows = configuration.rows()
    return pack([node_id, mark, promise[0], promise[1], ballot[0], ballot[1], version, rows])


def unpack_ledger_untrusted(node_id: NodeId, row: bytes) -> tuple[bytes, Ballot, Configuration]:
    """Return mark, promise and configuration of a row.

    Raises:
        DecodeError: this is no ledger, or that of another node.
    """
    body = Body([unpack_untrusted(row)]).take_body()
    if body.take_id(NODE_ID_SIZE) != node_id:
        raise DecodeError("this is the ledger of another node")
    mark = body.take_id(MARK_SIZE)
    promise = body.take_ballot()
    name = take_configuration_name(body)
    return mark, promise, take_configuration(name, body)
