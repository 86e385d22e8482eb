"""How a node talks MarcoPolo's way: the table ``[marcopolo]`` of swarm.toml."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from swarm.core.errors import ConfigError
from swarm.registry.records import BadService, Params, check_flag, check_groups, check_params, shown

GROUPS_DEFAULT: Final = ("224.0.0.112", "224.0.0.113")
PORT_DEFAULT: Final = 1337
MARCO: Final = "marco"
POLO: Final = "polo"
ROLES: Final = (MARCO, POLO)
_KEYS: Final = ("enabled", "groups", "roles", "params", "local_api", "port")


@dataclass(frozen=True, kw_only=True)
class MarcoPoloSettings:
    """Settings of the compatibility service.

    Attributes:
        groups: multicast groups to join and ask; the first is the default of questions.
        roles: "polo" to answer, "marco" to ask; each may stand alone.
        params: what a `Marco` is answered with, besides the node's name.
        has_local_api: serve MarcoPolo's own local ports, 127.0.1.1:1338 (UDP) and 127.0.0.1:1390 (TLS).
        port: of the multicast group.
    """

    groups: tuple[str, ...] = GROUPS_DEFAULT
    roles: tuple[str, ...] = ROLES
    params: Params = field(default_factory=dict)
    has_local_api: bool = True
    port: int = PORT_DEFAULT


def marcopolo_settings(table: dict[str, object], where: str) -> tuple[bool, MarcoPoloSettings]:
    """Return whether a table switches the service on, and its settings.

    Raises:
        ConfigError: a key is unknown or a value wrong; the message says where.
    """
    for key in table:
        if key.replace("-", "_") not in _KEYS:
            raise ConfigError(f"{where} sets {key!r}, which is unknown; known are {', '.join(_KEYS)}")
    values = {key.replace("-", "_"): value for key, value in table.items()}
    try:
        groups = check_groups(values.get("groups", list(GROUPS_DEFAULT)))
        settings = MarcoPoloSettings(
            groups=groups,
            roles=_roles(values.get("roles", list(ROLES))),
            params=check_params(values.get("params", {})),
            has_local_api=check_flag("local_api", values.get("local_api", True)),
            port=_port(values.get("port", PORT_DEFAULT)),
        )
        is_enabled = check_flag("enabled", values.get("enabled", False))
    except BadService as error:
        raise ConfigError(f"{where}: {error}") from None
    if not groups:
        raise ConfigError(f"{where}: groups is empty; name one such as {GROUPS_DEFAULT[0]!r}")
    return is_enabled, settings


def _roles(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(item in ROLES for item in value):
        raise BadService(f"roles are a list of {' and '.join(ROLES)}, or one of them, not {shown(value)}")
    return tuple(dict.fromkeys([str(item) for item in value]))


def _port(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise BadService(f"port is a number from 1 to 65535, not {shown(value)}")
    return value
