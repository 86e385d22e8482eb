"""The full audit of a Gossip's state; the numbers are those of the docstring of `swarm.gossip.core`."""

from __future__ import annotations

from swarm.gossip.context import (
    EXPIRE,
    FACTS,
    HELLO,
    PROBE_END,
    PROBE_TICK,
    RECONNECT,
    RELAY_END,
    SPREAD,
    SUSPICION,
    Context,
    sequence_subject,
)
from swarm.gossip.discovery import Discovery
from swarm.gossip.membership import Membership
from swarm.gossip.probe import FailureDetector
from swarm.gossip.rumours import ALIVE, LEFT, SUSPECT


def check(
    context: Context,
    membership: Membership,
    detector: FailureDetector,
    discovery: Discovery,
    is_running: bool,
    has_news: bool,
) -> None:
    """Assert every invariant.

    Args:
        context, membership, detector, discovery: the parts.
        is_running: started and not leaving; some invariants are about such nodes only.
        has_news: facts of our own wait to be told.

    Raises:
        AssertionError: one does not hold; the message starts with its number.
    """
    _check_self(context, membership)
    _check_members(membership)
    _check_suspicions(context, membership)
    _check_bounds(context, membership, detector, discovery)
    assert has_news == context.timers.is_set(FACTS, b""), "I9: facts that wait will be told"
    if is_running:
        _check_probes(context, membership, detector)
        _check_liveness(context, membership)


def _check_self(context: Context, membership: Membership) -> None:
    own = membership.own
    assert membership.table.get(context.node_id) is own, "I1: our own entry is in the table"
    state = LEFT if membership.is_leaving else ALIVE
    assert own.state == state, "I1: we are alive until we leave"
    assert own.description.incarnation == own.incarnation, "I1: we describe our present incarnation"


def _check_members(membership: Membership) -> None:
    table = membership.table
    for entry in table.members():
        assert table.get(entry.node_id) is entry, "I3: an entry lies under its own id"
        assert not entry.is_shared or entry.is_plain(), "I3: a shared entry is its member's own words"
        assert entry.description.incarnation <= entry.incarnation, "I2: a description is not from the future"
    assert table.digest() == table.computed_digest(), "I3: the digest is that of the living"
    listed = sorted(table.shared_part()[0])
    assert table.listed() == listed, "I3: the list is that of the living"
    assert all([table.entry(node_id).is_listed() for node_id in listed]), "I3: only the living are listed"


def _check_suspicions(context: Context, membership: Membership) -> None:
    suspects = sorted([entry.node_id for entry in membership.table.with_state(SUSPECT)])
    assert sorted(membership.suspicions.ids()) == suspects, "I4: suspects and suspicions correspond"
    if not membership.is_leaving and not membership.is_yielding:
        for node_id in suspects:
            assert context.timers.is_set(SUSPICION, node_id), "I4: a suspicion ends"


def _check_probes(context: Context, membership: Membership, detector: FailureDetector) -> None:
    peers = membership.listed_peers()
    assert sorted(detector.order.members()) == peers, "I5: every peer is probed, once a round"
    targets: list[bytes] = []
    for sequence, probe in detector.probes.items():
        entry = membership.table.get(probe.target)
        assert entry is not None, "I6: a probe is about a member of the table"
        assert entry.is_listed(), "I6: a probe is about an alive or suspect member"
        assert context.timers.is_set(PROBE_END, sequence_subject(sequence)), "I6: a probe ends"
        assert probe.target not in targets, "I6: one probe at a time about a member"
        targets.append(probe.target)
    for sequence in detector.relays:
        assert context.timers.is_set(RELAY_END, sequence_subject(sequence)), "I6: a relay ends"


def _check_bounds(
    context: Context, membership: Membership, detector: FailureDetector, discovery: Discovery
) -> None:
    config = context.config
    assert len(membership.table) <= config.members_max, "I7: the table is bounded"
    assert len(membership.queue) <= config.rumour_queue_max, "I7: the rumours are bounded"
    assert len(detector.probes) <= config.probes_max, "I7: the probes are bounded"
    assert len(detector.relays) <= config.relays_max, "I7: the relays are bounded"
    assert len(discovery.contacts) <= config.contacts_max, "I7: the contacts are bounded"
    for node_id in membership.queue.members():
        assert membership.table.get(node_id) is not None, "I7: rumours are about members of the table"


def _check_liveness(context: Context, membership: Membership) -> None:
    for kind in (PROBE_TICK, HELLO, RECONNECT, EXPIRE):
        assert context.timers.is_set(kind, b""), f"I8: timer {kind} goes on for ever"
    if len(membership.queue) > 0 and membership.alive_count() > 1:
        assert context.timers.is_set(SPREAD, b""), "I8: what is queued gets spread"
