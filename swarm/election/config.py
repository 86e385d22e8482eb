"""The figures of the election: every wait, every bound, with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from swarm.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ElectionConfig:
    """Settings of one :class:`swarm.election.core.Election`. The defaults suit a local network.

    All nodes of a mesh should use the same values; nodes that do not are slower to agree, never unsafe.

    Attributes:
        beat_interval_s: seconds between two beats of a leader, > 0. Three a second to a council of
            five, every other one answered, cost the leader about 2 kB/s and let a dead leader be noticed in
            about a second.
        trust_s: a voter refuses a pre-vote while it saw the leader's beat grow within this time, >= 2 beat
            intervals. Three intervals are three losses in a row: at 20 % loss 0.8 %, for one voter.
        election_timeout_s: a council member without a growing beat for this long asks for pre-votes,
            >= trust_s, so that the voters have usually stopped trusting by then as well.
        rank_step_s: added once per fitter member of the council, >= 0. More than jitter_s by the time of a
            packet, so that the fittest stands first and the next one hears of it before standing too.
        jitter_s: width of the random part of every wait, > 0.
        start_wait_s: wait before standing after a start, >= 0: nodes started together find each other first.
        alone_wait_s: added to that wait while the council is this node alone, >= 0.
        candidate_wait_s: after hearing of a new ballot, wait this long for its first beat before standing
            above it, >= vote_hold_s.
        vote_timeout_s: a round of votes that is not decided after this long is given up, >= vote_resend_s.
        vote_resend_s: requests not answered are repeated at this interval, > 0. At 20 % loss 36 % of the
            exchanges fail, after four tries 1.7 %.
        vote_hold_s: after promising or hearing a new ballot, refuse pre-votes for this long, >= 0: somebody
            stands already.
        retry_wait_s: least wait after a round that was not won, > 0.
        retry_jitter_s: width of the random part of that wait, > 0; wide, because two who failed together
            must part.
        lease_s: a leader without answers from a majority of its council for this long stops, and a follower
            that saw no beat grow for this long names no leader. Twelve beats, of which the first needs no
            answer: at 20 % loss each way, two nodes lose eleven exchanges in a row once in 12 hours.
            >= election_timeout_s.
        outsider_lease_s: the same for a follower outside the council, which gets no beats and learns of them
            by the stamps of two or three frames a second; >= lease_s.
        council_size: members of the council at most, 1..64. Five survive two deaths.
        council_grace_s: a member dead for this long leaves the council, >= 0. More than 3 s buys almost
            nothing (modelled, 0 to 30 s: 5 % less duplicated work, four times the time without a leader).
        council_hysteresis_percent: the incumbent leader's fitness counts as this much higher, 0..1000.
        ballot_jump_max: a ballot whose counter is more than this above the fence is ignored, >= 1.
        members_max: nodes to whom a new leader announces itself directly, at most, >= 1. The others learn
            by stamps.
    """

    beat_interval_s: float = 0.3
    trust_s: float = 0.9
    election_timeout_s: float = 1.1
    rank_step_s: float = 0.15
    jitter_s: float = 0.1
    start_wait_s: float = 0.9
    alone_wait_s: float = 0.5
    candidate_wait_s: float = 0.6
    vote_timeout_s: float = 0.6
    vote_resend_s: float = 0.15
    vote_hold_s: float = 0.4
    retry_wait_s: float = 0.3
    retry_jitter_s: float = 0.4
    lease_s: float = 3.6
    outsider_lease_s: float = 10.8
    council_size: int = 5
    council_grace_s: float = 3.0
    council_hysteresis_percent: int = 20
    ballot_jump_max: int = 2**20
    members_max: int = 4096

    def __post_init__(self) -> None:
        positive = [
            ("beat_interval_s", self.beat_interval_s),
            ("jitter_s", self.jitter_s),
            ("vote_resend_s", self.vote_resend_s),
            ("retry_wait_s", self.retry_wait_s),
            ("retry_jitter_s", self.retry_jitter_s),
            ("ballot_jump_max", float(self.ballot_jump_max)),
            ("members_max", float(self.members_max)),
        ]
        for name, value in positive:
            if not value > 0:
                raise ConfigError(f"{name} is {value}, it must be above 0")
        not_negative = [
            ("rank_step_s", self.rank_step_s),
            ("start_wait_s", self.start_wait_s),
            ("alone_wait_s", self.alone_wait_s),
            ("vote_hold_s", self.vote_hold_s),
            ("council_grace_s", self.council_grace_s),
        ]
        for name, value in not_negative:
            if not value >= 0:
                raise ConfigError(f"{name} is {value}, it must not be below 0")
        if not 1 <= self.council_size <= 64:
            raise ConfigError(f"council_size is {self.council_size}, it must be 1..64")
        if not 0 <= self.council_hysteresis_percent <= 1000:
            raise ConfigError(
                f"council_hysteresis_percent is {self.council_hysteresis_percent}, it must be 0..1000"
            )
        self._check_relations()

    def _check_relations(self) -> None:
        ordered = [
            ("trust_s", self.trust_s, "2 * beat_interval_s", 2 * self.beat_interval_s),
            ("election_timeout_s", self.election_timeout_s, "trust_s", self.trust_s),
            ("lease_s", self.lease_s, "election_timeout_s", self.election_timeout_s),
            ("outsider_lease_s", self.outsider_lease_s, "lease_s", self.lease_s),
            ("candidate_wait_s", self.candidate_wait_s, "vote_hold_s", self.vote_hold_s),
            ("vote_timeout_s", self.vote_timeout_s, "vote_resend_s", self.vote_resend_s),
        ]
        for name, value, least_name, least in ordered:
            if not value >= least:
                raise ConfigError(f"{name} is {value}, it must be at least {least_name} = {least:g}")

    @classmethod
    def lan(cls) -> ElectionConfig:
        """Return the settings for a local network."""
        return cls()

    @classmethod
    def wan(cls) -> ElectionConfig:
        """Return the settings for round trips of up to half a second: all network waits tripled."""
        return cls(
            beat_interval_s=0.9,
            trust_s=2.7,
            election_timeout_s=3.3,
            rank_step_s=0.6,
            jitter_s=0.4,
            start_wait_s=2.0,
            candidate_wait_s=1.8,
            vote_timeout_s=1.8,
            vote_resend_s=0.6,
            vote_hold_s=1.2,
            retry_wait_s=0.9,
            retry_jitter_s=1.2,
            lease_s=10.8,
            outsider_lease_s=32.4,
        )
