"""One small scenario in real namespaces and in the simulator, and how far apart the two come out.

Five nodes start together and agree; the leader is killed; a follower is killed; another loses its cable. What
is measured is taken from what the nodes themselves say (`member_alive`, `member_suspect`, `member_dead`,
`leader_changed`), in reality from their logs, in the simulator from the same effects: nobody polls them.

* `join`: from the last node that is ready until all know all and one leader.
* `leader`: from the kill of the leader until all others follow one new leader.
* `crash`: from the kill of a follower until the last of the others holds it dead.
* `suspect`: from the loss of the cable until the first of the others suspects.
* `silence`: from the loss of the cable until the last of the others holds it dead.

`python -m tests.netns.calibration --out FOLDER` repeats it, as root, and writes the table and a plot.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeAlias

from sims.cluster import Cluster
from sims.host import Host
from sims.network import Network, NetworkConfig
from sims.observer import Observer
from sims.settings import HostSpec, NodeSettings
from sims.trace import Trace
from swarm.core.effects import Effect, Notify
from swarm.core.ids import short
from swarm.core.rng import Rng
from tests.mesh_processes import Node, events, logged_at, new_invitation, read_log, wait_for
from tests.netns.lab import Lab, start_together

NAMES: Final = ("a", "b", "c", "d", "e")
QUANTITIES: Final = ("join", "leader", "crash", "suspect", "silence")
REST_S: Final = (1.0, 2.0)
"""Between two faults, drawn evenly from a whole period of the probes, so that they meet every phase of it."""

# What this machine shows (tests/transport): a datagram from process to process, a durable write, a handshake,
# and the collection of garbage with which a daemon ends its start.
NETWORK: Final = NetworkConfig(model="jitter", latency_s=0.0003, jitter_s=0.0002)
SETTINGS: Final = NodeSettings(sync_s=0.004, start_s=0.05, handshake_s=0.005)

Times: TypeAlias = dict[str, float]
"""Seconds by quantity."""


class Sample:
    """What came of one run.

    Attributes:
        times: by quantity.
        offsets: when each node was ready, seconds after the first.
    """

    def __init__(self, times: Times, offsets: list[float]) -> None:
        self.times = times
        self.offsets = offsets


class Diary:
    """What the nodes of a mesh said, in one form for both worlds.

    Attributes:
        said: by name of the node: (seconds, event, values).
    """

    def __init__(self) -> None:
        self.said: dict[str, list[tuple[float, str, dict[str, object]]]] = {}

    def last_leader(self, name: str) -> tuple[float, str]:
        """Return since when a node follows whom it follows last, "" for nobody."""
        found = (0.0, "")
        for at, event, values in self.said.get(name, []):
            if event == "leader_changed" and str(values["leader"]) != found[1]:
                found = (at, str(values["leader"]))
        return found

    def members(self, name: str, event: str, since_s: float = 0.0) -> dict[str, float]:
        """Return when a node first said something of members, by their names."""
        found: dict[str, float] = {}
        for at, what, values in self.said.get(name, []):
            if what == event and at >= since_s:
                found.setdefault(str(values["name"]), at)
        return found

    def agreed_at(self, names: Sequence[str]) -> float:
        """Return since when these nodes know each other and follow one of them, 0 when they do not."""
        leaders = [self.last_leader(name) for name in names]
        if len({leader for _, leader in leaders}) != 1 or not leaders[0][1]:
            return 0.0
        latest = max(at for at, _ in leaders)
        for name in names:
            known = self.members(name, "member_alive")
            if not set(names) - {name} <= set(known):
                return 0.0
            latest = max(latest, *[known[other] for other in names if other != name])
        return latest

    def led_at(self, names: Sequence[str], old: str) -> float:
        """Return since when these nodes follow one leader that is not the old one, 0 when they do not."""
        leaders = [self.last_leader(name) for name in names]
        if len({leader for _, leader in leaders}) != 1 or leaders[0][1] in ("", old):
            return 0.0
        return max(at for at, _ in leaders)

    def dead_at(self, names: Sequence[str], victim: str, since_s: float) -> float:
        """Return since when all these nodes hold another for dead, 0 when they do not."""
        times = [self.members(name, "member_dead", since_s).get(victim, 0.0) for name in names]
        return max(times) if all(times) else 0.0

    def suspected_at(self, names: Sequence[str], victim: str, since_s: float) -> float:
        """Return when the first of these nodes suspected another or held it for dead, 0 for never."""
        times = [
            self.members(name, event, since_s).get(victim, 0.0)
            for name in names
            for event in ("member_suspect", "member_dead")
        ]
        return min([at for at in times if at], default=0.0)


# The real mesh


def real_sample(rng: random.Random) -> Sample:
    """Run the scenario in namespaces, as root, and return what the logs of the nodes say."""
    lab = Lab()
    try:
        nodes = lab.nodes(NAMES, "--cores", "1")
        start_together(nodes, new_invitation("calibration"))
        ids = {str(node.ready["id"]): node for node in nodes}
        ready = [logged_at(events(node, "daemon_ready")[0]) for node in nodes]
        diary = _read(nodes)
        agreed = wait_for(lambda: _read(nodes).agreed_at(NAMES), 20.0, "agreement")
        times = {"join": max(0.0, agreed - max(ready))}

        def kill(victim: Node, is_silent: bool) -> float:
            time.sleep(rng.uniform(*REST_S))  # kills come at any moment of the probes' round
            begun = time.time()
            if is_silent:
                lab.unplug(lab.hosts[nodes.index(victim)])
                return (begun + time.time()) / 2
            victim.kill()
            return begun

        old = _read(nodes).last_leader("a")[1]
        left = [node for node in nodes if node is not ids[old]]
        begun = kill(ids[old], False)
        led = wait_for(lambda: _read(left).led_at(_names(left), old), 30.0, "another leader")
        times["leader"] = led - begun
        wait_for(lambda: _read(left).dead_at(_names(left), ids[old].name, begun), 30.0, "its death")
        victim = ids[old]
        for quantity in ("crash", "silence"):
            leader = ids[_read(left).last_leader(left[0].name)[1]]
            victim = next(node for node in left if node is not leader)
            left = [node for node in left if node is not victim]
            begun = kill(victim, quantity == "silence")
            dead = wait_for(
                lambda left=left, victim=victim, begun=begun: _read(left).dead_at(  # type: ignore[misc]  # its defaults
                    _names(left), victim.name, begun
                ),
                60.0,
                "its death",
            )
            times[quantity] = dead - begun
        diary = _read(left)
        times["suspect"] = diary.suspected_at(_names(left), victim.name, begun) - begun
        return Sample(times, [at - min(ready) for at in ready])
    finally:
        lab.close()


def _names(nodes: Sequence[Node]) -> list[str]:
    return [node.name for node in nodes]


def _read(nodes: Sequence[Node]) -> Diary:
    diary = Diary()
    for node in nodes:
        rows = read_log(node.home.log)
        diary.said[node.name] = [(logged_at(row), row["event"], row) for row in rows]
    return diary


# The simulated mesh


class _Scribe(Observer):
    """Writes down what simulated nodes tell their log."""

    def __init__(self) -> None:
        self.diary = Diary()

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if isinstance(effect, Notify):
            self.diary.said.setdefault(host.spec.name, []).append((now, effect.event, effect.values))


def simulated_sample(seed: str, offsets: Sequence[float]) -> Sample:
    """Run the scenario in the simulator; nodes start so many seconds after the first."""
    rng = Rng(f"{seed}:scenario")
    specs = [HostSpec(name=name) for name in NAMES]
    network = Network(NETWORK, len(NAMES), Rng(f"{seed}:network"))
    cluster = Cluster(specs, seed, network, Trace(), SETTINGS)
    scribe = _Scribe()
    diary = scribe.diary
    cluster.observers.append(scribe)
    for offset, index in sorted([(offset, index) for index, offset in enumerate(offsets)]):
        cluster.run_until(1.0 + offset)
        cluster.start(index)
    ready = cluster.engine.now
    agreed = _until(cluster, lambda: diary.agreed_at(NAMES), 20.0)
    times = {"join": max(0.0, agreed - ready)}

    def kill(victim: int, is_silent: bool) -> float:
        cluster.run_until(cluster.engine.now + rng.uniform(*REST_S))
        cluster.kill(victim, power=is_silent)
        return cluster.engine.now

    left = list(range(len(NAMES)))
    old = cluster.leaders()[0]
    left.remove(old)
    names = [NAMES[index] for index in left]
    begun = kill(old, False)
    leader_id = short(cluster.hosts[old].node_id)
    times["leader"] = _until(cluster, lambda: diary.led_at(names, leader_id), 30.0) - begun
    _until(cluster, lambda: diary.dead_at(names, NAMES[old], begun), 30.0)
    victim = old
    for quantity in ("crash", "silence"):
        victim = next(index for index in left if index not in cluster.leaders())
        left.remove(victim)
        names = [NAMES[index] for index in left]
        begun = kill(victim, quantity == "silence")
        times[quantity] = (
            _until(
                cluster,
                lambda names=names, victim=victim, begun=begun: diary.dead_at(  # type: ignore[misc]  # its defaults
                    names, NAMES[victim], begun
                ),
                60.0,
            )
            - begun
        )
    times["suspect"] = diary.suspected_at(names, NAMES[victim], begun) - begun
    return Sample(times, list(offsets))


def _until(cluster: Cluster, look: Callable[[], float], limit_s: float) -> float:
    end = cluster.engine.now + limit_s
    while not look():
        assert cluster.engine.now < end, "the simulated mesh does not get there"
        cluster.run_until(cluster.engine.now + 0.05)
    return look()


# Comparing


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies, 0 <= share <= 1, interpolated."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the Kolmogorov-Smirnov distance of two samples: the greatest difference of their shares."""
    first, second = sorted(one), sorted(other)
    return max(
        abs(bisect_right(first, value) / len(first) - bisect_right(second, value) / len(second))
        for value in [*first, *second]
    )


