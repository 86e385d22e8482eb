"""Settings of gossip by name and from a user's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from sims.lab.gossip import GOSSIP_SETTINGS, PRESETS, gossip_settings
from sims.lab.gossip_cases import run_gossip_case
from swarm.core.errors import ConfigError
from swarm.gossip.config import GossipConfig

OWN = """
from swarm.gossip.config import GossipConfig

def slow():
    return GossipConfig(probe_interval_s=3.0)

class Fast:
    def config(self):
        return GossipConfig(probe_interval_s=0.5)

def wrong():
    return 7

def impossible():
    return GossipConfig(probe_interval_s=-1.0)

def failing():
    return 1 / 0

number = 5
"""


def test_settings_are_known_by_name() -> None:
    assert list(GOSSIP_SETTINGS) == ["swim", "lha-probe", "lha-suspicion", "lifeguard", "swarm"]
    assert list(PRESETS) == ["lan", "local", "wan", "phone"]
    assert gossip_settings("wan") == GossipConfig.wan()
    assert gossip_settings("swarm") == gossip_settings("lan")
    plain = gossip_settings("swim")
    assert (plain.awareness_max, plain.confirmations_wanted, plain.suspicion_max_factor) == (1, 0, 1.0)


def test_settings_come_from_a_file_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    assert gossip_settings("own.py:slow", tmp_path).probe_interval_s == 3.0
    assert gossip_settings(f"{tmp_path}/own.py:Fast").probe_interval_s == 0.5


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("quick", "no gossip settings are called 'quick'; there are swim, lha-probe"),
        ("none.py:slow", "none.py does not exist"),
        ("own.py:none", "own.py has no class or function 'none'"),
        ("own.py:number", "'own.py:number': it is neither a function nor a class"),
        ("own.py:wrong", "'own.py:wrong' give 7, they must give a GossipConfig"),
        ("own.py:impossible", "'own.py:impossible': probe_interval_s is -1.0"),
        ("own.py:failing", "'own.py:failing' fail: ZeroDivisionError"),
    ],
)
def test_settings_that_cannot_be_are_named(tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "own.py").write_text(OWN)
    with pytest.raises(ConfigError) as raised:
        gossip_settings(name, tmp_path)
    assert complaint in str(raised.value)


def test_a_case_refuses_unknown_keys_and_settings() -> None:
    with pytest.raises(ConfigError, match="the key 'node' of a case is not known; known are gossip, nodes"):
        run_gossip_case({"node": 4})
    with pytest.raises(ConfigError, match="no gossip settings are called 'quick'"):
        run_gossip_case({"gossip": "quick"})
