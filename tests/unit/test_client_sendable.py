"""What cannot be sent is refused where it is given, in one line that names it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.client.graphs import add_graph, new_job
from swarm.client.job import ClientJob
from swarm.client.options import make_options, size_bytes
from swarm.client.reach import parse_address
from swarm.client.scripts import script_payload
from swarm.client.sendable import checked_text, packed, readable
from swarm.client.session import Session
from swarm.client.tasks import program, split_options
from swarm.core.errors import ConfigError
from tests.unit.client_harness import FakeOwner, take

BAD = "\udcff"


def job() -> ClientJob:
    return ClientJob(b"0123456789", {}, FakeOwner())


def named(name: str) -> Callable[[], int]:
    def function() -> int:
        return 1

    function.__name__ = name
    return function


def graph(**attributes: Any) -> None:
    add_graph(job(), {"tasks": [{"id": "a", "command": ["true"], **attributes}]}, (), {})


WRONG: dict[str, Callable[[], object]] = {
    "a function's name": lambda: job().builder.add_call(named(BAD), (), {}, make_options(), "fine"),
    "a task's name": lambda: job().builder.add_call(max, (1, 2), {}, make_options(), BAD),
    "the option name": lambda: split_options({"name": BAD}),
    "a tag": lambda: make_options(tags=[f"a={BAD}"]),
    "a version": lambda: make_options(python=BAD),
    "a job's name": lambda: new_job(FakeOwner(), BAD, is_session=False),
    "a program's word": lambda: program(["echo", BAD]),
    "a program's name": lambda: program(["echo"], name=BAD),
    "a program's path": lambda: program(["echo"], outputs=[BAD]),
    "a program's variable": lambda: program(["echo"], env={"A": BAD}),
    "a program's input": lambda: program(["echo"], inputs={"a": BAD}),
    "a program's stdin": lambda: program(["echo"], stdin=BAD),
    "a script's argument": lambda: script_payload(Path(__file__), [BAD]),
    "a script's name": lambda: script_payload(Path(f"{BAD}.py"), []),
    "an id in a workflow": lambda: graph(id=BAD),
    "a variable in a workflow": lambda: graph(env={"A": BAD}),
    "an input in a workflow": lambda: graph(inputs={"in": {"text": BAD}}),
    "a call in a workflow": lambda: add_graph(job(), {"tasks": [{"id": "a", "call": f"{BAD}:f"}]}, (), {}),
    "an argument of a question": lambda: Session().call("job", {"job": BAD}, print),
}


@pytest.mark.parametrize("what", WRONG)
def test_text_that_is_no_utf8(what: str) -> None:
    with pytest.raises(ConfigError, match=r"\\udcff") as caught:
        WRONG[what]()
    str(caught.value).encode()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: size_bytes("99999999999999999999999G"),
        lambda: size_bytes(2**64),
        lambda: size_bytes(10**5000),
        lambda: make_options(cpus=10**400),
        lambda: new_job(FakeOwner(), "x", is_session=False, priority=2**64),
        lambda: new_job(FakeOwner(), "x", is_session=False, priority=-(10**5000)),
        lambda: packed({"argv": ["fine", {"deep": [2**64]}]}, "it"),
    ],
)
def test_numbers_that_no_frame_holds(refused: Callable[[], object]) -> None:
    with pytest.raises(ConfigError) as caught:
        refused()
    assert len(str(caught.value)) < 300


def test_a_refused_task_leaves_nothing_behind() -> None:
    made = job()
    for call in (named(BAD), named("fine")):
        with pytest.raises(ConfigError):
            made.builder.add_call(call, (), {}, make_options(), BAD)
    assert not made.builder.has_pending()
    made.builder.add_call(max, (1, 2), {}, make_options(), "größer ✓")
    assert take(made).tasks[-1].name == "größer ✓"


def test_a_refused_question_is_not_asked_later() -> None:
    session = Session()
    with pytest.raises(ConfigError):
        session.call("job", {"job": BAD}, print)
    session.on_connected()
    assert session.take_outgoing() == []


def test_a_workflow_nested_too_deeply(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match="is no JSON"):
        add_graph(job(), path, (), {})


def test_names_of_files_are_made_readable() -> None:
    assert readable(f"a{BAD}é.py") == "a?é.py"
    assert checked_text("é ✓", "the name") == "é ✓"
    assert packed({"a": [1, b"x", None]}, "it") == b"\x81\xa1a\x93\x01\xc4\x01x\xc0"


def test_an_invitation_given_as_an_address_is_not_shown() -> None:
    with pytest.raises(ConfigError, match="mesh=") as caught:
        parse_address("swarm1:abcdefghijk")
    assert "abc" not in str(caught.value)
