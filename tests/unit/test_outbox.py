"""The page of memory between an executor and its node: what was put is never lost."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
from pathlib import Path

import pytest

from swarm.exec.outbox import REGION_SIZE, Outbox, OutboxPage, TaskStream, create_page
from swarm.exec.recent import RecentFunctions
from swarm.wire.executor_frames import OUTPUT, ExecutorFrameReader, pack_executor_frame


class Ends:
    """Both ends of a channel and its page, in one process."""

    def __init__(self, folder: Path) -> None:
        self.node, theirs = socket.socketpair()
        self.theirs = theirs
        descriptor = create_page(folder)
        self.page = OutboxPage(descriptor)
        self.breaks = 0
        self.outbox = Outbox(theirs, descriptor, self._on_broken)
        self.received = b""

    def _on_broken(self) -> None:
        self.breaks += 1

    def receive(self, size: int = 1 << 20) -> bytes:
        self.node.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self.received += self.node.recv(size)
        return self.received

    def everything(self) -> bytes:
        return self.receive() + self.page.rest(len(self.received))

    def close(self) -> None:
        self.node.close()
        self.theirs.close()
        self.page.close()


@pytest.fixture
def ends(tmp_path: Path) -> Ends:
    return Ends(tmp_path)


def test_what_is_put_is_in_the_page_at_once(ends: Ends) -> None:
    ends.outbox.put(b"one")
    ends.outbox.put(b"two")
    assert ends.receive() == b""
    assert ends.page.rest(0) == b"onetwo"
    ends.outbox.flush()
    assert ends.outbox.is_empty()
    assert ends.receive() == b"onetwo"
    assert ends.page.rest(6) == b""
    ends.outbox.put(b"three")
    assert ends.page.rest(6) == b"three"
    assert ends.page.rest(5) == ends.page.rest(100) == b""  # impossible counts give nothing
    ends.close()


def test_a_full_page_is_sent(ends: Ends) -> None:
    ends.outbox.put(b"a" * (REGION_SIZE - 10))
    ends.outbox.put(b"b" * 20)
    assert ends.everything() == b"a" * (REGION_SIZE - 10) + b"b" * 20
    ends.close()


def test_larger_than_the_page(ends: Ends) -> None:
    big = os.urandom(REGION_SIZE + 5)
    ends.outbox.put(b"before")
    reader = threading.Thread(target=_drain, args=(ends, len(big) + 6))
    reader.start()
    ends.outbox.put(big)
    ends.outbox.put(b"after")
    reader.join()
    assert ends.everything() == b"before" + big + b"after"
    ends.close()


def _drain(ends: Ends, size: int) -> None:
    while len(ends.received) < size:
        ends.received += ends.node.recv(65536)


def test_handle(ends: Ends) -> None:
    assert ends.page.handle() == 0
    ends.outbox.begin(2**40)
    assert ends.page.handle() == ends.outbox.handle == 2**40
    ends.close()


def test_the_timer_flushes_without_the_task(ends: Ends) -> None:
    ends.node.settimeout(10)
    ends.outbox.put(b"soon")
    ends.outbox.flush_within(0.001)
    assert ends.node.recv(100) == b"soon"
    ends.outbox.put(b"again")
    ends.outbox.flush_within(0.05)
    ends.outbox.flush_within(0.001)
    assert ends.node.recv(100) == b"again"
    ends.close()


def test_many_threads_lose_and_mix_nothing(ends: Ends) -> None:
    chooser = random.Random("threads")
    sizes = [chooser.choice((1, 50, 3000, 70_000)) for _ in range(300)]

    def put(letter: int) -> None:
        for size in sizes:
            ends.outbox.put(pack_executor_frame([OUTPUT, letter, 1, bytes([letter]) * size]))
            ends.outbox.flush_within(0.001)

    writers = [threading.Thread(target=put, args=(letter,)) for letter in range(3)]
    reader = ExecutorFrameReader()
    frames: list[list[object]] = []
    for writer in writers:
        writer.start()
    ends.node.settimeout(10)
    while len(frames) < 3 * len(sizes):
        frames += reader.feed(ends.node.recv(1 << 16))
    for writer in writers:
        writer.join()
    for letter in range(3):
        mine = [frame[3] for frame in frames if frame[1] == letter]
        assert mine == [bytes([letter]) * size for size in sizes]
    ends.outbox.flush()
    assert ends.outbox.is_empty()
    ends.close()


def test_lines_become_frames(ends: Ends) -> None:
    ends.outbox.begin(7)
    stream = TaskStream(ends.outbox, 2)
    assert stream.writable()
    assert stream.fileno() == 2
    assert stream.write(b"one\ntw") == 6
    frames = ExecutorFrameReader().feed(ends.page.rest(0))
    assert frames == [[OUTPUT, 7, 2, b"one\n"]]
    stream.write(b"o")
    stream.flush()
    assert ExecutorFrameReader().feed(ends.receive())[-1] == [OUTPUT, 7, 2, b"two"]
    stream.write(b"x" * 200_000)
    pieces = [frame[3] for frame in ExecutorFrameReader().feed(ends.everything())[2:]]
    assert b"".join(piece for piece in pieces if isinstance(piece, bytes)) == b"x" * 200_000
    ends.close()


def test_a_node_that_is_gone_is_told_of(ends: Ends) -> None:
    ends.node.close()
    ends.outbox.put(b"nobody")
    ends.outbox.flush()
    assert ends.breaks == 1
    assert ends.outbox.is_empty()
    ends.close()


def test_recent_functions_forget_the_oldest() -> None:
    recent: RecentFunctions[int] = RecentFunctions(count_max=2)
    recent.put(b"a", 1)
    recent.put(b"b", 2)
    assert recent.get(b"a") == 1
    recent.put(b"c", 3)
    assert (recent.get(b"a"), recent.get(b"b"), recent.get(b"c")) == (1, None, 3)
