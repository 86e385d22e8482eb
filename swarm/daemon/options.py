"""What somebody who starts a node may ask for, and its way through the command line of the daemon.

The `join` command fills in :class:`DaemonOptions`; `swarm.daemon.launch` turns it into the arguments of
``python -m swarm.daemon``, and the daemon reads them back. An option that is not given is None (or empty)
and is then looked for in the environment and in swarm.toml (see `swarm.daemon.config_file`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from swarm.daemon.home import default_home

_TEXTS: Final = ("name", "listen", "preset", "cores", "memory", "disk", "services", "quorum")
_LISTS: Final = ("peer", "interface", "tag")
_SWITCHES: Final = (
    "no_multicast",
    "scan",
    "marcopolo",
    "record",
    "new",
    "foreground",
    "log_json",
    "temporary",
)


@dataclass(frozen=True, kw_only=True)
class DaemonOptions:
    """Options of one start, as texts: they are checked together with the other sources of settings.

    Attributes:
        home: the home directory; None for the default one.
        invitation: the mesh to join, "" for the one the home belongs to, or a new one.
        name: what people call the node.
        port: TCP and UDP port; taken if and only if it is free. None: 7117 or the next free one.
        listen: the address to listen on; None for all.
        peer: addresses ``host:port`` to try.
        interface: interfaces for discovery; none: all usable ones.
        no_multicast: reach others by addresses only.
        scan: ask every host of the own /24, in private networks.
        preset: times of gossip that suit the network: ``lan``, ``local``, ``wan`` or ``phone``.
        cores, memory, disk: what the mesh may use (``2``, ``1.5G``).
        tag: texts ``key=value``.
        services: folder of the services of this machine, where service files are looked for.
        marcopolo: answer and ask in MarcoPolo's way as well.
        quorum: ``strict`` or ``available``: what a mesh that is founded shall be, or a joined one is.
        new: found a mesh even when one is heard nearby.
        ready_file: is written like ``ready.json`` of the home when the node is ready.
        foreground: stay, and say on stderr what happens.
        log_json: say it as JSON lines.
        record: keep a file of every input in the home, for developers.
        temporary: the home is removed when the node ends; only for homes made for this start.
    """

    home: Path | None = None
    invitation: str = ""
    name: str | None = None
    port: int | None = None
    listen: str | None = None
    peer: tuple[str, ...] = ()
    interface: tuple[str, ...] = ()
    no_multicast: bool = False
    scan: bool = False
    preset: str | None = None
    cores: str | None = None
    memory: str | None = None
    disk: str | None = None
    tag: tuple[str, ...] = ()
    services: str | None = None
    marcopolo: bool = False
    quorum: str | None = None
    new: bool = False
    ready_file: Path | None = None
    foreground: bool = False
    log_json: bool = False
    record: bool = False
    temporary: bool = False

    def to_arguments(self) -> list[str]:
        """Return the arguments for the daemon; the invitation, a secret, is not among them."""
        arguments = ["--home", str((self.home or default_home()).absolute())]
        if self.port is not None:
            arguments += ["--port", str(self.port)]
        if self.ready_file is not None:
            arguments += ["--ready-file", str(self.ready_file.absolute())]
        for field in _TEXTS:
            value = getattr(self, field)
            if value is not None:
                arguments.append(f"--{field}={value}")
        for field in _LISTS:
            arguments += [f"--{field}={value}" for value in getattr(self, field)]
        for field in _SWITCHES:
            if getattr(self, field):
                arguments.append("--" + field.replace("_", "-"))
        return arguments


@dataclass(frozen=True, kw_only=True)
class Descriptors:
    """Open files that the daemon inherits from whoever started it; -1 for none.

    Attributes:
        mesh: gives the invitation.
        status: gets one line of JSON about the start.
        lifeline: ends when whoever started the daemon does, and the daemon with it.
    """

    mesh: int = -1
    status: int = -1
    lifeline: int = -1


def parse_arguments(arguments: Sequence[str]) -> tuple[DaemonOptions, Descriptors]:
    """Return the options, and the descriptors that were passed on.

    Raises:
        SystemExit: code 2, with a line on stderr, when the arguments are wrong.
    """
    parser = argparse.ArgumentParser(
        prog="python -m swarm.daemon",
        description="The process of one node. People use `swarm join`, which starts it in the background.",
    )
    parser.add_argument("--home", type=Path, help="home directory of the node")
    parser.add_argument("--port", type=int, help="TCP and UDP port (default: 7117 or the next free one)")
    parser.add_argument("--ready-file", type=Path, help="written when the node is ready")
    for field in _TEXTS:
        parser.add_argument(f"--{field}")
    for field in _LISTS:
        parser.add_argument(f"--{field}", action="append", default=[])
    for field in _SWITCHES:
        parser.add_argument("--" + field.replace("_", "-"), action="store_true")
    parser.add_argument("--mesh-fd", type=int, default=-1, help="descriptor that gives the invitation")
    parser.add_argument("--status-fd", type=int, default=-1, help="descriptor that gets one line of JSON")
    parser.add_argument("--lifeline-fd", type=int, default=-1, help="descriptor with whose end the node ends")
    given = parser.parse_args(arguments)
    fields = {key: value for key, value in vars(given).items() if not key.endswith("_fd")}
    for field in _LISTS:
        fields[field] = tuple(fields[field])
    descriptors = Descriptors(mesh=given.mesh_fd, status=given.status_fd, lifeline=given.lifeline_fd)
    return DaemonOptions(**fields), descriptors
