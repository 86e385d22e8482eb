"""S6 of results: what a client is shown as done is on the disk of a keeper."""

from __future__ import annotations

from typing import Final

from sims.checkers.base import Checker, Truth
from sims.checkers.frames import CLIENT_UPDATE, kind_of, read
from sims.host import Host
from swarm.core.effects import Effect, SendToClient

WELL_S: Final = 5.0
"""For how long a keeper and the network must have been well for the keeper to be waited for."""


class EndChecker(Checker):
    """S6 when a client is shown that its job is done, a keeper that is there has every result it was shown.

    So a leader that dies in that moment, and the node that ran the last task with it, take nothing along.
    Keepers that do not answer are not waited for long: only those count with which all is well.
    """

    def __init__(self, truth: Truth) -> None:
        super().__init__(truth)
        self._shown: dict[bytes, dict[int, bool]] = {}
        self._done: dict[bytes, bool] = {}

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        if not isinstance(effect, SendToClient) or kind_of(effect.payload) != CLIENT_UPDATE:
            return
        body = read(effect.payload).body
        job, state = body[0], body[1]
        if job in self._done:
            return
        shown = self._shown.setdefault(job, {})
        for row in body[4]:
            if isinstance(row[5], list):
                shown[row[0]] = True
        if state == "done":
            self._done[job] = True
            self._judge(host, job, shown)

    def _judge(self, host: Host, job: bytes, shown: dict[int, bool]) -> None:
        keepers: list[Host] = []
        for other in self.cluster.hosts:
            if not self._has(other, "parts", job) and not self._has(other, "tombs", job):
                continue
            if not [task for task in shown if not self._has(other, "facts", job + task.to_bytes(4, "big"))]:
                return
            if self.truth.is_well(other.index, WELL_S) and not other.disk.is_lying:
                keepers.append(other)
        if keepers:
            names = ", ".join([keeper.spec.name for keeper in keepers])
            self.fail(
                "S6", f"{self.name(host)} shows that job {job.hex()[:6]} is done before {names} know it"
            )

    def _has(self, host: Host, table: str, prefix: bytes) -> bool:
        rows = host.disk.tables.get(table, {})
        return any([key.startswith(prefix) for key in rows])
