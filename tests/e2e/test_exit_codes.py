"""The exit codes of the command line against a real mesh: 0 1 2 3 4 130, and what stderr says with each."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mesh_processes import Host, Node, finished, finished_json, finished_well, is_running, wait_for

INTERRUPTED = 130


class Place:
    """A host with one node, for read-only use by many tests.

    Attributes:
        host: where commands run.
        node: the node.
        done, failed: jobs that have ended so.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        self.node: Node = host.node("node", "--no-multicast", "--listen", "127.0.0.1", "--cores", "2")
        self.node.join("--new")
        self.done = self.job("echo fine")
        self.failed = self.job("echo broken >&2; exit 7")

    def job(self, line: str) -> str:
        """Run a shell command as a job to its end and return its id."""
        code, out, _ = self.run("submit", "--json", "--command", "--", "sh", "-c", line)
        report = json.loads(out)
        assert code == (0 if report["state"] == "done" else 1)
        return str(report["job"])

    def start(self, *words: str) -> subprocess.Popen[str]:
        return self.host.swarm(*words, environment={"SWARM_HOME": str(self.node.home.root)})

    def run(self, *words: str) -> tuple[int, str, str]:
        return finished(self.start(*words))


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    host = Host()
    try:
        yield Place(host)
    finally:
        host.close()


@pytest.mark.parametrize("extra", [[], ["--json"]])
@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["nodes"],
        ["jobs"],
        ["job", "DONE"],
        ["job", "FAILED"],
        ["logs", "DONE"],
        ["logs", "FAILED"],
        ["logs", "-f", "DONE"],
        ["attach", "DONE"],
        ["results", "DONE"],
        ["results", "FAILED"],
        ["invite"],
        ["invite", "--client"],
        ["run", "--all", "--", "true"],
        ["submit", "--command", "--", "true"],
        ["submit", "--detach", "--command", "--", "true"],
    ],
)
def test_fine(place: Place, words: list[str], extra: list[str]) -> None:
    jobs = {"DONE": place.done, "FAILED": place.failed}
    words = [jobs.get(word, word) for word in words]
    code, out, err = place.run(words[0], *extra, *words[1:])
    assert code == 0, err
    if words[0] not in ("submit", "run", "attach") and "FAILED" not in words:
        assert err in ("", "broken\n")
    for line in out.splitlines() if extra else []:
        json.loads(line)


def test_failed(place: Place) -> None:
    code, _, err = place.run("logs", "-f", place.failed)
    assert (code, err) == (1, "broken\n")
    code, out, _ = place.run("logs", "-f", "--json", place.failed)
    assert code == 1
    assert json.loads(out.splitlines()[0]) == {"task": 0, "attempt": 1, "stream": 2, "data": "broken\n"}
    code, _, err = place.run("attach", place.failed)
    assert code == 1
    assert err.startswith("broken\nswarm: job ")
    assert place.run("run", "--all", "--", "sh", "-c", "exit 9")[0] == 9, "the worst exit code of all nodes"
    for words in (["job"], ["logs"], ["results"], ["cancel"], ["attach"], ["retry"]):
        code, out, err = place.run(*words, "zzzzzzzz")
        assert (code, out) == (1, "")
        assert err.startswith("swarm: ")
        assert "'zzzzzzzz'" in err
    file = place.host.folder / "file"
    file.write_text("")
    code, _, err = place.run("results", place.done, "-o", str(file / "folder"))
    assert code == 1
    assert "cannot write into" in err
    assert "-o" in err


def test_cancelling_twice_is_fine(place: Place) -> None:
    job = finished_json(place.start("submit", "--json", "--detach", "--command", "--", "sleep", "60"))["job"]
    assert place.run("cancel", job)[0] == 0
    assert place.run("cancel", job)[0] == 0
    assert wait_for(lambda: place.node.ask("job", {"job": job})["state"]) == "cancelled"
    assert place.run("logs", "-f", job)[0] == 1


