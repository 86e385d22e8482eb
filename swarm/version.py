"""The version of swarm, and whether its cores are compiled."""

from __future__ import annotations

__version__ = "0.1.0"

_WITNESS = "swarm.core.timers"


def is_compiled() -> bool:
    """Return whether the pure cores run as machine code, which `swarm --version` shows.

    All compiled modules form one group, so one of them stands for all.
    """
    import importlib.util  # not at the top: the command line imports this module when it starts

    spec = importlib.util.find_spec(_WITNESS)
    assert spec is not None, f"{_WITNESS} is part of every installation"
    assert spec.origin is not None, f"{_WITNESS} has a file"
    return not spec.origin.endswith((".py", ".pyc"))
