"""What a scenario can do to hosts, processes, clocks, disks and streams, and what their nodes see of it."""

from __future__ import annotations

import itertools

import pytest

from sims.client import SimulatedClient, simulated_task
from sims.cluster import Cluster, simple_cluster
from sims.disk import DESTROYED
from sims.host import Host
from sims.observer import PACKET, Observer
from swarm.core.effects import Effect, ExecutorTask, SendMessage
from swarm.wire.job_part import JobPart


class Notes(Observer):
    """Writes down what it sees."""

    def __init__(self) -> None:
        self.boots: list[int] = []
        self.downs: list[tuple[int, str]] = []
        self.inputs: list[tuple[int, str, float]] = []
        self.tasks: list[tuple[int, float, float, str]] = []
        self.syncs = 0
        self.handed = 0
        self.performed = 0

    def on_boot(self, host: Host, now: float) -> None:
        self.boots.append(host.index)

    def on_down(self, host: Host, how: str, now: float) -> None:
        self.downs.append((host.index, how))

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        self.inputs.append((host.index, kind, now))

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        self.handed += len(effects)

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        self.performed += 1

    def on_synced(self, host: Host, now: float) -> None:
        self.syncs += 1

    def on_task(self, host: Host, task: ExecutorTask, begin_s: float, end_s: float, how: str) -> None:
        self.tasks.append((host.index, begin_s, end_s, how))


def mesh(count: int, seed: str = "hosts") -> Cluster:
    cluster = simple_cluster(count, seed)
    for index in range(count):
        cluster.start(index)
    assert cluster.wait_converged(10.0) >= 0
    return cluster


def state_of(cluster: Cluster, watcher: int, member: int) -> str:
    node = cluster.hosts[watcher].node
    assert node is not None
    seen = node.gossip.member(cluster.hosts[member].node_id)
    return "" if seen is None else seen.state


def job(seconds: float, count: int = 1) -> JobPart:
    return JobPart(0, {"name": "job"}, [simulated_task("t", seconds, [8], [], True) for _ in range(count)])


def run_for(cluster: Cluster, seconds: float) -> None:
    cluster.run_until(cluster.engine.now + seconds)


def test_a_paused_process_takes_its_datagrams_when_it_goes_on() -> None:
    cluster = mesh(3)
    notes = Notes()
    cluster.observers.append(notes)
    begin = cluster.engine.now
    cluster.pause(1, 2.0)
    run_for(cluster, 1.9)
    assert all(index != 1 for index, _, _ in notes.inputs)
    run_for(cluster, 0.2)
    late = [now for index, kind, now in notes.inputs if index == 1 and kind == PACKET]
    assert late
    assert late[0] == begin + 2.0
    run_for(cluster, 5.0)
    assert state_of(cluster, 0, 1) == "alive"


def test_the_socket_of_a_paused_process_holds_a_bounded_number_of_datagrams() -> None:
    cluster = mesh(3)
    host = cluster.hosts[1]
    cluster.pause(1, 500.0)
    run_for(cluster, 499.0)
    assert len(host.backlog) <= host.settings.socket_buffer_count + len(host.links) * 10
    assert cluster.overflowed > 0


def test_a_host_that_sleeps_loses_its_datagrams_and_is_back_soon() -> None:
    cluster = mesh(4)
    cluster.suspend(2, 60.0)
    run_for(cluster, 30.0)
    assert state_of(cluster, 0, 2) == "dead"
    run_for(cluster, 31.5)
    assert [state_of(cluster, watcher, 2) for watcher in (0, 1, 3)] == ["alive"] * 3
    assert [state_of(cluster, 2, other) for other in (0, 1, 3)] == ["alive"] * 3


def test_a_slow_process_takes_one_input_at_a_time() -> None:
    cluster = mesh(3)
    notes = Notes()
    cluster.observers.append(notes)
    cluster.set_pace(1, 0.05)
    run_for(cluster, 10.0)
    times = [now for index, _, now in notes.inputs if index == 1]
    assert len(times) > 10
    assert min([later - sooner for sooner, later in itertools.pairwise(times)]) >= 0.05 - 1e-9


