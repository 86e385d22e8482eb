"""Settings of gossip: defaults and presets are sound, nonsense is refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarm.core.errors import ConfigError
from swarm.gossip.config import GossipConfig


def test_presets_are_valid_and_differ() -> None:
    presets = [GossipConfig.lan(), GossipConfig.local(), GossipConfig.wan(), GossipConfig.phone()]
    assert presets[0] == GossipConfig()
    assert len({preset.probe_interval_s for preset in presets}) == 4


def test_a_helper_has_time_to_tell_that_it_failed() -> None:
    for preset in (GossipConfig.lan(), GossipConfig.local(), GossipConfig.wan(), GossipConfig.phone()):
        period_s = max(preset.probe_share * preset.probe_interval_s, 2 * preset.probe_timeout_s)
        assert preset.probe_timeout_s + preset.nack_after_s < period_s


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("probe_interval_s", 0.0),
        ("spread_interval_s", -1.0),
        ("probe_timeout_s", 5.0),
        ("hello_interval_min_s", 9.0),
        ("reconnect_interval_max_s", 0.5),
        ("suspicion_max_factor", 0.5),
        ("confirm_ping_count", 0),
        ("awareness_max", 0),
        ("probe_share", 0.0),
        ("probe_share", 1.1),
        ("members_max", 1),
        ("facts_size_max_bytes", 900),
        ("rumour_size_max_bytes", 1150),
        ("hello_burst_s", (0.5, 1.0)),
        ("hello_burst_s", ()),
        ("push_pull_size_max_bytes", 10),
    ],
)
def test_nonsense_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(GossipConfig(), **{field: value})  # type: ignore[arg-type]  # nonsense
    assert field.rsplit("_", 2)[0] in str(caught.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError):
        GossipConfig().probe_interval_s = 2.0  # type: ignore[misc]  # it is frozen, which is the test
