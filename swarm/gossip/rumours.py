"""Rumours: what members tell each other about a member, and their bytes.

A rumour is msgpack ``[state, node_id, incarnation, accuser]``, followed by ``name, addresses, facts`` when
the state is ALIVE. It is about one incarnation of one member. The accuser is who says so: a suspecting
node, or the member itself for ALIVE and LEFT. Rumours travel as the bytes they were made as, so that
fields appended by later versions survive being passed on.
"""

from __future__ import annotations

from typing import Final, final

from swarm.core.errors import DecodeError
from swarm.core.ids import NODE_ID_SIZE, Address, NodeId
from swarm.core.records import Record
from swarm.gossip.config import GossipConfig
from swarm.wire.codec import Body, pack, unpack_untrusted

ALIVE: Final = 0
SUSPECT: Final = 1
DEAD: Final = 2
LEFT: Final = 3

STATE_NAMES: Final = ["alive", "suspect", "dead", "left"]

NAME_SIZE_MAX: Final = 64
_HOST_SIZE_MAX: Final = 64
_LIST_SIZE_MAX: Final = 64
_NUMBERS: Final = ("cores", "memory", "speed", "fitness")
_TEXTS: Final = ("python", "arch", "platform")


@final
class Rumour(Record):
    """A decoded rumour; `packed` is what to pass on."""

    __slots__ = ("accuser", "addresses", "facts", "incarnation", "name", "node_id", "packed", "state")

    def __init__(
        self,
        state: int,
        node_id: NodeId,
        incarnation: int,
        accuser: NodeId,
        name: str,
        addresses: list[Address],
        facts: dict[str, object],
        packed: bytes,
    ) -> None:
        self.state: Final = state
        self.node_id: Final = node_id
        self.incarnation: Final = incarnation
        self.accuser: Final = accuser
        self.name: Final = name
        self.addresses: Final = addresses
        self.facts: Final = facts
        self.packed: Final = packed

    def fields(self) -> tuple[object, ...]:
        return (
            self.state,
            self.node_id,
            self.incarnation,
            self.accuser,
            self.name,
            self.addresses,
            self.facts,
            self.packed,
        )


def make_alive(
    node_id: NodeId, incarnation: int, name: str, addresses: list[Address], facts: dict[str, object]
) -> Rumour:
    """Return the rumour by which a member describes itself."""
    places = [[host, port] for host, port in addresses]
    packed = pack([ALIVE, node_id, incarnation, node_id, name, places, facts])
    return Rumour(ALIVE, node_id, incarnation, node_id, name, addresses, facts, packed)


def make_verdict(state: int, node_id: NodeId, incarnation: int, accuser: NodeId) -> Rumour:
    """Return the rumour that `accuser` holds a member for SUSPECT, DEAD or LEFT."""
    assert state in (SUSPECT, DEAD, LEFT), "a verdict is not about the living"
    packed = pack([state, node_id, incarnation, accuser])
    return Rumour(state, node_id, incarnation, accuser, "", [], {}, packed)


def unpack_rumour_untrusted(packed: bytes, config: GossipConfig) -> Rumour:
    """Return the rumour in `packed`.

    Raises:
        DecodeError: not a rumour, or one beyond the bounds of `config`.
    """
    if len(packed) > config.rumour_size_max_bytes:
        raise DecodeError(f"a rumour of {len(packed)} bytes")
    fields = unpack_untrusted(packed)
    if not isinstance(fields, list):
        raise DecodeError("a rumour is an array")
    body = Body(fields)
    state = body.take_int()
    node_id = body.take_id(NODE_ID_SIZE)
    incarnation = body.take_int()
    accuser = body.take_id(NODE_ID_SIZE)
    if state > LEFT:
        raise DecodeError(f"a rumour with state {state}")
    if state in (ALIVE, LEFT) and accuser != node_id:
        raise DecodeError("only a member itself says that it is alive or has left")
    if state != ALIVE:
        return Rumour(state, node_id, incarnation, accuser, "", [], {}, packed)
    name = body.take_text()
    if not is_name(name):
        raise DecodeError("a member's name is 1-64 printable characters")
    addresses = _take_addresses(body, config)
    facts = body.take_map()
    check_facts(facts, config)
    return Rumour(state, node_id, incarnation, accuser, name, addresses, facts, packed)


def is_name(name: str) -> bool:
    """Return whether `name` may be a member's: 1 to 64 printable characters."""
    return 0 < len(name) <= NAME_SIZE_MAX and name.isprintable()


def is_address(host: str, port: int) -> bool:
    """Return whether packets could be sent there: a printable host without spaces and a port."""
    return 0 < len(host) <= _HOST_SIZE_MAX and host.isprintable() and " " not in host and 0 < port < 65536


def check_facts(facts: dict[str, object], config: GossipConfig) -> None:
    """Check that facts are flat, small, and that the well-known ones have their type.

    Raises:
        DecodeError: they are not.
    """
    for key, value in facts.items():
        if key in _NUMBERS:
            _check_number(key, value)
        elif key in _TEXTS:
            _check_text(key, value)
        elif key == "host":
            if not isinstance(value, bytes):
                raise DecodeError("the fact host is not bytes")
        elif key == "tags" or isinstance(value, list):
            _check_texts(key, value)
        elif not (value is None or isinstance(value, (bool, int, float, str, bytes))):
            raise DecodeError(f"the fact {key[:40]!r} is neither a scalar nor a list of texts")
    size = len(pack(facts))
    if size > config.facts_size_max_bytes:
        raise DecodeError(f"facts of {size} bytes, at most {config.facts_size_max_bytes} are allowed")


def _check_number(key: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DecodeError(f"the fact {key} is not a number")
    if not 0 <= value < 2**62:
        raise DecodeError(f"the fact {key} is out of range")


def _check_text(key: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > NAME_SIZE_MAX or not value.isprintable():
        raise DecodeError(f"the fact {key} is not a short printable text")


def _check_texts(key: str, value: object) -> None:
    if not isinstance(value, list) or len(value) > _LIST_SIZE_MAX:
        raise DecodeError(f"the fact {key[:40]!r} is not a short list")
    for item in value:
        _check_text(key[:40], item)


def _take_addresses(body: Body, config: GossipConfig) -> list[Address]:
    places = body.take_list()
    if len(places) > config.addresses_max:
        raise DecodeError(f"a member with {len(places)} addresses")
    addresses: list[Address] = []
    for place in places:
        if not isinstance(place, list):
            raise DecodeError("an address is a pair of host and port")
        pair = Body(place)
        host = pair.take_text()
        port = pair.take_int()
        if not is_address(host, port):
            raise DecodeError("an address that nothing can be sent to")
        addresses.append((host, port))
    return addresses