def test_clocks_that_drift_or_jump_do_not_divide_a_mesh() -> None:
    cluster = mesh(3)
    for index, drift_ppm in enumerate((500.0, -500.0, 0.0)):
        cluster.set_drift(index, drift_ppm)
    run_for(cluster, 120.0)
    assert cluster.is_converged()
    cluster.jump_clock(0, 3600.0)
    run_for(cluster, 10.0)
    assert cluster.is_converged()
    cluster.suspend(1, 20.0, counts=False)
    run_for(cluster, 40.0)
    assert cluster.is_converged()


def test_slow_executors_take_longer() -> None:
    cluster = mesh(1)
    notes = Notes()
    cluster.observers.append(notes)
    cluster.set_slowness(0, 3.0)
    client = SimulatedClient(cluster, "slow", job(1.0), 0)
    assert client.wait_final(20.0)
    ((_, begin_s, end_s, how),) = notes.tasks
    assert how == "done"
    assert abs(end_s - begin_s - 3.0) < 1e-9


def test_a_destroyed_disk_takes_the_identity_with_it() -> None:
    cluster = mesh(3)
    before = cluster.hosts[1].node_id
    cluster.kill(1, disk="destroyed")
    cluster.start(1, [0])
    assert cluster.hosts[1].node_id != before
    assert cluster.wait_converged(20.0) >= 0


def test_a_damaged_journal_is_noticed_at_the_next_start() -> None:
    cluster = mesh(3)
    assert cluster.flip_bit(1) != ""
    cluster.kill(1, power=True)
    cluster.start(1)
    assert not cluster.hosts[1].disk.is_damaged
    assert cluster.wait_converged(20.0) >= 0


def test_a_host_that_moves_stays_the_same_member() -> None:
    cluster = mesh(3)
    node_id = cluster.hosts[1].node_id
    cluster.move(1)
    run_for(cluster, 5.0)
    assert cluster.is_converged()
    watcher = cluster.hosts[0].node
    assert watcher is not None
    assert watcher.gossip.addresses_of(node_id)[0] == cluster.hosts[1].address


def test_a_stream_carries_on_after_a_short_cut_and_breaks_after_a_long_one() -> None:
    for seconds, is_open in ((5.0, True), (40.0, False)):
        cluster = mesh(2)
        one, two = cluster.hosts
        message = SendMessage(two.node_id, [two.address], b"\x96")
        cluster._perform(one, [message])
        run_for(cluster, 0.1)
        assert one.links[1] is two.links[0]
        cluster.network.block(0, 1)
        cluster._perform(one, [message, message])
        assert len(one.stuck[1]) == 2
        notes = Notes()
        cluster.observers.append(notes)
        run_for(cluster, seconds)
        cluster.network.heal()
        run_for(cluster, 16.0)
        lost = [index for index, kind, _ in notes.inputs if kind == "link lost"]
        assert (lost == []) == is_open
        assert (1 in one.stuck) is False


def test_a_host_that_lost_its_power_resets_old_streams_when_it_is_back() -> None:
    cluster = mesh(2)
    one, two = cluster.hosts
    message = SendMessage(two.node_id, [two.address], b"\x96")
    cluster._perform(one, [message])
    run_for(cluster, 0.1)
    cluster.kill(1, power=True)
    assert one.links[1].epoch_of(1) == two.epoch
    cluster.start(1)
    notes = Notes()
    cluster.observers.append(notes)
    cluster._perform(one, [message])
    run_for(cluster, 0.01)
    assert (0, "link lost") in [(index, kind) for index, kind, _ in notes.inputs]


def test_observers_see_everything_and_change_nothing() -> None:
    plain, watched = mesh(3, "seen"), simple_cluster(3, "seen")
    notes = Notes()
    watched.observers.append(notes)
    for index in range(3):
        watched.start(index)
    assert watched.wait_converged(10.0) >= 0
    for cluster in (plain, watched):
        client = SimulatedClient(cluster, "job", job(0.1, 5), 0)
        client.wait_final(10.0)
        cluster.kill(1)
        cluster.kill(2, power=True)
        run_for(cluster, 1.0)
    assert plain.trace.digest() == watched.trace.digest()
    assert notes.boots == [0, 1, 2]
    assert notes.downs == [(1, "kill"), (2, "power")]
    assert [how for _, _, _, how in notes.tasks] == ["done"] * 5
    assert notes.syncs > 0
    assert 0 < notes.performed <= notes.handed


