"""Who is answered, and how much: what keeps this service from being turned against anybody.

It has no secret and an answer may be longer than its question, so whoever forges a sender's address could
have answers sent there. Against that:

* only neighbours are answered: senders within a network of one of our interfaces (and answers leave with one
  hop to live, so that no router passes them on);
* never a port below 1024, where other services might answer back;
* each asker gets at most :data:`BURST_BYTES` at once and :data:`BYTES_PER_S` in the long run, all together
  four times that; beyond it there is silence;
* what is no question is never answered, so two such services cannot answer each other.

Pure: the time is given. Bytes of strangers are judged by `messages` and raise nothing here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final, final

from swarm.compat.marcopolo.messages import Question, question_untrusted
from swarm.core.errors import DecodeError
from swarm.core.ids import Address
from swarm.gossip.limits import TokenBucket

BYTES_PER_S: Final = 2048
BURST_BYTES: Final = 16384
SHARE_OF_ALL: Final = 4
QUESTION_BYTES: Final = 64
"""What a question costs an asker even when there is no answer: looking costs us something too."""
ASKER_COUNT_MAX: Final = 1024
"""Askers remembered; when there are more, the bounds of all alone hold."""
TIDY_INTERVAL_S: Final = 1.0
PORT_MIN: Final = 1024


@final
class Gate:
    """Decides about each question, and about each answer."""

    def __init__(self) -> None:
        self._networks: list[ipaddress.IPv4Network] = []
        self._askers: dict[str, TokenBucket] = {}
        self._tidied = -TIDY_INTERVAL_S
        self._all = TokenBucket(SHARE_OF_ALL * BYTES_PER_S, SHARE_OF_ALL * BURST_BYTES)
        self.counts: dict[str, int] = dict.fromkeys(
            ("questions", "answers", "garbage", "no_question", "strangers", "too_many"), 0
        )

    def set_networks(self, networks: Sequence[ipaddress.IPv4Network]) -> None:
        """Take the networks whose hosts are answered; none: this host only."""
        self._networks = list(networks)

    def question_untrusted(self, datagram: bytes, source: Address, now: float) -> Question | None:
        """Return the question in a datagram when it is to be answered, None otherwise."""
        try:
            question = question_untrusted(datagram)
        except DecodeError:
            self.counts["garbage"] += 1
            return None
        if question is None:
            self.counts["no_question"] += 1
            return None
        if source[1] < PORT_MIN or not self._is_neighbour(source[0]):
            self.counts["strangers"] += 1
            return None
        if not self._take(source[0], QUESTION_BYTES, now):
            return None
        self.counts["questions"] += 1
        return question

    def may_answer(self, source: Address, size: int, now: float) -> bool:
        """Return whether an answer of `size` bytes may go to an asker now, and count it when it may."""
        if not self._take(source[0], size, now):
            return False
        self.counts["answers"] += 1
        return True

    def _take(self, host: str, size: int, now: float) -> bool:
        asker = self._askers.get(host)
        if asker is None:
            if len(self._askers) >= ASKER_COUNT_MAX and now >= self._tidied + TIDY_INTERVAL_S:
                self._tidied = now
                self._askers = {
                    name: each for name, each in self._askers.items() if not each.has(now, BURST_BYTES)
                }
            asker = TokenBucket(BYTES_PER_S, BURST_BYTES)
            if len(self._askers) < ASKER_COUNT_MAX:
                self._askers[host] = asker
        if asker.has(now, size) and self._all.take(now, size):
            return asker.take(now, size)
        self.counts["too_many"] += 1
        return False

    def _is_neighbour(self, host: str) -> bool:
        try:
            address = ipaddress.IPv4Address(host)
        except ValueError:
            return False
        return address.is_loopback or any(address in network for network in self._networks)
