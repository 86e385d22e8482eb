"""The member's side of pairing: who calls nearby, and letting one of them in.

Calls are remembered for a few seconds, a bounded number of them; nothing is tried before a person has typed
a code on this node. Then one device gets one attempt: of several with that plate a person has to say which
one is meant, and a code is tried once. So whoever calls in the place of the device that is meant can check
one guess for each code. See `swarm.net.pairing`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

import trio

from swarm.core.errors import (
    ConnectFailed,
    DecodeError,
    LocalProtocolError,
    RemoteProtocolError,
)
from swarm.core.ids import Address, NodeId, short
from swarm.daemon.logs import Log
from swarm.net.identity import NodeKey
from swarm.net.invitation import Invitation
from swarm.net.pairing import (
    NAME_SIZE_MAX,
    Call,
    Channel,
    Code,
    WrongCode,
    here_datagram,
    parse_call_untrusted,
    shown_name,
)

CALLER_COUNT_MAX: Final = 32
CALLER_TIME_S: Final = 10.0
"""For how long a call is remembered; devices call every two seconds."""
ANSWER_COUNT_MAX: Final = 5
"""Answers to calls in one second, whoever calls."""
SPENT_COUNT_MAX: Final = 64
"""Codes that were tried and are remembered; the oldest makes room."""
CONNECT_TIMEOUT_S: Final = 5.0
LISTEN_TIMEOUT_S: Final = 20.0
_LOOK_S: Final = 0.2


@final
class Admission:
    """Lets devices into the mesh of one node.

    Args:
        key: of this node.
        invitation: gives what an admitted device gets.
        on_admitted: gets its node id, proven.
        answer: sends a datagram to an address.
        log: gets who was admitted and who was not.
    """

    def __init__(
        self,
        key: NodeKey,
        invitation: Callable[[], Invitation],
        on_admitted: Callable[[NodeId], None],
        answer: Callable[[Address, bytes], None],
        log: Log,
    ) -> None:
        self._key = key
        self._invitation = invitation
        self._on_admitted = on_admitted
        self._answer = answer
        self._log = log
        self._callers: dict[tuple[str, int], tuple[float, Call]] = {}
        self._answered: list[float] = []
        self._spent: dict[str, bool] = {}
        self._lock = trio.Lock()
        self._counts = {
            "calls": 0,
            "calls_garbage": 0,
            "calls_ignored": 0,
            "answers": 0,
            "attempts": 0,
            "wrong_codes": 0,
            "admitted": 0,
        }

    def on_datagram(self, datagram: bytes, source: Address) -> None:
        """Take a pairing datagram."""
        try:
            call = parse_call_untrusted(datagram)
        except DecodeError:
            self._counts["calls_garbage"] += 1
            return
        if call is None:
            return
        self._counts["calls"] += 1
        now = trio.current_time()
        self._forget(now)
        if call.port:
            where = (source[0], call.port)
            if where not in self._callers and len(self._callers) >= CALLER_COUNT_MAX:
                self._counts["calls_ignored"] += 1
                return
            self._callers[where] = (now, call)
        self._answered = [at for at in self._answered if now - at < 1.0]
        if len(self._answered) < ANSWER_COUNT_MAX:
            self._answered.append(now)
            self._counts["answers"] += 1
            self._answer(source, here_datagram())

    def waiting(self) -> list[dict[str, object]]:
        """Return the devices that call nearby, as far as they say who they are; each once."""
        self._forget(trio.current_time())
        found: dict[bytes, dict[str, object]] = {}
        for (host, port), (_, call) in sorted(self._callers.items(), key=_where_of):
            row = {"name": call.name, "plate": f"{call.plate:02d}", "host": host, "port": port}
            found.setdefault(call.nonce, row)
        return list(found.values())

    async def admit(
        self, code: Code, peer: Address | None, timeout_s: float = LISTEN_TIMEOUT_S
    ) -> dict[str, object]:
        """Let the device that shows a code into the mesh; return its id, name, host and port.

        Args:
            code: as a person typed it.
            peer: where the device waits, None to hear it call.
            timeout_s: how long to listen for its call.

        Raises:
            LocalProtocolError: no device with this plate calls.
            ConnectFailed: the device cannot be reached.
            WrongCode: the code is wrong.
            ProtocolError: the attempt failed otherwise; says how.
        """
        async with self._lock:
            if code.to_text() in self._spent:
                raise LocalProtocolError(
                    f"the code {code.to_text()} was tried before, and a code is good for one attempt: take"
                    " the one that the device shows now. If it shows the same one still, somebody else has"
                    " answered in its place: run `swarm join` there again and add --peer HOST:PORT here"
                )
            if peer is not None:
                return await self._attempt(code, peer)
            failure: ConnectFailed | None = None
            for where in await self._hear(code, timeout_s):
                try:
                    return await self._attempt(code, where)
                except ConnectFailed as error:
                    failure = failure or error
            if failure is not None:
                raise failure
            raise LocalProtocolError(
                f"no device whose code begins with {code.plate:02d} calls nearby: is `swarm join` waiting"
                " there, on the same network? Where multicast does not work, add --peer HOST:PORT as it shows"
                " them"
            )

    def statistics(self) -> dict[str, int]:
        """Return counts since the start."""
        return {**self._counts, "callers": len(self._callers)}

    async def _hear(self, code: Code, timeout_s: float) -> list[Address]:
        """Return the addresses of the device with the plate of a code, none when it is not heard in time.

        Raises:
            LocalProtocolError: there are several.
        """
        give_up = trio.current_time() + timeout_s
        while True:
            self._forget(trio.current_time())
            found = [
                (where, call)
                for where, (_, call) in sorted(self._callers.items(), key=_where_of)
                if call.plate == code.plate
            ]
            if len({call.nonce for _, call in found}) > 1:
                places = ", ".join([f"{call.name!r} at {host}:{port}" for (host, port), call in found])
                raise LocalProtocolError(
                    f"several devices whose code begins with {code.plate:02d} call nearby ({places}): add"
                    " --peer HOST:PORT as the one that is meant shows them"
                )
            if found or trio.current_time() >= give_up:
                return [where for where, _ in found]
            await trio.sleep(_LOOK_S)

    async def _attempt(self, code: Code, where: Address) -> dict[str, object]:
        self._counts["attempts"] += 1
        named = f"the device at {where[0]} port {where[1]}"
        try:
            with trio.fail_after(CONNECT_TIMEOUT_S):
                stream = await trio.open_tcp_stream(*where)
        except (OSError, trio.TooSlowError) as error:
            reason = str(error) or f"no answer within {CONNECT_TIMEOUT_S:g} s"
            raise ConnectFailed(f"{named} cannot be reached: {reason}") from None
        try:
            async with stream:
                found = await self._talk(Channel(stream, code, is_member=True), code)
        except WrongCode:
            self._counts["wrong_codes"] += 1
            self._log.event("admission_refused", {"host": where[0], "port": where[1]})
            raise WrongCode(
                f"{named} has another code: a code is good for one attempt, so take the one that the device"
                " shows now. If it shows the same one still, somebody else has answered in its place"
            ) from None
        except (RemoteProtocolError, trio.BrokenResourceError, trio.TooSlowError) as error:
            reason = str(error) or "it fell silent"
            raise RemoteProtocolError(f"{named} was not admitted: {reason}") from None
        self._counts["admitted"] += 1
        self._log.event("device_admitted", {**found, "host": where[0]})
        return {**found, "host": where[0], "port": where[1]}

    async def _talk(self, channel: Channel, code: Code) -> dict[str, object]:
        invitation = self._invitation()
        await channel.agree()
        self._spend(code)  # whoever gets the proof can check one guess with it, also if it hangs up then
        await channel.send(channel.proof())
        about = await channel.receive_sealed()
        node_id, name = channel.take_identity_untrusted(about), shown_name(about.take_text()[:NAME_SIZE_MAX])
        # From here on the other side has proven the code. It is noted first: a member may be known too early,
        # but the holder of the secret must not be unknown.
        self._on_admitted(node_id)
        await channel.send_sealed([*channel.identify(self._key), invitation.to_text()])
        await channel.receive_sealed()
        return {"id": short(node_id), "name": name, "mesh": invitation.mesh}

    def _spend(self, code: Code) -> None:
        """Never try a code again on this node."""
        self._spent[code.to_text()] = True
        if len(self._spent) > SPENT_COUNT_MAX:
            del self._spent[next(iter(self._spent))]

    def _forget(self, now: float) -> None:
        for where, (at, _) in list(self._callers.items()):
            if now - at > CALLER_TIME_S:
                del self._callers[where]


def _where_of(entry: tuple[Address, tuple[float, Call]]) -> Address:
    return entry[0]
