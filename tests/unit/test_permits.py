"""Permits: every task is begun or recalled, never both, in order."""

from __future__ import annotations

import os
import threading

import pytest

from swarm.exec.permits import PermitPipe, Permits


class Ends:
    """Both sides of a pipe of permits."""

    def __init__(self) -> None:
        reader, writer = os.pipe()
        for end in (reader, writer):
            os.set_blocking(end, False)
        self.theirs = os.dup(reader)
        self.node = PermitPipe(reader, writer)
        self.executor = Permits(self.theirs)

    def close(self) -> None:
        self.node.close()
        os.close(self.theirs)


@pytest.fixture
def ends() -> Ends:
    return Ends()


def test_permits_come_in_order(ends: Ends) -> None:
    ends.node.give([5, 6])
    ends.node.give([2**40])
    assert [ends.executor.take() for _ in range(4)] == [5, 6, 2**40, 0]
    ends.close()


def test_what_was_not_taken_can_be_recalled(ends: Ends) -> None:
    ends.node.give([1, 2, 3, 4, 5])
    assert ends.executor.take() == 1
    assert ends.node.recall([1, 3, 5, 9]) == [3, 5]
    ends.node.give([6])
    assert [ends.executor.take() for _ in range(4)] == [2, 4, 6, 0]
    ends.node.give([7, 8])
    assert ends.node.recall() == [7, 8]
    assert ends.executor.take() == 0
    ends.close()


def test_more_than_a_pipe_holds(ends: Ends) -> None:
    count = 30_000
    ends.node.give(list(range(1, count + 1)))
    assert ends.node.recall([count, 20_001]) == [20_001, count]
    taken: list[int] = []
    while len(taken) < count - 2:
        handle = ends.executor.take()
        if handle:
            taken.append(handle)
        else:
            ends.node.push()
    assert taken == [*range(1, 20_001), *range(20_002, count)]
    assert ends.node.recall() == []
    ends.close()


def test_the_end_is_told_to_an_executor_that_waits(ends: Ends) -> None:
    threading.Timer(0.05, ends.node.close).start()
    assert ends.executor.take() == 0
    ends.executor.wait()
    assert ends.executor.take() == -1
    os.close(ends.theirs)
    ends.executor.wait()
    assert ends.executor.take() == -1


def test_each_task_goes_to_one_side(ends: Ends) -> None:
    """A reader and a node that recalls all the time share a stream of tasks."""
    count = 5000
    begun: list[int] = []

    def execute() -> None:
        while (handle := ends.executor.take()) >= 0:
            if handle:
                begun.append(handle)
            else:
                ends.executor.wait()

    thread = threading.Thread(target=execute)
    thread.start()
    recalled: list[int] = []
    for handle in range(1, count + 1):
        ends.node.give([handle])
        if handle % 3 == 0:
            recalled += ends.node.recall([handle, handle - 1])
    while len(begun) + len(recalled) < count:
        ends.node.push()
    ends.node.close()
    thread.join()
    assert begun == sorted(begun)
    assert sorted(begun + recalled) == list(range(1, count + 1))
    os.close(ends.theirs)
