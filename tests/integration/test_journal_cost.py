"""What a job costs the disks of its keepers: bytes and syncs of the real journal, for docs/BENCHMARKS.md.

Three simulated nodes run a job of 1,000 tasks. What they persist goes into journals of the daemon in the
batches in which the daemon commits it: what is durable at once, with all that waits; the rest each second.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

import pytest

from sims.client import SimulatedClient, simulated_task
from sims.cluster import simple_cluster
from sims.host import Host
from sims.observer import Observer
from swarm.core.effects import Effect, Erase, Persist
from swarm.daemon.driver import BATCH_DELAY_S
from swarm.daemon.storage import Journal, Write
from swarm.wire.job_part import JobPart

TASKS: Final = 1000
BYTES_PER_TASK_MAX: Final = 1200
"""On the disk of one keeper, all in all: log, checkpoints, the part, the end. 802 when this was written."""
SYNCS_MAX: Final = 6
"""For one part, its end, and what else is durable meanwhile. 2 when this was written."""
IO: Final = Path("/proc/self/io")


def written_bytes() -> int:
    """Return how many bytes this process has written to files so far."""
    lines = IO.read_text().splitlines()
    return int(next(line for line in lines if line.startswith("wchar")).split()[1])


@final
class Meter(Observer):
    """Real journals beside the simulated disks, and what was written to them."""

    def __init__(self, folder: Path, count: int) -> None:
        self.journals: Final = [Journal(folder / f"{index}.db") for index in range(count)]
        self.written: Final = [0] * count
        self._waiting: Final[list[list[Write]]] = [[] for _ in range(count)]
        self._since: Final = [0.0] * count
        for journal in self.journals:
            journal.open()

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if not isinstance(effect, (Persist, Erase)):
            return
        waiting = self._waiting[host.index]
        if waiting and now >= self._since[host.index] + BATCH_DELAY_S:
            self._commit(host.index)
        if not waiting:
            self._since[host.index] = now
        waiting.append(effect)

    def on_synced(self, host: Host, now: float) -> None:
        self._commit(host.index)

    def _commit(self, index: int) -> None:
        waiting = self._waiting[index]
        before = written_bytes()
        self.journals[index].commit(waiting, any(isinstance(row, Persist) and row.durable for row in waiting))
        self.written[index] += written_bytes() - before
        waiting.clear()

    def close(self) -> None:
        for index, journal in enumerate(self.journals):
            self._commit(index)
            before = written_bytes()
            journal.close()
            self.written[index] += written_bytes() - before


@pytest.mark.skipif(not IO.exists(), reason="counts the bytes of this process by /proc/self/io")
def test_a_job_of_a_thousand_tasks_writes_little_to_the_disks_of_its_keepers(tmp_path: Path) -> None:
    cluster = simple_cluster(3, seed="journal")
    for index in range(3):
        cluster.start(index)
    assert cluster.wait_converged(30.0) >= 0
    cluster.run_until(cluster.engine.now + 5.0)
    meter = Meter(tmp_path, 3)
    cluster.observers.append(meter)
    tasks = [simulated_task("t", 0.02, [100], [], True) for _ in range(TASKS)]
    client = SimulatedClient(cluster, "job", JobPart(0, {}, tasks), 0)
    client.poll()
    assert client.wait_final(120.0)
    cluster.run_until(cluster.engine.now + 3.0)
    meter.close()
    for journal, written in zip(meter.journals, meter.written, strict=True):
        told = f"{written / TASKS:.0f} bytes a task, {journal.row_count} rows, "
        told += f"{journal.durable_count} syncs of {journal.commit_count} commits"
        assert journal.row_count >= TASKS, told
        assert written <= BYTES_PER_TASK_MAX * TASKS, told
        assert journal.durable_count <= SYNCS_MAX, told
