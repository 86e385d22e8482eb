"""What checkers share: violations, and what the simulation knows to be true."""

from __future__ import annotations

from typing import Final

from sims.checkers.frames import read_ballot
from sims.cluster import Cluster
from sims.host import Host
from sims.observer import Observer
from swarm.core.effects import Effect, Persist


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
        wide_troubled_at: the same for what is done to the whole network; acts on single ways and hosts are
            in `troubled_at` of those.
        forgot: identities whose disk lost something that it had acknowledged: nothing they promised counts.
        forgot_at: when the last one did, -1 for never.
        downs: nodes that went down so far.
        starving: hosts whose inputs take long.
        starved_at: when a host last began or ceased to starve, or its disk to be stuck, -1 for never.
        stalls: host -> begin and end of the last time for which its process stood still.
        clones: host -> the host whose identity it has too. As long as there is one, nobody is well.
        cloned: identities that ever were on two hosts.
        storms: weather that is worse than any network here has by itself: "loss", "latency". As long as there
            is some, nobody is well.
        is_cut: whether some hosts cannot reach some others. As long as that is so, nobody is well.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster: Final = cluster
        self.troubled_at: Final = [0.0] * len(cluster.hosts)
        self.net_troubled_at = 0.0
        self.wide_troubled_at = 0.0
        self.forgot: Final[dict[bytes, bool]] = {}
        self.forgot_at = -1.0
        self.downs = 0
        self.starving: Final[dict[int, bool]] = {}
        self.starved_at = -1.0
        self.stalls: Final[dict[int, tuple[float, float]]] = {}
        self.clones: Final[dict[int, int]] = {}
        self.cloned: Final[dict[bytes, bool]] = {}
        self.storms: Final[dict[str, bool]] = {}
        self.is_cut = False
        self._stood: Final[dict[tuple[int, int], bool]] = {}

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        """See who stands: it writes a ballot of its own down before it asks for a vote."""
        for effect in effects:
            if isinstance(effect, Persist) and effect.table == "node" and effect.key == b"promise":
                if read_ballot(effect.value)[1] == host.node_id:
                    self._stood[(host.index, host.epoch)] = True

    def has_stood(self, host: Host) -> bool:
        """Return whether a node stood in its present life, so that it may have led."""
        return (host.index, host.epoch) in self._stood

    def on_boot(self, host: Host, now: float) -> None:
        self.troubled_at[host.index] = max(now, host.disk_stuck_until)

    def on_down(self, host: Host, how: str, now: float) -> None:
        self.troubled_at[host.index] = max(now, host.disk_stuck_until)
        self.downs += 1

    def end_clone(self, target: int) -> None:
        """Take that a clone is taken away now: all are in trouble until then."""
        del self.clones[target]
        self.net_troubled_at = max(self.net_troubled_at, self.cluster.engine.now)
        self.wide_troubled_at = max(self.wide_troubled_at, self.cluster.engine.now)

    def forget(self, identity: bytes) -> None:
        """Take that the disk of a node lost something that it had acknowledged."""
        self.forgot[identity] = True
        self.forgot_at = self.cluster.engine.now

    def was_calm(self) -> bool:
        """Return whether nothing happened so far but that single processes ended and came back."""
        return not self.net_troubled_at and not self.forgot and self.was_calm_since(0.0)

    def was_calm_since(self, since_s: float) -> bool:
        """Return whether nothing happened since then but that single processes ended and came back."""
        return (
            self.is_net_whole()
            and not self.starving
            and (not self.net_troubled_at or self.net_troubled_at < since_s)
            and self.starved_at < since_s
            and self.forgot_at < since_s
            and all([end_s < since_s for _, end_s in self.stalls.values()])
        )

    def is_steady(self, index: int, for_s: float) -> bool:
        """Return whether nothing was done to a host for so long: it is well, or down all the time."""
        host = self.cluster.hosts[index]
        now = self.cluster.engine.now
        is_undisturbed = now >= host.stalled_until and index not in self.starving
        troubled_at = max(self.troubled_at[index], host.disk_stuck_until)
        return is_undisturbed and now - troubled_at >= for_s

    def is_net_quiet(self, for_s: float) -> bool:
        """Return whether the network carried everything between all hosts for so long."""
        now = self.cluster.engine.now
        return self.is_net_whole() and (not self.net_troubled_at or now - self.net_troubled_at >= for_s)

    def is_net_whole(self) -> bool:
        """Return whether the network carries everything now, and everybody is there once."""
        return not self.clones and not self.is_cut and not self.storms

    def is_well(self, index: int, for_s: float) -> bool:
        """Return whether nothing was done to a host, nor anywhere to the network, for so long."""
        now = self.cluster.engine.now
        return self.is_well_here(index, for_s) and now - self.net_troubled_at >= for_s

    def is_well_here(self, index: int, for_s: float) -> bool:
        """Return whether nothing was done to a host, to its ways, or to the whole network, for so long."""
        host = self.cluster.hosts[index]
        now = self.cluster.engine.now
        return (
            host.node is not None
            and now >= host.stalled_until
            and index not in self.starving
            and self.is_net_whole()
            and now - max(self.troubled_at[index], host.disk_stuck_until) >= for_s
            and now - self.wide_troubled_at >= for_s
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
