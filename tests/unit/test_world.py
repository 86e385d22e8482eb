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

    def __init__(self, error: Exception | None, path: Path = Path("nowhere")) -> None:
        self.error = error
        self.path = path
        self.told: list[tuple[object, ...]] = []
        self.ended = trio.Event()

    async def fetch_object(self, *_: object) -> Path:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return self.path

    def note(self, *about: object) -> None:
        self.told.append(("noted", *about))

    def on_object_fetched(self, name: ObjectName) -> None:
        self.told.append(("fetched", name))
        self.ended.set()

    def on_object_missing(self, name: ObjectName, failed: list[NodeId]) -> None:
        self.told.append(("missing", name, failed))
        self.ended.set()

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
    world = world_of(answers)

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


@pytest.mark.parametrize("is_there", [True, False])
def test_what_no_task_can_make_again_is_noted_before_it_is_said_to_be_here(
    tmp_path: Path, is_there: bool
) -> None:
    path = tmp_path / "object"
    if is_there:
        path.write_bytes(b"12345")
    answers = Answers(None, path)
    world = world_of(answers)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(world.run)
            world.fetch_object(FetchObject(NAME, b"d" * 16, 5, SOURCES, 1))
            with trio.fail_after(5):
                await answers.ended.wait()
            nursery.cancel_scope.cancel()

    trio.run(main)
    kept = [("noted", NAME, b"d" * 16, 5, 1), ("fetched", NAME)]
    assert answers.told == (kept if is_there else [("missing", NAME, [PEER, OTHER])])


def world_of(answers: Answers) -> MeshWorld:
    anything = cast(Any, answers)
    return MeshWorld(
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
