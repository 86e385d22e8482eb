"""Settings of gossip by name, and a user's own from a file, for comparisons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from sims.lab.user_code import load_name
from swarm.core.errors import ConfigError
from swarm.gossip.config import GossipConfig


def _swim() -> GossipConfig:
    return GossipConfig(
        suspicion_multiplier=5.0,
        suspicion_max_factor=1.0,
        confirmations_wanted=0,
        extra_prober_count=0,
        awareness_max=1,
        clock_gap_s=1e6,
        weighs_evidence=False,
    )


def _local_health() -> GossipConfig:
    return GossipConfig(
        suspicion_multiplier=5.0,
        suspicion_max_factor=1.0,
        confirmations_wanted=0,
        extra_prober_count=0,
        clock_gap_s=1e6,
        weighs_evidence=False,
    )


def _suspicion() -> GossipConfig:
    return GossipConfig(
        suspicion_multiplier=5.0,
        confirmations_wanted=3,
        extra_prober_count=0,
        awareness_max=1,
        clock_gap_s=1e6,
        weighs_evidence=False,
    )


def _lifeguard() -> GossipConfig:
    return GossipConfig(
        suspicion_multiplier=5.0,
        confirmations_wanted=3,
        extra_prober_count=0,
        clock_gap_s=1e6,
        weighs_evidence=False,
    )


GOSSIP_SETTINGS: Final[dict[str, Callable[[], GossipConfig]]] = {
    "swim": _swim,
    "lha-probe": _local_health,
    "lha-suspicion": _suspicion,
    "lifeguard": _lifeguard,
    "swarm": GossipConfig.lan,
}
"""Settings by name: SWIM as published (suspicion of 5 log n periods, no health), with each part of Lifeguard,
with both (alpha 5, beta 6, K 3, as in its paper), and swarm's own. The buddy system is always on."""

PRESETS: Final[dict[str, Callable[[], GossipConfig]]] = {
    "lan": GossipConfig.lan,
    "local": GossipConfig.local,
    "wan": GossipConfig.wan,
    "phone": GossipConfig.phone,
}
"""Settings that nodes choose by name; "lan" and "swarm" are the same."""


def gossip_settings(name: str, folder: str | Path = ".") -> GossipConfig:
    """Return settings by name.

    Args:
        name: a key of :data:`GOSSIP_SETTINGS` or :data:`PRESETS`, or ``"file.py:Name"``: a function, or a
            class without arguments that has a method `config`; either returns a `GossipConfig`.
        folder: that a file without a folder of its own is looked for in.

    Raises:
        ConfigError: no such settings, file or name, or it does not give a `GossipConfig`.
    """
    maker = GOSSIP_SETTINGS.get(name) or PRESETS.get(name)
    if maker is not None:
        return maker()
    if ".py:" not in name:
        raise ConfigError(
            f"no gossip settings are called {name!r}; there are {', '.join([*GOSSIP_SETTINGS, *PRESETS])}, "
            f"or write 'file.py:Name'"
        )
    found = load_name(name, folder)
    if not callable(found):
        raise ConfigError(f"gossip settings {name!r}: it is neither a function nor a class")
    try:
        made: object = found()
        config = getattr(made, "config", None)
        if callable(config):
            made = config()
    except ConfigError as error:
        raise ConfigError(f"gossip settings {name!r}: {error}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"gossip settings {name!r} fail: {type(error).__name__}: {error}") from error
    if not isinstance(made, GossipConfig):
        raise ConfigError(f"gossip settings {name!r} give {made!r}, they must give a GossipConfig")
    return made
