"""A script on its way into the mesh: its source, and the modules beside it that it imports."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final

from swarm.client.sendable import checked_text
from swarm.core.errors import ConfigError

FILES_SIZE_MAX: Final = 16 * 1024 * 1024
"""Bytes of all files together; data belongs into arguments and inputs."""


def script_payload(path: Path, arguments: list[str]) -> dict[str, object]:
    """Return the payload of a script task: name, source, arguments and sibling modules.

    Modules and packages in the script's folder that it imports, directly or through each other, go with
    it; everything else must be installed on the nodes.

    Args:
        path: of the script.
        arguments: what it finds in ``sys.argv[1:]``.

    Raises:
        ConfigError: it cannot be read, is no Python, is too large, or a name or argument is no UTF-8 text.
    """
    checked_text(path.name, "the script's name")
    for word in arguments:
        checked_text(word, "the argument")
    source = _read(path)
    files: dict[str, bytes] = {}
    _collect(path, source, path.resolve().parent, files)
    files.pop(path.name, None)
    return {"name": path.name, "source": source, "args": arguments, "env": {}, "files": files}


def _collect(path: Path, source: str, folder: Path, files: dict[str, bytes]) -> None:
    """Add the siblings that a source imports to `files`, by their paths relative to `folder`."""
    waiting = [(path, source)]
    while waiting:
        where, text = waiting.pop()
        for name in _imported(where, text):
            for found in _sources_of(name, folder):
                relative = checked_text(found.relative_to(folder).as_posix(), "the module's path")
                if relative in files:
                    continue
                content = _read(found)
                files[relative] = content.encode()
                if sum([len(data) for data in files.values()]) > FILES_SIZE_MAX:
                    raise ConfigError(
                        f"the modules that {path} imports are larger than {FILES_SIZE_MAX} bytes"
                    )
                waiting.append((found, content))


def _imported(path: Path, source: str) -> list[str]:
    """Return the first parts of the names of absolute imports, anywhere in a source."""
    try:
        tree = ast.parse(source, str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise ConfigError(
            f"{path} is no Python: {error.args[0]}{f' (line {line})' if line else ''}"
        ) from None
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(dict.fromkeys([alias.name.partition(".")[0] for alias in node.names]))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names[node.module.partition(".")[0]] = None
    return list(names)


def _sources_of(name: str, folder: Path) -> list[Path]:
    """Return the files of a sibling module or package, none when there is no such sibling."""
    module = folder / f"{name}.py"
    package = folder / name
    if (package / "__init__.py").is_file():
        return sorted(package.rglob("*.py"))
    return [module] if module.is_file() else []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ConfigError(f"cannot read the script {path}: {reason}") from None
