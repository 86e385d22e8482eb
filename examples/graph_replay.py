"""Run a graph of examples/graphs as tasks that sleep and make as many bytes as the graph says.

    python examples/graph_replay.py --local 2
    python examples/graph_replay.py --graph examples/graphs/irw-gridcat-20.json --time-scale 0.1

Durations and sizes are scaled down, so that hours become seconds; the shape stays.
"""

import argparse
import gzip
import json
import sys
import time
from pathlib import Path

import swarm

GRAPHS = Path(__file__).resolve().parent / "graphs"


def read_graph(path: Path, time_scale: float, size_scale: float, cpus_max: float) -> dict:
    """Return the graph with scaled durations and sizes, and no task wider than the widest node."""
    data = path.read_bytes()
    graph = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    for task in graph["tasks"]:
        task["duration_s"] *= time_scale
        task["cpus"] = min(task["cpus"], cpus_max)
        for output in task["outputs"]:
            output["size_bytes"] = int(output["size_bytes"] * size_scale)
    return graph


def critical_path_s(graph: dict) -> float:
    """Return the longest way through the graph, which no mesh can beat."""
    ends: list[float] = []
    for task in graph["tasks"]:
        ends.append(task["duration_s"] + max((ends[producer] for producer, _ in task["inputs"]), default=0.0))
    return max(ends)


def main() -> int:
    parser = argparse.ArgumentParser(description="Replay a task graph in a mesh.")
    parser.add_argument("--graph", type=Path, default=GRAPHS / "peg-montage-50.json")
    parser.add_argument("--time-scale", type=float, default=0.02)
    parser.add_argument("--size-scale", type=float, default=0.1)
    parser.add_argument("--local", type=int, metavar="N", help="make a mesh of N nodes for this run")
    arguments = parser.parse_args()

    with swarm.local(arguments.local) if arguments.local else swarm.connect() as mesh:
        slots = [node["slots"] or 1 for node in mesh.nodes() if node["state"] == "alive"]
        graph = read_graph(arguments.graph, arguments.time_scale, arguments.size_scale, max(slots))
        megabytes = sum(out["size_bytes"] for task in graph["tasks"] for out in task["outputs"]) / 1e6
        work = sum(task["duration_s"] * task["cpus"] for task in graph["tasks"])
        bound = max(critical_path_s(graph), work / sum(slots))
        print(
            f"{graph['name']}: {len(graph['tasks'])} tasks, {work:.1f} s of work, {megabytes:.1f} MB",
            flush=True,
        )
        started = time.monotonic()
        job = mesh.run_graph(graph, name=graph["name"])
        results = job.results()
        seconds = time.monotonic() - started
    print(
        f"job {job.id} is {job.state}: {len(results)} final results, {seconds:.2f} s (at best {bound:.2f} s)"
    )
    return 0 if job.state == "done" else 1


if __name__ == "__main__":
    sys.exit(main())
