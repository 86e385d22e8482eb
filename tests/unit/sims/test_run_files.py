"""Runs written into folders and read again; traces in every format; runs run again."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import networkx
import pytest

from sims import Fault, Scenario, Workload, load, replay, run, save
from sims.output import SERIES, SUMMARY, write_scenario
from sims.recording.rows import NEVER, Event
from sims.replaying import compare_traces
from sims.scenario import read_scenario
from sims.scenario.model import graph_of
from sims.trace_files import COLUMNS, TraceFiles, chrome_trace, read_trace
from sims.whole_files import OutputError, write_whole
from sims.workload.generators import fork_join
from tests.unit.sims.run_samples import busy, busy_scenario


def saved(folder: Path, *formats: str) -> Path:
    """Write the busy run and its trace into a folder; return the folder."""
    files = TraceFiles(folder, formats)
    files.take(busy().rows)
    files.finish(busy())
    save(busy(), folder)
    return folder


def test_a_run_reads_back_as_it_was(tmp_path: Path) -> None:
    found = load(saved(tmp_path / "deep" / "run"))
    for name in ("scenario", "digest", "events", "samples", "deaths", "doubts", "reigns", "tasks", "jobs"):
        assert getattr(found, name) == getattr(busy(), name), name
    assert found.traffic == busy().traffic
    assert found.summary == busy().summary


def test_the_summary_is_one_json_object(tmp_path: Path) -> None:
    summary = json.loads((saved(tmp_path) / SUMMARY).read_text())
    assert summary == busy().summary
    for name in ("digest", "events", "wall_s", "nodes", "seconds", "seed", "compiled"):
        assert name in summary


def test_equal_runs_are_written_as_equal_bytes(tmp_path: Path) -> None:
    one = (saved(tmp_path / "one") / SERIES).read_bytes()
    assert (saved(tmp_path / "two") / SERIES).read_bytes() == one


def test_nothing_but_whole_files_is_left(tmp_path: Path) -> None:
    names = sorted(path.name for path in saved(tmp_path, "csv", "jsonl", "chrome").iterdir())
    assert names == [
        "scenario.toml",
        "series.json.gz",
        "summary.json",
        "trace.chrome.json",
        "trace.csv",
        "trace.jsonl",
    ]


def test_graphs_made_in_python_are_written_beside_the_scenario(tmp_path: Path) -> None:
    graph = fork_join(3, 2)
    one = Workload(graph=graph)
    for scenario in (Scenario(workloads=(one,)), Scenario(workloads=(Workload(generator="grid"), one))):
        write_scenario(scenario, tmp_path / "x" / "s.toml")
        found = read_scenario(tmp_path / "x" / "s.toml")
        assert graph_of(found.workloads[-1]).durations_s == graph.durations_s


def test_networks_made_in_python_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="give the name of its file"):
        write_scenario(Scenario(network_graph=networkx.empty_graph(3)), tmp_path / "s.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "holds no run; series.json.gz is not there"),
        (b"not gzip", "cannot be read"),
        (gzip.compress(b"{}"), "is no series of a run"),
        (
            gzip.compress(b'{"format": "swarm-simulation", "version": 9}'),
            "version is 9, this program reads 1",
        ),
        (gzip.compress(b'{"format": "swarm-simulation", "version": 1}'), "is damaged: KeyError"),
    ],
)
def test_a_folder_without_a_whole_run_says_so(content: bytes | None, words: str, tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / SERIES).unlink()
    if content is not None:
        (tmp_path / SERIES).write_bytes(content)
    with pytest.raises(OutputError, match=words):
        load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("counts", [3]), ("wall_s", "x"), ("bucket_s", 0), ("hosts", [3]), ("digest", None), ("tasks", [[1]])],
)
def test_a_damaged_series_is_told_as_such(key: str, value: object, tmp_path: Path) -> None:
    saved(tmp_path)
    document = json.loads(gzip.decompress((tmp_path / SERIES).read_bytes()))
    document[key] = value
    (tmp_path / SERIES).write_bytes(gzip.compress(json.dumps(document).encode()))
    with pytest.raises(OutputError, match="is damaged"):
        load(tmp_path)


def test_a_series_with_a_broken_middle_cannot_be_read(tmp_path: Path) -> None:
    saved(tmp_path)
    content = bytearray((tmp_path / SERIES).read_bytes())
    for place in range(20, len(content), 7):
        content[place] ^= 255
    (tmp_path / SERIES).write_bytes(bytes(content))
    with pytest.raises(OutputError, match="cannot be read"):
        load(tmp_path)


def test_a_file_that_cannot_be_written_names_itself_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(OutputError, match="file/inside"):
        write_whole(tmp_path / "file" / "inside", "x")
    with pytest.raises(OutputError, match=str(tmp_path)):
        write_whole(tmp_path, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_text() == "new"


# Traces


def test_traces_read_back_equal_in_both_formats(tmp_path: Path) -> None:
    saved(tmp_path, "csv", "jsonl")
    assert list(read_trace(tmp_path / "trace.csv")) == list(busy().rows)
    assert list(read_trace(tmp_path / "trace.jsonl")) == list(busy().rows)
    assert (tmp_path / "trace.csv").read_text().splitlines()[0] == ",".join(COLUMNS)
    assert tuple(json.loads((tmp_path / "trace.jsonl").read_text().splitlines()[0])) == COLUMNS


def test_details_may_hold_anything(tmp_path: Path) -> None:
    row = Event(0.1 + 0.2, 3, "odd", -1, 0, 'a,"b"\nc\r\n\x00é')
    files = TraceFiles(tmp_path, ("csv", "jsonl"))
    files.take([row])
    files.finish(None)
    assert list(read_trace(tmp_path / "trace.jsonl")) == [row]
    assert list(read_trace(tmp_path / "trace.csv")) == [row]


def test_a_trace_that_is_not_finished_is_not_there(tmp_path: Path) -> None:
    files = TraceFiles(tmp_path, ("csv", "jsonl"))
    files.take(busy().rows[:10])
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())
    files.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_trace_cannot_be_written_where_a_file_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        TraceFiles(tmp_path / "file", ("csv",))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("rows", [1, 10_000])
def test_a_full_disk_ends_the_trace_with_one_error(rows: int, tmp_path: Path) -> None:
    files = TraceFiles(tmp_path, ("csv",))
    files._open["csv"].close()
    files._open["csv"] = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 - closed by finish
    content = list(busy().rows[:100]) * rows

    def write() -> None:
        # A few rows stay in the buffer until the end, many do not.
        files.take(content)
        files.finish(None)

    with pytest.raises(OutputError, match="the trace cannot be written: No space left on device"):
        write()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", "a,b\n", "line 1: the columns must be time_s,node,event,peer,bytes,detail"),
        ("t.csv", "time_s,node,event,peer,bytes,detail\n1,2\n", "line 2: is no row of a trace"),
        ("t.csv", "time_s,node,event,peer,bytes,detail\n1,x,e,-1,0,\n", "line 2: is no row of a trace"),
        ("t.jsonl", "x\n", "line 1: is not JSON"),
        ("t.jsonl", '{"time_s": 1}\n', "line 1: must be an object with time_s, node"),
        ("t.xml", "", "its name must end with .csv or .jsonl"),
        ("none.csv", None, "cannot be read"),
    ],
)
def test_what_is_no_trace_names_its_line(name: str, content: str | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(OutputError, match=words):
        list(read_trace(tmp_path / name))


def test_the_chrome_trace_has_a_bar_for_every_attempt() -> None:
    outcome = busy()
    trace = json.loads(json.dumps(chrome_trace(outcome)))
    events = trace["traceEvents"]
    bars = [event for event in events if event["ph"] == "X"]
    assert len(bars) == len(outcome.tasks)
    for bar, task in zip(bars, outcome.tasks, strict=True):
        assert (bar["pid"], bar["tid"], bar["name"]) == (task.host, task.lane, task.name)
        assert bar["ts"] == round(task.begin_s * 1e6)
        assert bar["ts"] + bar["dur"] == round(task.end_s * 1e6)
    by_lane: dict[tuple[int, int], int] = {}
    for bar in bars:
        lane = (bar["pid"], bar["tid"])
        assert bar["ts"] >= by_lane.get(lane, 0), "bars of one thread do not overlap"
        by_lane[lane] = bar["ts"] + bar["dur"]
    instants = [event["name"] for event in events if event["ph"] == "i"]
    assert instants.count("ends: power") == 1
    assert len([name for name in instants if name.startswith("leads, ballot")]) == len(outcome.reigns)
    assert len([name for name in instants if name == "leads no more"]) == len(
        [reign for reign in outcome.reigns if reign.end_s != NEVER]
    )
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert names == dict(enumerate(outcome.hosts))
    lanes = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    assert set(by_lane) <= lanes
    assert len([event for event in events if event["ph"] == "C"]) == len(outcome.samples)
    assert trace["otherData"]["digest"] == outcome.digest


# Running again


@pytest.mark.parametrize("formats", [(), ("csv",), ("jsonl",)])
def test_a_run_that_is_run_again_is_equal(formats: tuple[str, ...], tmp_path: Path) -> None:
    found = replay(saved(tmp_path, *formats))
    assert found.is_equal()
    assert found.now == found.before == busy().digest
    assert found.has_trace == bool(formats)
    assert found.rows == (len(busy().rows) if formats else 0)


def test_the_first_row_that_differs_is_named(tmp_path: Path) -> None:
    lines = (saved(tmp_path, "csv") / "trace.csv").read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if "job_submitted" in line)
    lines[place] = lines[place].replace("job_submitted", "job_forgotten")
    (tmp_path / "trace.csv").write_text("\n".join(lines) + "\n")
    found = replay(tmp_path / "trace.csv")
    assert not found.is_equal()
    assert found.difference is not None
    assert found.difference.row == place
    assert found.difference.before is not None
    assert found.difference.now is not None
    assert (found.difference.before.event, found.difference.now.event) == ("job_forgotten", "job_submitted")
    text = found.difference.text()
    assert text.startswith(f"row {place}:\n  before: 4.000000000 s node 4 job_forgotten 0 bytes job 0 work")


def test_rows_that_are_missing_or_too_many_are_differences(tmp_path: Path) -> None:
    lines = (saved(tmp_path, "csv") / "trace.csv").read_text().splitlines()
    (tmp_path / "trace.csv").write_text("\n".join(lines[:-2]) + "\n")
    shorter = replay(tmp_path).difference
    assert shorter is not None
    assert (shorter.row, shorter.before) == (len(lines) - 2, None)
    assert "before: the end of the trace" in shorter.text()
    (tmp_path / "trace.csv").write_text("\n".join([*lines, lines[-1]]) + "\n")
    longer = replay(tmp_path).difference
    assert longer is not None
    assert (longer.row, longer.now) == (len(lines), None)


def test_another_digest_is_told_without_a_trace(tmp_path: Path) -> None:
    saved(tmp_path)
    summary = json.loads((tmp_path / SUMMARY).read_text())
    (tmp_path / SUMMARY).write_text(json.dumps({**summary, "digest": "0" * 32}))
    found = replay(tmp_path)
    assert (found.is_equal(), found.before, found.has_trace) == (False, "0" * 32, False)


@pytest.mark.parametrize(
    ("summary", "words"),
    [(None, "holds no run"), ("x", "cannot be read"), ("[]", "has no digest"), ("{}", "has no digest")],
)
def test_folders_without_a_run_cannot_be_run_again(summary: str | None, words: str, tmp_path: Path) -> None:
    if summary is not None:
        (tmp_path / SUMMARY).write_text(summary)
    with pytest.raises(OutputError, match=words):
        replay(tmp_path)
    with pytest.raises(OutputError, match="there is no such folder or trace"):
        replay(tmp_path / "trace.csv")


def test_two_traces_are_compared_without_running(tmp_path: Path) -> None:
    one = saved(tmp_path / "one", "csv")
    two = saved(tmp_path / "two", "jsonl")
    assert compare_traces(one, two / "trace.jsonl") is None
    other = run(busy_scenario(seed=4), keep_rows=True)
    files = TraceFiles(tmp_path / "three", ("jsonl",))
    files.take(other.rows)
    files.finish(other)
    found = compare_traces(one, tmp_path / "three")
    assert found is not None
    assert found.row >= 1
    with pytest.raises(OutputError, match="holds no trace; run with --trace csv"):
        compare_traces(one, saved(tmp_path / "four"))


def test_a_scenario_that_is_run_again_keeps_its_files(tmp_path: Path) -> None:
    (tmp_path / "churn.csv").write_text("1,n0,crash\n3,n0,up\n")
    scenario = Scenario(
        nodes=3, seconds=6, faults=(Fault(at_s=1, kind="churn-trace", file=str(tmp_path / "churn.csv")),)
    )
    save(run(scenario), tmp_path / "run")
    assert replay(tmp_path / "run").is_equal()
