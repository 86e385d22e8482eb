"""A strict leader's book: its beats, who answered them, how long its lease lasts, and which voters it wants.

The lease rests on times of this node's own clock alone: an answer to a beat counts from the moment in which
that beat was *sent*, for the voter's hold began later. Answers are counted by the voters of the present
configuration whose mark fits; the leader counts itself.

A change of the configuration wants three things: a majority that has the present one on disk and answered
within the lease (so it is committed, under this leader's own ballot: the cure of the bug of Raft's
single-server changes, where a leader changed a configuration that nobody but itself had), a lease that holds
under the next one too, and a pause since the last change.

Source: Ongaro, "Bug in single-server membership changes" (raft-dev, 2015); Schultz, Dardik, Tripakis (2021):
config quorum check, term quorum check (here: the lease), overlap of successive quorums.
"""

from __future__ import annotations

import math
from typing import Final, final

from swarm.core.ids import NO_NODE, NodeId
from swarm.election.configuration import NO_CONFIGURATION, Configuration, ConfigurationId
from swarm.election.strict_config import StrictConfig
from swarm.election.voter_choice import ADD, Standing, VoterChange, choose_change

FAR: Final = 1_000
"""Rank of a member that is not among the fittest."""
BEATS_KEPT: Final = 32
"""Beats whose answers may still count; more than a lease has."""
FORGOTTEN_AFTER_S: Final = 5.0
"""For how long a member that answered gets beats, whoever it is now."""


@final
class Answers:
    """What a leader knows of one node that answers its beats.

    Attributes:
        sent_at: when the latest beat was sent that it answered.
        heard_at: when its latest answer came.
        since: since when it answers without a long pause.
        mark: of its ledger.
        installed: the configuration that it said to have.
        is_leaving: it stops gracefully.
    """

    def __init__(self, now: float) -> None:
        self.sent_at = -math.inf
        self.heard_at = now
        self.since = now
        self.mark = b""
        self.installed: ConfigurationId = NO_CONFIGURATION.name
        self.is_leaving = False


