"""What several commands share: options, asking the mesh, printing."""

from __future__ import annotations

import base64
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from swarm.client.mesh import Mesh

C = TypeVar("C", bound=Callable[..., Any])

TEXT_SIZE_MAX = 65_536


def home_option(command: C) -> C:
    """Add ``--home``."""
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="SWARM_HOME",
        help="Home directory of the node (default: SWARM_HOME, or swarm in the XDG state directory).",
    )(command)


def mesh_options(command: C) -> C:
    """Add ``--home`` and ``--mesh``."""
    option = click.option(
        "--mesh",
        metavar="INVITATION",
        envvar="SWARM_MESH",
        default="",
        help="Talk to this mesh without being a member (also SWARM_MESH, or `swarm login`).",
    )
    return home_option(option(command))


def json_option(command: C) -> C:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def connect(home: Path | None, mesh: str, name: str = "") -> Mesh:
    """Return an open session with the mesh that the options mean."""
    from swarm.client.mesh import connect as connect_mesh

    return connect_mesh(mesh=mesh, home=home, name=name)


def ask(op: str, args: dict[str, Any], home: Path | None, mesh: str) -> Any:
    """Return the mesh's answer: from the node of the home directory, else over a session.

    Raises:
        ConfigError: an argument cannot be sent.
        ConnectFailed: no mesh is known, or none can be reached.
        CallRefused: the node says no.
        Refused: likewise, over a session.
    """
    from swarm.client.sendable import packed
    from swarm.core.errors import ConnectFailed
    from swarm.daemon.api_client import call_local
    from swarm.daemon.home import Home, default_home

    packed(args, f"the question {op!r}")
    if not mesh:
        try:
            return call_local(Home(home or default_home()), op, args)
        except ConnectFailed:
            pass  # this host is no member, or its node is down: any other node will do
    with connect(home, mesh, "swarm command") as opened:
        return opened.call(op, args, timeout=30.0)


def print_json(value: object) -> None:
    """Print a value as one line of JSON."""
    click.echo(json.dumps(to_json(value), ensure_ascii=False))


def to_json(value: object) -> Any:
    """Return a value as JSON can hold it: bytes as text where they are text, anything odd as its repr."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, (bytes, bytearray)):
        if len(value) > TEXT_SIZE_MAX:
            return {"bytes": len(value)}
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode("ascii")}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    text = repr(value)
    return text if len(text) <= TEXT_SIZE_MAX else text[:TEXT_SIZE_MAX] + "…"


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under titles: with rich on a terminal, else as plain columns."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(*titles, box=None, pad_edge=False, header_style="bold")
        for row in texts:
            table.add_row(*[Text(cell, style=_STYLES.get(cell, "")) for cell in row])
        Console().print(table)
        return
    widths = [max([len(title), *[len(row[column]) for row in texts]]) for column, title in enumerate(titles)]
    for row in [list(titles), *texts]:
        click.echo("  ".join([cell.ljust(width) for cell, width in zip(row, widths, strict=True)]).rstrip())


def size_text(size: object) -> str:
    """Return bytes as people read them."""
    if not isinstance(size, (int, float)) or isinstance(size, bool):
        return ""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


_STYLES = {
    "alive": "green",
    "done": "green",
    "running": "cyan",
    "suspect": "yellow",
    "waiting": "yellow",
    "dead": "red",
    "failed": "red",
    "cancelled": "magenta",
}
