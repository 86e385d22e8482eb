"""Pairing: a short code, read from one screen and typed at another, lets a device into the mesh.

The device that wants in shows eight digits, for example ``42-917-305``. The first two are its *plate*:
anybody may know them, they tell waiting devices apart. The other six are a password for SPAKE2 (Abdalla and
Pointcheval 2005, as the library `spake2` speaks it on Ed25519; RFC 9382 is younger and orders its transcript
otherwise): both sides get one strong key if and only if they have the same code. Whoever sits between them,
or plays one of them, can check one guess in each attempt, and learns nothing else, also not later. A code is
good for one attempt on either side: after a wrong one the device shows another code.

An attempt is a TCP connection from the member to the device; each message is its length in 2 bytes, big
endian, and that many bytes:

1. member: ``A``, SPAKE2 message of 33 bytes;
2. device: SPAKE2 message of 33 bytes;
3. member: 32 bytes that prove it has the key. The device answers a wrong proof with `WRONG` and counts it;
4. device: sealed ``[public key, signature, name]``, which proves that it has the key;
5. member: sealed ``[public key, signature, invitation]``;
6. device: sealed ``[]``: it has the invitation.

Sealed is ChaCha20-Poly1305 under a key for each direction, the number of the message as nonce. The public
keys are those of the two nodes' identities, which stand in their certificates; each signs the key of this
attempt and its own role, so that the code is worth something between these two nodes only. The invitation,
the only secret that travels, leaves the member after the device has proven the code and its identity.

Before that, the device *calls*: a datagram in the clear by every means of discovery. A member remembers the
last few callers and tells them that a mesh is here, in a datagram shorter than theirs, a few times a second
at most.
"""

from __future__ import annotations

import hmac
import os
import secrets
from hashlib import sha256
from typing import Final, final

import trio
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from swarm.core.errors import ConfigError, DecodeError, RemoteProtocolError
from swarm.core.ids import NodeId
from swarm.core.records import Record
from swarm.net.identity import NodeKey, node_id_of
from swarm.wire.codec import Body, pack, unpack_untrusted

CODE_DIGITS: Final = 8
PLATE_DIGITS: Final = 2
MAGIC: Final = b"swarmpr1"
"""Stands where datagrams of a mesh have its tag."""
CALL_SIZE_MIN: Final = 64
"""Shorter calls are padded: the answer must not be longer than the question."""
CALL_SIZE_MAX: Final = 512
NAME_SIZE_MAX: Final = 64
MESSAGE_SIZE_MAX: Final = 4096
PROOF_SIZE: Final = 32
PUBLIC_KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64
WRONG: Final = b"wrong"
STEP_TIMEOUT_S: Final = 10.0
"""For one message; a Pi Zero needs about a second for its part of SPAKE2."""

_LABEL: Final = b"swarm 1 pairing"
_MEMBER: Final = b"swarm admit"
_DEVICE: Final = b"swarm join"
_PLATE_COUNT: Final = 10**PLATE_DIGITS
_CALL: Final = 1
_HERE: Final = 2


class WrongCode(RemoteProtocolError):
    """The two sides do not have the same code, or somebody is between them; nothing was told."""


@final
class Code(Record):
    """What the device shows and a person types.

    Attributes:
        plate: 0 to 99, known to everybody.
        password: six digits, a secret until the device is admitted.
    """

    __slots__ = ("password", "plate")

    def __init__(self, plate: int, password: str) -> None:
        self.plate: Final = plate
        self.password: Final = password

    def fields(self) -> tuple[object, ...]:
        return (self.plate, self.password)

    def __repr__(self) -> str:
        return f"Code({self.plate:02d}-…)"

    @classmethod
    def generate(cls) -> Code:
        """Return a new code at random."""
        size = CODE_DIGITS - PLATE_DIGITS
        return cls(secrets.randbelow(_PLATE_COUNT), f"{secrets.randbelow(10**size):0{size}d}")

    @classmethod
    def from_text(cls, text: str) -> Code:
        """Return the code that somebody typed; spaces and dashes do no harm.

        Raises:
            ConfigError: it has not eight digits.
        """
        digits = "".join(text.replace("-", " ").split())
        if len(digits) != CODE_DIGITS or not (digits.isascii() and digits.isdecimal()):
            raise ConfigError(f"a code has {CODE_DIGITS} digits, for example 42-917-305; this is {text!r}")
        return cls(int(digits[:PLATE_DIGITS]), digits[PLATE_DIGITS:])

    def to_text(self) -> str:
        """Return the code as people read it."""
        return f"{self.plate:0{PLATE_DIGITS}d}-{self.password[:3]}-{self.password[3:]}"


