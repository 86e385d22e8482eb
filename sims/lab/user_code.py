"""Code of users, loaded from files: ``"file.py:Name"``."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from hashlib import blake2b
from pathlib import Path

from swarm.core.errors import ConfigError


def told(error: BaseException) -> str:
    """Return what an exception of a user's code says, with the deepest line of the file that was called."""
    words = " ".join(str(error).split())
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return f"{text} ({own[-1].filename}, line {own[-1].lineno})" if own else text


def load_name(text: str, folder: str | Path = ".") -> object:
    """Return what a file defines under a name; the file is executed anew.

    Args:
        text: ``"file.py:Name"``.
        folder: that a relative file is looked for in.

    Raises:
        ConfigError: the text is not of that form, the file does not exist or fails, or has no such name.
    """
    path_text, colon, name = text.rpartition(":")
    if not colon or not path_text.endswith(".py"):
        raise ConfigError(f"{text!r} is not of the form 'file.py:Name'")
    path = Path(folder) / path_text
    if not path.is_file():
        raise ConfigError(f"{text!r}: the file {path} does not exist")
    module_name = f"swarm_user_{blake2b(str(path.resolve()).encode(), digest_size=8).hexdigest()}"
    specification = importlib.util.spec_from_file_location(module_name, path)
    assert specification is not None, "a file that ends with .py has a loader"
    assert specification.loader is not None, "a file that ends with .py has a loader"
    module = importlib.util.module_from_spec(specification)
    # Dataclasses and pickles look their module up by its name.
    sys.modules[module_name] = module
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise ConfigError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise ConfigError(f"{path} has no class or function {name!r}")
    found: object = getattr(module, name)
    return found
