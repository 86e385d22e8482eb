"""Small task graphs for tests, and where the larger ones of the repository are."""

from __future__ import annotations

from pathlib import Path

from sims.workload.graph import GraphBuilder, TaskGraph

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "examples" / "graphs"


def diamond() -> TaskGraph:
    """One task that makes two objects, two tasks with one each, one that takes all."""
    builder = GraphBuilder("diamond", "test", "here")
    top = builder.add("top", 1.0, sizes_bytes=[10, 20])
    left = builder.add("side", 2.0, [(top, 0)], [5], cpus=2)
    right = builder.add("side", 3.0, [(top, 1), (top, 0)], [7], expected_duration_s=2.5)
    builder.add("end", 4.0, [(left, 0), (right, 0), (left, 0)])
    return builder.build()
