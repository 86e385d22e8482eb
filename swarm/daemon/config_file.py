"""Settings of a node: from options, the environment, ``swarm.toml`` and the options of the last start.

They win in this order; variables are called ``SWARM_…``. All use the same names, those of the options of
`swarm join`. This is the only place that reads them.
Every message names the value, where it came from, and what would be right.
"""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from swarm.compat.marcopolo.settings import MarcoPoloSettings, marcopolo_settings
from swarm.core.errors import ConfigError
from swarm.core.ids import Address
from swarm.core.quorums import QUORUMS
from swarm.daemon import host
from swarm.daemon.home import read_json_file, write_private
from swarm.daemon.json_text import to_json
from swarm.daemon.options import DaemonOptions
from swarm.gossip.config import PRESETS
from swarm.registry.files import SYSTEM_FOLDER

PORT_DEFAULT: Final = 7117
NAME_SIZE_MAX: Final = 63
SIZE_MAX: Final = 2**60
TAG_COUNT_MAX: Final = 16
TAG_SIZE_MAX: Final = 32
PEER_COUNT_MAX: Final = 64
_SETTINGS: Final = (
    "name",
    "port",
    "listen",
    "peer",
    "interface",
    "no_multicast",
    "scan",
    "preset",
    "cores",
    "memory",
    "disk",
    "tag",
    "services",
    "marcopolo",
    "quorum",
    "record",
)
_KEPT: Final = _SETTINGS[:-2]
"""Without `quorum`, which the file of the mesh keeps, and `record`, which is for one start."""
_LISTS: Final = ("peer", "interface", "tag")
_SWITCHES: Final = ("no_multicast", "scan", "marcopolo", "record")
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?B)?", re.IGNORECASE)
_UNITS: Final = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one node, checked.

    Attributes:
        name: what people call the node: letters, digits, ``.``, ``_`` and ``-``, at most 63.
        port: the port it must have, None for 7117 or the next free one.
        listen: the address it listens on, "" for all.
        peers: addresses to try, names not resolved yet.
        interfaces: for discovery, empty for all usable ones.
        use_multicast: whether to look for others by multicast and broadcast.
        use_scan: whether to ask every host of the own network.
        preset: which times of gossip suit the network, a name of `swarm.gossip.config.PRESETS`.
        cores: share of the machine for tasks, in cores, > 0.
        memory_bytes: for tasks, > 0.
        store_bytes_max: for objects on disk, > 0.
        tags: texts ``key`` or ``key=value``, sorted.
        services: folder of the services of this machine.
        marcopolo: how to talk MarcoPolo's way, None for not at all.
        quorum: what the mesh shall be or is, one of `QUORUMS`; "" when nothing was said.
        record: whether inputs are kept in a file.
    """

    name: str
    port: int | None
    listen: str
    peers: tuple[Address, ...]
    interfaces: tuple[str, ...]
    use_multicast: bool
    use_scan: bool
    preset: str
    cores: float
    memory_bytes: int
    store_bytes_max: int
    tags: tuple[str, ...]
    services: Path
    marcopolo: MarcoPoloSettings | None
    quorum: str
    record: bool


class _Source:
    """Raw values by setting, each with the words for where it came from."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[object, str]] = {}
        self.marcopolo = MarcoPoloSettings()

    def add(self, setting: str, value: object, where: str) -> None:
        self.values.setdefault(setting, (value, where))

    def text(self, setting: str, default: str) -> tuple[str, str]:
        value, where = self.values.get(setting, (default, ""))
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ConfigError(f"{where} must be one value, not {value!r}")
        return str(value), where

    def texts(self, setting: str) -> tuple[list[str], str]:
        value, where = self.values.get(setting, ([], ""))
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
            raise ConfigError(f"{where} must be a list of texts, not {value!r}")
        return list(items), where

    def switch(self, setting: str) -> bool:
        value, where = self.values.get(setting, (False, ""))
        if not isinstance(value, bool):
            raise ConfigError(f"{where} must be true or false, not {value!r}")
        return value


