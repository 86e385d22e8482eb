"""Which mesh a client means, and where to find it: invitation, own node, login, or an address.

In this order: the invitation given (``--mesh``, ``SWARM_MESH``, ``connect(mesh=…)``), the mesh of the node in
the home directory, the invitation kept by ``swarm login``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, final

from swarm.core.errors import ConfigError, ConnectFailed
from swarm.core.ids import Address
from swarm.daemon.home import Home, default_home, read_json_file, write_private
from swarm.net.identity import NodeKey
from swarm.net.invitation import Invitation
from swarm.net.keys import Credentials, MeshKeys

LOGIN_FILE: Final = "login"
MESH_VARIABLE: Final = "SWARM_MESH"


@final
class Reach:
    """How to reach a mesh.

    Attributes:
        credentials: who the client is to the nodes.
        addresses: nodes to try, best first.
        keys: of the mesh, None for the holder of a client invitation, who cannot send datagrams.
        mesh: the mesh's name.
        origin: where all this comes from, for messages.
        file: the file with the invitation, which changes when the mesh gets a new key; None for none.
    """

    def __init__(
        self,
        invitation: Invitation,
        addresses: list[Address],
        origin: str,
        file: Path | None = None,
        key: NodeKey | None = None,
    ) -> None:
        self._key: Final = key or NodeKey.generate()
        self.keys: Final = MeshKeys(invitation.secret) if invitation.secret else None
        given = invitation.credentials
        self.credentials: Final[Credentials] = given if given is not None else self._own_credentials()
        self.addresses: Final = list(dict.fromkeys([*addresses, *invitation.addresses]))
        self.mesh: Final = invitation.mesh
        self.origin: Final = origin
        self.file: Final = file
        self._text: Final = invitation.to_text()

    def renewed(self) -> Reach:
        """Return how to reach the mesh now: the same, unless its key has changed since."""
        text = _read(self.file) if self.file is not None else ""
        if not text or text == self._text:
            return self
        invitation = Invitation.from_text(text)
        if invitation.secret == Invitation.from_text(self._text).secret:
            return self
        return Reach(invitation, self.addresses, self.origin, self.file, self._key)

    def _own_credentials(self) -> Credentials:
        assert self.keys is not None, "an invitation without credentials has a secret"
        return self.keys.client_credentials(self._key)


def find_reach(address: str = "", mesh: str = "", home: Path | None = None) -> Reach:
    """Return how to reach the mesh that the user means.

    Args:
        address: ``host:port`` of a node to try first, "" for none.
        mesh: an invitation, "" to look in SWARM_MESH and in the home directory.
        home: the home directory, None for the default one.

    Raises:
        ConfigError: a faulty invitation or address.
        ConnectFailed: no mesh is known here.
    """
    first = [parse_address(address)] if address else []
    text = mesh or os.environ.get(MESH_VARIABLE, "")
    if text:
        return Reach(Invitation.from_text(text), first, "the invitation given")
    place = Home(home or default_home())
    text = _read(place.mesh)
    if text:
        return Reach(
            Invitation.from_text(text), [*first, *_own_node(place)], f"the node in {place.root}", place.mesh
        )
    text = _read(place.root / LOGIN_FILE)
    if text:
        return Reach(Invitation.from_text(text), first, f"the login in {place.root}")
    raise ConnectFailed(
        f"no mesh is known here ({place.root} has neither a node nor a login): run `swarm join` or "
        f"`swarm login INVITATION`, or give --mesh or {MESH_VARIABLE}"
    )


def keep_login(text: str, home: Path | None = None) -> Invitation:
    """Keep an invitation for later commands, readable by its owner only, and return it.

    Raises:
        ConfigError: the invitation is faulty; nothing was written.
        StorageError: it cannot be written.
    """
    invitation = Invitation.from_text(text)
    place = Home(home or default_home())
    place.create()
    write_private(place.root / LOGIN_FILE, invitation.to_text() + "\n")
    return invitation


def parse_address(text: str) -> Address:
    """Return the (host, port) of ``host:port`` or ``[v6]:port``.

    Raises:
        ConfigError: it is neither.
    """
    if text.strip().lower().startswith("swarm1"):
        raise ConfigError("an invitation is no address; give it as mesh=… or with --mesh (it is a secret)")
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{text!r} is not an address; write host:port, for example 192.168.1.5:7117")
    return (host, int(port))


def _own_node(home: Home) -> list[Address]:
    ready = read_json_file(home.ready)
    if ready is None or not isinstance(ready.get("port"), int):
        return []
    host = str(ready.get("host") or "127.0.0.1")
    return [("127.0.0.1", ready["port"]), (host, ready["port"])]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}; remove it and join or login again") from None
