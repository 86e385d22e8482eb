"""An identity is no address and no moment: nodes move, sleep and are copied; members stay who they are."""

from __future__ import annotations

import pytest

from sims.cluster import Cluster, simple_cluster
from sims.host import Host
from sims.observer import Observer
from swarm.core.effects import Effect, Notify
from swarm.core.ids import short


class Doubts(Observer):
    """Notes (time, who, event, about whom) of everything that members believe of each other."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, str, str, str]] = []

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, Notify) and effect.event.startswith("member_"):
                member = str(effect.values["member"])
                self.rows.append((now, host.spec.name, effect.event.removeprefix("member_"), member))

    def about(self, member: str, event: str, since_s: float = 0.0) -> list[tuple[float, str]]:
        return [row[:2] for row in self.rows if row[2:] == (event, member) and row[0] >= since_s]


def formed(count: int, spare: int, seed: str, deaf: bool = False) -> tuple[Cluster, Doubts]:
    """Return a mesh of the first `count` hosts; `spare` more are down."""
    cluster = simple_cluster(count + spare, seed)
    doubts = Doubts()
    cluster.observers.append(doubts)
    for index in range(count + spare):
        if deaf:
            cluster.network.deafen(index)
    for index in range(count):
        cluster.start(index, [0] if deaf and index else None)
    assert cluster.wait_converged(20.0) >= 0
    cluster.run_until(cluster.engine.now + 3.0)
    return cluster, doubts


@pytest.mark.parametrize("is_deaf", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize("seed", ["a", "b", "c"])
def test_the_copy_of_a_node_becomes_a_node_of_its_own(count: int, is_deaf: bool, seed: str) -> None:
    """Row 17: both work within ten seconds, and the duel is over for good."""
    cluster, _ = formed(count, 1, f"clone {seed}", is_deaf)
    original = cluster.hosts[count - 1]
    identity = original.node_id
    incarnation = original.node.gossip.statistics()["incarnation"] if original.node else 0
    cluster.clone(count - 1, count)
    copy = cluster.hosts[count]
    began = cluster.engine.now
    while not (copy.epoch == 2 and cluster.is_converged()):
        cluster.run_until(cluster.engine.now + 0.1)
        assert cluster.engine.now - began < 10.0
    assert (original.node_id, original.epoch) == (identity, 1), "the original was left alone"
    assert copy.node_id != identity
    cluster.run_until(cluster.engine.now + 30.0)
    assert cluster.is_converged()
    assert original.node is not None
    now_at = original.node.gossip.statistics()["incarnation"]
    assert now_at - incarnation < 12
    cluster.run_until(cluster.engine.now + 60.0)
    assert original.node.gossip.statistics()["incarnation"] == now_at


def test_a_copy_made_while_the_original_is_off_yields_when_that_is_back() -> None:
    """The copy takes the member's place; the machine that the home was made on takes it back."""
    cluster, _ = formed(3, 1, "copy of a node that is off")
    cluster.kill(2)
    cluster.run_until(cluster.engine.now + 5.0)
    identity = cluster.hosts[2].node_id
    cluster.clone(2, 3)
    assert cluster.wait_converged(10.0) >= 0
    assert cluster.hosts[3].node_id == identity
    cluster.start(2)
    cluster.run_until(cluster.engine.now + 10.0)
    assert cluster.is_converged()
    assert cluster.hosts[2].node_id == identity
    assert cluster.hosts[3].node_id != identity


@pytest.mark.parametrize("index", [1, 0])
def test_a_phone_that_sleeps_ten_minutes_comes_back_without_flapping(index: int) -> None:
    cluster, doubts = formed(5, 0, f"phone {index}")
    phone = cluster.hosts[index]
    member = short(phone.node_id)
    fell_asleep = cluster.engine.now
    cluster.suspend(index, 600.0)
    cluster.run_until(fell_asleep + 600.0)
    assert len(doubts.about(member, "dead")) == 4, "while it sleeps it is gone"
    woke = cluster.engine.now
    assert 0 <= cluster.wait_converged(5.0) < 2.0
    cluster.run_until(woke + 60.0)
    assert cluster.is_converged()
    assert len(doubts.about(member, "alive", woke)) == 4, "back once, for everybody"
    assert doubts.about(member, "suspect", woke) == doubts.about(member, "dead", woke) == []
    assert [row for row in doubts.rows if row[1] == phone.spec.name and row[2] == "dead"] == []


def test_a_node_that_moves_is_the_same_member() -> None:
    cluster, doubts = formed(4, 0, "move")
    member = short(cluster.hosts[2].node_id)
    moved = cluster.engine.now
    cluster.move(2)
    cluster.run_until(moved + 3.0)
    for host in cluster.hosts:
        assert host.node is not None
        known = host.node.gossip.member(cluster.hosts[2].node_id)
        assert known is not None
        assert (known.state, known.addresses[0]) == ("alive", cluster.hosts[2].address)
    cluster.run_until(moved + 60.0)
    assert cluster.is_converged()
    assert doubts.about(member, "dead", moved) == []
