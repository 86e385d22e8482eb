"""Real traffic to begin with: what crosses the boundaries of nodes in a simulated mesh that works."""

from __future__ import annotations

from sims.client import SimulatedClient, simulated_task
from sims.cluster import simple_cluster
from sims.host import Host
from sims.network import NetworkConfig
from sims.observer import CLIENT, MESSAGE, PACKET, Observer
from swarm.core.effects import Effect, Persist, SendToClient
from swarm.core.errors import DecodeError
from swarm.wire.codec import pack, unpack_frame_untrusted
from swarm.wire.job_part import JobPart

PER_KIND_MAX = 6
"""Frames of one kind that are kept: more of the same teach nothing."""

SESSION = "session"
ROWS = "rows"


class Gatherer(Observer):
    """Keeps some of every kind of what nodes take and say.

    Attributes:
        found: payloads by "packet", "message", "client" (to nodes), `SESSION` (to clients) and `ROWS` of the
            journal, each ``[table, key, value]``.
    """

    def __init__(self) -> None:
        self.found: dict[str, list[bytes]] = {PACKET: [], MESSAGE: [], CLIENT: [], SESSION: [], ROWS: []}
        self._counts: dict[tuple[str, object], int] = {}

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        if kind in (PACKET, MESSAGE, CLIENT):
            self._note(kind, payload)

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        for effect in effects:
            if isinstance(effect, SendToClient):
                self._note(SESSION, effect.payload)
            elif isinstance(effect, Persist):
                row = pack([effect.table, effect.key, effect.value])
                self._keep(ROWS, (effect.table, effect.key[:4]), row)

    def _note(self, way: str, payload: bytes) -> None:
        try:
            self._keep(way, unpack_frame_untrusted(payload).kind, payload)
        except DecodeError:
            return

    def _keep(self, way: str, group: object, payload: bytes) -> None:
        count = self._counts.get((way, group), 0)
        if count < PER_KIND_MAX and payload not in self.found[way]:
            self._counts[(way, group)] = count + 1
            self.found[way].append(payload)


def gather(seed: str = "fuzz") -> dict[str, list[bytes]]:
    """Run a small mesh with loss, a job with results, failures and large outputs, a death and a cancellation.

    Returns:
        payloads by way, see `Gatherer`.
    """
    cluster = simple_cluster(4, seed, NetworkConfig(loss=0.05), 1.0)
    gatherer = Gatherer()
    cluster.observers.append(gatherer)
    for index in range(4):
        cluster.start(index)
    assert cluster.wait_converged(30.0) >= 0, "four nodes agree"
    tasks = [simulated_task(f"t{number % 3}", 0.05, [8, 200_000], [], True) for number in range(12)]
    tasks += [simulated_task("sum", 0.05, [8], [number, number % 2], True) for number in range(12)]
    tasks.append(simulated_task("bad", 0.05, [8], [], True, fails=True))
    client = SimulatedClient(cluster, "work", JobPart(0, {"name": "work", "on_error": "continue"}, tasks), 1)
    long = JobPart(
        0, {"name": "long", "session": True}, [simulated_task("l", 30.0, [8], []) for _ in range(8)]
    )
    other = SimulatedClient(cluster, "long", long, 2)
    client.wait_final(60.0)
    cluster.kill(3)
    cluster.run_until(cluster.engine.now + 12.0)
    other.poll()
    other.cancel()
    other.wait_final(30.0)
    client.close()
    cluster.start(3)
    cluster.wait_converged(30.0)
    return gatherer.found
