"""What a service is, and what may be one: the checks that files, commands and strangers all go through.

Every refusal names the faulty value. The rules are those of MarcoPolo, written down: an id of 1 to 30
characters, flat parameters, multicast groups from 224.0.0.0 to 239.255.255.255.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, final

from swarm.core.errors import ConfigError
from swarm.core.records import Record

Params: TypeAlias = dict[str, str | int | float | bool | None]

ID_SIZE_MAX: Final = 30
USER_SIZE_MAX: Final = 32
PARAM_COUNT_MAX: Final = 32
PARAM_SIZE_MAX: Final = 1024
INTEGER_MAX: Final = 2**63
GROUP_COUNT_MAX: Final = 8
GROUP_FIRST: Final = 224
GROUP_LAST: Final = 239
_SHOWN_MAX: Final = 60


class BadService(ConfigError):
    """A service, or a wish about one, that cannot be; nothing changed."""


@final
class Service(Record):
    """Something that a node offers.

    Attributes:
        owner: the user whose service it is, "" for one of the whole machine (a *root service*).
        service_id: 1 to 30 characters.
        params: what asks for it learns: names and scalar values.
        groups: multicast groups in which it can be found, empty for all.
        is_disabled: it is not published at present.
        path: the file it comes from, "" for one that ends with the daemon.
    """

    __slots__ = ("groups", "is_disabled", "owner", "params", "path", "service_id")

    def __init__(
        self,
        owner: str,
        service_id: str,
        params: Params,
        groups: tuple[str, ...] = (),
        is_disabled: bool = False,
        path: str = "",
    ) -> None:
        self.owner: Final = owner
        self.service_id: Final = service_id
        self.params: Final = params
        self.groups: Final = groups
        self.is_disabled: Final = is_disabled
        self.path: Final = path

    def fields(self) -> tuple[object, ...]:
        return (self.owner, self.service_id, self.params, self.groups, self.is_disabled, self.path)

    @property
    def name(self) -> str:
        """The name under which it is published: ``id``, or ``user:id``."""
        return f"{self.owner}:{self.service_id}" if self.owner else self.service_id

    def to_json(self) -> dict[str, object]:
        """Return what others are told."""
        return {"name": self.name, "params": dict(self.params), "groups": list(self.groups)}

    def to_file(self) -> dict[str, object]:
        """Return what a service file holds."""
        values: dict[str, object] = {"id": self.service_id, "params": dict(self.params)}
        if self.groups:
            values["groups"] = list(self.groups)
        if self.is_disabled:
            values["disabled"] = True
        return values


def shown(value: object) -> str:
    """Return a value as a message can show it: its repr, cut."""
    text = repr(value)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"


def check_id(value: object) -> str:
    """Return the id of a service, without its user.

    Raises:
        BadService: it cannot be one.
    """
    if not isinstance(value, str):
        raise BadService(f"the id of a service is a text, not {shown(value)}")
    if not 0 < len(value) <= ID_SIZE_MAX:
        raise BadService(f"the id of a service has 1 to {ID_SIZE_MAX} characters, not {shown(value)}")
    is_clean = value.isprintable() and not any(letter.isspace() or letter in ":/\\" for letter in value)
    if not is_clean or value.startswith("."):
        raise BadService(
            f"the id of a service is without spaces, ':', '/' and a '.' in front, unlike {shown(value)}"
        )
    return value


def split_name(value: object) -> tuple[str, str]:
    """Return (user, id) of ``id`` or ``user:id``; the user is "" for a root service.

    Raises:
        BadService: it is no name of a service.
    """
    if not isinstance(value, str) or not value:
        raise BadService(f"the name of a service is a text that is not empty, not {shown(value)}")
    user, colon, rest = value.partition(":")
    if not colon:
        return "", check_id(value)
    is_user = 0 < len(user) <= USER_SIZE_MAX and user.isprintable() and not user.startswith(("-", "."))
    if not is_user or any(letter.isspace() or letter == "/" for letter in user):
        raise BadService(f"the user in the name of a service is no user's name: {shown(value)}")
    return user, check_id(rest)


def check_params(value: object) -> Params:
    """Return the parameters of a service.

    Raises:
        BadService: they are not flat, or too many.
    """
    if not isinstance(value, dict):
        raise BadService(f"the parameters of a service are names with values, not {shown(value)}")
    if len(value) > PARAM_COUNT_MAX:
        raise BadService(f"a service has at most {PARAM_COUNT_MAX} parameters, not {len(value)}")
    checked: Params = {}
    for name, item in value.items():
        if not isinstance(name, str) or not 0 < len(name) <= ID_SIZE_MAX or not name.isprintable():
            raise BadService(f"a parameter's name has 1 to {ID_SIZE_MAX} characters, not {shown(name)}")
        checked[name] = _check_param(name, item)
    return checked


def _check_param(name: str, item: object) -> str | int | float | bool | None:
    is_scalar = item is None or isinstance(item, (str, int, float))
    is_wild = isinstance(item, float) and not math.isfinite(item)
    if not is_scalar or is_wild:
        raise BadService(f"the parameter {name} is a text, number or truth value, not {shown(item)}")
    if isinstance(item, str) and len(item.encode("utf-8", "surrogatepass")) > PARAM_SIZE_MAX:
        raise BadService(f"the parameter {name} has more than {PARAM_SIZE_MAX} bytes: {shown(item)}")
    if isinstance(item, str) and any("\ud800" <= letter <= "\udfff" for letter in item):
        raise BadService(f"the parameter {name} is no text: {shown(item)}")
    if isinstance(item, int) and abs(item) > INTEGER_MAX:
        raise BadService(f"the parameter {name} is too large a number: {shown(item)}")
    assert item is None or isinstance(item, (str, int, float))
    return item


def check_group(value: object, joined: Sequence[str] | None = None) -> str:
    """Return a multicast group.

    Args:
        value: what should be one.
        joined: the groups that the node listens to, None when that does not matter.

    Raises:
        BadService: it is none, or none of those.
    """
    if not isinstance(value, str):
        raise BadService(f"a multicast group is a text such as '224.0.0.112', not {shown(value)}")
    try:
        address = ipaddress.IPv4Address(value)
    except ValueError:
        raise BadService(f"the multicast group {shown(value)} is no dotted IPv4 address") from None
    if not GROUP_FIRST <= address.packed[0] <= GROUP_LAST:
        raise BadService(f"the multicast group {shown(value)} is not within {GROUP_FIRST} to {GROUP_LAST}")
    if joined is not None and value not in joined:
        known = ", ".join(joined) or "none"
        raise BadService(
            f"this node has not joined the multicast group {shown(value)}; it has joined {known}"
        )
    return value


def check_groups(value: object, joined: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return multicast groups without repetition; see :func:`check_group`.

    Raises:
        BadService: one is wrong, or they are too many.
    """
    if not isinstance(value, (list, tuple)):
        raise BadService(f"multicast groups are a list of texts, not {shown(value)}")
    groups = tuple(dict.fromkeys([check_group(item, joined) for item in value]))
    if len(groups) > GROUP_COUNT_MAX:
        raise BadService(f"a service has at most {GROUP_COUNT_MAX} groups, not {len(groups)}")
    return groups


def check_flag(name: str, value: object) -> bool:
    """Return a truth value.

    Raises:
        BadService: it is none; 0 and 1 are none either.
    """
    if not isinstance(value, bool):
        raise BadService(f"{name} is true or false, not {shown(value)}")
    return value


def has_params(params: Mapping[str, object], wanted: Mapping[str, object]) -> bool:
    """Return whether all wanted parameters are there with equal values; true and 1 are not equal."""
    for name, value in wanted.items():
        if name not in params:
            return False
        found = params[name]
        if isinstance(found, bool) != isinstance(value, bool) or found != value:
            return False
    return True