@final
class Call(Record):
    """What a device that wants in tells everybody.

    Attributes:
        plate: of its code.
        port: the TCP port where it waits; 0: it only asks whether a mesh is here.
        name: for people; not proven.
        nonce: 8 bytes, the same in all calls of one wait.
    """

    __slots__ = ("name", "nonce", "plate", "port")

    def __init__(self, plate: int, port: int, name: str, nonce: bytes) -> None:
        self.plate: Final = plate
        self.port: Final = port
        self.name: Final = name
        self.nonce: Final = nonce

    def fields(self) -> tuple[object, ...]:
        return (self.plate, self.port, self.name, self.nonce)

    def to_datagram(self) -> bytes:
        """Return the call as it is sent."""
        name = self.name.encode()[:NAME_SIZE_MAX].decode(errors="ignore")
        datagram = MAGIC + pack([_CALL, self.plate, self.port, name, self.nonce])
        return datagram + bytes(max(CALL_SIZE_MIN - len(datagram), 0))


def new_nonce() -> bytes:
    """Return what tells the calls of one wait from those of another."""
    return os.urandom(8)


def here_datagram() -> bytes:
    """Return the answer to a call."""
    return MAGIC + pack([_HERE])


def is_pairing(datagram: bytes) -> bool:
    """Return whether a datagram is a call or the answer to one, as far as its beginning tells."""
    return datagram[: len(MAGIC)] == MAGIC


def parse_call_untrusted(datagram: bytes) -> Call | None:
    """Return the call in a pairing datagram, None for the answer to one.

    Raises:
        DecodeError: it is neither.
    """
    if len(datagram) > CALL_SIZE_MAX:
        raise DecodeError("a call is shorter")
    if datagram == here_datagram():
        return None
    if len(datagram) < CALL_SIZE_MIN:
        raise DecodeError("a call is longer")
    value = unpack_untrusted(_without_padding(datagram[len(MAGIC) :]))
    body = Body(value if isinstance(value, list) else [])
    if body.take_int() != _CALL:
        raise DecodeError("no call")
    plate, port, name, nonce = body.take_int(), body.take_int(), body.take_text(), body.take_id(8)
    if plate >= _PLATE_COUNT or port > 65535 or len(name.encode("utf-8", "replace")) > NAME_SIZE_MAX:
        raise DecodeError("a field of the call is out of range")
    return Call(plate, port, shown_name(name), nonce)


def shown_name(name: str) -> str:
    """Return a name that a stranger gave itself as it may be put on a screen."""
    return "".join([character if character.isprintable() else "?" for character in name])


def _without_padding(packed: bytes) -> bytes:
    """Return the msgpack value at the beginning: fields of fixed number, the last one 8 bytes long."""
    at = packed.rfind(b"\xc4\x08")  # the header of the nonce; nothing behind it but padding
    while at > 0:
        if not packed[at + 10 :].strip(b"\0"):
            return packed[: at + 10]
        at = packed.rfind(b"\xc4\x08", 0, at)
    raise DecodeError("no call")


