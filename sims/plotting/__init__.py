"""Plots of runs, drawn with matplotlib, which is installed with ``pip install "swarm-mesh[plots]"``.

:func:`draw` makes one kind of plot of one run, or of several that are compared. `PLOT_KINDS` names the kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from sims.outcome import Outcome
from sims.plotting import membership, traffic, work
from sims.plotting.canvas import DPI, new_figure, save_figure
from sims.scenario.parts import PLOT_KINDS
from swarm.core.errors import ConfigError

_DRAWERS: Final[dict[str, Callable[[Any, Sequence[Outcome]], None]]] = {
    "membership": membership.draw_convergence,
    "detection": membership.draw_detection,
    "false-suspicions": membership.draw_false_suspicions,
    "traffic": traffic.draw_traffic,
    "leaders": membership.draw_leaders,
    "gantt": work.draw_gantt,
    "makespan": work.draw_makespans,
}
assert tuple(_DRAWERS) == PLOT_KINDS, "every kind of plot is drawn"

__all__ = ["DPI", "PLOT_KINDS", "draw"]


def draw(kind: str, outcomes: Sequence[Outcome], path: str | Path | None = None) -> Any:
    """Draw a plot; return matplotlib's figure.

    Args:
        kind: one of `PLOT_KINDS`.
        outcomes: at least one; several are drawn into one plot.
        path: of a picture to write; its ending decides the format (png, svg, pdf).

    Raises:
        ConfigError: the kind is not known, there is no run, or matplotlib is not installed.
        OutputError: the picture cannot be written.
    """
    drawer = _DRAWERS.get(kind)
    if drawer is None:
        raise ConfigError(f"there is no plot {kind!r}; there are {', '.join(PLOT_KINDS)}")
    if not outcomes:
        raise ConfigError("a plot needs at least one run")
    figure = new_figure()
    drawer(figure, outcomes)
    if path is not None:
        save_figure(figure, Path(path))
    return figure