def load_settings(
    options: DaemonOptions, environment: Mapping[str, str], file: Path, store: Path, kept: Path | None = None
) -> Settings:
    """Return the settings of a start.

    Args:
        options: what this start was asked for; wins.
        environment: variables ``SWARM_NAME`` and so on; lists separated by commas, switches 1 or 0.
        file: swarm.toml; it may be missing.
        store: where objects will be kept, for the default of `disk`.
        kept: what :func:`keep_options` wrote; it may be missing.

    Raises:
        ConfigError: a value is wrong, or a name in the file is unknown.
    """
    source = _Source()
    _add_options(source, options)
    _add_environment(source, environment)
    _add_file(source, file)
    if kept is not None:
        for setting, value in _kept(kept).items():
            source.add(setting, value, f"{setting} in {kept}")
    return Settings(
        name=_name(source),
        port=_port(source),
        listen=source.text("listen", "")[0],
        peers=_peers(source),
        interfaces=tuple(source.texts("interface")[0]),
        use_multicast=not source.switch("no_multicast"),
        use_scan=source.switch("scan"),
        preset=_preset(source),
        cores=_cores(source),
        memory_bytes=_size(source, "memory", host.memory_bytes()),
        store_bytes_max=_size(source, "disk", _disk_default(store)),
        tags=_tags(source),
        services=Path(source.text("services", str(SYSTEM_FOLDER))[0]).expanduser().absolute(),
        marcopolo=source.marcopolo if source.switch("marcopolo") else None,
        quorum=_quorum(source),
        record=source.switch("record"),
    )


def keep_options(kept: Path, options: DaemonOptions) -> None:
    """Remember the options of a start for the next one; those not given now stay as they were.

    Raises:
        StorageError: the file cannot be written.
    """
    before = _kept(kept)
    now = {**before, **{name: value for name, value in _given(options).items() if name in _KEPT}}
    if now != before:
        write_private(kept, to_json(now) + "\n")


def _kept(kept: Path) -> dict[str, object]:
    """Return the options in a file; one that is missing or damaged holds none."""
    found = read_json_file(kept) or {}
    return {name: value for name, value in found.items() if name in _KEPT}


def _given(options: DaemonOptions) -> dict[str, object]:
    values = {setting: getattr(options, setting) for setting in _SETTINGS}
    return {
        setting: list(value) if isinstance(value, tuple) else value
        for setting, value in values.items()
        if value is not None and value is not False and value != ()
    }


def parse_size(text: str, where: str) -> int:
    """Return the bytes that ``100M``, ``1.5G`` or ``4096`` mean (K is 1024).

    Raises:
        ConfigError: it is no size, 0, or more than any computer has.
    """
    match = _SIZE.fullmatch(text.strip())
    size = float(match.group(1)) * _UNITS[match.group(2).upper()] if match else 0.0
    if not 1 <= size <= SIZE_MAX:
        raise ConfigError(f"{where} is {text!r}, which is no size; write for example 500M or 2G")
    return int(size)


