"""Placement policies by name, and a user's own from a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from sims.lab.dynamic import ListPolicy, PairPolicy
from sims.lab.policy import Policy, PolicyError
from sims.lab.static import Cpop, Heft, Peft
from sims.lab.swarm_policy import SwarmPlacement
from sims.lab.transfer import GreedyTransfer, RandomStatic, Single, WorkStealing
from sims.lab.user_code import load_name
from swarm.core.errors import ConfigError

POLICIES: Final[Mapping[str, Callable[[], Policy]]] = {
    "single": Single,
    "random": RandomStatic,
    "heft": Heft,
    "cpop": Cpop,
    "peft": Peft,
    "blevel": lambda: ListPolicy("blevel"),
    "tlevel": lambda: ListPolicy("tlevel"),
    "mcp": lambda: ListPolicy("mcp"),
    "etf": lambda: PairPolicy(is_dls=False),
    "dls": lambda: PairPolicy(is_dls=True),
    "blevel-unaware": lambda: ListPolicy("blevel", is_speed_aware=False),
    "tlevel-unaware": lambda: ListPolicy("tlevel", is_speed_aware=False),
    "mcp-unaware": lambda: ListPolicy("mcp", is_speed_aware=False),
    "etf-unaware": lambda: PairPolicy(is_dls=False, is_speed_aware=False),
    "dls-unaware": lambda: PairPolicy(is_dls=True, is_speed_aware=False),
    "blevel-gt": lambda: GreedyTransfer("blevel"),
    "tlevel-gt": lambda: GreedyTransfer("tlevel"),
    "mcp-gt": lambda: GreedyTransfer("mcp"),
    "random-gt": lambda: GreedyTransfer("random"),
    "ws": WorkStealing,
    "swarm": SwarmPlacement,
}
"""Policies by the names that scenario files use. "unaware" ones take all workers for equally fast."""


def make_policy(name: str, folder: str | Path = ".") -> Policy:
    """Return a new policy.

    Args:
        name: a key of :data:`POLICIES`, or ``"file.py:Class"``: a class without arguments that has the
            methods described in `sims.lab.policy`.
        folder: that a file without a folder of its own is looked for in.

    Raises:
        PolicyError: no such policy, file or class, or a class that is no policy; says which.
    """
    maker = POLICIES.get(name)
    if maker is not None:
        return maker()
    if ".py:" not in name:
        raise PolicyError(
            f"policy {name!r} is not known; known are {', '.join(POLICIES)}, or write 'file.py:Class'"
        )
    try:
        found = load_name(name, folder)
    except ConfigError as error:
        raise PolicyError(f"policy {error}") from error
    if not inspect.isclass(found):
        raise PolicyError(f"policy {name!r}: it is not a class")
    try:
        policy: object = found()
    except (Exception, SystemExit) as error:
        raise PolicyError(f"policy {name!r} cannot be made: {type(error).__name__}: {error}") from error
    _check_methods(name, policy)
    return policy  # type: ignore[return-value] # _check_methods has looked


def check_policy(name: str, folder: str | Path = ".") -> None:
    """Check that :func:`make_policy` would find a policy.

    Raises:
        PolicyError: it would not.
    """
    make_policy(name, folder)


def _check_methods(name: str, policy: object) -> None:
    decide = getattr(policy, "decide", None)
    if not callable(decide):
        raise PolicyError(f"policy {name!r} has no method decide(self, view)")
    _check_arguments(name, "decide", decide, 1, "decide(self, view)")
    begin = getattr(policy, "begin", None)
    if begin is not None:
        if not callable(begin):
            raise PolicyError(f"policy {name!r}: begin must be a method begin(self, view, rng)")
        _check_arguments(name, "begin", begin, 2, "begin(self, view, rng)")


def _check_arguments(name: str, method: str, found: Callable[..., object], count: int, wanted: str) -> None:
    try:
        inspect.signature(found).bind(*([None] * count))
    except (TypeError, ValueError):
        raise PolicyError(f"policy {name!r}: {method} must take {count} arguments: {wanted}") from None
