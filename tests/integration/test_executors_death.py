"""Ends of executors: by themselves, by a signal, by the node, with the fork server, with the daemon."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from swarm.wire.executor_frames import READY
from swarm.wire.facts import Failure
from tests.integration.executor_harness import PATIENCE_S, Harness, run_with_pool
from tests.integration.mesh_sockets import until
from tests.mesh_processes import is_running

HERE = Path(__file__).resolve()


def add(a: int, b: int) -> int:
    return a + b


def leave(code: int) -> None:
    print("last words")
    os.write(2, b"raw words\n")
    os._exit(code)


def crash() -> None:
    print("before the crash", end="")
    ctypes.string_at(0)


async def next_exit(h: Harness) -> tuple[int, str, str]:
    count = len(h.exits)
    await h.wait(lambda: len(h.exits) > count)
    return h.exits[-1]


async def wait_gone(pids: list[int]) -> None:
    """Return when no process of `pids` lives."""
    await until(lambda: not [pid for pid in pids if is_running(pid)], PATIENCE_S)


async def wait_for_pids(folder: Path, names: list[str]) -> list[int]:
    """Return the process ids that tasks write to files, once all are there."""
    files = [folder / name for name in names]
    await until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in files), PATIENCE_S)
    return [int(file.read_text()) for file in files]


def test_exit_in_a_task(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        task = h.call(leave, 3)
        h.pool.run_nowait(0, [task])
        executor, reason, last_output = await next_exit(h)
        assert (executor, reason) == (0, "exited with 3")
        assert sorted(last_output.splitlines()) == ["last words", "raw words"]
        assert h.output[task.handle] == {1: b"last words\n", 2: b"raw words\n"}
        h.pool.spawn_nowait(0)  # the same number again
        await h.wait(lambda: 0 in h.ready)
        assert await h.value(h.call(add, 1, 2)) == 3

    run_with_pool(tmp_path, test)


def test_crash_in_a_task(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        h.pool.run_nowait(0, [h.call(crash)])
        _, reason, last_output = await next_exit(h)
        assert reason == "killed by SIGSEGV"
        assert "Segmentation fault" in last_output  # where in the Python code it was

    run_with_pool(tmp_path, test)


def test_results_before_a_crash_count_and_the_culprit_is_the_first_without(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        for _ in range(20):
            good = [h.call(add, i, i) for i in range(50)]
            bad = h.call(leave, 1)
            behind = [h.call(add, 0, 0) for _ in range(5)]
            h.pool.run_nowait(0, [*good, bad, *behind])
            await next_exit(h)
            assert all(isinstance(h.results.get(task.handle), list) for task in good)
            assert not [task for task in [bad, *behind] if task.handle in h.results]
            assert h.recalled.pop() == [task.handle for task in behind]
            h.pool.spawn_nowait(0)
        await h.wait(lambda: 0 in h.ready)

    run_with_pool(tmp_path, test)


def test_killed_from_outside(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        os.kill(h.ready[0], signal.SIGKILL)
        assert (await next_exit(h))[1] == "killed by SIGKILL, from outside or because memory ran out"

    run_with_pool(tmp_path, test)


def breed(folder: str) -> None:
    """Start children: a plain one, one in a session of its own, one whose parent has ended; then loop."""
    for name, command in (
        ("plain", "echo $$ > plain; exec sleep 1000"),
        ("session", "echo $$ > session; exec sleep 1000"),
        ("orphan", "(setsid sh -c 'echo $$ > orphan; exec sleep 1000' &)"),
    ):
        subprocess.Popen(["sh", "-c", command], cwd=folder, start_new_session=name == "session")
    Path(f"{folder}/executor").write_text(f"{os.getpid()}\n")
    while True:
        pass


NAMES = ["executor", "plain", "session", "orphan"]


def test_kill_takes_every_descendant(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        h.pool.run_nowait(0, [h.call(breed, str(tmp_path))])
        pids = await wait_for_pids(tmp_path, NAMES)
        assert all(is_running(pid) for pid in pids)
        h.pool.kill_nowait(0, "ran longer than 5 s")
        h.pool.kill_nowait(0, "again")
        h.pool.run_nowait(0, [h.call(add, 1, 1)])
        assert (await next_exit(h))[1] == "ran longer than 5 s"
        assert not [pid for pid in pids if is_running(pid)]
        h.pool.run_nowait(0, [h.call(add, 1, 1)])  # nobody there: no error
        h.pool.kill_nowait(0, "nobody")

    run_with_pool(tmp_path, test)


def test_kill_before_ready(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        h.pool.spawn_nowait(1)
        h.pool.run_nowait(1, [h.call(add, 1, 1)])
        h.pool.kill_nowait(1, "cancelled")
        assert (await next_exit(h))[:2] == (1, "cancelled")

    run_with_pool(tmp_path, test)


def test_tasks_may_be_given_before_ready(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        h.pool.spawn_nowait(1)
        assert await h.value(h.call(add, 1, 1), executor=1) == 2

    run_with_pool(tmp_path, test)


def test_a_task_that_closes_the_channel(tmp_path: Path) -> None:
    def close_all() -> None:
        os.closerange(3, 256)
        while True:
            pass

    async def test(h: Harness) -> None:
        h.pool.run_nowait(0, [h.call(close_all)])
        assert "killed" in (await next_exit(h))[1]

    run_with_pool(tmp_path, test)


def test_a_task_that_writes_nonsense_to_the_channel(tmp_path: Path) -> None:
    def scribble() -> None:
        for descriptor in range(3, 20):
            try:
                os.write(descriptor, b"\xff" * 64)
            except OSError:
                continue
        while True:
            pass

    async def test(h: Harness) -> None:
        h.pool.run_nowait(0, [h.call(scribble)])
        assert "no frame" in (await next_exit(h))[1]
        assert h.pool.statistics()["bad_frames"] >= 1

    run_with_pool(tmp_path, test)


def test_fork_server_dies(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        h.pool.run_nowait(0, [h.call(breed, str(tmp_path))])
        pids = await wait_for_pids(tmp_path, NAMES)
        server = h.pool.server_pid()
        os.kill(server, signal.SIGKILL)
        assert (await next_exit(h))[1] == "lost its fork server"
        await wait_gone(pids[:2])
        for pid in pids[2:]:  # only the server could find those that left the group
            os.kill(pid, signal.SIGKILL)
        h.pool.spawn_nowait(0)
        await h.wait(lambda: 0 in h.ready)
        assert h.pool.server_pid() not in (0, server)
        assert await h.value(h.call(add, 1, 2)) == 3

    run_with_pool(tmp_path, test)


def test_signals_of_the_terminal_do_not_reach_them(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(h.pool.server_pid(), number)
        assert os.getsid(h.ready[0]) != os.getsid(0)
        assert await h.value(h.call(add, 1, 2)) == 3

    run_with_pool(tmp_path, test)


def test_too_much_waiting_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.exec.link.BACKLOG_SIZE_MAX", 1_000_000)

    def stay() -> None:
        while True:
            pass

    async def test(h: Harness) -> None:
        h.pool.run_nowait(0, [h.call(stay)])
        for _ in range(3):
            h.pool.run_nowait(0, [h.call(len, bytes(900_000))])
        assert "too many bytes" in (await next_exit(h))[1]
        assert h.pool.statistics()["queue_full"] == 1

    run_with_pool(tmp_path, test)


def test_spawn_without_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(h: Harness) -> None:
        def refuse(_folder: Path) -> int:
            raise OSError(24, "Too many open files")

        with monkeypatch.context() as patch:
            patch.setattr("swarm.exec.link.create_page", refuse)
            h.pool.spawn_nowait(1)
        executor, reason, _ = await next_exit(h)
        assert executor == 1
        assert reason == "could not be started: [Errno 24] Too many open files"
        h.pool.spawn_nowait(1)
        await h.wait(lambda: 1 in h.ready)

    run_with_pool(tmp_path, test)


DAEMON = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
import trio
from tests.integration.executor_harness import harness
from tests.integration.test_executors_death import breed

async def main(folder):
    async with harness(folder / "pool", executors=3) as h:
        command = "cd {folder}; echo $$ > program; sleep 1000 & echo $! > child; wait"
        sleeper = h.program(["sh", "-c", command])
        h.pool.run_nowait(0, [h.call(breed, str(folder))])
        h.pool.run_nowait(1, [sleeper])
        (folder / "idle").write_text(str(h.ready[2]) + "\\n")
        (folder / "runner").write_text(str(h.ready[1]) + "\\n")
        (folder / "server").write_text(str(h.pool.server_pid()) + "\\n")
        await trio.sleep_forever()

trio.run(main, Path({folder!r}))
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_daemon_dies(tmp_path: Path, sign: signal.Signals) -> None:
    """Nothing is left of a daemon that was killed: busy task, program with a child, session, orphan, idle."""
    source = DAEMON.format(root=str(HERE.parents[2]), folder=str(tmp_path))
    daemon = subprocess.Popen([sys.executable, "-c", source])
    try:

        async def main() -> float:
            names = [*NAMES, "program", "child", "idle", "runner", "server"]
            pids = await wait_for_pids(tmp_path, names)
            assert len(set(pids)) == len(names)
            assert all(is_running(pid) for pid in pids)
            daemon.send_signal(sign)
            start = time.perf_counter()
            await wait_gone(pids)
            return time.perf_counter() - start

        gone_s = trio.run(main)
        print(f"all gone {gone_s * 1000:.0f} ms after the daemon's {sign.name}")
    finally:
        daemon.kill()
        daemon.wait()


def test_start_of_an_executor_is_quick(tmp_path: Path) -> None:
    async def test(h: Harness) -> None:
        start = time.perf_counter()
        h.pool.spawn_nowait(0)
        await h.wait(lambda: 0 in h.ready)
        first_s = time.perf_counter() - start
        start = time.perf_counter()
        for executor in range(1, 9):
            h.pool.spawn_nowait(executor)
        await h.wait(lambda: len(h.ready) == 9)
        others_s = (time.perf_counter() - start) / 8
        print(f"first executor {first_s * 1000:.0f} ms, others {others_s * 1000:.1f} ms each")
        assert READY not in [kind for kind, _ in h.order]
        result = await h.run(h.call(add, 1, 1), executor=8)
        assert not isinstance(result, Failure)
        assert h.pool.pids() == h.ready

    run_with_pool(tmp_path, test, executors=0)