def parse_address(text: str, where: str) -> Address:
    """Return the address that ``host``, ``host:port``, ``::1`` or ``[::1]:port`` means; port 7117 by default.

    Raises:
        ConfigError: it is no address.
    """
    stripped = text.strip()
    name, port = stripped, str(PORT_DEFAULT)
    if stripped.startswith("["):
        name, bracket, rest = stripped[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ConfigError(f"{where} is {text!r}, which is no address; write [IPv6]:port")
        port = rest[1:] if rest else port
    elif stripped.count(":") == 1:
        name, port = stripped.split(":")
    if not name or any(letter.isspace() or letter == "/" for letter in name):
        raise ConfigError(f"{where} is {text!r}, which is no address; write host:port")
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ConfigError(f"{where} is {text!r}: {port!r} is no port (1 to 65535)")
    return (name, int(port))


def _add_options(source: _Source, options: DaemonOptions) -> None:
    for setting, value in _given(options).items():
        source.add(setting, value, "--" + setting.replace("_", "-"))


def _add_environment(source: _Source, environment: Mapping[str, str]) -> None:
    for setting in _SETTINGS:
        variable = f"SWARM_{setting.upper()}"
        text = environment.get(variable, "")
        if not text:
            continue
        if setting in _SWITCHES:
            if text.lower() not in ("0", "1", "true", "false"):
                raise ConfigError(f"{variable} is {text!r}; write 1 or 0")
            source.add(setting, text.lower() in ("1", "true"), variable)
        elif setting in _LISTS:
            source.add(setting, [item.strip() for item in text.split(",") if item.strip()], variable)
        else:
            source.add(setting, text, variable)


def _add_file(source: _Source, file: Path) -> None:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{file} is no TOML: {error}") from None
    for key, value in values.items():
        setting = key.replace("-", "_")
        if setting == "marcopolo" and isinstance(value, dict):
            is_enabled, source.marcopolo = marcopolo_settings(value, f"[{key}] in {file}")
            source.add(setting, is_enabled, f"enabled of [{key}] in {file}")
            continue
        if setting not in _SETTINGS:
            known = ", ".join([name.replace("_", "-") for name in _SETTINGS])
            raise ConfigError(f"{file} sets {key!r}, which is unknown; known are {known}")
        source.add(setting, value, f"{key} in {file}")


def _name(source: _Source) -> str:
    default = re.sub(r"[^A-Za-z0-9._-]", "-", host.host_name()).strip("-._") or "node"
    name, where = source.text("name", default[:NAME_SIZE_MAX])
    if len(name) > NAME_SIZE_MAX or not _NAME.fullmatch(name):
        raise ConfigError(
            f"{where} is {name!r}; a name has letters, digits, '.', '_' and '-', at most {NAME_SIZE_MAX}"
        )
    return name


def _port(source: _Source) -> int | None:
    text, where = source.text("port", "")
    if not text:
        return None
    if not text.isdecimal() or not 0 <= int(text) <= 65535:
        raise ConfigError(f"{where} is {text!r}; a port is a number from 1 to 65535, or 0 for any free one")
    return int(text)


def _peers(source: _Source) -> tuple[Address, ...]:
    texts, where = source.texts("peer")
    if len(texts) > PEER_COUNT_MAX:
        raise ConfigError(f"{where} names {len(texts)} addresses; at most {PEER_COUNT_MAX} are tried")
    return tuple([parse_address(text, where) for text in texts])


def _preset(source: _Source) -> str:
    preset, where = source.text("preset", PRESETS[0])
    if preset not in PRESETS:
        raise ConfigError(f"{where} is {preset!r}; there are {', '.join(PRESETS)} (docs/NETWORKS.md)")
    return preset


def _quorum(source: _Source) -> str:
    quorum, where = source.text("quorum", "")
    if quorum and quorum not in QUORUMS:
        raise ConfigError(f"{where} is {quorum!r}; a mesh is {' or '.join(QUORUMS)} (docs/PROTOCOL.md)")
    return quorum


def _cores(source: _Source) -> float:
    text, where = source.text("cores", "")
    if not text:
        return host.core_count()
    try:
        cores = float(text)
    except ValueError:
        cores = 0.0
    if not 0 < cores <= 4096:
        raise ConfigError(f"{where} is {text!r}; write how many cores the mesh may use, for example 2 or 0.5")
    return cores


def _size(source: _Source, setting: str, default: int) -> int:
    text, where = source.text(setting, "")
    return parse_size(text, where) if text else default


def _tags(source: _Source) -> tuple[str, ...]:
    tags, where = source.texts("tag")
    for tag in tags:
        size = len(tag.encode("utf-8", "surrogatepass"))
        is_text = not any(letter.isspace() or "\ud800" <= letter <= "\udfff" for letter in tag)
        if not 0 < size <= TAG_SIZE_MAX or not is_text:
            raise ConfigError(
                f"{where} has {tag!r}; a tag is key=value, UTF-8 without spaces, at most {TAG_SIZE_MAX} bytes"
            )
    if len(tags) > TAG_COUNT_MAX:
        raise ConfigError(f"{where} has {len(tags)} tags; at most {TAG_COUNT_MAX} are allowed")
    return tuple(sorted(tags))


def _disk_default(store: Path) -> int:
    """Half of what is free where the store is."""
    existing = store
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        free = 2 * _UNITS["G"]
    return max(free // 2, _UNITS["M"])


def daemon_environment(home: Path) -> dict[str, str]:
    """Return the environment for executors: the daemon's own, without secrets, and with the node's home."""
    environment = {key: value for key, value in os.environ.items() if key != "SWARM_MESH"}
    environment["SWARM_HOME"] = str(home)
    return environment
