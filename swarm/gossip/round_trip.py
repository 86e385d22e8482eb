"""Round trips: how long a peer usually takes to answer, and how long to wait for it."""

from __future__ import annotations

from swarm.core.rounding import to_ms
from swarm.gossip.config import GossipConfig


class RoundTrip:
    """A smoothed round trip and its variation.

    Source: RFC 6298 (Jacobson's estimator, gains 1/8 and 1/4).
    """

    def __init__(self) -> None:
        self.mean_s = -1.0
        self.variation_s = 0.0

    def observe(self, sample_s: float) -> None:
        """Take a measured round trip, seconds >= 0, into account."""
        if self.mean_s < 0:
            self.mean_s = sample_s
            self.variation_s = sample_s / 2
            return
        self.variation_s += (abs(sample_s - self.mean_s) - self.variation_s) / 4
        self.mean_s += (sample_s - self.mean_s) / 8

    def timeout_s(self, config: GossipConfig) -> float:
        """Return how long to wait for an answer: mean + 4 variations within the bounds of `config`."""
        if self.mean_s < 0:
            return config.probe_timeout_s
        wait_s = self.mean_s + 4 * self.variation_s
        return to_ms(max(config.probe_timeout_min_s, min(config.probe_timeout_max_s, wait_s)))
