"""The node's end of an executor that is closed at awkward moments."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from swarm.exec.link import ExecutorLink


async def _close_while(
    folder: Path, wake: Callable[[list[int]], object], work: Callable[[ExecutorLink], Any]
) -> None:
    """Close a link in the very tick in which a reader of it was woken, before or after that runs."""
    link = ExecutorLink(0, 1, folder / "0-1", lambda _link, _frames: None)
    ends = link.take_child_ends()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                try:
                    await work(link)
                except trio.ClosedResourceError:
                    return

            async def close() -> None:
                await trio.lowlevel.wait_readable(ours)
                link.close()
                link.close()

            nursery.start_soon(read)
            nursery.start_soon(close)
            await trio.testing.wait_all_tasks_blocked()
            wake(ends)
            theirs.send(b"x")
    link.tell_recalled()
    assert link.last_output() in ("", "text")
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("stream", [1, 2])
def test_output_of_a_closed_link_is_not_read(tmp_path: Path, stream: int) -> None:
    async def main() -> None:
        for _ in range(30):  # trio runs tasks of one tick in any order
            await _close_while(
                tmp_path,
                lambda ends: os.write(ends[stream], b"text"),
                lambda link: link.read_output(stream),
            )

    trio.run(main)


def test_frames_of_a_closed_link_are_not_read(tmp_path: Path) -> None:
    async def main() -> None:
        for _ in range(30):
            await _close_while(
                tmp_path, lambda ends: os.write(ends[0], b"\x05\0\0\0"), lambda link: link.read()
            )

    trio.run(main)
