"""The numbers of the keyring, each with its reason."""

from __future__ import annotations

from typing import Final, final

KEY_COUNT_MAX: Final = 3
"""Keys of a ring: the newest, the one before it, and one more for two rotations at once or in short order."""
KNOWN_COUNT_MAX: Final = 4096
"""Identities remembered for those who sleep through a rotation; 64 kB."""
NUMBER_JUMP_MAX: Final = 1_000_000
"""How far ahead of its own newest key a node believes another one's number."""


@final
class KeyringConfig:
    """Times of a rotation, in seconds.

    Attributes:
        round_s: between two rounds of telling others, while a rotation is under way.
        fanout: members told in one round; with 3 a key is at 500 members after six rounds.
        patience_s: an alive member that cannot be given the key in so long is not waited for any more. It
            still gets the key later, as somebody who was away does.
        grace_s: how long the old keys open after everybody alive has gone over, for packets on their way.
        overlap_max_s: after so long the old keys stop opening in any case.
        return_s: how long a member that was away may come back under an old key, running time of the nodes
            that are to let it in.
        beacon_s: between two datagrams under each old key, for those who are away.
        hint_gap_s, hint_gap_max_s: between two answers to datagrams of one sender under an old key; doubles.
        keep_s: between two writes of what only grows slowly.
    """

    def __init__(
        self,
        *,
        round_s: float = 1.0,
        fanout: int = 3,
        patience_s: float = 120.0,
        grace_s: float = 10.0,
        overlap_max_s: float = 600.0,
        return_s: float = 30 * 86400.0,
        beacon_s: float = 30.0,
        hint_gap_s: float = 5.0,
        hint_gap_max_s: float = 300.0,
        keep_s: float = 600.0,
    ) -> None:
        self.round_s: Final = round_s
        self.fanout: Final = fanout
        self.patience_s: Final = patience_s
        self.grace_s: Final = grace_s
        self.overlap_max_s: Final = overlap_max_s
        self.return_s: Final = return_s
        self.beacon_s: Final = beacon_s
        self.hint_gap_s: Final = hint_gap_s
        self.hint_gap_max_s: Final = hint_gap_max_s
        self.keep_s: Final = keep_s
