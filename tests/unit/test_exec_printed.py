"""Printed output that a node tells: once to each leader, the newest of it again to the next one."""

from __future__ import annotations

from swarm.exec.printed import PrintedRows
from swarm.scheduler.reports import take_output
from swarm.scheduler.watches import UNKNOWN_LOGS_MAX, Watches
from swarm.wire.codec import Body
from tests.unit.scheduler_builder import JOB, ONE, JobBuilder, bag

FIRST, SECOND = (1, ONE), (2, ONE)


def row(data: bytes, offset: int = 0) -> list[object]:
    return [JOB, 0, 1, 1, offset, data]


def test_what_is_new_is_told_once() -> None:
    printed = PrintedRows(100)
    printed.tell_again(FIRST)
    printed.add(row(b"one"))
    assert printed.take() == [row(b"one")]
    printed.tell_again(FIRST)
    assert printed.take() == []


def test_the_next_leader_is_told_all_that_is_kept_in_its_order() -> None:
    printed = PrintedRows(100)
    printed.add(row(b"one"))
    assert printed.take() == [row(b"one")]
    printed.add(row(b"two", 3))
    printed.tell_again(SECOND)
    assert printed.take() == [row(b"one"), row(b"two", 3)]
    printed.tell_again((3, ONE))
    assert printed.take() == [row(b"one"), row(b"two", 3)], "and the one after that"


def test_only_the_newest_is_kept() -> None:
    printed = PrintedRows(5)
    for number in range(3):
        printed.add(row(b"%d.." % number, 3 * number))
    assert len(printed.take()) == 3, "what is new is told, however much it is"
    printed.tell_again(FIRST)
    assert printed.take() == [row(b"2..", 6)]
    nothing = PrintedRows(0)
    nothing.add(row(b"one"))
    assert nothing.take() == [row(b"one")]
    nothing.tell_again(FIRST)
    assert nothing.take() == []


def test_a_new_leader_hears_of_output_before_it_knows_the_job() -> None:
    watches = Watches(1000)
    take_output({}, watches, Body([[row(b"early")]]))
    assert watches.output_rows(JOB) == [[0, 1, 1, 0, b"early"]]
    others = [number.to_bytes(10, "big") for number in range(UNKNOWN_LOGS_MAX + 9)]
    for other in others:
        take_output({}, watches, Body([[[other, 0, 1, 1, 0, b"x"]]]))
    kept = [other for other in others if watches.output_rows(other)]
    assert len(kept) == UNKNOWN_LOGS_MAX - 1, "a bounded number of jobs that may never come"
    jobs = {JOB: JobBuilder(bag(1)).job}
    take_output(jobs, watches, Body([[[others[-1], 0, 1, 1, 0, b"x"]]]))
    assert watches.output_rows(others[-1]) == [[0, 1, 1, 0, b"x"]]
