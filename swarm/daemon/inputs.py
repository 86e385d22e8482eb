"""What the world tells the node; exists before both, because each is made with the other in hand."""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import Address, ObjectName
from swarm.daemon.admission import Admission
from swarm.daemon.driver import Driver
from swarm.daemon.hearing import Hearing
from swarm.daemon.kept_objects import KeptObjects
from swarm.daemon.key_service import KeyService
from swarm.daemon.logs import Log
from swarm.daemon.waiting import is_sign_of_a_mesh
from swarm.net.pairing import is_pairing
from swarm.net.seal import BadSeal, Sealer

_FOREIGN: Final = "tag"
_OLD: Final = "old"
_OWN: Final = "own"
_SEEN: Final = "replay"
"""Why the sealer refuses a datagram: of another mesh, under an old key of this, of ourselves, or a copy."""
_PAIRING: Final = "pairing"
_BEACON: Final = "beacon"
"""What is no datagram for the node: of those who are no members yet, or of one that has a newer key."""


@final
class Inputs:
    """Callbacks for sockets and sessions; what comes before :meth:`attach` is dropped.

    Args:
        sealer: opens datagrams.
        hearing: is told what was heard how.
        log: is told of each other mesh, once.
    """

    def __init__(self, sealer: Sealer, hearing: Hearing, log: Log) -> None:
        self._sealer = sealer
        self._hearing = hearing
        self._log = log
        self._driver: Driver | None = None
        self._kept: KeptObjects | None = None
        self._keys: KeyService | None = None
        self._admission: Admission | None = None

    def attach(
        self,
        driver: Driver,
        kept: KeptObjects,
        keys: KeyService | None = None,
        admission: Admission | None = None,
    ) -> None:
        """From now on, pass everything on.

        Args:
            driver: gets what members and clients say.
            kept: gets notes of objects.
            keys: gets what comes under old keys, None for nobody.
            admission: gets the calls of those who are no members yet, None for nobody.
        """
        self._driver = driver
        self._kept = kept
        self._keys = keys
        self._admission = admission

    def foreign_hosts(self) -> list[str]:
        """Return hosts from which other meshes were heard lately."""
        return self._hearing.foreign_hosts()

    def on_packet(self, datagram: bytes, source: Address) -> None:
        """Pass on a datagram of the mesh; others have been counted by the sealer."""
        self._take(datagram, source)

    def on_hello(self, datagram: bytes, source: Address, way: str) -> None:
        """Pass on what came to the discovery port, and note by which way it did."""
        reason = self._take(datagram, source)
        if not reason:
            self._hearing.note_opened(datagram, source[0], way)
        elif reason == _SEEN:
            self._hearing.note_copy(datagram, source[0], way)
        elif reason == _OWN:
            self._hearing.note_own(way)

    def on_packet_refused(self, address: Address) -> None:
        """Pass on that nobody listens there."""
        if self._driver is not None:
            self._driver.on_packet_refused(address)

    def on_addresses(self, addresses: list[Address]) -> None:
        """Pass on that the own addresses have changed."""
        if self._driver is not None:
            self._driver.set_addresses(addresses)

    def on_session_opened(self, session: int, role: str, identity: bytes) -> None:
        """Pass on that a client came; the node tells clients apart by their session only."""
        del identity
        if self._driver is not None:
            self._driver.on_client_opened(session, role)

    def on_object_put(self, name: ObjectName, digest: bytes, size: int, encoding: int) -> None:
        """Note an object that a client has put into the store, then pass it on."""
        if self._driver is not None and self._kept is not None:
            self._kept.note(name, digest, size, encoding)
            self._driver.on_object_put(name, digest, size, encoding)

    def _take(self, datagram: bytes, source: Address) -> str:
        """Pass on a datagram to whom it is for; return why it is none of a member's, "" if it is."""
        if is_pairing(datagram):
            if self._driver is None and is_sign_of_a_mesh(datagram):
                self._meet_foreign(datagram, source)
            if self._admission is not None:
                self._admission.on_datagram(datagram, source)
            return _PAIRING
        try:
            payload = self._sealer.open_untrusted(datagram, source)
        except BadSeal as error:
            if error.reason == _FOREIGN and is_sign_of_a_mesh(datagram):
                self._meet_foreign(datagram, source)
            if error.reason == _OLD and self._keys is not None:
                self._keys.on_old_datagram(error.sender, source, error.fingerprint)
            return error.reason
        if not payload:
            self._on_beacon(datagram, source)
            return _BEACON
        if self._driver is not None:
            self._driver.receive_packet(payload, source)
        return ""

    def _on_beacon(self, datagram: bytes, source: Address) -> None:
        """Take that a member with a newer key is there and looks for those who still seal with this one."""
        if self._keys is not None:
            sender, fingerprint = self._sealer.origin_of(datagram)
            self._keys.on_old_datagram(sender, source, fingerprint)

    def _meet_foreign(self, datagram: bytes, source: Address) -> None:
        if self._hearing.note_foreign(datagram, source[0]):
            self._log.event("other_mesh_heard", {"host": source[0]})
