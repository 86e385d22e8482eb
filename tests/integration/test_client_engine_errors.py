"""What cannot be sent and what breaks: the one job ends, or the session with its true error."""

from __future__ import annotations

from typing import cast

import pytest
import trio

from swarm import aio
from swarm.client.engine import ASK_AFTER_S, MUTE_S
from swarm.client.graphs import new_job
from swarm.client.options import make_options
from swarm.client.parts import Part
from swarm.core.errors import ConfigError, ConnectionLost
from tests.integration.test_client_engine import FakeMesh, run


def test_a_part_that_cannot_be_written_ends_only_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        bad = new_job(mesh, "bad", is_session=False)

        def refuse(_is_last: bool) -> Part | None:
            raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")

        monkeypatch.setattr(bad.builder, "take_part", refuse)
        future = bad.builder.add_call(max, (1, 2), {}, make_options(), "max")
        mesh.engine.add_job(bad)
        with pytest.raises(ConfigError, match="surrogates"):
            await mesh.gather([cast("aio.Future[int]", future)])
        assert await mesh.submit(max, 1, 2).result() == 1

    run(body)


def test_the_true_error_of_a_session_that_breaks() -> None:
    seen: list[BaseException | None] = []

    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.is_working = False
        future = mesh.submit(max, 1, 2)
        await trio.sleep(1)

        def broken() -> None:
            raise ZeroDivisionError("the bug")

        mesh.engine.session.retry_watches = broken  # type: ignore[method-assign]  # a bug in it
        with trio.CancelScope(shield=True):
            seen.append(await future.exception())

    with pytest.raises(BaseExceptionGroup) as caught:
        run(body)
    assert caught.group_contains(ZeroDivisionError)
    assert isinstance(seen[0], ConnectionLost)
    assert "ZeroDivisionError('the bug')" in str(seen[0])


def test_a_node_that_answers_nothing_any_more_is_left() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        await mesh.status()
        await trio.sleep(100)
        assert mesh.engine.session.counts["connections"] == 1, "nothing is awaited of it"
        fake.mute.append("a")
        began = trio.current_time()
        assert await mesh.submit(max, 1, 0).result() == 1
        assert trio.current_time() - began < ASK_AFTER_S + MUTE_S + 5
        assert mesh.engine.session.node_name in ("b", "c")

    run(body)


def test_a_node_that_has_no_news_for_long_is_kept() -> None:
    async def body(mesh: aio.Mesh, fake: FakeMesh) -> None:
        fake.is_working = False
        future = mesh.submit(max, 1, 0)
        await trio.sleep(1)
        fake.is_silent = True
        await trio.sleep(300)
        assert mesh.engine.session.counts["connections"] == 1
        assert mesh.engine.session.node_name == "a"
        fake.is_working, fake.is_silent = True, False
        mesh.engine.session.watch_again(next(iter(fake.parts))[0])
        assert await future.result() == 1

    run(body)
