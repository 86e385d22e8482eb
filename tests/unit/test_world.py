"""Copying objects on behalf of the node: every wish is answered once, whatever happens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import trio

from swarm.core.effects import FetchObject
from swarm.core.errors import ConnectFailed
from swarm.core.ids import NodeId, ObjectName
from swarm.daemon.world import MeshWorld
from swarm.net.object_client import FetchFailed

NAME: ObjectName = (b"j" * 10, 1, 0)
PEER, OTHER = b"p" * 16, b"o" * 16
SOURCES: list[tuple[NodeId, list[tuple[str, int]]]] = [(PEER, [("10.0.0.2", 1)]), (OTHER, [("10.0.0.3", 1)])]


class Answers:
    """Stands for the driver, the log and the client of objects."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.told: list[tuple[object, ...]] = []

    async def fetch_object(self, *_: object) -> None:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error

    def on_object_fetched(self, name: ObjectName) -> None:
        self.told.append(("fetched", name))

    def on_object_missing(self, name: ObjectName, failed: list[NodeId]) -> None:
        self.told.append(("missing", name, failed))

    def event(self, *_: object) -> None:
        return


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, ("fetched", NAME)),
        (FetchFailed("no", [OTHER]), ("missing", NAME, [OTHER])),
        (ConnectFailed("no"), ("missing", NAME, [PEER, OTHER])),
        (OSError(28, "No space left on device"), ("missing", NAME, [PEER, OTHER])),
    ],
)
def test_every_fetch_is_answered_once(error: Exception | None, told: tuple[object, ...]) -> None:
    answers = Answers(error)
    anything = cast(Any, answers)
    world = MeshWorld(
        store=Path("store"),
        kept=anything,
        sealer=anything,
        udp=anything,
        links=anything,
        sessions=anything,
        objects=anything,
        pool=anything,
        api=anything,
        driver=anything,
        log=anything,
    )

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(world.run)
            for _ in range(10):  # more than are copied at once
                world.fetch_object(FetchObject(NAME, b"d" * 16, 5, SOURCES))
            with trio.fail_after(5):
                while len(answers.told) < 10:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert answers.told == [told] * 10
