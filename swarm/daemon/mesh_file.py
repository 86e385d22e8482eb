"""Which mesh a home belongs to: the file ``mesh``, which holds an invitation and so the mesh's secret."""

from __future__ import annotations

import base64
from typing import Final, final

from swarm.core.errors import ConfigError, StorageError
from swarm.core.ids import Address, short
from swarm.core.quorums import AVAILABLE
from swarm.daemon.home import Home, write_private
from swarm.net.invitation import Invitation, new_secret

_NAME_BYTES: Final = 5


@final
class MeshChoice:
    """The mesh of this start.

    Attributes:
        invitation: its secret, name and addresses to try.
        is_founded: whether it did not exist before.
        is_new_here: whether the home does not belong to it yet; see :func:`keep_mesh`.
        is_first: whether the home belonged to no mesh before: a ledger in its journal is of another one.
    """

    def __init__(
        self, invitation: Invitation, is_founded: bool, is_new_here: bool, is_first: bool = False
    ) -> None:
        self.invitation: Final = invitation
        self.is_founded: Final = is_founded
        self.is_new_here: Final = is_new_here
        self.is_first: Final = is_first


class NotAllowed(ConfigError):
    """What was given does not allow this; nothing was changed or started (exit code 4)."""


class MeshIsNear(NotAllowed):
    """No mesh was named and one is heard nearby: ask to be admitted, or say that another one is wanted."""


def choose_mesh(home: Home, invitation_text: str, found_new: bool, quorum: str = "") -> MeshChoice:
    """Return the mesh to start in; nothing is written.

    What a mesh is, available or strict, is settled when it is founded: `quorum` says so then, "" for
    available; later it may be said again and must be the same.

    An invitation given now must be for the mesh that the home belongs to, if it belongs to one; one with
    another key is for the same mesh when the name is the same and one of the two keys came by a rotation.
    Without an invitation the home's mesh is taken, else a new one is made.

    Raises:
        ConfigError: the invitation is wrong, or for another mesh.
        NotAllowed: the invitation is a client's.
        StorageError: the home's own file is damaged.
    """
    kept = _kept(home)
    if invitation_text.strip():
        given = Invitation.from_text(invitation_text)
        if given.is_client:
            raise NotAllowed(
                "this invitation is for clients: it lets you submit (`swarm login`), not join;"
                " `swarm invite` on a member prints one for nodes"
            )
        _check_quorum(given, quorum, "the invitation")
        if kept is not None and kept.mesh == given.mesh:
            _check_quorum(kept, given.quorum, f"the node in {home.root}")
        if kept is None or kept.secret == given.secret:
            return MeshChoice(given, is_founded=False, is_new_here=kept is None, is_first=kept is None)
        if kept.mesh != given.mesh:
            raise ConfigError(_other_mesh(home, kept, f"the invitation is for {given.mesh!r}"))
        if kept.number == given.number == 0:  # no rotation made either key
            raise ConfigError(_other_mesh(home, kept, "the invitation is for another one of that name"))
        if given.number < kept.number:  # written before the key was changed, which this node knows of
            return MeshChoice(kept, is_founded=False, is_new_here=False)
        return MeshChoice(given, is_founded=False, is_new_here=True)
    if kept is not None and found_new:
        raise ConfigError(_other_mesh(home, kept, "--new founds another"))
    if kept is not None:
        _check_quorum(kept, quorum, f"the node in {home.root}")
        return MeshChoice(kept, is_founded=False, is_new_here=False)
    secret = new_secret()
    name = f"mesh-{short(new_secret()[:_NAME_BYTES])}"
    founded = Invitation(secret, None, name, [], 0, quorum or AVAILABLE)
    return MeshChoice(founded, is_founded=True, is_new_here=True, is_first=True)


def keep_mesh(home: Home, invitation: Invitation, addresses: list[Address]) -> None:
    """Let the home belong to the mesh of `invitation`, remembering `addresses` to try next time.

    Raises:
        StorageError: the file cannot be written.
    """
    write_private(home.mesh, invitation.placed(addresses).to_text() + "\n")


def read_ring(home: Home) -> bytes:
    """Return what `write_ring` kept, b"" when there is nothing; damaged bytes as they are."""
    try:
        data = home.keys.read_bytes()
    except OSError:
        return b""
    try:
        return base64.b64decode(data.strip(), validate=True)
    except ValueError:
        return data or b"\0"


def write_ring(home: Home, ring: bytes) -> None:
    """Keep the keys of the mesh, readable by the owner only.

    Raises:
        StorageError: the file cannot be written.
    """
    write_private(home.keys, base64.b64encode(ring).decode("ascii") + "\n")


def _kept(home: Home) -> Invitation | None:
    try:
        text = home.mesh.read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read {home.mesh}: {error}") from None
    try:
        return Invitation.from_text(text)
    except ConfigError as error:
        raise StorageError(f"{home.mesh} is damaged: {error}; remove it and join again") from None


def _check_quorum(mesh: Invitation, wish: str, whose: str) -> None:
    """Check that a mesh is what was said of it, if anything was."""
    if wish and wish != mesh.quorum:
        raise ConfigError(
            f"the mesh {mesh.mesh!r} of {whose} is {mesh.quorum}, not {wish}: that is settled when a mesh is"
            f" founded. Leave out --quorum, or found another mesh with `swarm join --new --quorum {wish}`"
        )


def _other_mesh(home: Home, kept: Invitation, wish: str) -> str:
    return (
        f"the node in {home.root} belongs to the mesh {kept.mesh!r}, but {wish}: start another node with"
        f" --home, or remove {home.mesh} to leave {kept.mesh!r} for good"
    )
