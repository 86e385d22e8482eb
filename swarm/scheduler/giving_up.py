"""Giving up a spare copy of a job's record: only when enough others have confirmed theirs.

After nodes that were away come back there may be more copies than `replicas`. The leader then names one
that is spare, and who else keeps the record. Its node asks those whether they have on their disks all
parts and completions that it has, and gives its copy up when `replicas` of them have said so. The leader
need not be right, nor be the only one: who asks does not confirm, and who has confirmed keeps its own copy
for :data:`PLEDGE_S`, which is longer than an answer counts. A node that has just started gives up nothing,
for it does not know what it confirmed.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

from swarm.core.ids import JobId, NodeId
from swarm.scheduler.job_facts import JobRecord

ANSWER_S: Final = 10.0
PLEDGE_S: Final = 60.0


@final
class _Question:
    """A copy that may be given up, and what its node asked the others about it."""

    def __init__(self, asked: list[NodeId], digest: bytes, until_s: float) -> None:
        self.asked: Final = asked
        self.digest: Final = digest
        self.until_s: Final = until_s
        self.confirmed: dict[NodeId, bool] = {}


@final
class GivingUp:
    """What a node has asked and confirmed about spare copies; see the module's text."""

    def __init__(self, replicas: int) -> None:
        self._replicas: Final = replicas
        self._quiet_until = PLEDGE_S
        self._open: dict[JobId, _Question] = {}
        self._pledged: dict[JobId, float] = {}

    def start(self, now: float) -> None:
        """Take that the node has just started."""
        self._quiet_until = now + PLEDGE_S

    def begin(self, job: JobId, record: JobRecord, keepers: list[NodeId], now: float) -> bytes:
        """Take that a copy is spare; return the digest to ask `keepers` about, b"" to keep the copy."""
        self._expire(now)
        if now < self._quiet_until or job in self._pledged or job in self._open:
            return b""
        if len(keepers) < self._replicas:
            return b""
        digest = digest_of_record(record)
        self._open[job] = _Question(keepers, digest, now + ANSWER_S)
        return digest

    def answer(self, job: JobId, record: JobRecord | None, digest: bytes, now: float) -> bool:
        """Return whether this node has on its disk what another one asks about, and pledge to keep it."""
        self._expire(now)
        if record is None or job in self._open or len(record.kept) < len(record.parts):
            return False
        if digest_of_record(record) != digest:
            return False
        self._pledged.pop(job, None)
        self._pledged[job] = now + PLEDGE_S
        return True

    def on_answer(self, job: JobId, record: JobRecord | None, sender: NodeId, ok: bool, now: float) -> bool:
        """Take an answer; return whether the copy is to be given up now."""
        self._expire(now)
        question = self._open.get(job)
        if question is None or sender not in question.asked:
            return False
        if not ok or record is None:
            del self._open[job]
            return False
        question.confirmed[sender] = True
        if len(question.confirmed) < self._replicas:
            return False
        del self._open[job]
        return digest_of_record(record) == question.digest

    def forget_job(self, job: JobId) -> None:
        """Forget a job."""
        self._open.pop(job, None)
        self._pledged.pop(job, None)

    def _expire(self, now: float) -> None:
        """Forget what is over; all wait equally long, so the oldest come first."""
        while self._open:
            job = next(iter(self._open))
            if self._open[job].until_s > now:
                break
            del self._open[job]
        while self._pledged:
            job = next(iter(self._pledged))
            if self._pledged[job] > now:
                break
            del self._pledged[job]


def digest_of_record(record: JobRecord) -> bytes:
    """Return a digest of which parts and completions a record has; what each of them says never changes."""
    hasher = blake2b(digest_size=16)
    for number in sorted(record.kept):
        hasher.update(number.to_bytes(4, "big"))
    hasher.update(b"|")
    for task, attempt, node in sorted(record.facts):
        hasher.update(task.to_bytes(4, "big") + attempt.to_bytes(4, "big") + node)
    hasher.update(repr((record.parts_total, record.is_cancelled, record.ended)).encode())
    return hasher.digest()
