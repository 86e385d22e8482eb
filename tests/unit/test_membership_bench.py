"""The arithmetic of the membership benchmark: who knew what when, medians with nevers, judging, tables.

The benchmark itself needs root and minutes; these functions decide what its tables say.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.membership.__main__ import plan
from tests.bench.membership.agents import SerfAgent, Tail, serf_sighting, swarm_sighting
from tests.bench.membership.field import sent_by_end
from tests.bench.membership.goals import (
    GOALS,
    figure_text,
    judge,
    judge_simulated,
    number_text,
    starved_ratio,
)
from tests.bench.membership.report import (
    beside_table,
    cuts_table,
    filled,
    goals_table,
    growth_table,
    starved_table,
)
from tests.bench.membership.rows import Kept, Row, chosen, load_rows, summary
from tests.bench.membership.sightings import (
    DEAD,
    LISTED,
    Sighting,
    first_time_all,
    first_times,
    not_yet,
    rate_per_s,
    verdicts,
)

NAMES = ["a", "b", "c"]


def seen(*rows: tuple[float, str, str, str]) -> list[Sighting]:
    return [Sighting(*row) for row in rows]


ALL_LISTED = seen(
    (1.0, "a", "b", "alive"),
    (1.1, "a", "c", "alive"),
    (1.2, "b", "a", "alive"),
    (1.3, "b", "c", "alive"),
    (1.4, "c", "a", "alive"),
    (1.5, "c", "b", "alive"),
)


# Sightings


def test_all_agree_when_the_last_pair_does() -> None:
    assert first_time_all(ALL_LISTED, NAMES, NAMES, LISTED, 0.5) == pytest.approx(1.0)
    assert first_time_all(ALL_LISTED[:-1], NAMES, NAMES, LISTED, 0.5) is None


def test_what_was_so_before_takes_no_time() -> None:
    assert first_time_all(ALL_LISTED, NAMES, NAMES, LISTED, 2.0) == 0.0
    later = [*ALL_LISTED, Sighting(9.0, "a", "b", "dead")]
    assert first_time_all(later, NAMES, NAMES, LISTED, 2.0) == 0.0


def test_a_pair_that_changed_its_mind_must_change_it_back() -> None:
    wavering = [*ALL_LISTED[:5], *seen((1.45, "a", "b", "dead"), (1.5, "c", "b", "alive"))]
    assert first_time_all(wavering, NAMES, NAMES, LISTED, 0.0) is None
    wavering += seen((3.0, "a", "b", "alive"))
    assert first_time_all(wavering, NAMES, NAMES, LISTED, 0.0) == 3.0


def test_a_suspect_is_still_listed() -> None:
    suspected = [*ALL_LISTED, Sighting(2.0, "a", "b", "suspect")]
    assert first_time_all(suspected, NAMES, NAMES, LISTED, 2.5) == 0.0
    assert first_time_all(suspected, NAMES, NAMES, [DEAD], 0.0) is None


def test_a_death_is_known_when_the_last_of_the_others_knows() -> None:
    story = [*ALL_LISTED, *seen((5.0, "a", "c", "dead"), (5.7, "b", "c", "dead"))]
    assert first_time_all(story, ["a", "b"], ["c"], [DEAD], 4.0) == pytest.approx(1.7)
    assert first_times(story, ["a", "b"], ["c"], [DEAD], 4.0) == pytest.approx([1.0, 1.7])
    assert first_time_all(story, NAMES, ["c"], [DEAD], 4.0) == pytest.approx(1.7), "nobody judges itself"


def test_words_about_others_change_nothing() -> None:
    story = [*ALL_LISTED, *seen((5.0, "a", "x", "dead"), (5.1, "x", "a", "dead"))]
    assert first_time_all(story, NAMES, NAMES, LISTED, 6.0) == 0.0


def test_who_is_missing_is_named() -> None:
    assert not_yet(ALL_LISTED[:-1], NAMES, NAMES, LISTED) == [("c", "b")]


def test_verdicts_are_counted_by_judge_within_the_time() -> None:
    story = seen(
        (1.0, "a", "b", "dead"), (2.0, "c", "b", "dead"), (3.0, "a", "b", "dead"), (2.5, "b", "c", "suspect")
    )
    found = verdicts(story, NAMES, NAMES, DEAD, 1.5, 3.0)
    assert [(sighting.judge, sighting.member) for sighting in found] == [("c", "b")]


def test_rates_of_counters() -> None:
    assert rate_per_s([100, 0], [700, 60], 60.0) == [10.0, 1.0]
    with pytest.raises(ValueError, match="a counter fell from 5 to 4"):
        rate_per_s([5], [4], 1.0)
    with pytest.raises(ValueError, match="a rate needs some time"):
        rate_per_s([5], [6], 0.0)


# Logs


def test_lines_of_a_node_of_swarm() -> None:
    line = '{"time":"x","node":"aa","event":"member_dead","member":"bb","name":"a3","before":"suspect"}'
    assert swarm_sighting(line) == ("a3", "dead")
    assert swarm_sighting(line.replace("member_dead", "member_suspect")) == ("a3", "suspect")
    assert swarm_sighting('{"event":"daemon_ready","name":"a3"}') is None
    assert swarm_sighting('{"event":"member_counted","name":"a3"}') is None
    assert swarm_sighting('cut short {"event":"member_dead"') is None


def test_lines_of_an_agent_of_serf() -> None:
    joined = "    2026/11/21 09:05:04 [INFO] serf: EventMemberJoin: a2 10.93.0.3"
    assert serf_sighting(joined) == ("a2", "alive")
    assert serf_sighting(joined.replace("Join", "Failed")) == ("a2", "dead")
    assert serf_sighting("[INFO] memberlist: Suspect a2 has failed, no acks received") == ("a2", "suspect")
    assert serf_sighting("[INFO] agent: Received event: member-failed") is None


def test_a_probe_of_serf_that_ends_after_the_death_suspects_nobody() -> None:
    agent = object.__new__(SerfAgent)
    agent._listed = set()
    suspect = "[INFO] memberlist: Suspect a2 has failed, no acks received"
    assert agent._told("serf: EventMemberJoin: a2 10.0.0.2") == ("a2", "alive")
    assert agent._told(suspect) == ("a2", "suspect")
    assert agent._told("serf: EventMemberFailed: a2 10.0.0.2") == ("a2", "dead")
    assert agent._told(suspect) is None


def test_a_log_is_read_by_whole_lines_as_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "log"
    tail = Tail(path)
    assert tail.lines() == [], "the file may come later"
    path.write_text("one\ntw")
    assert tail.lines() == ["one"]
    with path.open("a") as log:
        log.write("o\nthree\n")
    assert tail.lines() == ["two", "three"]
    tail.close()


def test_bytes_of_a_host_are_what_the_bridge_received() -> None:
    links = [
        {"ifname": "v0", "stats64": {"rx": {"bytes": 5}, "tx": {"bytes": 9}}},
        {"ifname": "v1", "stats64": {"rx": {"bytes": 7}, "tx": {"bytes": 9}}},
    ]
    assert sent_by_end(json.dumps(links), ["v1", "v0"]) == [7, 5]


# Rows


def row(value: float | None, metric: str = "kill_known_s", system: str = "swarm", **more: Any) -> Row:
    fields: dict[str, Any] = {"session": "whole", "nodes": 20, "round": 0, "limit": 60.0, **more}
    return Row(system=system, metric=metric, value=value, **fields)


def test_what_never_came_is_above_every_figure() -> None:
    found = summary([row(3.0), row(None), row(1.0)])
    assert found is not None
    assert (found.median, found.least, found.most, found.runs) == (3.0, 1.0, None, 3)
    even = summary([row(1.0), row(None)])
    assert even is not None
    assert even.median is None
    assert summary([]) is None


def test_figures_as_text() -> None:
    found = summary([row(0.4), row(0.5), row(None)])
    assert found is not None
    assert figure_text(found, "s") == "0.50 s (0.40–> 60, 3)"
    alone = summary([row(None)])
    assert alone is not None
    assert figure_text(alone, "s") == "> 60 s"
    assert [number_text(value) for value in (0.0, 481.3, 12.34, 0.456, 3.0)] == [
        "0",
        "481",
        "12.3",
        "0.46",
        "3",
    ]


def test_a_file_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "real.json"
    session = {"session": "whole", "system": "swarm", "nodes": 20, "round": 0}
    first = Kept(path, {"cores": 2, "sources": "1"})
    assert not first.has(session)
    first.add(session, {"seconds": 3.0}, [row(1.0)])
    second = Kept(path, {"cores": 4, "sources": "1"})
    assert second.has(session)
    assert not second.has({**session, "round": 1})
    assert load_rows(path) == [row(1.0)]
    assert not Kept(path, {"sources": "2"}).has(session), "figures of two states of the code are not mixed"
    assert load_rows(path) == []
    assert load_rows(path.with_suffix(".before")) == [row(1.0)]


def test_rows_are_chosen_by_any_field() -> None:
    rows = [row(1.0), row(2.0, system="serf"), row(3.0, nodes=2)]
    assert [each.value for each in chosen(rows, system="swarm", nodes=20)] == [1.0]


# Plans


def test_the_systems_take_turns_in_every_round() -> None:
    sessions = plan(["heal", "outsider"], ["swarm", "serf"], 20, [2, 3], 2)
    assert [(each.session, each.system, each.nodes, each.round) for each in sessions[:5]] == [
        ("heal", "swarm", 2, 0),
        ("heal", "serf", 2, 0),
        ("heal", "swarm", 3, 0),
        ("heal", "serf", 3, 0),
        ("outsider", "swarm", 1, 0),
    ]
    assert [each.round for each in sessions] == [0] * 5 + [1] * 5


def test_without_serf_only_swarm_is_measured() -> None:
    sessions = plan(["whole", "merge", "deaf"], ["swarm"], 20, [], 1)
    assert [(each.session, each.system, each.nodes) for each in sessions] == [
        ("whole", "swarm", 20),
        ("merge", "swarm", 10),
        ("deaf", "swarm-peer", 5),
    ]


# Judging


def test_the_median_decides_and_what_must_never_happen_is_decided_by_the_worst() -> None:
    known = next(goal for goal in GOALS if goal.metric == "kill_known_s")
    assert judge(known, [row(0.4), row(0.5), row(9.0)]).is_met is True
    assert judge(known, [row(0.4), row(None), row(None)]).is_met is False
    assert judge(known, [row(0.4, system="serf")]).is_met is None, "swarm itself was not measured"
    wrong = next(goal for goal in GOALS if goal.metric == "loss_deaths")
    none, one = row(0.0, "loss_deaths", session="loss"), row(1.0, "loss_deaths", session="loss")
    assert judge(wrong, [none, none]).is_met is True
    assert judge(wrong, [none, one]).is_met is False


def test_without_a_size_the_largest_group_counts() -> None:
    known = next(goal for goal in GOALS if goal.metric == "kill_known_s")
    judged = judge(known, [row(0.4, nodes=10), row(9.0, nodes=20), row(8.0, system="serf", nodes=10)])
    assert (judged.nodes, judged.is_met) == (20, False)
    assert list(judged.figures) == ["swarm"], "Serf is shown beside it at the same size only"


def test_goals_of_a_size_take_rows_of_that_size() -> None:
    pair = next(goal for goal in GOALS if goal.metric == "healed_s" and goal.nodes == 2)
    rows = [row(1.0, "healed_s", session="heal", nodes=2), row(99.0, "healed_s", session="heal", nodes=3)]
    assert judge(pair, rows).is_met is True


def starved(settings: str, dead: int, count: int = 1) -> dict[str, object]:
    result = {"settings": settings, "starved": count, "dead": dead}
    return {"experiment": "starved", "result": result}


def test_starved_members_are_compared_by_means() -> None:
    rows = [starved("swim", 60), starved("swim", 40), starved("swarm", 1)]
    assert starved_ratio(rows) == 50.0
    assert starved_ratio([*rows[:2], starved("swarm", 0)]) == float("inf")
    assert starved_ratio(rows[:2]) is None
    judged = judge_simulated(rows)
    assert [(each.number, each.is_met) for each in judged] == [(6, True)]


def test_large_meshes_heal_in_the_median_of_their_runs() -> None:
    runs = [
        {"experiment": "cuts", "result": {"nodes": nodes, "healed_s": value}}
        for nodes, value in ((50, 1.0), (50, 9.0), (50, 2.0), (200, 6.0), (20, 99.0))
    ]
    assert [(each.figures["swarm"], each.is_met) for each in judge_simulated(runs)] == [
        ("2 s", True),
        ("6 s", False),
    ]


def test_a_rumour_that_never_arrives_misses_the_goal() -> None:
    result = {"rumour_99_s": [0.3, 0.4], "rumour_all_s": [0.5, -1.0]}
    judged = judge_simulated([{"experiment": "rumours", "result": result}])
    assert [(each.figures["swarm"], each.is_met) for each in judged] == [("0.40 s", True), ("never", False)]


# Tables


def test_tables_hold_what_was_measured_and_nothing_else() -> None:
    rows = [row(0.4), row(8.0, system="serf"), row(0.3, "kill_first_s")]
    table = goals_table(rows, [])
    assert "| 2 | `kill -9`: known to all others | 20 | ≤ 1.50 s | 0.40 s | 8 s |  | yes |" in table
    assert table.count("\n") == 3
    assert "| `kill -9`: known to the first, s | 0.30 |  |" in beside_table(rows)


def test_curves_are_medians_by_size() -> None:
    names = ("packets_per_node_s", "bytes_per_node_s", "killed_all_s", "silent_suspect_s", "silent_first_s")
    fields = dict.fromkeys((*names, "formed_s"), 1.0)
    runs = [
        {
            "experiment": "growth",
            "result": {
                **fields,
                "nodes": 10,
                "silent_all_s": all_s,
                "rumour_99_s": [0.1, 0.3],
                "rumour_all_s": [0.5, -1.0],
            },
        }
        for all_s in (4.0, 6.0)
    ]
    line = growth_table(runs).splitlines()[2]
    assert line == "| 10 | 1 | 1 | 0.20 | never | 1 | 1 | 1 | 5 | 1 |"


def test_cuts_by_size_show_the_worst_too() -> None:
    rows = [
        {
            "experiment": "cuts",
            "result": {"nodes": 2, "seed": seed, "first_s": 2.5, "known_s": 3.0, "healed_s": value},
        }
        for seed, value in enumerate((0.5, 1.5, -1.0))
    ]
    assert cuts_table(rows).splitlines()[2] == "| 2 | 2.50 | 3 | 1.50 | never |"


def test_starved_members_by_settings() -> None:
    rows = [starved("swim", 60), starved("lifeguard", 2), starved("swarm", 0), starved("swarm", 1)]
    assert starved_table(rows).splitlines()[2] == "| 1 | 60 | 2 | 0.50 |"


def test_blocks_of_a_document_are_replaced_between_their_marks() -> None:
    document = "before\n<!-- goals -->\nold\n<!-- end -->\nafter\n<!-- beside -->\n<!-- end -->\n"
    made = filled(document, {"goals": "new \\1\n"})
    assert made == document.replace("old\n", "\nnew \\1\n\n")
    assert filled(made, {"goals": "new \\1\n"}) == made
    with pytest.raises(ValueError, match="no block <!-- missing -->"):
        filled(document, {"missing": ""})
