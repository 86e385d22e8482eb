"""The checker of histories: what may have been is taken, and each rule refuses what may not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.history import Begin, Fault, History, check, read_begins, read_lines

JOB = "ab" * 16
RIGHT = "11"
WRONG = "22"
CALM_AT = 100.0

Line = dict[str, Any]


class Book:
    """Writes a history."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._number = 0

    def did(
        self, began: float, action: str, phase: str, *, lasted: float = 1.0, client: str = "c", **more: Any
    ) -> Book:
        """Add an operation; what begins with `to_` stands in its first line."""
        self._number += 1
        head = {"client": client, "op": self._number, "action": action, "job": more.pop("job", JOB)}
        first = {key.removeprefix("to_"): value for key, value in more.items() if key.startswith("to_")}
        told = {key: value for key, value in more.items() if not key.startswith("to_")}
        self.lines.append({**head, "time": began, "phase": "invoke", **first})
        if phase != "open":
            self.lines.append({**head, "time": began + lasted, "phase": phase, **told})
        return self

    def submitted(self, began: float = 1.0, phase: str = "ok", **more: Any) -> Book:
        return self.did(began, "submit", phase, to_tasks=3, to_value=RIGHT, **more)

    def looked(self, began: float, state: str, **more: Any) -> Book:
        if state == "done":
            more.setdefault("value", RIGHT)
        return self.did(began, "look", "ok", state=state, node=more.pop("node", "n0"), **more)

    def history(self, begins: list[Begin] | None = None, faults: list[Fault] | None = None) -> History:
        return History(self.lines, begins or [], faults or [], CALM_AT)


def complaints(book: Book, begins: list[Begin] | None = None, faults: list[Fault] | None = None) -> list[str]:
    return check(book.history(begins, faults))


def rules(book: Book, begins: list[Begin] | None = None, faults: list[Fault] | None = None) -> list[str]:
    return sorted({complaint.partition(":")[0] for complaint in complaints(book, begins, faults)})


def whole() -> Book:
    return Book().submitted().looked(10, "running").looked(20, "done").looked(110, "done", tasks=3)


def test_a_job_that_ends_as_it_should_is_taken() -> None:
    assert complaints(whole(), [Begin(2.0, JOB, 0), Begin(2.0, JOB, 1), Begin(3.0, JOB, 2)]) == []


def test_what_was_never_answered_may_have_happened_or_not() -> None:
    assert complaints(Book().submitted(phase="unknown")) == []
    assert complaints(Book().submitted(phase="open")) == []
    assert complaints(Book().submitted(phase="unknown").looked(110, "done"), [Begin(50.0, JOB, 0)]) == []


def test_tasks_may_run_twice_before_the_mesh_is_calm() -> None:
    assert complaints(whole(), [Begin(2.0, JOB, 0), Begin(5.0, JOB, 0)]) == []


