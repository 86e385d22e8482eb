"""Where a value of a scenario comes from, and the one error that is raised about it."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Final, NoReturn, final

from sims.scenario.toml_lines import Path, line_of
from swarm.core.errors import ConfigError


class ScenarioError(ConfigError):
    """A scenario cannot be run: the message names file, line, value and cure. Nothing was written."""


@final
class Source:
    """The text that a scenario was read from.

    Args:
        name: of the file, or what else the values come from (``--set``); messages begin with it.
        lines: of each path; empty where there are no lines.
        folder: relative names of files in the scenario are meant from there.
    """

    def __init__(
        self, name: str, lines: dict[Path, int] | None = None, folder: FilePath | None = None
    ) -> None:
        self.name: Final = name
        self.folder: Final = FilePath() if folder is None else folder
        self._lines: Final = {} if lines is None else lines

    def refuse(self, path: Path, problem: str) -> NoReturn:
        """Raise the error about the value at a path.

        Args:
            path: of the value, or of the table that lacks one.
            problem: the value and the cure.
        """
        raise ScenarioError(f"{self._where(path)}: {problem}") from None

    def blame(self, path: Path, keys: list[str], error: Exception) -> NoReturn:
        """Raise the error for what another module said about the values of a table.

        The line is that of the key that the message mentions first, or of the table.

        Args:
            path: of the table.
            keys: that the table has.
            error: whose message names the value and the cure.
        """
        message = str(error)
        key = mentioned_key(message, keys)
        where = path if key is None else (*path, key)
        raise ScenarioError(f"{self._where(where)}: {path_text(path)}: {message}") from None

    def file(self, text: str) -> FilePath:
        """Return the file that a text in the scenario means, as an absolute path."""
        return (self.folder / text).absolute()

    def _where(self, path: Path) -> str:
        return f"{self.name}: line {line_of(self._lines, path)}" if self._lines else self.name


def mentioned_key(message: str, keys: list[str]) -> str | None:
    """Return the key that a message mentions first, as a whole or as the beginning of a word, else None."""
    for pattern in (r"\b{}\b", r"\b{}"):
        places: list[tuple[int, str]] = []
        for key in keys:
            found = re.search(pattern.format(re.escape(key)), message)
            if found is not None:
                places.append((found.start(), key))
        if places:
            return min(places)[1]
    words = re.findall(r"[a-z]\w{3,}", message)
    for key in keys:
        # "probe_timeout: 0.2 <= 5 <= 1 must hold" is about probe_timeout_s, "shape > 0" about latency_shape.
        if any([key.startswith(word) or word in key.split("_") for word in words]):
            return key
    return None


def path_text(path: Path) -> str:
    """Return a path as people write it: ``faults[2].at``, items of lists counted from 1."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            text += f".{part}" if text else part
    return text
