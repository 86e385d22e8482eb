"""The driver: order, durable barrier, deadlines, batches, gaps; a scripted node under a virtual clock."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from swarm.core.effects import (
    DropObject,
    Erase,
    FetchObject,
    KillExecutor,
    LeaderChanged,
    Notify,
    Persist,
    RecallTasks,
    RenewIdentity,
    RunTasks,
    SendHello,
    SendMessage,
    SendPacket,
    SendToClient,
    SpawnExecutor,
    SpillObject,
)
from swarm.core.errors import StorageError
from swarm.daemon import driver as driver_module
from swarm.daemon.recorder import Recorder, read_recording
from swarm.daemon.storage import Write
from swarm.node_config import HELD_OUTPUT_S
from tests.daemon_bench import HERE, NAME, PEER, Bench, NotedWorld, play, settle


def packet(number: int) -> SendPacket:
    return SendPacket(HERE, b"%d" % number)


def row(key: bytes, durable: bool) -> Persist:
    return Persist("t", key, b"v", durable)


def sent(bench: Bench) -> list[bytes]:
    return [done[-1] for done in bench.world.done if isinstance(done[-1], bytes)]


def test_every_effect_is_performed_in_order(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.poke(
            SendHello(b"hello"),
            packet(1),
            SendMessage(PEER, [HERE], b"m"),
            SendToClient(3, b"c"),
            FetchObject(NAME, b"d" * 16, 5, []),
            SpillObject(NAME, b"small"),
            DropObject(NAME),
            SpawnExecutor(2),
            RunTasks(2, []),
            RecallTasks(2, [7]),
            KillExecutor(2, "over time"),
            Notify("thing_happened", {"member": PEER}),
        )
        await settle()
        assert bench.world.done == [
            ("hello", b"hello"),
            ("packet", HERE, b"1"),
            ("message", PEER, b"m"),
            ("client", 3, b"c"),
            ("fetch", NAME),
            ("spill", NAME, b"small"),
            ("drop", NAME),
            ("spawn", 2),
            ("run", 2),
            ("recall", 2, [7]),
            ("kill", 2, "over time"),
        ]
        assert bench.events() == ["thing_happened"]

    play(tmp_path, scenario)


def test_inner_effects_are_a_bug(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        with pytest.raises(AssertionError, match="no driver performs"):
            bench.driver._perform(LeaderChanged((1, PEER), PEER))

    play(tmp_path, scenario)


def test_inputs_reach_the_node_with_the_time(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        driver = bench.driver
        driver.start([HERE])
        driver.receive_packet(b"p", HERE)
        driver.receive_message(PEER, b"m")
        driver.on_peer_connected(PEER)
        driver.on_peer_lost(PEER, True)
        driver.on_packet_refused(HERE)
        driver.on_client_opened(1, "node")
        driver.receive_client(1, b"c")
        driver.on_client_closed(1)
        driver.on_executor_ready(0, 77)
        driver.on_executor_exit(0, "gone", "last")
        driver.receive_executor_frames(0, [[3, 1]])
        driver.on_object_fetched(NAME)
        driver.on_object_missing(NAME, [PEER])
        driver.on_object_put(NAME, b"d", 3, 1)
        driver.set_addresses([HERE])
        driver.drain()
        driver.leave()
        now = bench.clock.now()
        assert [call[-1] for call in bench.node.calls] == [now] * 18
        assert [call[0] for call in bench.node.calls][:4] == [
            "start",
            "receive_packet",
            "receive_message",
            "on_peer_connected",
        ]
        assert ("on_object_put", NAME, b"d", 3, 1, now) in bench.node.calls
        await driver.left.wait()
        assert sent(bench) == [b"bye"]
        assert driver.statistics()["inputs"] == 18

    play(tmp_path, scenario)


def test_a_burst_of_inputs_costs_one_turn(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await settle()
        before = bench.node.taken
        for number in range(100):
            bench.poke(packet(number))
        assert bench.world.done == []
        await settle()
        assert len(bench.world.done) == 100
        assert bench.node.taken - before == 1

    play(tmp_path, scenario)


def test_deadlines_are_met(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        node = bench.node
        node.deadline_step = 0.25
        start = bench.clock.now()
        node.deadline = start + 0.25
        bench.poke()
        await trio.sleep(1.1)
        times = [call[1] for call in node.calls if call[0] == "handle_deadline"]
        assert times == pytest.approx([start + 0.25, start + 0.5, start + 0.75, start + 1.0])

    play(tmp_path, scenario)


def test_an_input_can_bring_the_deadline_nearer(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        start = bench.clock.now()
        bench.node.deadline = start + 0.9
        bench.poke()
        await trio.sleep(0.1)
        bench.node.deadline = start + 0.2
        bench.poke()
        await trio.sleep(0.3)
        assert ("handle_deadline", pytest.approx(start + 0.2)) in bench.node.calls

    play(tmp_path, scenario)


def test_idle_turns_read_the_clock_only(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await trio.sleep(20.5)
        assert bench.node.calls == []
        assert 20 <= bench.node.taken <= 23
        assert bench.journal.commits == []

    play(tmp_path, scenario)


def test_effects_behind_a_durable_row_wait_for_it(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.journal.gate = trio.Event()
        bench.poke(packet(1), row(b"a", True), packet(2))
        await settle()
        bench.poke(packet(3))
        await settle()
        assert sent(bench) == [b"1"]
        assert bench.node.calls[-1][0] == "receive_packet", "inputs are accepted all the time"
        bench.journal.gate.set()
        await settle()
        assert sent(bench) == [b"1", b"2", b"3"]
        assert bench.journal.commits == [([row(b"a", True)], True)]

    play(tmp_path, scenario)


def test_behind_a_slow_disk_nothing_is_due(tmp_path: Path) -> None:
    """What the node asked was not asked yet: who seems silent was never spoken to."""

    async def scenario(bench: Bench) -> None:
        gate = bench.journal.gate = trio.Event()
        start = bench.clock.now()
        bench.node.deadline_step = 0.4
        bench.node.deadline = start + 0.4
        bench.poke(row(b"a", True), packet(1), SendHello(b"2"), SendMessage(PEER, [HERE], b"3"))
        await trio.sleep(HELD_OUTPUT_S + 3.0)
        bench.poke(packet(4), SendMessage(PEER, [HERE], b"5"))
        await settle()
        times = [call[1] for call in bench.node.calls if call[0] == "handle_deadline"]
        assert times == pytest.approx([start + 0.4, start + 0.8]), "for a moment it goes on"
        assert bench.node.calls[-1][0] == "receive_packet", "inputs are accepted all the time"
        freed = bench.clock.now()
        gate.set()
        await settle()
        assert sent(bench) == [b"1", b"2", b"3", b"4", b"5"]
        times = [call[1] for call in bench.node.calls if call[0] == "handle_deadline"]
        assert times[2] == pytest.approx(freed, abs=0.1)

    play(tmp_path, scenario)


def test_rows_that_wait_share_one_commit(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        gate = bench.journal.gate = trio.Event()
        bench.poke(row(b"a", True), packet(1))
        await settle()
        bench.poke(row(b"b", True), packet(2), row(b"c", False), Erase("t", b"x"), row(b"d", True), packet(3))
        await settle()
        assert sent(bench) == []
        gate.set()
        await settle()
        assert sent(bench) == [b"1", b"2", b"3"]
        assert [[write.fields()[1] for write in writes] for writes, _ in bench.journal.commits] == [
            [b"a"],
            [b"b", b"c", b"x", b"d"],
        ]
        assert [durable for _, durable in bench.journal.commits] == [True, True]

    play(tmp_path, scenario)


def test_rows_in_front_of_a_durable_one_go_with_it(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.poke(row(b"a", False))
        await settle()
        assert bench.journal.commits == []
        bench.poke(row(b"b", True), packet(1))
        await settle()
        assert bench.journal.commits == [([row(b"a", False), row(b"b", True)], True)]
        assert sent(bench) == [b"1"]

    play(tmp_path, scenario)


def test_other_rows_are_batched_for_a_second(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.poke(row(b"a", False), packet(1))
        await trio.sleep(0.5)
        bench.poke(row(b"b", False))
        bench.driver.persist(row(b"own", False))
        await trio.sleep(0.4)
        assert bench.journal.commits == []
        assert sent(bench) == [b"1"]
        await trio.sleep(0.2)
        expected: list[Write] = [row(b"a", False), row(b"own", False), row(b"b", False)]
        assert bench.journal.commits == [(expected, False)]

    play(tmp_path, scenario)


def test_a_durable_row_during_an_ordinary_commit(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        gate = bench.journal.gate = trio.Event()
        bench.poke(row(b"a", False))
        await trio.sleep(1.2)
        bench.poke(row(b"b", True), packet(1), row(b"c", False))
        await settle()
        assert sent(bench) == []
        gate.set()
        await settle()
        assert sent(bench) == [b"1"]
        assert [durable for _, durable in bench.journal.commits] == [False, True]

    play(tmp_path, scenario)


def test_rows_waiting_at_the_end_are_written(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.poke(row(b"a", False))
        await settle()

    bench = play(tmp_path, scenario)
    assert bench.journal.commits == [([row(b"a", False)], True)]


def test_a_failing_disk_holds_everything_back_until_it_recovers(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.journal.failures = 3
        bench.poke(row(b"a", True), SendMessage(PEER, [HERE], b"1"))
        await trio.sleep(0.6)
        assert sent(bench) == []
        assert bench.driver.statistics()["journal_error"] == "no space left for the journal"
        await trio.sleep(2.0)
        assert sent(bench) == [b"1"]
        assert bench.driver.statistics()["journal_error"] == ""
        assert bench.driver.statistics()["commit_failures"] == 3
        assert bench.events() == ["journal_failed", "journal_recovered"]

    play(tmp_path, scenario)


def test_a_disk_that_stays_broken_ends_the_driver(tmp_path: Path) -> None:
    benches: list[Bench] = []

    async def scenario(bench: Bench) -> None:
        benches.append(bench)
        bench.journal.failures = 10_000
        bench.poke(row(b"a", True), packet(1))
        await trio.sleep(60)

    with pytest.raises(ExceptionGroup) as caught:
        play(tmp_path, scenario)
    error: BaseException = caught.value
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, StorageError)
    assert sent(benches[0]) == []
    benches[0].driver.close()
    assert benches[0].events() == ["journal_failed", "journal_failed"]
    benches[0].journal.failures = 0
    benches[0].journal.close()
    benches[0].log.close()


def test_after_the_driver_failed_its_rows_are_tried_until_the_disk_takes_them(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        driver = bench.driver
        driver._batch = [row(b"a", False)]
        driver._waiting = [row(b"b", True), packet(1)]
        bench.journal.failures = 4
        began = trio.current_time()
        await driver.wait_writable()
        assert trio.current_time() - began >= 4 * driver_module.STAND_ASIDE_RETRY_S
        assert bench.journal.commits == [([row(b"a", False), row(b"b", True)], True)]
        assert sent(bench) == [], "what stood behind the rows is not done any more"
        assert driver.statistics()["journal_error"] == "no space left for the journal"

    bench = play(tmp_path, scenario)
    assert len(bench.journal.commits) == 1, "nothing is left to be written"


def test_too_many_waiting_effects_end_the_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "EFFECTS_WAITING_MAX", 10)

    async def scenario(bench: Bench) -> None:
        bench.journal.gate = trio.Event()
        bench.poke(row(b"a", True), *[packet(number) for number in range(8)])
        await settle()
        bench.driver._waiting += [packet(number) for number in range(8)]
        bench.node.effects += [packet(number) for number in range(8)]
        with pytest.raises(StorageError, match="does not keep up"):
            bench.driver._pump()
        bench.driver._waiting.clear()
        bench.journal.gate.set()
        await settle()

    play(tmp_path, scenario)


def test_a_stall_wakes_the_node_before_anything_else(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await settle()
        bench.node.deadline = bench.clock.now() + 0.5
        bench.clock.extra += 10
        bench.driver.receive_packet(b"p", HERE)
        assert [call[0] for call in bench.node.calls] == ["wake", "receive_packet"]
        await settle()
        assert [call[0] for call in bench.node.calls][2:] == ["handle_deadline"]
        assert bench.events() == ["clock_gap"]
        assert bench.driver.statistics()["clock_gaps"] == 1

    play(tmp_path, scenario)


def test_a_sleep_is_noticed_without_input(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        await settle()
        bench.clock.extra += 2
        bench.clock.suspended += 2
        await trio.sleep(1.1)
        assert [call[0] for call in bench.node.calls] == ["wake"]

    play(tmp_path, scenario)


def test_a_clock_that_goes_back_is_not_followed(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.driver.receive_packet(b"1", HERE)
        bench.clock.extra -= 5
        bench.driver.receive_packet(b"2", HERE)
        times = [call[-1] for call in bench.node.calls]
        assert times[0] == times[1]
        await settle()

    play(tmp_path, scenario)


def test_effects_that_cause_inputs_get_another_turn(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        class Echo(NotedWorld):
            def spawn_executor(self, executor: int) -> None:
                bench.node.effects.append(packet(7))
                bench.driver.on_executor_exit(executor, "no descriptors", "")

        echo = Echo()
        bench.driver._world = echo
        bench.poke(SpawnExecutor(0))
        await settle()
        assert echo.done == [("packet", HERE, b"7")]

    play(tmp_path, scenario)


def test_inputs_are_recorded(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "recording", ["seed", [], {}])

    async def scenario(bench: Bench) -> None:
        bench.node.deadline = bench.clock.now() + 0.3
        bench.driver.receive_packet(b"p", HERE)
        await trio.sleep(0.5)
        bench.clock.extra += 10
        bench.driver.leave()

    play(tmp_path, scenario, recorder)
    header, inputs = read_recording(tmp_path / "recording")
    assert header == ["seed", [], {}]
    assert [fields[:2] for fields in inputs] == [
        ["receive_packet", [b"p", ["10.0.0.1", 7117]]],
        ["handle_deadline", []],
        ["wake", []],
        ["leave", []],
    ]


def test_addresses_to_greet_reach_the_node(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        bench.driver.greet([HERE])
        assert bench.node.calls[-1][:2] == ("greet", [HERE])

    play(tmp_path, scenario)


def test_a_node_that_asks_for_a_new_identity_is_heard(tmp_path: Path) -> None:
    async def scenario(bench: Bench) -> None:
        assert not bench.driver.renewal.is_set()
        bench.poke(Persist("members", b"m", b"v", False), RenewIdentity())
        await bench.driver.renewal.wait()

    bench = play(tmp_path, scenario)
    assert [write for writes, _ in bench.journal.commits for write in writes] == [
        Persist("members", b"m", b"v", False)
    ]