REFUSED: dict[str, tuple[str, Callable[[], Book]]] = {
    "an acknowledged job that is not looked at": ("lost", lambda: Book().submitted()),
    "an acknowledged job that is unknown in the end": (
        "lost",
        lambda: Book().submitted().looked(20, "done").did(110, "look", "fail"),
    ),
    "an acknowledged job that still runs": ("lost", lambda: Book().submitted().looked(110, "running")),
    "one acknowledged only by a repetition": (
        "lost",
        lambda: Book().submitted(1, "unknown").submitted(5, "ok").looked(110, "running"),
    ),
    "a wrong answer": ("answer", lambda: Book().submitted().looked(110, "done", value=WRONG)),
    "a wrong answer in between": (
        "answer",
        lambda: Book().submitted().looked(9, "done", value=WRONG).looked(110, "done"),
    ),
    "a failure out of nothing": ("answer", lambda: Book().submitted().looked(110, "failed")),
    "a success of what can only fail": (
        "answer",
        lambda: Book().did(1, "submit", "ok", to_tasks=1, to_error=True).looked(110, "done", value=None),
    ),
    "a cancellation by nobody": ("answer", lambda: Book().submitted().looked(110, "cancelled")),
    "a cancellation before anybody asked for it": (
        "answer",
        lambda: Book().submitted().looked(5, "cancelled").did(8, "cancel", "ok").looked(110, "cancelled"),
    ),
    "a job that was done and fails": (
        "change",
        lambda: Book().submitted().did(3, "cancel", "ok").looked(5, "done").looked(110, "cancelled"),
    ),
    "a job that was done and runs again": (
        "change",
        lambda: Book().submitted().looked(5, "done").looked(9, "running").looked(110, "done"),
    ),
    "a verdict that changes without a fault": (
        "change",
        lambda: Book().submitted().did(3, "cancel", "ok").looked(5, "cancelled").looked(110, "done"),
    ),
    "more tasks than were submitted": ("once", lambda: Book().submitted().looked(110, "done", tasks=6)),
    "a repetition that is refused": (
        "once",
        lambda: whole().submitted(120, "fail", error="other content").looked(130, "done"),
    ),
    "two things at once": (
        "form",
        lambda: Book().submitted(1, "open").submitted(2).looked(110, "done"),
    ),
    "one id for two jobs": (
        "form",
        lambda: Book().submitted().did(3, "submit", "ok", to_tasks=9, to_value=RIGHT).looked(110, "done"),
    ),
    "an unknown action": ("form", lambda: Book().did(1, "dance", "ok")),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    rule, make = REFUSED[name]
    assert rules(make()) == [rule]


def test_an_end_without_a_beginning_is_refused() -> None:
    book = whole()
    del book.lines[0]
    assert "form" in rules(book)


def test_a_phase_that_does_not_exist_is_refused() -> None:
    assert rules(Book().submitted(phase="perhaps").looked(110, "done")) == ["form"]


def test_tasks_of_a_job_that_nobody_submitted_are_refused() -> None:
    assert rules(Book(), [Begin(2.0, JOB, 0)]) == ["once"]


def test_tasks_that_run_when_an_ended_job_is_submitted_again_are_refused() -> None:
    again = whole().submitted(120).looked(130, "done")
    assert rules(again, [Begin(2.0, JOB, 0)]) == []
    assert rules(again, [Begin(2.0, JOB, 0), Begin(121.0, JOB, 0)]) == ["once"]


def test_tasks_of_a_job_that_was_only_refused_are_refused() -> None:
    assert rules(Book().submitted(phase="fail")) == []
    assert rules(Book().submitted(phase="fail"), [Begin(2.0, JOB, 0)]) == ["refused"]
    both = Book().submitted(phase="fail").submitted(5, "unknown")
    assert rules(both, [Begin(6.0, JOB, 0)]) == [], "the second may have been taken"


def test_tasks_of_a_job_that_all_agree_is_cancelled_are_refused() -> None:
    book = Book().submitted().did(3, "cancel", "ok").looked(110, "cancelled")
    assert rules(book, [Begin(50.0, JOB, 0)]) == []
    assert rules(book, [Begin(112.0, JOB, 0)]) == ["cancelled"]


CUT = Fault("cut", 2.0, 40.0, [["n0", "n1"], ["n2", "n3"]])


def changed(node: str) -> Book:
    book = Book().submitted().did(3, "cancel", "ok").looked(5, "done", node="n0")
    return book.looked(30, "cancelled", node=node).looked(110, "done")


def test_two_sides_of_a_cut_may_show_different_things_for_a_while() -> None:
    assert rules(changed("n3"), faults=[CUT]) == []
    assert rules(changed("n1"), faults=[CUT]) == ["change"], "of one side"
    assert rules(changed("n3"), faults=[Fault("loss", 2.0, 40.0)]) == ["change"], "loss does not part anybody"


def test_the_other_side_may_speak_while_a_cut_heals() -> None:
    book = (
        Book().submitted().looked(38, "done", node="n0").looked(41, "running", node="n1").looked(110, "done")
    )
    healing = book.history(faults=[CUT])
    assert check(healing) == []
    assert healing.reopened == {}


def test_a_done_job_that_runs_again_is_counted_when_a_fault_explains_it() -> None:
    book = Book().submitted().looked(5, "done").looked(30, "running").looked(110, "done")
    history = book.history(faults=[Fault("kill", 20.0, 28.0)])
    assert check(history) == []
    assert list(history.reopened) == [JOB]
    assert rules(book) == ["change"]


def test_a_cut_without_whole_sides_excuses_everybody_and_only_while_it_lasts() -> None:
    assert rules(changed("n1"), faults=[Fault("cut", 2.0, 40.0)]) == []
    assert rules(changed("n1"), faults=[Fault("cut", 2.0, 6.0)]) == ["change"], (
        "healed long before the second look"
    )


def test_a_cancelled_job_may_turn_out_to_be_done_when_a_fault_explains_it() -> None:
    book = Book().submitted().did(3, "cancel", "ok").looked(5, "cancelled").looked(110, "done")
    assert rules(book, faults=[Fault("stop", 2.0, 8.0)]) == []
    assert rules(book, faults=[Fault("stop", 200.0, 208.0)]) == ["change"]


def test_files_are_read_as_far_as_they_are_whole(tmp_path: Path) -> None:
    told, begun = tmp_path / "told", tmp_path / "begun"
    assert read_lines(told) == []
    assert read_begins(begun) == []
    told.write_text(json.dumps({"time": 1}) + '\n{"time"')
    begun.write_text(f"1.5 {JOB} 4\n2.5 {JOB}")
    assert read_lines(told) == [{"time": 1}]
    assert [(begin.time, begin.job, begin.task) for begin in read_begins(begun)] == [(1.5, JOB, 4)]
