"""TLS under several keys of the mesh at once.

A connection happens under one key: the dialler names it in the handshake (as the name of the server), the
server shows the certificate of that key and trusts its authority only. A server that does not have the key
shows that of its own primary, which the dialler refuses; the dialler then tries the next of its keys.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Final, final

from swarm.net.keys import Credentials, KeyContext


@final
class TlsRing:
    """The credentials of one node or client under each key of the mesh that it has.

    Args:
        primary: under the key that is preferred.

    Attributes:
        identity: the id in all certificates.
    """

    def __init__(self, primary: Credentials) -> None:
        self.identity: Final = primary.identity
        self._made: dict[bytes, tuple[Credentials, KeyContext]] = {}
        self._dialling: dict[tuple[bytes, str], KeyContext] = {}
        self._opening: list[bytes] = []
        self._returning: list[bytes] = []
        self._listeners: list[Callable[[bytes], None]] = []
        self.replace([primary], [])

    def replace(self, opening: Sequence[Credentials], returning: Sequence[Credentials]) -> None:
        """Use these from now on; links under keys that do not open any more are closed by who listens.

        Args:
            opening: under keys that open everything, the preferred one first; at least one.
            returning: under keys that serve the exchange of keys only.
        """
        assert opening, "a ring has a key"
        before = self._opening
        self._opening = [credentials.fingerprint for credentials in opening]
        self._returning = [credentials.fingerprint for credentials in returning]
        made: dict[bytes, tuple[Credentials, KeyContext]] = {}
        for credentials in [*opening, *returning]:
            assert credentials.identity == self.identity, "one ring belongs to one node"
            name = credentials.fingerprint
            entry = self._made.get(name)
            if entry is None:
                entry = (credentials, credentials.server_context())
                entry[1].sni_callback = self._choose
            entry[1].is_open = name in self._opening
            made[name] = entry
        self._made = made
        self._dialling = {key: context for key, context in self._dialling.items() if key[0] in made}
        for name in before:
            if name not in self._opening:
                for listener in self._listeners:
                    listener(name)

    def listen(self, on_closed: Callable[[bytes], None]) -> None:
        """Have `on_closed` called with the fingerprint of each key that does not open any more."""
        self._listeners.append(on_closed)

    def server_context(self) -> KeyContext:
        """Return the context for accepting; the handshake goes over to the key that the dialler names."""
        return self._made[self._opening[0]][1]

    def dial_contexts(self, protocol: str, via: bytes = b"") -> list[KeyContext]:
        """Return contexts for dialling, to be tried in this order.

        Args:
            protocol: an ALPN name.
            via: fingerprint of the one key to use, also a returning one; b"" for all that open.
        """
        names = self._opening if not via else [via] if via in self._made else []
        found: list[KeyContext] = []
        for name in names:
            context = self._dialling.get((name, protocol))
            if context is None:
                context = self._dialling[name, protocol] = self._made[name][0].client_context(protocol)
            found.append(context)
        return found

    def _choose(self, handshake: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        for _, context in self._made.values():
            if context.server_name == name:
                handshake.context = context


def ring_of(credentials: Credentials | TlsRing) -> TlsRing:
    """Return a ring: itself, or one of a single key."""
    return credentials if isinstance(credentials, TlsRing) else TlsRing(credentials)
