"""Stored inputs: those that once took a new way through a decoder, a line of base64 each."""

from __future__ import annotations

import base64
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "data" / "fuzz"
COUNT_MAX = 60
SIZE_MAX = 500


def stored_inputs(name: str) -> list[bytes]:
    """Return the stored inputs of a target."""
    path = FOLDER / f"{name}.txt"
    if not path.exists():
        return []
    return [base64.b64decode(line) for line in path.read_text(encoding="ascii").splitlines()]


def write_inputs(folder: Path, name: str, inputs: list[bytes]) -> None:
    """Store at most `COUNT_MAX` inputs that are not long, spread over the whole corpus."""
    short = [data for data in dict.fromkeys(inputs) if len(data) <= SIZE_MAX]
    step = max(1, -(-len(short) // COUNT_MAX))
    lines = [base64.b64encode(data).decode("ascii") for data in short[::step]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text("".join([f"{line}\n" for line in lines]), encoding="ascii")