def test_two_clones_of_an_identity_both_run_and_the_copy_becomes_a_node_of_its_own() -> None:
    cluster = simple_cluster(4, "clones")
    for index in range(3):
        cluster.start(index)
    assert cluster.wait_converged(10.0) >= 0
    cluster.clone(1, 3)
    assert cluster.hosts[3].node_id == cluster.hosts[1].node_id
    assert cluster.hosts[3].address != cluster.hosts[1].address
    run_for(cluster, 8.0)
    assert len(cluster.running()) == 4
    assert cluster.hosts[3].node_id != cluster.hosts[1].node_id
    assert (cluster.hosts[1].epoch, cluster.hosts[3].epoch) == (1, 2), "only the copy began again"
    assert cluster.is_converged()


def ends_of_a_task(seconds: float, sleeps: list[tuple[float, float]]) -> list[float]:
    """Return when the attempts of a task that begins about now end, with sleeps of its host."""
    cluster = mesh(1)
    notes = Notes()
    cluster.observers.append(notes)
    client = SimulatedClient(cluster, "sleepy", job(seconds), 0)
    client.wait_final(0.5)
    begin = cluster.engine.now - 0.5
    for at_s, for_s in sleeps:
        cluster.run_until(begin + at_s)
        cluster.suspend(0, for_s)
    cluster.run_until(begin + 100.0)
    return [round(end_s - begin_s) for _, begin_s, end_s, _ in notes.tasks]


def test_tasks_stand_still_while_their_host_sleeps() -> None:
    assert ends_of_a_task(10.0, []) == [10]
    assert ends_of_a_task(10.0, [(4.0, 30.0)]) == [40]
    assert ends_of_a_task(10.0, [(4.0, 3.0), (12.0, 20.0)]) == [33]
    assert ends_of_a_task(10.0, [(4.0, 20.0), (5.0, 30.0)]) == [41], "one sleep goes into the other"


@pytest.mark.parametrize("after_s", [0.0, 10.0])
def test_a_clone_that_is_taken_away_leaves_the_original_alone(after_s: float) -> None:
    """Before it has noticed what it is, and after it has become a node of its own."""
    cluster = simple_cluster(4, "clones")
    for index in range(3):
        cluster.start(index)
    cluster.wait_converged(10.0)
    cluster.clone(1, 3)
    shared = cluster.hosts[1].node_id
    run_for(cluster, after_s)
    assert (cluster.hosts[3].node_id == shared) is (after_s < 1.0)
    cluster.end_clone(3)
    assert cluster.hosts[3].node is None
    assert cluster.hosts[3].node_id != shared
    assert cluster.hosts[1].node_id == shared
    cluster.start(3)
    assert cluster.wait_converged(30.0) >= 0
    assert len(cluster.running()) == 4


def test_what_a_node_says_of_itself_reaches_the_others() -> None:
    cluster = simple_cluster(3, "describe")
    for index in range(3):
        cluster.start(index)
    cluster.wait_converged(10.0)
    cluster.describe(1, {"load": 7})
    run_for(cluster, 3.0)
    for node in cluster.running():
        member = node.gossip.member(cluster.hosts[1].node_id)
        assert member is not None
        assert member.facts["load"] == 7
        assert member.facts["speed"] == 1.0


def test_a_stream_is_lost_under_the_identity_that_was_dialled() -> None:
    """A host that has a new identity is another node: nobody has a stream to that one yet."""
    cluster = mesh(3)
    leader = next(host for host in cluster.hosts if host.node is not None and host.node.scheduler.is_leading)
    other = cluster.hosts[(leader.index + 1) % 3]
    assert leader.node is not None
    before = other.node_id
    cluster._perform(leader, [SendMessage(before, [other.address], b"\x96")])
    run_for(cluster, 0.5)
    assert leader.links[other.index].identity_of(other.index) == before
    cluster.kill(other.index, power=True, disk=DESTROYED)
    cluster.start(other.index, [leader.index])
    assert other.node_id != before
    assert leader.node.scheduler.dispatcher.workers[before].has_reported
    cluster._perform(leader, [SendMessage(other.node_id, [other.address], b"\x96")])
    run_for(cluster, 0.05)
    assert not leader.node.scheduler.dispatcher.workers[before].has_reported
    assert leader.links[other.index].identity_of(other.index) == other.node_id
