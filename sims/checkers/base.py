"""What checkers share: violations, and what the simulation knows to be true."""

from __future__ import annotations

from typing import Final

from sims.cluster import Cluster
from sims.host import Host
from sims.observer import Observer


class Violation(Exception):
    """Something happened that must not.

    Attributes:
        checker: number of the invariant.
        text: what happened, with the time.
    """

    def __init__(self, checker: str, text: str) -> None:
        super().__init__(f"{checker}: {text}")
        self.checker: Final = checker
        self.text: Final = text


class Truth(Observer):
    """Since when each host is well: up, awake, with an honest disk, in a network that lets it speak.

    Attributes:
        troubled_at: when something was last done to each host, seconds.
        net_troubled_at: when something was last done to the network or to many hosts.
        forgot: identities whose disk lost something that it had acknowledged: nothing they promised counts.
        downs: nodes that went down so far.
        starving: hosts whose inputs take long.
        was_starved: whether any host ever was starving.
        stalls: host -> begin and end of the last time for which its process stood still.
        clones: host -> the host whose identity it has too. As long as there is one, nobody is well.
        is_cut: whether some hosts cannot reach some others. As long as that is so, nobody is well.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster: Final = cluster
        self.troubled_at: Final = [0.0] * len(cluster.hosts)
        self.net_troubled_at = 0.0
        self.forgot: Final[dict[bytes, bool]] = {}
        self.downs = 0
        self.starving: Final[dict[int, bool]] = {}
        self.was_starved = False
        self.stalls: Final[dict[int, tuple[float, float]]] = {}
        self.clones: Final[dict[int, int]] = {}
        self.is_cut = False

    def on_boot(self, host: Host, now: float) -> None:
        self.troubled_at[host.index] = now

    def on_down(self, host: Host, how: str, now: float) -> None:
        self.troubled_at[host.index] = now
        self.downs += 1

    def end_clone(self, target: int) -> None:
        """Take that a clone is taken away now: all are in trouble until then."""
        del self.clones[target]
        self.net_troubled_at = max(self.net_troubled_at, self.cluster.engine.now)

    def was_calm(self) -> bool:
        """Return whether nothing happened so far but that single processes ended and came back."""
        return not (self.net_troubled_at or self.stalls or self.forgot or self.was_starved or self.clones)

    def is_well(self, index: int, for_s: float) -> bool:
        """Return whether nothing was done to a host, nor to the network, for so long."""
        host = self.cluster.hosts[index]
        now = self.cluster.engine.now
        return (
            host.node is not None
            and now >= host.stalled_until
            and index not in self.starving
            and not self.clones
            and not self.is_cut
            and now - self.troubled_at[index] >= for_s
            and now - self.net_troubled_at >= for_s
        )


class Checker(Observer):
    """One invariant. Subclasses override what they watch, and :meth:`look`, which is asked twice a second."""

    def __init__(self, truth: Truth) -> None:
        self.truth: Final = truth
        self.cluster: Final = truth.cluster

    def look(self, now: float) -> None:
        """Look at the whole mesh."""

    def fail(self, checker: str, text: str) -> None:
        """Say that the invariant is broken.

        Raises:
            Violation: always.
        """
        raise Violation(checker, f"{self.cluster.engine.now:.3f} s: {text}")

    def name(self, host: Host) -> str:
        """Return what a host is called in messages."""
        return host.spec.name
