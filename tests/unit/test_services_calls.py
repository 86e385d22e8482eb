"""The calls of `swarm.services`: a bad argument raises before anything is sent, its value in the message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm import services
from swarm.cli.services import params_text, parse_params
from swarm.core.errors import ConnectFailed
from swarm.daemon import api_client

CALLS: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (services.marco, {"max_nodes": 0}, "max_nodes is from 1 to"),
    (services.marco, {"max_nodes": "3"}, "not '3'"),
    (services.marco, {"max_nodes": True}, "not True"),
    (services.marco, {"max_nodes": 1.5}, "not 1.5"),
    (services.marco, {"exclude": "a"}, "not the text 'a'"),
    (services.marco, {"exclude": [1]}, r"not \[1\]"),
    (services.marco, {"params": ["a"]}, r"not \['a'\]"),
    (services.marco, {"timeout": 0}, "timeout is from 1"),
    (services.marco, {"timeout": "fast"}, "not 'fast'"),
    (services.marco, {"retries": -1}, "not -1"),
    (services.marco, {"group": "10.0.0.1"}, "'10.0.0.1' is not within"),
    (services.request_for, {"service": ""}, "not ''"),
    (services.request_for, {"service": 5}, "not 5"),
    (services.request_for, {"service": "web", "node": 5}, "not 5"),
    (services.request_one, {"service": "a b"}, "'a b'"),
    (services.services, {"node": ""}, "not ''"),
    (services.services, {"node": None}, "not None"),
    (services.publish_service, {"service": "x" * 31}, "1 to 30 characters"),
    (services.publish_service, {"service": "ana:web"}, "'ana:web'"),
    (services.publish_service, {"service": "web", "params": {"a": {}}}, "the parameter a"),
    (services.publish_service, {"service": "web", "multicast_groups": "224.0.0.112"}, "a list of texts"),
    (services.publish_service, {"service": "web", "multicast_groups": ["web"]}, "'web' is no dotted IPv4"),
    (services.publish_service, {"service": "web", "permanent": 1}, "permanent is true or false, not 1"),
    (services.publish_service, {"service": "web", "root": None}, "root is true or false, not None"),
    (services.unpublish_service, {"service": ""}, "not ''"),
    (services.unpublish_service, {"service": "web", "delete_file": "no"}, "delete_file is true or false"),
    (services.service_info, {"service": 1}, "not 1"),
    (services.has_service, {"service": None}, "not None"),
    (services.set_permanent, {"service": "web", "permanent": "yes"}, "not 'yes'"),
]


@pytest.mark.parametrize(("call", "arguments", "why"), CALLS)
def test_a_wrong_argument_raises_before_anything_is_sent(
    call: Callable[..., Any], arguments: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("something was sent")

    monkeypatch.setattr(api_client, "_connect", never)
    with pytest.raises(services.BadService, match=why):
        call(**arguments)


def test_without_any_mesh_a_search_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWARM_MESH", raising=False)
    with pytest.raises(ConnectFailed, match="no mesh is known here"):
        services.request_for("web", home=tmp_path)
    with pytest.raises(ConnectFailed, match="no node runs in"):
        services.publish_service("web", home=tmp_path)


def test_parameters_of_the_command_line_are_json_scalars_or_texts() -> None:
    texts = ("port=80", "tls=true", "name=web one", 'text="80"', "list=[1]", "empty=", "eq=a=b")
    params = parse_params(texts)
    assert params == {
        "port": 80,
        "tls": True,
        "name": "web one",
        "text": "80",
        "list": "[1]",
        "empty": "",
        "eq": "a=b",
    }
    assert params_text({"b": 1, "a": None}) == "a=null b=1"
