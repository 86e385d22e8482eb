"""What all plots share: figures without a window, titles, colours, files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sims.outcome import Outcome
from sims.whole_files import OutputError, write_whole
from swarm.core.errors import ConfigError

DPI: Final = 120
SIZE_INCHES: Final = (8.0, 4.5)
LABELS_MAX: Final = 12
"""More curves than this are not named in a legend."""

COLOURS: Final = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#000000",
    "#f0e442",
)
"""Told apart by colour-blind people too (Okabe and Ito, 2008)."""


def new_figure() -> Any:
    """Return an empty figure that needs no display.

    Raises:
        ConfigError: matplotlib is not installed; names what to install.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError(
            f'plots need matplotlib ({error}); install it with `pip install "swarm-mesh[plots]"`'
        ) from None

    class Picture(Figure):
        """A figure that notebooks show without pyplot."""

        def _repr_png_(self) -> bytes:
            content = io.BytesIO()
            self.savefig(content, format="png", dpi=DPI)
            return content.getvalue()

    # A figure without pyplot draws with Agg and is not kept anywhere.
    return Picture(figsize=SIZE_INCHES, layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure into a file.

    Raises:
        ConfigError: the ending of the name is no format of pictures.
        OutputError: the file cannot be written.
    """
    ending = path.suffix.removeprefix(".")
    known = figure.canvas.get_supported_filetypes()
    if ending not in known:
        raise OutputError(f"{path}: is no picture; its name must end with one of .png .svg .pdf")
    content = io.BytesIO()
    # Without dates the same run gives the same bytes.
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    figure.savefig(content, format=ending, dpi=DPI, metadata=metadata.get(ending))
    write_whole(path, content.getvalue())


def set_title(axes: Any, what: str, outcomes: Sequence[Outcome]) -> None:
    """Write a title: what is shown, the scenario and the seed."""
    names = list(dict.fromkeys([outcome.scenario.name for outcome in outcomes]))
    seeds = list(dict.fromkeys([str(outcome.scenario.seed) for outcome in outcomes]))
    shown = ", ".join(names[:4]) + (" …" if len(names) > 4 else "")
    seed = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    axes.set_title(f"{what}\n{shown}, {seed}", fontsize=10)


def label_of(outcome: Outcome, outcomes: Sequence[Outcome]) -> str:
    """Return what tells a run from the others: its name, or its placement, or its seed."""
    scenario = outcome.scenario
    parts: list[str] = []
    if len({one.scenario.name for one in outcomes}) > 1:
        parts.append(scenario.name)
    if len({one.scenario.policy.placement for one in outcomes}) > 1:
        parts.append(scenario.policy.placement)
    if len({one.scenario.seed for one in outcomes}) > 1 or not parts:
        parts.append(f"seed {scenario.seed}")
    return ", ".join(parts)


def colour_of(number: int) -> str:
    """Return the colour of the curve of a number; they repeat."""
    return COLOURS[number % len(COLOURS)]


def add_legend(axes: Any) -> None:
    """Add a legend where there is something to tell apart, and not too much."""
    labels = axes.get_legend_handles_labels()[1]
    if 1 < len(labels) <= LABELS_MAX:
        axes.legend(fontsize=8)


def say_empty(axes: Any, text: str) -> None:
    """Say in the middle of a plot why it is empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#666666")
