"""The figures of strict elections: leases, and how fast voters change, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from swarm.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class StrictConfig:
    """Settings of one :class:`swarm.election.strict.StrictElection`, besides those of `ElectionConfig`.

    The relation of `lease_s`, `hold_s` and `drift_ppm` is what safety rests on: all nodes of a mesh must use
    the same three.

    Attributes:
        lease_s: a leader may give orders for this long after it *sent* a beat that a majority of voters
            answered, > 0. Six beats: at 20 % loss each way three voters lose it once in 18 hours.
        hold_s: whoever answered a beat votes for nobody else for this long after it *received* it, and a
            voter that starts votes for nobody for this long, because it has forgotten whom it answered.
            Longer than the lease by the drift of both clocks, and by what may pass between the decision of an
            order and its leaving: a disk that syncs, a process that was not scheduled.
        drift_ppm: how far any clock may run from true time, parts per million, >= 0.
        voters_max: voters at rest at most, odd; one more while one is replaced. Five survive two deaths.
        change_pause_s: between two changes of the configuration, >= 0.
        promote_after_s: a member becomes a voter only after it answered beats for this long, >= 0.
        replace_after_s: a voter that answered no beat for this long is taken for lost, > hold_s. It is
            replaced, or dropped where two are lost; long enough for a restart of its machine's daemon.
        swap_after_s: a voter that was not among the fittest for this long is replaced by one that is, > 0.
        leave_wait_s: a voter that stops gracefully waits this long at most until others do without it, >= 0.
    """

    lease_s: float = 1.8
    hold_s: float = 2.4
    drift_ppm: float = 500.0
    voters_max: int = 5
    change_pause_s: float = 0.5
    promote_after_s: float = 2.0
    replace_after_s: float = 10.0
    swap_after_s: float = 30.0
    leave_wait_s: float = 5.0

    def __post_init__(self) -> None:
        for name, value in (("lease_s", self.lease_s), ("swap_after_s", self.swap_after_s)):
            if not value > 0:
                raise ConfigError(f"{name} is {value}, it must be above 0")
        for name, value in (
            ("drift_ppm", self.drift_ppm),
            ("change_pause_s", self.change_pause_s),
            ("promote_after_s", self.promote_after_s),
            ("leave_wait_s", self.leave_wait_s),
        ):
            if not value >= 0:
                raise ConfigError(f"{name} is {value}, it must not be below 0")
        if not 1 <= self.voters_max <= 63 or self.voters_max % 2 == 0:
            raise ConfigError(f"voters_max is {self.voters_max}, it must be odd and 1..63")
        if not self.drift_ppm < 1e6:
            raise ConfigError(f"drift_ppm is {self.drift_ppm}, it must be below 1000000")
        least_s = self.lease_s * (1 + self.drift_ppm * 1e-6) / (1 - self.drift_ppm * 1e-6)
        if not self.hold_s > least_s:
            raise ConfigError(f"hold_s is {self.hold_s}, it must be above lease_s and drift: {least_s:g}")
        if not self.replace_after_s > self.hold_s:
            raise ConfigError(f"replace_after_s is {self.replace_after_s}, it must be above hold_s")

    @classmethod
    def wan(cls) -> StrictConfig:
        """Return the settings for round trips of up to half a second; with `ElectionConfig.wan`."""
        return cls(
            lease_s=5.4,
            hold_s=7.2,
            change_pause_s=1.5,
            promote_after_s=6.0,
            replace_after_s=30.0,
            swap_after_s=90.0,
            leave_wait_s=10.0,
        )
