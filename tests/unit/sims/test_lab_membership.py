"""The curves of membership: what a run measures, what is run, and what is made of the runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from sims.cluster import simple_cluster
from sims.lab import membership
from sims.lab.growth import SEAL_BYTES, STREAM_BYTES, Cable, datagram_bytes, divide, endure, grow, hello_bytes
from sims.lab.membership import cases, medians_by_size, results, run_case
from swarm.core.effects import SendHello, SendMessage, SendPacket
from swarm.core.errors import ConfigError
from swarm.net.seal import OVERHEAD_BYTES


def test_a_datagram_weighs_what_a_capture_shows() -> None:
    assert SEAL_BYTES == OVERHEAD_BYTES
    assert datagram_bytes(100) == 14 + 20 + 8 + OVERHEAD_BYTES + 100
    assert hello_bytes(100) == 3 * datagram_bytes(100) + 20


def test_everything_that_leaves_is_counted() -> None:
    cable = Cable()
    host = simple_cluster(1, "cable").hosts[0]
    cable.on_performed(host, SendPacket(("10.0.0.1", 7117), bytes(10)), 0.0)
    cable.on_performed(host, SendHello(bytes(20)), 0.0)
    cable.on_performed(host, SendMessage(b"p" * 16, [], bytes(30)), 0.0)
    assert cable.packets == 4
    assert cable.stream_bytes == 30 + STREAM_BYTES
    assert cable.sent_bytes == datagram_bytes(10) + hello_bytes(20) + cable.stream_bytes


def test_one_run_measures_load_rumours_and_deaths() -> None:
    found = grow(6, 1, rumours=2)
    assert found == grow(6, 1, rumours=2), "a seed decides a run"
    assert found.wrong_deaths == 0
    assert 0 < found.formed_s < 10
    assert 2.0 < found.packets_per_node_s < 20.0
    assert found.bytes_per_node_s > found.packets_per_node_s * datagram_bytes(0)
    for half_s, most_s, all_s in zip(found.rumour_half_s, found.rumour_99_s, found.rumour_all_s, strict=True):
        assert 0 < half_s <= most_s <= all_s
    assert 0 < found.killed_first_s <= found.killed_all_s < found.silent_first_s
    assert 0 < found.silent_suspect_s < found.silent_first_s <= found.silent_all_s


@pytest.mark.parametrize("nodes", [2, 7])
def test_a_cut_is_known_to_both_sides_and_heals(nodes: int) -> None:
    found = divide(nodes, 1)
    assert found == divide(nodes, 1)
    assert 0 < found.first_s <= found.known_s < 20
    assert 0 <= found.healed_s < 10
    with pytest.raises(ConfigError, match="nothing to cut in a mesh of 1"):
        divide(1, 0)


def test_loss_of_packets_makes_suspects_and_no_dead() -> None:
    found = endure(6, 1, 0.3, 60.0)
    assert found.suspected > 0
    assert found.dead == 0


@pytest.mark.parametrize(("nodes", "rumours"), [(3, 1), (5, 0)])
def test_impossible_meshes_are_refused(nodes: int, rumours: int) -> None:
    with pytest.raises(ConfigError, match="nodes >= 4 and rumours >= 1 are wanted"):
        grow(nodes, 0, rumours=rumours)
    with pytest.raises(ConfigError, match="seconds > 0 are wanted"):
        endure(5, 0, 0.3, 0.0)


def test_large_meshes_run_on_fewer_seeds() -> None:
    found = cases(["growth"], [10, 2000], 3)
    assert [(case["nodes"], case["seed"]) for case in found] == [
        (10, 0),
        (10, 1),
        (10, 2),
        (2000, 0),
        (2000, 1),
    ]


def test_every_experiment_has_cases_that_run() -> None:
    found = cases(list(membership.EXPERIMENTS), [10], 1, rumour_nodes=8)
    assert {case["experiment"] for case in found} == set(membership.EXPERIMENTS)
    case = next(case for case in found if case["experiment"] == "rumours")
    assert results([run_case({**case, "rumours": 1})], "rumours", nodes=8, loss=0.05)


def test_medians_count_never_as_infinite() -> None:
    rows = [
        {"experiment": "growth", "result": {"nodes": 10, "x": value, "y": [1.0, value]}}
        for value in (2.0, -1.0, 4.0)
    ]
    assert medians_by_size(rows, "x") == [(10, 4.0)]
    assert medians_by_size(rows, "y") == [(10, 1.5)]


def test_the_command_goes_on_where_its_file_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, plots = tmp_path / "curves.json", tmp_path / "plots"
    words = ["x", "--out", str(out), "--sizes", "4,5", "--seeds", "1", "--only", "growth", "--processes", "1"]
    monkeypatch.setattr(sys, "argv", [*words[:4], "4", *words[5:]])
    assert membership.main() == 0
    first = json.loads(out.read_text())["rows"]
    assert [row["nodes"] for row in first] == [4]
    monkeypatch.setattr(sys, "argv", [*words, "--plots", str(plots)])
    assert membership.main() == 0
    rows = json.loads(out.read_text())["rows"]
    assert rows[0] == first[0]
    assert [row["nodes"] for row in rows] == [4, 5]
    other = json.dumps({"sources": "of another day", "rows": rows})
    out.write_text(other)
    monkeypatch.setattr(sys, "argv", [*words[:4], "4", *words[5:]])
    assert membership.main() == 0
    assert [row["nodes"] for row in membership.load(out)] == [4]
    assert out.with_suffix(".before").read_text() == other
    assert sorted(path.name for path in plots.iterdir()) == [
        "membership_detection.svg",
        "membership_dissemination.svg",
        "membership_load.svg",
    ]
