"""Figures and tables of experiments. matplotlib is loaded only when something is drawn."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def new_axes(title: str, across: str, up: str) -> Axes:
    """Return the axes of a new figure of one diagram.

    Raises:
        SystemExit: matplotlib is not installed; says what to install.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise SystemExit("plots need matplotlib: pip install 'swarm-mesh[plots]'") from None
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes: Axes = figure.add_subplot()
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    return axes


def save_figure(axes: Axes, path: Path) -> None:
    """Write the figure of some axes with a legend; the same data gives the same bytes."""
    axes.legend(fontsize="small")
    figure = axes.get_figure(root=True)
    assert figure is not None, "axes belong to a figure"
    import matplotlib

    # Identifiers inside the file would be drawn anew each time.
    with matplotlib.rc_context({"svg.hashsalt": "swarm"}):
        figure.savefig(str(path), metadata={"Date": None})


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys, at least one, as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
