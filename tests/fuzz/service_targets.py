"""Targets: services: files, questions of others, MarcoPolo's datagrams and local ports."""

from __future__ import annotations

import ipaddress
import json
import os
from typing import Any

import trio

from swarm.compat.marcopolo.gate import Gate
from swarm.compat.marcopolo.local_marco import LocalMarco
from swarm.compat.marcopolo.local_polo import LocalPolo
from swarm.compat.marcopolo.messages import answer_untrusted, pack_params, pack_services
from swarm.compat.marcopolo.settings import GROUPS_DEFAULT
from swarm.compat.marcopolo.tokens import Tokens
from swarm.core.errors import DecodeError
from swarm.daemon.json_text import from_json, to_json
from swarm.daemon.service_finder import _match_untrusted
from swarm.registry.files import User, parse_service_untrusted
from swarm.registry.records import BadService
from swarm.registry.registry import Registry
from swarm.registry.wishes import Wish, wish_of
from tests.fuzz.mutation import JSON
from tests.fuzz.target import Act, Target, Traffic, folder, plain

ASKER = ("127.0.0.1", 4321)
TOKENS = Tokens(bytes(32))
SERVICE = (
    b'{"id": "web", "params": {"port": 80, "tls": true, "x": 1.5}, "groups": ["224.0.0.112"],'
    b' "disabled": false}'
)


def _service(data: bytes) -> None:
    found = parse_service_untrusted(data, "me", "web.json")
    written = json.dumps(found.to_file(), ensure_ascii=False).encode()
    if len(written) <= 4096:
        assert parse_service_untrusted(written, "me", "web.json") == found, "a file says the same again"


def _gate() -> Act:
    gate = Gate()
    gate.set_networks([ipaddress.IPv4Network("10.0.0.0/24")])
    times = [0.0]

    def act(data: bytes) -> None:
        times[0] += 0.2
        if gate.question_untrusted(data, ASKER, times[0]) is not None:
            gate.may_answer(ASKER, len(data), times[0])

    return act


class _Marco:
    """Answers at once that nobody is there."""

    async def ask(self, service: str = "", **wanted: Any) -> list[Any]:
        return []

    async def services(self, host: str, **wanted: Any) -> list[str]:
        return []


def _local_marco() -> Act:
    marco: Any = _Marco()
    local = LocalMarco(marco, GROUPS_DEFAULT)

    def act(data: bytes) -> None:
        coroutine = local.answer_untrusted(data)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            json.dumps(stop.value)

    return act


def _local_polo() -> Act:
    me = User("me", os.geteuid(), os.getegid(), folder("polo"))
    registry = Registry(
        [], me, lambda user: [], lambda name: me if name == "me" else None, lambda path, why: None
    )

    async def change(act: Any) -> object:
        return act()

    def find(uid: int) -> User | None:
        return me if uid == me.uid else None

    local = LocalPolo(registry, change, TOKENS, GROUPS_DEFAULT, find)

    def act(data: bytes) -> None:
        if b"permanent" not in data:  # files are not what is looked at
            json.dumps(trio.run(local.answer_untrusted, data))

    return act


def _polo_requests(traffic: Traffic) -> list[bytes]:
    token = TOKENS.make(os.geteuid())
    args = {"service": "web", "token": token, "params": {"a": 1}, "multicast_groups": list(GROUPS_DEFAULT)}
    made: list[dict[str, Any]] = [{"Command": command, "Args": args} for command in ("Publish", "Unpublish")]
    made.append({"Command": "Unpublish", "Args": {"service": "me:web", "token": token, "delete_file": False}})
    return [json.dumps(each).encode() for each in [*made, {"Command": "Request-token", "Args": {"uid": -1}}]]


def _wish(data: bytes) -> None:
    args = from_json(data)
    if isinstance(args, dict):
        wish_of(args)


def _match(data: bytes) -> None:
    answer = from_json(data)
    if isinstance(answer, list):
        found = _match_untrusted(answer, Wish("web", params={"a": 1}, group="224.0.0.112"))
        to_json(found)


def _questions(traffic: Traffic) -> list[bytes]:
    return [
        b'{"Command": "Marco"}',
        b'{"Command": "Request-For", "Params": "me:web"}',
        b'{"Command": "Services"}',
    ]


def _answers(traffic: Traffic) -> list[bytes]:
    return [pack_params("Polo", {"a": 1}), pack_services(["web", "me:web"])]


def _wishes(traffic: Traffic) -> list[bytes]:
    full = {
        "service": "web",
        "group": "224.0.0.112",
        "node": "pi",
        "exclude": ["x"],
        "timeout": 500,
        "max_nodes": 2,
    }
    return [json.dumps({**full, "retries": 1, "params": {"a": 1}, "details": False}).encode()]


SERVICE_TARGETS = [
    Target("service-file", plain(_service), lambda _: [SERVICE], JSON, (BadService,)),
    Target("marcopolo-gate", _gate, _questions, JSON),
    Target("marcopolo-answer", plain(answer_untrusted), _answers, JSON, (DecodeError,)),
    Target(
        "marcopolo-local-marco",
        _local_marco,
        lambda _: [
            b'{"Command": "Marco", "max_nodes": 1, "timeout": 50, "params": {"a": 1}, "exclude": ["x"]}'
        ],
        JSON,
    ),
    Target("marcopolo-local-polo", _local_polo, _polo_requests, JSON),
    Target("wish", plain(_wish), _wishes, JSON, (ValueError, BadService)),
    Target(
        "service-answer",
        plain(_match),
        lambda _: [b'[{"name": "web", "params": {"a": 1}, "groups": ["224.0.0.112"], "not_in": []}]'],
        JSON,
        (ValueError,),
    ),
]