def real_samples(count: int, at_once: int = 1) -> list[Sample]:
    """Run the real scenario so many times; progress goes to stderr on a terminal.

    Args:
        count: how many runs, >= 0.
        at_once: how many of them side by side, >= 1; they mostly wait, but their starts are slower together.
    """
    found: list[Sample] = []
    with ThreadPoolExecutor(at_once) as pool:
        for sample in pool.map(real_sample, [random.Random(number) for number in range(count)]):
            found.append(sample)
            if sys.stderr.isatty():
                print(f"\r{len(found)}/{count} real runs", end="", file=sys.stderr, flush=True)
    return found


def simulated_samples(count: int, real: Sequence[Sample]) -> list[Sample]:
    """Run the simulated scenario so many times, with starts as far apart as the real ones were."""
    return [simulated_sample(f"calibration {seed}", real[seed % len(real)].offsets) for seed in range(count)]


def values_of(samples: Sequence[Sample], quantity: str) -> list[float]:
    """Return one quantity of all samples."""
    return [sample.times[quantity] for sample in samples]


def table(real: Sequence[Sample], simulated: Sequence[Sample]) -> str:
    """Return how both distributions compare, as the table of a document."""
    lines = [
        "| quantity | real p10 | median | p90 | simulated p10 | median | p90 | KS |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for quantity in QUANTITIES:
        one, other = values_of(real, quantity), values_of(simulated, quantity)
        cells = [f"{quantile(values, share):.3f} s" for values in (one, other) for share in (0.1, 0.5, 0.9)]
        lines.append(f"| {quantity} | {' | '.join(cells)} | {distance(one, other):.2f} |")
    return "\n".join(lines)


def _plot(real: Sequence[Sample], simulated: Sequence[Sample], path: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.6), layout="constrained")
    for place, quantity in enumerate(QUANTITIES, 1):
        axes = figure.add_subplot(1, len(QUANTITIES), place)
        for values, colour, name in (
            (values_of(simulated, quantity), "tab:blue", "simulated"),
            (values_of(real, quantity), "tab:red", "real"),
        ):
            axes.ecdf(values, color=colour, label=name)
        axes.set(title=quantity, xlabel="seconds")
        axes.grid(alpha=0.3)
        if place == 1:
            axes.legend(fontsize="small")
    with matplotlib.rc_context({"svg.hashsalt": "swarm"}):
        figure.savefig(str(path), metadata={"Date": None})


def main() -> int:
    """Repeat, compare and draw; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.netns.calibration")
    parser.add_argument("--repetitions", type=int, default=30, help="real runs of 15 s each (default 30)")
    parser.add_argument("--seeds", type=int, default=400, help="simulated runs (default 400)")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for table and plot, made when missing"
    )
    options = parser.parse_args()
    real = real_samples(options.repetitions)
    simulated = simulated_samples(options.seeds, real)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "calibration.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["world", *QUANTITIES, "offsets"])
        for world, samples in (("real", real), ("simulated", simulated)):
            for sample in samples:
                offsets = " ".join(f"{offset:.3f}" for offset in sample.offsets)
                writer.writerow([world, *[f"{sample.times[name]:.4f}" for name in QUANTITIES], offsets])
    _plot(real, simulated, options.out / "calibration.svg")
    print(table(real, simulated))
    return 0


if __name__ == "__main__":
    sys.exit(main())
