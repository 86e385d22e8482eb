"""MarcoPolo's datagrams: one JSON object of at most 4096 bytes, questions and answers.

Questions::

    {"Command": "Marco"}                              also "Discover"
    {"Command": "Request-For", "Params": "service"}   also "Request-for"
    {"Command": "Services"}

Answers, unicast to where the question came from; to an unknown service there is none::

    {"Command": "Polo", "Params": {…}}
    {"Command": "OK", "Params": {…}}
    {"Command": "OK", "Params": ["a", "b"], "Services": ["a", "b"]}

The original's two sides disagreed on the key of the last one; so both are there, and either is read.
"""

from __future__ import annotations

import json
from typing import Final, final

from swarm.core.errors import DecodeError
from swarm.core.records import Record
from swarm.registry.records import BadService, Params, check_params, split_name

SIZE_MAX: Final = 4096
"""Bytes of a datagram; a longer one is no MarcoPolo."""
MARCO: Final = "Marco"
REQUEST_FOR: Final = "Request-For"
SERVICES: Final = "Services"
POLO: Final = "Polo"
OK: Final = "OK"
_SPELLINGS: Final = {
    "Marco": MARCO,
    "Discover": MARCO,
    "Request-For": REQUEST_FOR,
    "Request-for": REQUEST_FOR,
    "Services": SERVICES,
}


@final
class Question(Record):
    """Something that was asked.

    Attributes:
        command: MARCO, REQUEST_FOR or SERVICES.
        service: the name asked for by REQUEST_FOR, else "".
    """

    __slots__ = ("command", "service")

    def __init__(self, command: str, service: str = "") -> None:
        self.command: Final = command
        self.service: Final = service

    def fields(self) -> tuple[object, ...]:
        return (self.command, self.service)


@final
class Answer(Record):
    """Something that was answered.

    Attributes:
        command: POLO or OK.
        params: of the node or the service.
        services: names, for an answer to SERVICES.
    """

    __slots__ = ("command", "params", "services")

    def __init__(self, command: str, params: Params, services: tuple[str, ...] = ()) -> None:
        self.command: Final = command
        self.params: Final = params
        self.services: Final = services

    def fields(self) -> tuple[object, ...]:
        return (self.command, self.params, self.services)


def object_untrusted(datagram: bytes) -> dict[str, object]:
    """Return the JSON object in a datagram.

    Raises:
        DecodeError: there is none.
    """
    if len(datagram) > SIZE_MAX:
        raise DecodeError(f"a datagram of {len(datagram)} bytes")
    try:
        value = json.loads(datagram.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise DecodeError("no JSON object")
    return value


def question_untrusted(datagram: bytes) -> Question | None:
    """Return the question in a datagram, None when it holds a message that is no question.

    Raises:
        DecodeError: it holds no message at all, or a question that cannot be.
    """
    value = object_untrusted(datagram)
    spelled = value.get("Command")
    command = _SPELLINGS.get(spelled) if isinstance(spelled, str) else None
    if command is None:
        return None
    if command != REQUEST_FOR:
        return Question(command)
    try:
        split_name(value.get("Params"))
    except BadService as error:
        raise DecodeError(str(error)) from None
    return Question(command, str(value["Params"]))


def answer_untrusted(datagram: bytes) -> Answer | None:
    """Return the answer in a datagram, None when it holds a message that is no answer.

    Raises:
        DecodeError: it holds no message at all, or an answer that cannot be.
    """
    value = object_untrusted(datagram)
    command = value.get("Command")
    if not isinstance(command, str) or command not in (POLO, OK):
        return None
    params, services = value.get("Params", {}), value.get("Services")
    listed = services if isinstance(services, list) else params if isinstance(params, list) else []
    try:
        checked = check_params(params) if isinstance(params, dict) else {}
    except BadService as error:
        raise DecodeError(str(error)) from None
    names = [name for name in listed if isinstance(name, str) and name.isprintable()]
    return Answer(command, checked, tuple(names))


def pack_question(question: Question) -> bytes:
    """Return the datagram of a question."""
    value: dict[str, object] = {"Command": question.command}
    if question.command == REQUEST_FOR:
        value["Params"] = question.service
    return _pack(value)


def pack_params(command: str, params: Params) -> bytes:
    """Return an answer with parameters; without them when they are too long for a datagram."""
    packed = _pack({"Command": command, "Params": params})
    return packed if len(packed) <= SIZE_MAX else _pack({"Command": command, "Params": {}})


def pack_services(names: list[str]) -> bytes:
    """Return an answer with the names of services, as many as fit into a datagram."""
    count = len(names)
    while True:
        told = names[:count]
        packed = _pack({"Command": OK, "Params": told, "Services": told})
        if len(packed) <= SIZE_MAX:
            return packed
        count = min(count - 1, count * SIZE_MAX // len(packed))


def _pack(value: dict[str, object]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
