"""Results of jobs at the command line: fetched, loaded, shown, saved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from swarm.cli.shared import to_json

if TYPE_CHECKING:
    from swarm.client.mesh import Mesh

output_option = click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Save the results in this directory.",
)


def fetch_results(opened: Mesh, identity: str, timeout_s: float) -> tuple[str, list[dict[str, Any]]]:
    """Return the state of a job and the results that it keeps, each with its bytes."""
    value = opened.call("results", {"job": identity}, timeout_s)
    rows = [dict(row) for row in value["results"]]
    for row in rows:
        if row.get("data") is None:
            row["data"], _ = opened.fetch_output(value["job"], int(row["task"]), int(row["output"]))
    return str(value.get("state")), rows


def load_result(row: dict[str, Any]) -> object:
    """Return the value of a result with its bytes, or what is to be said instead."""
    return load_bytes(bytes(row["data"]), int(row["encoding"]))


def load_bytes(data: bytes, encoding: int) -> object:
    """Return the value that bytes stand for, or what is to be said instead."""
    from swarm.exec.serialize import load_value

    try:
        value: object = load_value(data, encoding)
    except Exception as error:  # noqa: BLE001 - what a foreign pickle raises cannot be known
        return f"<{len(data)} bytes that cannot be loaded here: {error}>"
    return value


def text_of(value: object) -> str:
    """Return a value as people are shown it."""
    shown = to_json(value)
    return shown if isinstance(shown, str) else repr(value)


def save_results(rows: list[dict[str, Any]], folder: Path) -> None:
    """Write each result into a file ``<task>-<name>[.<output>][.pickle]``.

    Raises:
        StorageError: the directory cannot be written.
    """
    from swarm.core.errors import StorageError
    from swarm.wire.messages import ENCODING_PICKLE

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for row in rows:
            name = "".join([sign if sign.isalnum() or sign in "._-" else "_" for sign in str(row["name"])])
            number = f".{row['output']}" if row["output"] else ""
            ending = ".pickle" if row["encoding"] == ENCODING_PICKLE else ""
            (folder / f"{row['task']}-{name}{number}{ending}").write_bytes(row["data"])
    except OSError as error:
        raise StorageError(
            f"cannot write into {folder}: {error.strerror}; choose another directory with -o"
        ) from None
