"""Mistakes in scenario files: one clear error that names file, line, value and cure; nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from sims.scenario import ScenarioError, parse_scenario, read_scenario

PLAIN = [
    # the whole text, the whole message
    (
        "nodes = 3",
        (
            "f.toml: line 1: unknown key 'nodes'; known are name, description, mesh, time, faults, "
            "workload, network, gossip, election, scheduler, exec, driver, policy, output"
        ),
    ),
    ("[mush]", "f.toml: line 1: unknown key 'mush'; did you mean 'mesh'?"),
    ("\n[time]\nsecond = 3", "f.toml: line 3: unknown key 'time.second'; did you mean 'seconds'?"),
    ("mesh = 3", "f.toml: line 1: mesh is 3, it must be a table; write [mesh]"),
    ("name = 7", "f.toml: line 1: name is 7, it must be a text"),
    ("[mesh]\nnodes = 0", "f.toml: line 2: mesh: nodes is 0, it must be in 1 to 100000"),
    ("[mesh]\nnodes = 2.5", "f.toml: line 2: mesh.nodes is 2.5, it must be a whole number"),
    ("[mesh]\nnodes = true", "f.toml: line 2: mesh.nodes is true, it must be a whole number"),
    (
        "[mesh]\nnodes = 2\n[[mesh.hosts]]\nname = 'a'",
        "f.toml: line 2: mesh: nodes and hosts are both given; remove one of them",
    ),
    (
        "[mesh]\nhosts = 3",
        "f.toml: line 2: mesh.hosts is 3, it must be a list of tables; write [[mesh.hosts]]",
    ),
    ("[mesh]\nhosts = [3]", "f.toml: line 2: mesh.hosts[1] is 3, it must be a table"),
    (
        "[mesh]\ncontacts = ['n0', 'n9']",
        (
            "f.toml: line 2: mesh.contacts: there is no host, group or site 'n9'; there are n (n0 to n4), "
            "all, leader, followers, "
            "random"
        ),
    ),
    ("[mesh]\ncontacts = ['leader']", "f.toml: line 2: mesh.contacts: 'leader' names no hosts at the start"),
    ("[mesh]\ncontacts = 'n0'", "f.toml: line 2: mesh.contacts is 'n0', it must be a list of texts"),
    ("[time]\nseconds = 0", "f.toml: line 2: time: seconds is 0, it must be above 0"),
    ("[time]\nseconds = inf", "f.toml: line 2: time.seconds is inf, it must be a finite number"),
    ("[time]\nseconds = nan", "f.toml: line 2: time.seconds is nan, it must be a finite number"),
    ("[time]\nseed = -1", "f.toml: line 2: time: seed is -1, it must be at least 0"),
    ("[time]\nend = 'later'", "f.toml: line 2: time: end is 'later', it must be one of time, jobs"),
    (
        "[time]\nend = 'jobs'",
        "f.toml: line 2: time: end is 'jobs', but there is no workload; add one, or end by 'time'",
    ),
    (
        "[time]\nsample_s = 0",
        "f.toml: line 2: time: sample_s is 0, it must be above 0 and at least seconds / 1000000",
    ),
    ("[network]\nlatency_s = -0.1", "f.toml: line 2: network: latency_s is -0.1, it must be above 0"),
    ("[network]\nlatency_s = '1 ms'", "f.toml: line 2: network.latency_s is '1 ms', it must be a number"),
    ("[network]\nloss = 1.5", "f.toml: line 2: network: loss is 1.5, it must be a share in [0, 1)"),
    (
        "[network]\nmodel = 'x'",
        (
            "f.toml: line 2: network: model is 'x', it must be one of jitter, constant, "
            "normal, lognormal, pareto, trace, "
            "resampled, pi-wifi, pi-wifi-power-save"
        ),
    ),
    (
        "[network]\ntopology = 'moon'",
        "f.toml: line 2: network: topology is 'moon', it must be one of lan, wifi, campus, wide, home",
    ),
    (
        "[gossip]\nprobe_interval_s = -1",
        "f.toml: line 2: gossip: probe_interval_s is -1.0, it must be at least 0.001 seconds",
    ),
    (
        "[gossip]\nprobe_timeout_s = 9",
        "f.toml: line 2: gossip: probe_timeout: 0.2 <= 9.0 <= 1.0 must hold, and all be positive",
    ),
    (
        "[gossip]\nprobe_intervall_s = 1",
        "f.toml: line 2: unknown key 'gossip.probe_intervall_s'; did you mean 'probe_interval_s'?",
    ),
    (
        "[gossip]\nxyzzy = 1",
        "f.toml: line 2: unknown key 'gossip.xyzzy'; known are listed in docs/SCENARIOS.md",
    ),
    ("[gossip]\npreset = 3", "f.toml: line 2: gossip.preset is 3, it must be a text"),
    ("[election]\npreset = 'fast'", "f.toml: line 2: election.preset is 'fast', it must be one of lan, wan"),
    ("[election]\ncouncil_size = 0", "f.toml: line 2: election: council_size is 0, it must be 1..64"),
    ("[scheduler]\nreplicas = 0", "f.toml: line 2: scheduler: replicas must be at least 1, not 0"),
    ("[exec]\nscript_count_max = 0", "f.toml: line 2: exec: script_count_max is at least 1, not 0"),
    (
        "[driver]\nsync_s = -1",
        (
            "f.toml: line 2: driver: sync_s, spawn_s, start_s and handshake_s are at least 0 and flush_s is "
            "above 0: -1.0, 0.02, 0.0, 0.005, 0.5"
        ),
    ),
    (
        "[policy]\nplacement = 'heft'",
        "f.toml: line 2: policy: placement is 'heft', but there is no workload to place; add one",
    ),
    ("[policy]\nimode = 'x'", "f.toml: line 2: policy: imode is 'x', it must be one of exact, user, mean"),
    ("[output]\ntrace = ['xml']", "f.toml: line 2: output: trace has 'xml', it may have csv, jsonl, chrome"),
    (
        "[output]\nplots = ['pie']",
        (
            "f.toml: line 2: output: plots has 'pie', it may have membership, detection, "
            "false-suspicions, traffic, "
            "leaders, gantt, makespan"
        ),
    ),
]

HOSTS = [
    (
        "name = 'all'",
        (
            "name is 'all', it must not be empty, contain a colon or a comma, or be one of all, leader, "
            "followers, random"
        ),
    ),
    ("count = 3", "mesh.hosts[1] has no name; add `name = ...`"),
    ("name = 'a'\ncount = -1", "count is -1, it must be in 0 to 100000"),
    ("name = 'a'\ncores = -1", "cores, memory_bytes and fitness are at least 0: -1.0, 1073741824, 100"),
    ("name = 'a'\nspeed = 0", "speed must be > 0, not 0.0"),
    ("name = 'a'\nspeeds = 'fast'", "speeds is 'fast', it must be one of equal, uniform, log-normal, steps"),
    (
        "name = 'a'\nspeeds = 'uniform'\nspeed_spread = 2",
        "spread is 2.0, it must be at least 0, and below 1 for uniform speeds",
    ),
    ("name = 'a'\ntags = [1]", "mesh.hosts[1].tags[1] is 1, it must be a text"),
    ("name = 'a'\naccess = '5g'", "access is '5g', it must be one of '', 'pi-wifi', 'pi-wifi-power-save'"),
    ("name = 'a'\nloss = 1", "loss is 1, it must be a share in [0, 1)"),
    ("name = 'a'\nstart_s = -2", "start_s is -2, it must be at least 0, or -1 for no start"),
    ("name = 'a'\ndrift_ppm = -500000", "drift_ppm must be above -500000, not -500000.0"),
    ("name = 'a'\n[[mesh.hosts]]\nname = 'a'", "name is 'a', but there is 'a' already; choose another"),
    (
        "name = 'a'\ncount = 2\n[[mesh.hosts]]\nname = 'a1'",
        "name is 'a1', but there is 'a1' already; choose another",
    ),
]

FAULTS = [
    ("kind = 'crash'\ntargets = 'n0'", "faults[1] has no at; add `at = ...`"),
    ("at = 1", "faults[1] has no kind; add `kind = ...`"),
    ("at = 1\nkind = 'earthquake'", "kind is 'earthquake', it must be one of crash, power-off, restart,"),
    ("at = -1\nkind = 'heal'", "at is -1, it must be at least 0 seconds"),
    ("at = 61\nkind = 'heal'", "at is 61, after the end of the run at 60; move it or run longer"),
    ("at = 1\nkind = 'crash'", "kind 'crash' needs targets; add `targets = [...]`"),
    ("at = 1\nkind = 'heal'\ntargets = 'n0'", "targets is ['n0'], but 'heal' has none; remove it"),
    (
        "at = 1\nkind = 'crash'\ntargets = 'n7'",
        "there is no host, group or site 'n7'; there are n (n0 to n4), all, leader, followers, random",
    ),
    ("at = 1\nkind = 'crash'\ntargets = ['n1', 'site:x']", "there is no host, group or site 'site:x'"),
    ("at = 1\nkind = 'crash'\ntargets = 'random:6'", "'random:6' wants '6' hosts, it must be in 1 to 5"),
    ("at = 1\nkind = 'crash'\ntargets = 'random:x'", "'random:x' wants 'x' hosts, it must be in 1 to 5"),
    ("at = 1\nkind = 'crash'\ntargets = 7", "faults[1].targets is 7, it must be a list of texts"),
    ("at = 1\nkind = 'pause'\ntargets = 'n0'", "kind 'pause' needs to end; add `for = ...` seconds, above 0"),
    ("at = 1\nkind = 'start'\ntargets = 'n0'\nfor = 3", "for is 3, but 'start' is not undone; remove it"),
    ("at = 1\nkind = 'crash'\ntargets = 'n0'\nfor = -3", "for is -3, it must be at least 0 seconds"),
    (
        "at = 1\nkind = 'crash'\ntargets = 'n0'\ndisk = 'lost'",
        "disk is 'lost', it must be one of keep, torn, destroyed",
    ),
    (
        "at = 1\nkind = 'crash'\ntargets = 'n0'\nshare = 0.2",
        "share does not belong to 'crash', which takes disk; remove it",
    ),
    ("at = 1\nkind = 'loss'\nshare = 1.5", "share is 1.5, it must be in 0 to 1"),
    (
        "at = 1\nkind = 'loss'\nshare = 1",
        "share is 1, but a loss must leave something; cut hosts off by 'isolate'",
    ),
    ("at = 1\nkind = 'latency'", "kind 'latency' needs factor; add `factor = ...`"),
    ("at = 1\nkind = 'latency'\nfactor = -2", "factor is -2, it must be above 0"),
    (
        "at = 1\nkind = 'slow'\ntargets = 'n0'",
        "kind 'slow' needs input_s or factor; add `input_s = ...` or `factor = ...`",
    ),
    (
        "at = 1\nkind = 'drift'\ntargets = 'n0'\ndrift_ppm = -1e6",
        "drift_ppm is -1e+06, it must be above -500000",
    ),
    (
        "at = 1\nkind = 'clock-jump'\ntargets = 'n0'\nseconds = -5",
        "seconds is -5, it must be above 0 seconds",
    ),
    ("at = 1\nkind = 'block'\ntargets = 'n0'", "kind 'block' needs others; add `others = ...`"),
    ("at = 1\nkind = 'block'\ntargets = 'n0'\nothers = 'n8'", "there is no host, group or site 'n8'"),
    (
        "at = 1\nkind = 'partition'\ntargets = 'n0'\ndirection = 'left'",
        "direction is 'left', it must be one of both, out, in",
    ),
    ("at = 1\nkind = 'churn'\nup_s = 3", "kind 'churn' needs down_s; add `down_s = ...`"),
    (
        "at = 1\nkind = 'churn'\nup_s = 3\ndown_s = 2\nends = 'boom'",
        "ends is 'boom', it must be one of crash, power-off, leave",
    ),
    ("at = 5\nkind = 'heal'\nevery = 2\nuntil = 4", "until is 4, it must not come before at = 5"),
    ("at = 5\nkind = 'heal'\nuntil = 9", "until is 9, but nothing is repeated; add `every = ...`"),
    ("at = 5\nkind = 'heal'\nevery = 0.001", "every is 0.001, it must be at least 0.01 seconds"),
    ("at = 5\nkind = 'churn-trace'\nfile = 'none.csv'", "none.csv: cannot be read"),
]

WORKLOADS = [
    ("name = 'x'", "graph is '' and generator ''; give exactly one of them"),
    ("generator = 'grid'\ngraph = 'g.json'", "and generator 'grid'; give exactly one of them"),
    ("generator = 'gird'", "the family of graphs 'gird' is not known; known are fork-join"),
    ("generator = 'grid'\nparameters = { rows = 0 }", "rows is 0, it must be at least 1"),
    (
        "generator = 'grid'\nparameters = { rows = 'x' }",
        "workload.parameters.rows is 'x', it must be a number",
    ),
    ("generator = 'grid'\nparameters = { rowls = 1 }", "grid: the parameter 'rowls' is not known"),
    (
        "generator = 'grid'\nparameters = 3",
        "workload.parameters is 3, it must be a table; write parameters = { ... }",
    ),
    ("generator = 'grid'\nat = 'n9'", "at: there is no host, group or site 'n9'"),
    ("generator = 'grid'\ngraph_seed = -1", "graph_seed is -1, it must be at least 0"),
    ("generator = 'grid'\narrivals = { kind = 'now' }", "the arrival process 'now' is not known"),
    ("generator = 'grid'\narrivals = { start_s = 61 }", "start_s is 61, after the end of the run at 60"),
    (
        "generator = 'grid'\narrivals = { intervall_s = 1 }",
        "unknown key 'workload.arrivals.intervall_s'; did you mean 'interval_s'?",
    ),
    ("generator = 'grid'\nnoise = { kind = 'loud' }", "the noise 'loud' is not known"),
    ("graph = 'none.json'", "none.json: cannot be read: No such file or directory"),
    ("graph = ''", "workload.graph is '', it must be the name of a file"),
    ("grap = 'x'", "unknown key 'workload.grap'; did you mean 'graph'?"),
]


@pytest.mark.parametrize(("text", "message"), PLAIN)
def test_a_mistake_is_one_message_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse_scenario(text, "f.toml")
    assert str(error.value) == message


def refused(text: str, tmp_path: Path) -> str:
    """Return the message of a text that is refused, which wrote nothing."""
    before = sorted(tmp_path.iterdir())
    with pytest.raises(ScenarioError) as error:
        parse_scenario(text, "f.toml", tmp_path)
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.iterdir()) == before
    return str(error.value)


@pytest.mark.parametrize(("text", "words"), HOSTS)
def test_mistakes_about_hosts(text: str, words: str, tmp_path: Path) -> None:
    message = refused(f"[[mesh.hosts]]\n{text}", tmp_path)
    assert message.startswith("f.toml: line ")
    assert words in message


@pytest.mark.parametrize(("text", "words"), FAULTS)
def test_mistakes_about_faults(text: str, words: str, tmp_path: Path) -> None:
    message = refused(f"[[faults]]\n{text}", tmp_path)
    assert message.startswith("f.toml: line ")
    assert words in message
    assert "faults[1]" in message


@pytest.mark.parametrize(("text", "words"), WORKLOADS)
def test_mistakes_about_workloads(text: str, words: str, tmp_path: Path) -> None:
    message = refused(f"\n[workload]\n{text}", tmp_path)
    assert message.startswith("f.toml: line ")
    assert words in message
    assert "workload" in message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            (
                "[[faults]]\nat = 1\nkind = 'heal'\n[[faults]]\nkind = 'crash'\n# here\ntargets = "
                "['n0', 'n1',\n 'n9']\nat = 2"
            ),
            8,
        ),
        ("[[faults]]\nat = 1\nkind = 'heal'\n\n[[faults]]\nkind = 'heal'\nat = 99", 7),
        ("[workload]\ngenerator = 'grid'\n[workload.parameters]\nrows = 2\ncolumns = 0", 5),
        ("[[workload]]\ngenerator = 'grid'\n[[workload]]\ngenerator = 'grid'\nat = 'x'", 5),
        ("[[workload]]\ngenerator = 'grid'\n[[workload]]\ngraph = 'none.json'", 4),
        ("[gossip]\n# a comment\nawareness_max = 3\nspread_fanout = 0\nhelper_count = 2", 4),
        ("[mesh]\nnodes = 4\n[network]\nloss = 0.1\nmodel = 'pareto'\nlatency_shape = -2", 6),
        ("[[mesh.hosts]]\nname = 'a'\nsite = 's'\n[[network.links]]\nlatency_s = 1\nsites = ['s', 't']", 4),
        ("[network]\ntopology = 'lan'\n[[network.links]]\nsites = ['s', 't']", 2),
    ],
)
def test_the_line_is_that_of_the_value(text: str, line: int, tmp_path: Path) -> None:
    assert refused(text, tmp_path).startswith(f"f.toml: line {line}: ")


@pytest.mark.parametrize(
    ("text", "line"), [("a = = 1", 1), ("\n\n[mesh", 3), ("[a]\n[a]", 2), ("a = 1\na = 2", 2), ("a = '", 1)]
)
def test_what_is_no_toml_names_the_line(text: str, line: int, tmp_path: Path) -> None:
    assert refused(text, tmp_path).startswith(f"f.toml: line {line}: is not TOML: ")


def test_a_cycle_in_a_graph_names_its_tasks(tmp_path: Path) -> None:
    tasks = ",".join(
        [
            f'{{"id":{number},"duration_s":1,"outputs":[{{"size_bytes":1}}],"inputs":[[{1 - number},0]]}}'
            for number in (0, 1)
        ]
    )
    (tmp_path / "loop.json").write_text(
        f'{{"format":"swarm-graph","version":1,"name":"l","tasks":[{tasks}]}}'
    )
    message = refused("[workload]\ngraph = 'loop.json'", tmp_path)
    assert message.startswith("f.toml: line 2: workload: ")
    assert "loop.json: the tasks form a cycle: " in message


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        ("5,n0,crash\n3,n1,crash", "line 2: out of order: 3 comes after 5; sort the trace by time"),
        ("time_s,host,event\n5,n0,explode", "line 2: the event 'explode' is not known"),
        ("# only\n\n", "the trace has no event"),
        ("5,n0", "line 1: '5,n0' is no event; write `seconds,host,event`"),
        ("x,n0,up", "line 1: 'x' is no time in seconds"),
        ("-1,n0,up", "line 1: the time -1 must be at least 0"),
        ("nan,n0,up", "line 1: the time nan must be at least 0"),
        ("1,n9,up", "there is no host, group or site 'n9'"),
        ("1,n,up", "churn.csv: 'n' is more than one host"),
    ],
)
def test_a_wrong_churn_trace_names_its_line(trace: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "churn.csv").write_text(trace)
    text = "[[faults]]\nat = 1\nkind = 'churn-trace'\nfile = 'churn.csv'"
    message = refused(text, tmp_path)
    assert message.startswith("f.toml: line 4: faults[1]: ")
    assert words in message


def test_arrivals_out_of_order_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "jobs.csv").write_text("1\n9\n4\n")
    message = refused("[workload]\ngenerator = 'grid'\narrivals = { file = 'jobs.csv' }", tmp_path)
    assert message.startswith("f.toml: line 3: workload.arrivals: ")
    assert "line 3: out of order: 4 comes after 9" in message


def test_latencies_that_are_no_numbers_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "rtt.txt").write_text("0.01\nfast\n")
    message = refused("[network]\nlatency_file = 'rtt.txt'", tmp_path)
    assert message.startswith("f.toml: line 2: ")
    assert "line 2: 'fast' is no latency in seconds" in message
    assert "cannot be read" in refused("[network]\nlatency_file = 'none.txt'", tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            '{"nodes": [{"id": "a"}], "links": [], "directed": false, "multigraph": false, "graph": {}}',
            "hosts",
        ),
        ("{}", "no networkx node-link JSON"),
        ("x", "is not JSON"),
    ],
)
def test_a_graph_of_the_network_must_fit(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(content)
    text = "[mesh]\nnodes = 3\n[network]\ngraph = 'net.json'"
    message = refused(text, tmp_path)
    assert message.startswith(f"f.toml: line {2 if words == 'hosts' else 4}: ")
    assert ("the graph of the network has 1" if words == "hosts" else words) in message


@pytest.mark.parametrize(
    ("placement", "words"),
    [
        ("hoft", "policy 'hoft' is not known"),
        ("none.py:Mine", "none.py"),
        ("mine.py:Other", "Other"),
    ],
)
def test_a_policy_that_cannot_be_had_names_its_line(placement: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine:\n    def decide(self, view):\n        return []\n")
    message = refused(f"[workload]\ngenerator = 'grid'\n[policy]\nplacement = '{placement}'", tmp_path)
    assert message.startswith("f.toml: line 4: policy: placement: ")
    assert words in message


def test_policies_of_the_ideal_model_know_no_faults(tmp_path: Path) -> None:
    text = "[workload]\ngenerator = 'grid'\n[policy]\nplacement = 'heft'\n[[faults]]\nat = 1\nkind = 'heal'"
    assert "line 4: policy: placement is 'heft', a policy of the ideal model, where nothing fails" in refused(
        text, tmp_path
    )


def test_gossip_settings_that_do_not_exist_name_their_line(tmp_path: Path) -> None:
    message = refused("[gossip]\npreset = 'shouting'", tmp_path)
    assert message.startswith("f.toml: line 2: gossip.preset: no gossip settings are called 'shouting'")


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.toml: cannot be read: No such file or directory"):
        read_scenario(tmp_path / "none.toml")
    with pytest.raises(ScenarioError, match="cannot be read: Is a directory"):
        read_scenario(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ScenarioError, match="it is not UTF-8"):
        read_scenario(tmp_path / "latin.toml")


def test_what_only_python_can_state_is_no_key(tmp_path: Path) -> None:
    assert "unknown key 'gossip.fact_bands'" in refused("[gossip]\nfact_bands = ['load']", tmp_path)


def test_an_unknown_name_lists_the_stored_scenarios() -> None:
    with pytest.raises(ScenarioError, match=r"hoome: there is no such file, .*stored are .*home"):
        read_scenario("hoome")


def test_nested_beyond_reason_is_an_error_like_others(tmp_path: Path) -> None:
    assert "nested too deeply" in refused("a = " + "[" * 5000 + "]" * 5000, tmp_path)