@final
class Office:
    """One leadership of one node, from its election to its end."""

    def __init__(
        self, config: StrictConfig, node_id: NodeId, mark: bytes, configuration: Configuration, now: float
    ) -> None:
        """Begin with beat 1, and without a lease.

        Args:
            config: lease and waits.
            node_id: the leader.
            mark: of its ledger.
            configuration: as it wrote it under its own ballot.
            now: seconds.
        """
        self._config: Final = config
        self._me: Final = node_id
        self._mark: Final = mark
        self.configuration = configuration
        self.began_at: Final = now
        self.beat = 1
        self.beat_at = now
        self.is_confirmed = False
        self._beats: dict[int, tuple[float, ConfigurationId]] = {1: (now, configuration.name)}
        self._answers: dict[NodeId, Answers] = {}
        self._outside_since: dict[NodeId, float] = {}
        self._changed_at = now
        self._council: list[NodeId] = []

    # Beats and answers

    def advance(self, now: float) -> int:
        """Raise the beat and return it."""
        self.beat += 1
        self.beat_at = now
        self._beats[self.beat] = (now, self.configuration.name)
        self._beats.pop(self.beat - BEATS_KEPT, None)
        return self.beat

    def answer(
        self, node: NodeId, beat: int, mark: bytes, is_installed: bool, is_leaving: bool, now: float
    ) -> bool:
        """Take an answer to a beat; return whether that beat is one of the latest.

        Args:
            node: who answers.
            beat: which one.
            mark: of its ledger.
            is_installed: whether it has the configuration that stood in that beat.
            is_leaving: whether it stops gracefully.
            now: seconds.
        """
        sent = self._beats.get(beat)
        if sent is None:
            return False
        known = self._answers.get(node)
        if known is None:
            known = Answers(now)
            self._answers[node] = known
        elif now - known.heard_at > self._config.hold_s or known.mark != mark:
            known.since = now
        if known.mark != mark:
            known.mark = mark
            known.sent_at = -math.inf
            known.installed = NO_CONFIGURATION.name
        known.heard_at = now
        known.sent_at = max(known.sent_at, sent[0])
        if is_installed and sent[1] > known.installed:
            known.installed = sent[1]
        known.is_leaving = is_leaving
        return True

    def confirm(self, now: float) -> bool:
        """Return whether the leadership begins just now: with a lease, and its configuration committed."""
        if self.is_confirmed:
            return False
        self.is_confirmed = self.is_committed(now) and self.lease_until() > now
        return self.is_confirmed

    def lease_until(self) -> float:
        """Return until when this leader may give orders: inf when it votes alone, -inf without a lease."""
        return self._lease_under(self.configuration)

    def ends_at(self) -> float:
        """Return when this leadership is over unless somebody answers, with a lease or without one."""
        return self.lease_until() if self.is_confirmed else self.began_at + self._config.lease_s

    def is_committed(self, now: float) -> bool:
        """Return whether a majority has the present configuration on disk, as they said within the lease."""
        count = 1 if self.configuration.has(self._me, self._mark) else 0
        for node, mark in self.configuration.voters:
            known = self._answers.get(node)
            if node == self._me or known is None or known.mark != mark:
                continue
            if known.installed == self.configuration.name and known.sent_at + self._config.lease_s > now:
                count += 1
        return count >= self.configuration.majority()

    def lacks_configuration(self, node: NodeId) -> bool:
        """Return whether `node` has to be sent the present configuration."""
        known = self._answers.get(node)
        return known is None or known.installed != self.configuration.name

    def listeners(self, now: float) -> list[NodeId]:
        """Return who gets beats: the voters, the fittest members, and whoever answered a moment ago."""
        found: dict[NodeId, bool] = {}
        for node in self.configuration.ids() + self._council:
            found[node] = True
        for node, known in self._answers.items():
            if now - known.heard_at < FORGOTTEN_AFTER_S:
                found[node] = True
        found.pop(self._me, None)
        return list(found)

    def successor(self, now: float) -> NodeId:
        """Return the fittest other voter that answers and stays, NO_NODE when there is none."""
        best, best_rank = NO_NODE, FAR + 1
        for node, mark in self.configuration.voters:
            known = self._answers.get(node)
            if node == self._me or known is None or known.mark != mark or known.is_leaving:
                continue
            if known.sent_at + self._config.lease_s > now and self._rank(node) < best_rank:
                best, best_rank = node, self._rank(node)
        return best

    def is_fitter(self, node: NodeId) -> bool:
        """Return whether a voter is fitter than this leader, by more than the hysteresis."""
        return node != NO_NODE and self._rank(node) < self._rank(self._me)

    # Voters

    def on_council(self, council: list[NodeId], now: float) -> None:
        """Take the fittest members, fittest first."""
        self._council = council
        is_full = len(council) >= self._config.voters_max
        for node in self.configuration.ids():
            if node in council or not is_full:
                self._outside_since.pop(node, None)
            else:
                self._outside_since.setdefault(node, now)

    def wants_heir(self, now: float) -> bool:
        """Return whether this leader votes alone, and somebody is there who might vote instead."""
        if len(self.configuration.voters) == 1:
            return self._heir(now) != NO_NODE
        return self.successor(now) == NO_NODE

    def next_configuration(self, now: float, is_resigning: bool) -> Configuration | None:
        """Return the configuration that this leader may and should write now, None for the present one.

        One that wants to go and votes alone adds another voter, whoever else is there.
        """
        if now - self._changed_at < self._config.change_pause_s or not self.is_committed(now):
            return None
        heir = self._heir(now) if is_resigning and len(self.configuration.voters) == 1 else NO_NODE
        change = (ADD, heir) if heir else self._wanted(now)
        if change is None or (is_resigning and not heir):
            return None
        what, node = change
        if what == ADD:
            wanted = self.configuration.plus(node, self._answers[node].mark)
        else:
            wanted = self.configuration.minus(node)
        is_led = self._lease_under(self.configuration) > now and self._lease_under(wanted) > now
        return wanted if is_led else None

    def change_to(self, configuration: Configuration, now: float) -> None:
        """Use a configuration from now on."""
        self.configuration = configuration
        self._changed_at = now
        self.on_council(self._council, now)

    def _heir(self, now: float) -> NodeId:
        """Return the fittest member that may become a voter now, NO_NODE when there is none."""
        for node in self._council:
            if node not in self.configuration.ids():
                standing = self._standing_of_spare(node, now)
                if standing.is_there and not standing.is_leaving:
                    return node
        return NO_NODE

    def _wanted(self, now: float) -> VoterChange | None:
        standings: list[Standing] = []
        for node, mark in self.configuration.voters:
            standings.append(self._standing_of_voter(node, mark, now))
        ids = self.configuration.ids()
        for node in self._council:
            if node not in ids and node != self._me:
                standings.append(self._standing_of_spare(node, now))
        return choose_change(standings, self._me, self._config.voters_max)

    def _standing_of_voter(self, node: NodeId, mark: bytes, now: float) -> Standing:
        known = self._answers.get(node)
        heard_at = self.began_at if known is None else known.heard_at
        is_lost = node != self._me and now - heard_at > self._config.replace_after_s
        outside_since = self._outside_since.get(node, now)
        return Standing(
            node,
            self._rank(node),
            is_voter=True,
            is_there=not is_lost,
            is_lost=is_lost,
            is_reborn=not is_lost and known is not None and known.mark != mark,
            is_leaving=known is not None and known.is_leaving,
            is_unfit=now - outside_since > self._config.swap_after_s,
        )

    def _standing_of_spare(self, node: NodeId, now: float) -> Standing:
        known = self._answers.get(node)
        is_there = (
            known is not None
            and known.sent_at + self._config.lease_s > now
            and now - known.since >= self._config.promote_after_s
        )
        is_leaving = known is not None and known.is_leaving
        return Standing(node, self._rank(node), is_voter=False, is_there=is_there, is_leaving=is_leaving)

    def _rank(self, node: NodeId) -> int:
        return self._council.index(node) if node in self._council else FAR

    def _lease_under(self, configuration: Configuration) -> float:
        """Return until when a majority of a configuration votes for nobody else, as far as is known here."""
        needed = configuration.majority() - 1  # this leader votes for nobody else while it leads
        if needed == 0:
            return math.inf
        answered: list[float] = []
        for node, mark in configuration.voters:
            known = self._answers.get(node)
            if node != self._me and known is not None and known.mark == mark:
                answered.append(known.sent_at)
        answered.sort()
        if len(answered) < needed:
            return -math.inf
        return answered[len(answered) - needed] + self._config.lease_s