class Channel:
    """One attempt, as one of its sides sees it.

    Args:
        stream: the connection.
        code: as this side knows it.
        is_member: which side this is.
    """

    def __init__(self, stream: trio.abc.Stream, code: Code, *, is_member: bool) -> None:
        self._stream: Final = stream
        self._is_member: Final = is_member
        self._buffer = bytearray()
        self._key = b""
        self._sent = 0
        self._received = 0
        from spake2 import SPAKE2_A, SPAKE2_B  # a daemon needs it once in its life, if at all

        kind = SPAKE2_A if is_member else SPAKE2_B
        plate = b"%d" % code.plate
        self._spake = kind(code.password.encode(), idA=_MEMBER + plate, idB=_DEVICE + plate)

    async def agree(self) -> None:
        """Exchange SPAKE2 messages and make the keys; whether they are equal is not known yet.

        Raises:
            RemoteProtocolError: the other side does not speak this protocol.
            trio.BrokenResourceError: it is gone.
        """
        mine = await trio.to_thread.run_sync(self._spake.start)
        if self._is_member:
            await self.send(mine)
        theirs = await self.receive()
        try:
            self._key = await trio.to_thread.run_sync(self._spake.finish, theirs)
        except Exception as error:  # noqa: BLE001 - the library raises unrelated types for bytes of all kinds
            raise RemoteProtocolError(f"no pairing is spoken there: {error}") from None
        if not self._is_member:
            await self.send(mine)

    def proof(self) -> bytes:
        """Return what the member proves the key with."""
        return hmac.new(self._derive(b"proof"), _MEMBER, sha256).digest()

    def is_proof(self, given: bytes) -> bool:
        """Return whether the member has the same key."""
        return hmac.compare_digest(given, self.proof())

    def identify(self, key: NodeKey) -> list[object]:
        """Return the fields that prove to the other side who this side is: public key and signature."""
        signature = key.private_key.sign(self._pledge(self._is_member))
        return [key.private_key.public_key().public_bytes_raw(), signature]

    def take_identity_untrusted(self, body: Body) -> NodeId:
        """Return the id of the node at the other side, from the fields that it has identified itself with.

        Raises:
            RemoteProtocolError: it has not signed this attempt with that key.
        """
        public_key, signature = body.take_id(PUBLIC_KEY_SIZE), body.take_id(SIGNATURE_SIZE)
        try:
            pledge = self._pledge(not self._is_member)
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, pledge)
        except (InvalidSignature, ValueError):
            raise RemoteProtocolError("the other side does not hold the key of its identity") from None
        return node_id_of(public_key)

    async def send_sealed(self, fields: list[object]) -> None:
        """Send fields that only the other holder of the key can read."""
        self._sent += 1
        cipher, nonce = self._cipher(self._is_member), self._sent.to_bytes(12, "big")
        await self.send(cipher.encrypt(nonce, pack(fields), _LABEL))

    async def receive_sealed(self) -> Body:
        """Return the fields that the other side has sent.

        Raises:
            WrongCode: it does not have the same key.
            RemoteProtocolError: it broke the protocol.
        """
        message = await self.receive()
        self._received += 1
        cipher, nonce = self._cipher(not self._is_member), self._received.to_bytes(12, "big")
        try:
            value = unpack_untrusted(cipher.decrypt(nonce, message, _LABEL))
        except InvalidTag:
            raise WrongCode("the code is wrong, or somebody is between the two devices") from None
        if not isinstance(value, list):
            raise DecodeError("not an array")
        return Body(value)

    async def send(self, message: bytes) -> None:
        """Send one message."""
        with trio.fail_after(STEP_TIMEOUT_S):
            await self._stream.send_all(len(message).to_bytes(2, "big") + message)

    async def receive(self) -> bytes:
        """Return the next message.

        Raises:
            RemoteProtocolError: the connection ended, or the message is too long.
            trio.TooSlowError: nothing came.
        """
        with trio.fail_after(STEP_TIMEOUT_S):
            size = int.from_bytes(await self._take(2), "big")
            if size > MESSAGE_SIZE_MAX:
                raise RemoteProtocolError(f"a message of {size} bytes where {MESSAGE_SIZE_MAX} are the most")
            return await self._take(size)

    async def wait_for_first(self) -> None:
        """Wait until the first message is there whole, without taking it; raises what `receive` does."""
        message = await self.receive()
        self._buffer[:0] = len(message).to_bytes(2, "big") + message

    async def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            data = await self._stream.receive_some(MESSAGE_SIZE_MAX)
            if not data:
                raise RemoteProtocolError("the other side hung up")
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _cipher(self, of_member: bool) -> ChaCha20Poly1305:
        return ChaCha20Poly1305(self._derive(b"to device" if of_member else b"to member"))

    def _pledge(self, of_member: bool) -> bytes:
        """Return what a side signs: its role and what only the two sides of this attempt can know."""
        return _LABEL + b" " + (_MEMBER if of_member else _DEVICE) + self._derive(b"identity")

    def _derive(self, purpose: bytes) -> bytes:
        assert self._key, "there is a key after `agree`"
        return HKDF(SHA256(), 32, salt=None, info=_LABEL + b" " + purpose).derive(self._key)
