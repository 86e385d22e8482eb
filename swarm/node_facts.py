"""What a node tells about itself, and how it is made to fit into a rumour.

Facts come from three sides: settings (once), the node itself (draining), and whoever watches the machine,
by `Node.update_facts`: capacity, services. A description has a bound of its own, far below a datagram, so
services are told as names only, as many as fit (:data:`SERVICES_SIZE_MAX`), the short ones first. How many
names were left out stands beside them, and a digest of all services with their parameters: whoever wants a
parameter, or a name that was left out, asks the node itself over a stream, and need not ask again until the
digest is another. What changes all the time (`swarm.node_capacity`) gives way to what stays: beside many long
tags the sensors that matter least are left out.
"""

from __future__ import annotations

from typing import Final

from swarm.node_capacity import CHANGING
from swarm.wire.codec import pack

SERVICES: Final = "services"
"""Fact: names of published services, all or as many as fit."""
SERVICES_LEFT_OUT: Final = "services_more"
"""Fact: how many names there are besides; missing for none."""
SERVICES_DIGEST: Final = "services_digest"
"""Fact: digest of all services with their parameters; missing when there are none."""
SERVICES_HIDDEN: Final = "services_hidden"
"""Fact: true when the node may find services of users in files that it has not looked at."""

SERVICES_SIZE_MAX: Final = 160
"""Bytes of packed names in a description."""
SERVICES_COUNT_MAX: Final = 32
_SPARE_BYTES: Final = 24


def merged(facts: dict[str, object], changes: dict[str, object]) -> dict[str, object]:
    """Return the facts with some of them changed, or taken away where the new value is None."""
    result = dict(facts)
    for name, value in changes.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def fitted(facts: dict[str, object], size_max: int) -> dict[str, object]:
    """Return facts with as many sensors, and then names of services, as there is room for.

    Args:
        facts: all names of services in them, in any order.
        size_max: bytes that all facts may take, packed.
    """
    names = facts.get(SERVICES)
    if not isinstance(names, list):
        return _without_surplus(facts, size_max)
    facts = _without_surplus(merged(facts, {SERVICES: None}), size_max - 2 * _SPARE_BYTES)
    result = merged(facts, {SERVICES: [], SERVICES_LEFT_OUT: None})
    room = min(SERVICES_SIZE_MAX, size_max - len(pack(result)) - _SPARE_BYTES)
    told: list[object] = []
    for name in sorted(names, key=_by_length):
        size = len(pack(name))
        if size > room or len(told) >= SERVICES_COUNT_MAX:
            break
        told.append(name)
        room -= size
    result[SERVICES] = told
    if len(told) < len(names):
        result[SERVICES_LEFT_OUT] = len(names) - len(told)
    if not told:
        del result[SERVICES]
    return result


def _without_surplus(facts: dict[str, object], size_max: int) -> dict[str, object]:
    """Return the facts without those sensors for which there is no room, the least important ones."""
    result = facts
    for index in range(len(CHANGING)):
        if len(pack(result)) <= size_max:
            break
        result = merged(result, {CHANGING[len(CHANGING) - 1 - index]: None})
    return result


def _by_length(name: object) -> tuple[int, str]:
    text = str(name)
    return (len(text), text)
