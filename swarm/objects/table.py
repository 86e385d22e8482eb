"""The object table of a node: which objects it has, where, and who waits for which.

An object is named by (job, task, output) and identified by its digest. An entry is made by the first
mention and is

* *absent*: somebody here waits for it, or its fetch is under way;
* *present in memory*: small, its bytes are in the table;
* *present on disk*: a file in the node's store, written by an executor, a fetch or a client.

Users are the runs of this node that need the object, as plain ints, less for those that came earlier
(:data:`NODE_USER` is the node itself). A user *waits* while the object is absent or has another digest
than the one it was promised. Whoever stops waiting is appended to `settled`; when content changes or
goes away, users that did not wait are appended to `displaced`. The caller drains both at once.

Two attempts of one task may leave different bytes under one name. The latest content counts, because
that is what the store's file holds; a user with a digest goes on waiting until that very content is here.
Nothing is fetched for it as long as an earlier user needs the content that is here: else two users would
take turns in fetching, for ever. The earliest user is never in that position, so somebody always gets on.

Bound: bytes in memory, each entry with content counting :data:`ENTRY_COST_BYTES` more. What comes beyond
it is *spilled*: its bytes are written into the store, and from then on it is on disk as if it were large.

What became of an object that the node itself wanted is appended to `told`, with or without a fetch: nobody
may have it, or it comes in another way.

Invariants: T1 waiters are users, and the content is not what they want; other users have what they want.
T2 bytes in memory are the sum over the entries. T3 an entry has content, a user or a fetch. T4 fetches in
flight are those of the entries, at most the bound; queued ones are in the queue.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, final

from swarm.core.effects import DropObject, Effect, FetchObject, SpillObject
from swarm.core.ids import Address, JobId, NodeId, ObjectName
from swarm.wire.facts import Output
from swarm.wire.orders import InputRef

ENTRY_COST_BYTES: Final = 400
NODE_USER: Final = 0
"""The user that stands for the node itself: somebody wants the object in the store, no run here does."""


class FetchState(Enum):
    """Whether an object is being copied from another node."""

    NONE = 0
    QUEUED = 1
    FLYING = 2


@final
class ObjectEntry:
    """What the table knows of one object; only the table changes it.

    Attributes:
        name: which object.
        is_present: whether the node has content; digest, size, encoding and data are about it.
        data: the bytes when in memory, None when on disk.
        users: everybody here who needs it, with the reference that says what was promised.
        waiters: those of them for whom it is not here yet, in order of asking.
        holders: nodes that have it, best first, as told last.
        fetching: the reference that the fetch in flight works for.
        is_released: the leader said that no one needs it: goes with the last user.
    """

    __slots__ = (
        "data",
        "digest",
        "encoding",
        "fetch",
        "fetching",
        "holders",
        "is_present",
        "is_released",
        "name",
        "size",
        "users",
        "waiters",
    )

    def __init__(self, name: ObjectName) -> None:
        self.name: Final = name
        self.is_present = False
        self.digest = b""
        self.size = 0
        self.encoding = 0
        self.data: bytes | None = None
        self.users: Final[dict[int, InputRef]] = {}
        self.waiters: Final[dict[int, None]] = {}
        self.holders: list[NodeId] = []
        self.fetch = FetchState.NONE
        self.fetching: InputRef | None = None
        self.is_released = False

    def is_on_disk(self) -> bool:
        """Return whether the content is a file in the store."""
        return self.is_present and self.data is None

    def serves(self, ref: InputRef) -> bool:
        """Return whether the content is what `ref` asks for."""
        return self.is_present and (ref.digest is None or ref.digest == self.digest)

    def memory_bytes(self) -> int:
        """Return what the content counts against the bound."""
        if not self.is_present:
            return 0
        return ENTRY_COST_BYTES + (0 if self.data is None else len(self.data))


@final
class ObjectTable:
    """Name -> content, users and fetches; see the module's text."""

    def __init__(self, node_id: NodeId, bytes_max: int, fetch_count_max: int, effects: list[Effect]) -> None:
        """Make an empty table that appends what it wants done to `effects`."""
        self._node_id: Final = node_id
        self._bytes_max: Final = bytes_max
        self._fetch_count_max: Final = fetch_count_max
        self._effects: Final = effects
        self._jobs: dict[JobId, dict[ObjectName, ObjectEntry]] = {}
        self.queue: Final[dict[ObjectName, ObjectEntry]] = {}  # waits for its fetch to begin
        self._flying_count = 0
        self._addresses: dict[NodeId, list[Address]] = {}
        self.bytes_in_memory = 0
        self.settled: list[int] = []
        self.displaced: list[int] = []
        self.was_displaced_on_disk = False
        self.lost: list[list[object]] = []
        self.copied: list[ObjectName] = []
        self.told: list[tuple[ObjectName, bool]] = []
        self.spilled_count = 0
        self.replaced_count = 0
        self.fetch_count = 0
        self.fetch_failed_count = 0
        self.stray_fetch_count = 0

    # Views

    def find(self, name: ObjectName) -> ObjectEntry | None:
        """Return the entry of an object, None when nothing is known of it."""
        job = self._jobs.get(name[0])
        return None if job is None else job.get(name)

    def entries(self, jobs: list[JobId] | None) -> list[ObjectEntry]:
        """Return the entries of some jobs, or of all (None), in order of their first mention."""
        result: list[ObjectEntry] = []
        for job in list(self._jobs) if jobs is None else jobs:
            shelf = self._jobs.get(job)
            if shelf is not None:
                result.extend(shelf.values())
        return result

    # Users

    def want(self, name: ObjectName, user: int, ref: InputRef) -> bool:
        """Let `user` need an object as promised by `ref`, whose data is kept when it rides along.

        Returns:
            False when the user now waits for it; True when it is here, or the user had asked before.
        """
        entry = self._entry(name)
        if user in entry.users:
            return True
        entry.users[user] = ref
        entry.is_released = False
        if entry.serves(ref):
            return True
        digest = ref.digest
        if digest is not None and ref.data is not None:
            self._place(entry, digest, ref.size, ref.encoding, ref.data)
            return True
        self._wait(entry, user, ref)
        return False

    def wait_again(self, name: ObjectName, user: int) -> bool:
        """Let a displaced user wait when the content is no longer what it wants; return whether it does.

        Data that rode along is not put back: two users that were promised different content must not
        replace each other's for ever.
        """
        entry = self.find(name)
        assert entry is not None, "a displaced user has an entry"
        ref = entry.users[user]
        if entry.serves(ref):
            return False
        self._wait(entry, user, ref)
        return True

    def leave(self, name: ObjectName, user: int) -> None:
        """Let `user` need the object no longer; what was released before goes with its last user."""
        entry = self.find(name)
        if entry is None or user not in entry.users:
            return
        del entry.users[user]
        entry.waiters.pop(user, None)
        if not entry.users:
            self._tidy(entry)
        elif entry.waiters and self._next_wanted(entry) is not None:
            self._request(entry)

    def _wait(self, entry: ObjectEntry, user: int, ref: InputRef) -> None:
        entry.waiters[user] = None
        if ref.digest is None:
            return
        if ref.holders:
            entry.holders = ref.holders
        self._request(entry)

    # Content

    def store(self, name: ObjectName, output: Output) -> None:
        """Note that the node has an object: in memory when `output` has data, else on disk."""
        entry = self._entry(name)
        entry.is_released = False
        self._place(entry, output.digest, output.size, output.encoding, output.data)

    def release(self, name: ObjectName) -> None:
        """No one needs the object any more, says the leader; present users here still end with it."""
        entry = self.find(name)
        if entry is not None:
            entry.is_released = True
            if not entry.users:
                self._tidy(entry)

    def forget_job(self, job: JobId) -> None:
        """Drop every object of a job; its users have left before."""
        for entry in self.entries([job]):
            assert list(entry.users) in ([], [NODE_USER]), "the users of a forgotten job are gone"
            if NODE_USER in entry.users:
                self.told.append((entry.name, False))
            entry.users.clear()
            entry.waiters.clear()
            entry.is_released = True
            self._tidy(entry)

    def _place(self, entry: ObjectEntry, digest: bytes, size: int, encoding: int, data: bytes | None) -> None:
        """Make this the content of the entry, tell waiters and displaced users."""
        if entry.is_present and entry.digest == digest:
            if data is None and entry.data is not None:
                self.bytes_in_memory -= len(entry.data)
                entry.data = None
            return
        if entry.is_present:
            self.replaced_count += 1
            self._displace(entry)
            if entry.data is None and data is not None:
                self._effects.append(DropObject(entry.name))
            self.bytes_in_memory -= entry.memory_bytes()
        cost = ENTRY_COST_BYTES + (0 if data is None else len(data))
        if data is not None and self.bytes_in_memory + cost > self._bytes_max:
            self._effects.append(SpillObject(entry.name, data))
            self.spilled_count += 1
            cost = ENTRY_COST_BYTES
            data = None
        entry.is_present = True
        entry.digest = digest
        entry.size = size
        entry.encoding = encoding
        entry.data = data
        self.bytes_in_memory += cost
        if entry.waiters:
            self._settle(entry)

    def _settle(self, entry: ObjectEntry) -> None:
        for user in list(entry.waiters):
            if entry.serves(entry.users[user]):
                del entry.waiters[user]
                if user == NODE_USER:
                    del entry.users[user]
                    self.told.append((entry.name, True))
                else:
                    self.settled.append(user)
        self._tidy(entry)

    def _displace(self, entry: ObjectEntry) -> None:
        self.was_displaced_on_disk = self.was_displaced_on_disk or entry.data is None
        for user in entry.users:
            if user not in entry.waiters:
                self.displaced.append(user)

    def _drop_content(self, entry: ObjectEntry) -> None:
        if not entry.is_present:
            return
        if entry.data is None:
            self._effects.append(DropObject(entry.name))
        self.bytes_in_memory -= entry.memory_bytes()
        entry.is_present = False
        entry.digest = b""
        entry.data = None

    def _entry(self, name: ObjectName) -> ObjectEntry:
        shelf = self._jobs.get(name[0])
        if shelf is None:
            shelf = {}
            self._jobs[name[0]] = shelf
        entry = shelf.get(name)
        if entry is None:
            entry = ObjectEntry(name)
            shelf[name] = entry
        return entry

    def _tidy(self, entry: ObjectEntry) -> None:
        """Drop what an entry without users need not keep."""
        if entry.users:
            return
        if entry.is_released:
            self._drop_content(entry)
        if entry.fetch is FetchState.QUEUED:
            entry.fetch = FetchState.NONE
            del self.queue[entry.name]
        if entry.is_present or entry.fetch is FetchState.FLYING:
            return
        shelf = self._jobs[entry.name[0]]
        del shelf[entry.name]
        if not shelf:
            del self._jobs[entry.name[0]]

    # Fetches

    def set_addresses(self, addresses: dict[NodeId, list[Address]]) -> None:
        """Use these addresses of nodes from now on."""
        self._addresses = addresses

    def report_lost(self, name: ObjectName, holder: NodeId) -> None:
        """Say that an object could not be had from a holder; rows as in OBJECT_LOST."""
        self.lost.append([name[0], name[1], name[2], holder])

    def start_fetches(self) -> None:
        """Begin fetches that were asked for, oldest first, as many as may fly at once."""
        while self.queue and self._flying_count < self._fetch_count_max:
            name = next(iter(self.queue))
            entry = self.queue.pop(name)
            entry.fetch = FetchState.NONE
            ref = self._next_wanted(entry)
            if ref is not None:
                self._start_fetch(entry, ref)

    def on_fetched(self, name: ObjectName) -> None:
        """The fetch of an object ended well: it is on disk, with the digest that was asked for."""
        entry = self.find(name)
        if entry is None or entry.fetch is not FetchState.FLYING:
            self.stray_fetch_count += 1
            return
        ref = self._end_fetch(entry)
        assert ref.digest is not None, "only references with a digest are fetched"
        if not entry.is_released:
            self.copied.append(name)
        self._place(entry, ref.digest, ref.size, ref.encoding, None)
        if self._next_wanted(entry) is not None:
            self._request(entry)
        self._tidy(entry)

    def on_missing(self, name: ObjectName, failed: list[NodeId]) -> None:
        """The fetch of an object failed at these holders; without a fetch, the own file has gone."""
        entry = self.find(name)
        if entry is None:
            self.stray_fetch_count += 1
        elif entry.fetch is FetchState.FLYING:
            self.fetch_failed_count += 1
            self._end_fetch(entry)
            self._strike_holders(entry, failed or entry.holders)
        elif entry.is_on_disk():
            self._displace(entry)
            self._drop_content(entry)
            self.report_lost(name, self._node_id)
            self._tidy(entry)
        else:
            self.stray_fetch_count += 1

    def _request(self, entry: ObjectEntry) -> None:
        if entry.fetch is FetchState.NONE:
            entry.fetch = FetchState.QUEUED
            self.queue[entry.name] = entry

    def _next_wanted(self, entry: ObjectEntry) -> InputRef | None:
        """Return what to fetch: for a waiter before all whom the present content serves."""
        earliest = min([user for user in entry.users if user not in entry.waiters], default=-1)
        for user in entry.waiters:
            ref = entry.users[user]
            if ref.digest is not None and (earliest < 0 or user < earliest):
                return ref
        return None

    def _start_fetch(self, entry: ObjectEntry, ref: InputRef) -> None:
        sources: list[tuple[NodeId, list[Address]]] = []
        for holder in entry.holders:
            addresses = self._addresses.get(holder)
            if addresses and holder != self._node_id:
                sources.append((holder, addresses))
        if not sources:
            self._strike_holders(entry, entry.holders or [self._node_id])
            return
        assert ref.digest is not None, "only references with a digest are fetched"
        entry.fetch = FetchState.FLYING
        entry.fetching = ref
        self._flying_count += 1
        self.fetch_count += 1
        self._effects.append(FetchObject(entry.name, ref.digest, ref.size, sources))

    def _end_fetch(self, entry: ObjectEntry) -> InputRef:
        ref = entry.fetching
        assert ref is not None, "a flying fetch has its reference"
        entry.fetch = FetchState.NONE
        entry.fetching = None
        self._flying_count -= 1
        return ref

    def _strike_holders(self, entry: ObjectEntry, failed: list[NodeId]) -> None:
        for holder in failed:
            self.report_lost(entry.name, holder)
        entry.holders = [holder for holder in entry.holders if holder not in failed]
        if entry.holders and self._next_wanted(entry) is not None:
            self._request(entry)
            return
        if NODE_USER in entry.waiters:
            del entry.waiters[NODE_USER]
            del entry.users[NODE_USER]
            self.told.append((entry.name, False))
        self._tidy(entry)

    # Audit

    def check_invariants(self) -> None:
        """Audit the whole table; raises AssertionError with the number of the broken invariant."""
        in_memory = 0
        flying = 0
        queued = 0
        for entry in self.entries(None):
            in_memory += entry.memory_bytes()
            flying += 1 if entry.fetch is FetchState.FLYING else 0
            queued += 1 if entry.fetch is FetchState.QUEUED else 0
            _check_entry(entry)
        assert in_memory == self.bytes_in_memory, f"T2: {in_memory} bytes are not {self.bytes_in_memory}"
        assert flying == self._flying_count, f"T4: {flying} fetches are not {self._flying_count}"
        assert flying <= self._fetch_count_max, f"T4: {flying} fetches at once"
        assert queued == len(self.queue), f"T4: {queued} fetches wait, {len(self.queue)} in the queue"


def _check_entry(entry: ObjectEntry) -> None:
    for user in entry.waiters:
        assert user in entry.users, f"T1: waiter {user} of {entry.name} is no user"
    for user, ref in entry.users.items():
        is_waiting = user in entry.waiters
        assert is_waiting != entry.serves(ref), f"T1: user {user} of {entry.name}: waiting {is_waiting}"
    has_cause = entry.is_present or bool(entry.users) or entry.fetch is FetchState.FLYING
    assert has_cause, f"T3: nobody needs {entry.name}"