def test_names_of_failed_nodes(place: Place) -> None:
    """Who ran the task that failed: in the message, and in `swarm job`."""
    code, _, err = place.run("submit", "--command", "--", "sh", "-c", "exit 3")
    assert code == 1
    assert "failed on node: " in err
    code, out, _ = place.run("job", "--json", place.failed)
    assert code == 0
    assert [row["node"] for row in json.loads(out)["tasks_detail"]] == ["node"]


@pytest.mark.parametrize(
    "words", [["submit", "--command", "--", "sleep", "60"], ["run", "--all", "--", "sleep", "60"]]
)
def test_an_interrupt_cancels_what_it_waits_for(place: Place, words: list[str]) -> None:
    known = {row["job"] for row in place.node.ask("jobs")}
    waiting = place.start(*words)
    job = wait_for(lambda: [row["job"] for row in place.node.ask("jobs") if row["job"] not in known])[0]
    wait_for(lambda: place.node.ask("job", {"job": job})["tasks"]["running"] == 1, what="a running task")
    waiting.send_signal(signal.SIGINT)
    code, out, err = finished(waiting)
    assert (code, out) == (INTERRUPTED, "")
    assert "Traceback" not in err
    assert err.endswith("swarm: interrupted\n")
    assert wait_for(lambda: place.node.ask("job", {"job": job})["state"] == "cancelled")


def test_an_interrupt_while_looking(place: Place) -> None:
    words = ("--", "sh", "-c", "echo begun; exec sleep 60")
    job = finished_json(place.start("submit", "--json", "--detach", "--command", *words))["job"]
    looking = place.start("logs", "-f", job)
    assert looking.stdout is not None
    assert "begun" in looking.stdout.readline()
    looking.send_signal(signal.SIGINT)
    code, out, err = finished(looking)
    assert (code, out, err) == (INTERRUPTED, "", "swarm: interrupted\n")
    assert place.node.ask("job", {"job": job})["state"] == "running", "looking away ends nothing"
    assert place.run("cancel", job)[0] == 0


def test_an_interrupt_ends_a_mesh_for_trying(place: Place) -> None:
    up = place.host.swarm("up", "--nodes", "1", "--json", environment={"TMPDIR": str(place.host.folder)})
    assert up.stdout is not None
    pid = int(json.loads(up.stdout.readline())["nodes"][0]["pid"])
    up.send_signal(signal.SIGINT)
    code, _, err = finished(up)
    assert (code, err) == (INTERRUPTED, "swarm: interrupted\n")
    assert not is_running(pid)
    assert not list(Path(place.host.folder).glob("swarm-local-*"))


def test_an_interrupt_while_joining(place: Place) -> None:
    home = place.host.folder / "early"
    joining = place.host.swarm("join", "--home", str(home), "--json")
    wait_for((home / "lock").exists, 10.0, "the start of the daemon")
    joining.send_signal(signal.SIGINT)
    code, out, err = finished(joining)
    assert (code, out, err) == (INTERRUPTED, "", "swarm: interrupted\n")
    code, _, err = finished(place.host.swarm("stop", "--home", str(home)))
    assert code == 3, "nothing was left running"


def test_a_pipe_that_is_closed_is_no_error_to_talk_about(place: Place) -> None:
    script = f"{sys.executable} -m swarm nodes --json | head -c 1; echo ${{PIPESTATUS[0]}} >&2"
    process = place.host.spawn("bash", "-c", script, environment={"SWARM_HOME": str(place.node.home.root)})
    code, out, err = finished(process)
    assert (code, out) == (0, "[")
    assert "Traceback" not in err
    assert err.strip() in {"0", "1"}


def test_help_and_version_need_no_mesh(place: Place) -> None:
    assert "Exit codes: 0 fine" in " ".join(finished_well(place.host.swarm("--help")).split())
    assert finished_well(place.host.swarm("--version")).startswith("swarm ")
