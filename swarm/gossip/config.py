"""Settings of gossip. Nothing here is read from files; see `swarm.daemon.config_file`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from swarm.core.errors import ConfigError

FACT_BANDS: Final = (
    ("load", 1.0, 0.5),
    ("memory_free", 268435456.0, 0.25),
    ("battery", 5.0, 0.0),
    ("temperature", 8.0, 0.0),
    ("slots_free", 0.0, 0.25),
)
"""How far the numbers of a node's capacity move without being told again: what alters no decision.

* ``load``: one process more or less that wants a core; on a loaded machine half as much again.
* ``memory_free``, bytes: 256 MiB, the smallest memory that a task is likely to ask for, or a quarter.
* ``battery``, percent: a laptop loses 5 in a quarter of an hour, so that is how often it tells.
* ``temperature``, degrees Celsius: a resting processor wanders by some 5; limits lie 10 and more apart.
* ``slots_free``: a quarter of them; none and one are always told apart.
"""


@dataclass(frozen=True, kw_only=True)
class GossipConfig:
    """Times, sizes and bounds of the membership protocol; the defaults suit one local network.

    Attributes:
        probe_interval_s: seconds between two probes by this node, > 0. One second, as in SWIM and memberlist.
        probe_timeout_s: seconds to wait for a direct answer of a peer whose round trip is not known yet;
            half an interval, as in memberlist.
        probe_timeout_min_s, probe_timeout_max_s: bounds of the timeout derived from measured round trips.
            A Raspberry Pi on power-saving Wi-Fi has a 99th percentile of 2 s, a wired host of 1 ms.
        probe_share: an unanswered probe ends after this share of the interval, in (0, 1], but not before
            twice the peer's own timeout: the helpers' nacks need time to arrive.
        helper_count: members asked to probe on our behalf, >= 0. Three, as in memberlist.
        nack_after_s: seconds after which a helper tells that it too had no answer (Lifeguard); must leave
            time for the nack to arrive before the probe ends.
        confirm_timeout_s: seconds that a peer whose port was refused has to answer the confirming probe.
        confirm_ping_count: pings sent during that time, >= 1, so that one lost datagram kills nobody.
        confirm_interval_min_s: seconds between two confirming probes of one member.
        probes_max, relays_max: bounds of the probes of our own and for others under way at once.
        suspicion_multiplier: the shortest suspicion is this times log10 of the mesh (at least 1) times the
            probe interval. Lifeguard's alpha; 2 is the fast one of its paper: the wrong verdicts that it
            makes more likely are those that `weighs_evidence` prevents.
        suspicion_max_factor: the longest suspicion in shortest ones, >= 1. Lifeguard's beta, 6.
        confirmations_wanted: independent accusers that bring a suspicion to its shortest; 0 is used in
            meshes too small to have them.
        weighs_evidence: whether a verdict waits for one that is heard, and for others where this node doubts
            itself (rules W1 to W3 of `swarm.gossip.suspicion`); without it suspicions end as in Lifeguard.
        extra_prober_count: members, on average in the whole mesh, that probe a suspect at once when they
            hear of it, so that the loss of a whole group is confirmed in parallel.
        group_share: when two members and this share of the mesh are suspect at once, every failed probe
            brings `extra_prober_count` more, of members not suspect yet.
        awareness_max: local health is in [0, awareness_max), and multiplies timeouts by up to this (8).
        spread_interval_s, spread_fanout: while there are rumours, this many members get some this often.
        retransmit_multiplier: a rumour is sent this times ceil(log10(n + 1)) times (memberlist: 4).
        rumour_queue_max: rumours waiting to be spread; the most often sent one makes room.
        rumours_per_packet_max: rumours read from one packet, the rest is dropped and counted.
        rumours_per_second_max: rumours accepted from one sender in a second by datagram.
        packet_size_max_bytes: bytes of a packet's body; sealed it must stay below 1,400 (IPv6 over VPNs).
        rumour_size_max_bytes: bytes of one rumour.
        facts_size_max_bytes: bytes of the packed facts in a rumour.
        fact_changes_burst: changes of the own facts that may be told at once, >= 1 (`Gossip.update_facts`).
        fact_interval_s: seconds between two such changes after that, in a small mesh. A change is a
            rumour about this node, some 400 bytes, sent some 6 times by each of 20 nodes.
        fact_changes_per_s: changes per second of all nodes together in a large mesh: with it the
            traffic for facts that change is the same for a node in a mesh of 20 and of 500.
        fact_numbers_intervals: where nothing changed but numbers that have a band, so many such intervals
            lie between two changes, >= 1: a load or a temperature never keeps a service or an unplugged
            charger waiting.
        fact_bands: (fact, absolute, share): a number that moved by no more than the larger of the two
            from what was told is not told again. :data:`FACT_BANDS`.
        members_max: entries of the table, dead ones included; the longest dead makes room.
        addresses_max: addresses kept for a member.
        incarnation_jump_max: a claim that raises a known incarnation further than this is dropped.
        incarnation_first_max: highest incarnation believed of a member never seen before.
        dead_kept_s, left_kept_s: seconds that the dead and those that left stay in the table. The dead
            are asked again all that time.
        push_pull_interval_s, push_pull_interval_max_s: seconds between two exchanges started because the
            table digests differ; doubles while they bring nothing new.
        push_pull_burst: exchanges that may be started at once (joining).
        push_pull_replies_per_second: exchanges answered per second.
        push_pull_size_max_bytes: bytes of rumours in one message; a larger table is sent in several.
        hello_burst_s: when hellos are sent after a start or wake, seconds, rising, first 0.
        hello_interval_min_s, hello_interval_max_s: bounds of the interval of the following hellos (Trickle).
        hello_redundancy: hellos of others heard in an interval that make ours needless (Trickle's k).
        hello_answers_wanted: how many members of the mesh answer a hello sent to everybody, on average.
        hello_answers_per_second: hellos that this node answers per second at most, and in a burst.
        reconnect_interval_min_s, reconnect_interval_max_s: the dead and unanswered addresses are asked
            again after the first, then ever more seldom up to the second.
        reconnect_count_max: addresses, and dead members, asked in the first round; fewer in rarer ones.
        reconnect_mesh_count: dead members that all members together ask in a round, on average: a cut that
            heals without multicast is bridged within a round or two, whatever the size of its sides.
        reconnect_burst_max: the same for the round at once when one of the dead has come back.
        contacts_max: seeds and remembered addresses kept.
        leave_fanout: members told directly that we leave.
        leave_time_s: seconds from leaving to LeaveFinished; the goodbye is sent three times in it.
        clock_gap_s: a deadline handled later than this was slept through: see `Gossip.wake`.
    """

    probe_interval_s: float = 1.0
    probe_timeout_s: float = 0.5
    probe_timeout_min_s: float = 0.2
    probe_timeout_max_s: float = 1.0
    probe_share: float = 0.6
    helper_count: int = 3
    nack_after_s: float = 0.3
    confirm_timeout_s: float = 0.3
    confirm_ping_count: int = 3
    confirm_interval_min_s: float = 1.0
    probes_max: int = 64
    relays_max: int = 256
    suspicion_multiplier: float = 2.0
    suspicion_max_factor: float = 6.0
    confirmations_wanted: int = 2
    weighs_evidence: bool = True
    extra_prober_count: int = 3
    group_share: float = 0.1
    awareness_max: int = 8
    spread_interval_s: float = 0.2
    spread_fanout: int = 3
    retransmit_multiplier: int = 4
    rumour_queue_max: int = 2048
    rumours_per_packet_max: int = 64
    rumours_per_second_max: int = 2000
    packet_size_max_bytes: int = 1200
    rumour_size_max_bytes: int = 900
    facts_size_max_bytes: int = 512
    fact_changes_burst: int = 4
    fact_interval_s: float = 10.0
    fact_changes_per_s: float = 1.0
    fact_numbers_intervals: float = 3.0
    fact_bands: tuple[tuple[str, float, float], ...] = FACT_BANDS
    members_max: int = 10000
    addresses_max: int = 8
    incarnation_jump_max: int = 2**20
    incarnation_first_max: int = 2**40
    dead_kept_s: float = 7 * 86400.0
    left_kept_s: float = 3600.0
    push_pull_interval_s: float = 1.0
    push_pull_interval_max_s: float = 30.0
    push_pull_burst: int = 3
    push_pull_replies_per_second: int = 8
    push_pull_size_max_bytes: int = 262144
    hello_burst_s: tuple[float, ...] = (0.0, 0.2, 0.6, 1.4)
    hello_interval_min_s: float = 1.0
    hello_interval_max_s: float = 4.0
    hello_redundancy: int = 2
    hello_answers_wanted: int = 6
    hello_answers_per_second: int = 10
    reconnect_interval_min_s: float = 1.0
    reconnect_interval_max_s: float = 4.0
    reconnect_count_max: int = 8
    reconnect_mesh_count: int = 6
    reconnect_burst_max: int = 64
    contacts_max: int = 64
    leave_fanout: int = 32
    leave_time_s: float = 0.3
    clock_gap_s: float = 5.0

    def __post_init__(self) -> None:
        _check_positive("probe_interval_s", self.probe_interval_s)
        _check_positive("spread_interval_s", self.spread_interval_s)
        _check_positive("nack_after_s", self.nack_after_s)
        if not 0 < self.probe_share <= 1:
            raise ConfigError(f"probe_share is {self.probe_share}, it must be above 0 and at most 1")
        _check_positive("confirm_timeout_s", self.confirm_timeout_s)
        _check_positive("push_pull_interval_s", self.push_pull_interval_s)
        _check_positive("leave_time_s", self.leave_time_s)
        _check_positive("clock_gap_s", self.clock_gap_s)
        _check_order(
            "probe_timeout", self.probe_timeout_min_s, self.probe_timeout_s, self.probe_timeout_max_s
        )
        _check_order("hello_interval", 0.1, self.hello_interval_min_s, self.hello_interval_max_s)
        _check_order("reconnect_interval", 0.1, self.reconnect_interval_min_s, self.reconnect_interval_max_s)
        _check_order("push_pull_interval", 0.1, self.push_pull_interval_s, self.push_pull_interval_max_s)
        _check_least("suspicion_multiplier", self.suspicion_multiplier, 0.5)
        _check_least("suspicion_max_factor", self.suspicion_max_factor, 1)
        _check_least("confirm_ping_count", self.confirm_ping_count, 1)
        _check_least("awareness_max", self.awareness_max, 1)
        _check_least("members_max", self.members_max, 2)
        _check_least("rumour_queue_max", self.rumour_queue_max, 16)
        _check_least("spread_fanout", self.spread_fanout, 1)
        _check_least("probes_max", self.probes_max, 2)
        _check_least("contacts_max", self.contacts_max, 1)
        _check_least("push_pull_size_max_bytes", self.push_pull_size_max_bytes, self.rumour_size_max_bytes)
        _check_positive("fact_interval_s", self.fact_interval_s)
        _check_positive("fact_changes_per_s", self.fact_changes_per_s)
        _check_least("fact_changes_burst", self.fact_changes_burst, 1)
        _check_least("fact_numbers_intervals", self.fact_numbers_intervals, 1)
        for fact, absolute, share in self.fact_bands:
            if absolute < 0 or share < 0:
                raise ConfigError(f"fact_bands: {fact} has a band of {absolute} and {share}, both are >= 0")
        if self.facts_size_max_bytes >= self.rumour_size_max_bytes:
            raise ConfigError("facts_size_max_bytes must be below rumour_size_max_bytes")
        if self.rumour_size_max_bytes + 100 > self.packet_size_max_bytes:
            raise ConfigError("packet_size_max_bytes must exceed rumour_size_max_bytes by at least 100")
        if not self.hello_burst_s or self.hello_burst_s[0] != 0.0:
            raise ConfigError("hello_burst_s must start with 0")

    @staticmethod
    def named(name: str) -> GossipConfig:
        """Return the preset of a name, one of :data:`PRESETS`.

        Raises:
            ConfigError: there is none.
        """
        if name == "lan":
            return GossipConfig.lan()
        if name == "local":
            return GossipConfig.local()
        if name == "wan":
            return GossipConfig.wan()
        if name == "phone":
            return GossipConfig.phone()
        raise ConfigError(f"no preset is called {name!r}; there are {', '.join(PRESETS)}")

    @staticmethod
    def lan() -> GossipConfig:
        """Return the settings for one local network: the defaults, whose reasons stand above."""
        return GossipConfig()

    @staticmethod
    def local() -> GossipConfig:
        """Return settings for nodes on one host: the same protocol, twice as fast.

        Packets of the loopback cost nothing and are not lost, so what limits is the host's scheduler: a busy
        one lets a process wait for some 100 ms.

        * probe_interval_s 0.5: a silent death is known in half the time, for twice the packets.
        * probe_timeout_s 0.25: half an interval, as in every preset.
        * probe_timeout_min_s 0.1: round trips are below 1 ms; this is for the scheduler alone.
        * probe_timeout_max_s 0.5: an interval, so that at most two probes of one member overlap.
        * nack_after_s 0.15: with the timeout 0.4 s, before the probe ends after two timeouts, 0.5 s.
        * spread_interval_s 0.1: a rumour takes log3(n) rounds: 20 nodes in 0.3 s.
        """
        return GossipConfig(
            probe_interval_s=0.5,
            probe_timeout_s=0.25,
            probe_timeout_min_s=0.1,
            probe_timeout_max_s=0.5,
            nack_after_s=0.15,
            spread_interval_s=0.1,
        )

    @staticmethod
    def wan() -> GossipConfig:
        """Return settings for routed networks with round trips of hundreds of milliseconds.

        Routes flap for some ten seconds and links lose packets in bursts, so a verdict takes longer. Round
        trips go up to 0.6 s (a satellite), through a helper up to twice that.

        * probe_interval_s 5: as in memberlist's WAN settings; a fifth of the packets.
        * probe_timeout_s 2: three of the longest round trips, for a peer not measured yet.
        * probe_timeout_max_s 3: the helpers of a probe need the rest of its interval.
        * nack_after_s 1.5: with the timeout 3.5 s, before the probe ends after two timeouts, 4 s.
        * suspicion_multiplier 4: the shortest suspicion is 20 s, longer than a route needs to come back, and
          time for four probes by others.
        * spread_interval_s 0.5: as in memberlist's WAN settings: more often than a round trip tells it twice.
        * confirm_timeout_s 1: a refusal is confirmed by pings that need a whole round trip.
        """
        return GossipConfig(
            probe_interval_s=5.0,
            probe_timeout_s=2.0,
            probe_timeout_max_s=3.0,
            nack_after_s=1.5,
            suspicion_multiplier=4.0,
            spread_interval_s=0.5,
            confirm_timeout_s=1.0,
        )

    @staticmethod
    def phone() -> GossipConfig:
        """Return settings for a battery: fewer packets of its own, more patience.

        A radio that is woken stays on for some seconds, and while it sleeps packets wait for it, on
        power-saving Wi-Fi for up to 2 s. How often others ask this node, their own presets decide.

        * probe_interval_s 2: half the probes; its share of the mesh's detection is small anyhow.
        * probe_timeout_max_s 2: the 99th percentile of power-saving Wi-Fi.
        * hello_interval_max_s 32: hellos to everybody wake every radio around; those of other members, every
          4 s at latest, are answered all the same, and a start, a wake-up or a new network still burst.
        * reconnect_interval_max_s 30: others look for who is away; this is for a mesh of phones alone.
        * fact_interval_s 30: a change makes everybody send some packets, also to this node.
        """
        return GossipConfig(
            probe_interval_s=2.0,
            probe_timeout_max_s=2.0,
            hello_interval_max_s=32.0,
            reconnect_interval_max_s=30.0,
            fact_interval_s=30.0,
        )


PRESETS: Final = ("lan", "local", "wan", "phone")
"""Names of the presets: for one network, one host, routed networks, a battery."""


def _check_positive(name: str, value: float) -> None:
    if not 0.001 <= value < 1e9:
        raise ConfigError(f"{name} is {value}, it must be at least 0.001 seconds")


def _check_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise ConfigError(f"{name} is {value}, it must be at least {least}")


def _check_order(name: str, low: float, middle: float, high: float) -> None:
    if not 0 < low <= middle <= high:
        raise ConfigError(f"{name}: {low} <= {middle} <= {high} must hold, and all be positive")
