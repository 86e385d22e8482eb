"""One small face for what carries bytes between stations, which are numbered from 0."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from swarm.core.ids import ObjectName
from tests.transport.station import content, digest

POLL_S: Final = 0.01
REFUSED: Final = "refused"
SILENT: Final = "silent"


@dataclass(frozen=True)
class Heard:
    """One input that the transport gave to a node.

    Attributes:
        what: "packet", "message", "refused", "lost", "fetched" or "missing".
        other: the station it is about, -1 for none.
        detail: digest of a payload; `REFUSED` or `SILENT` for a loss; the task and who failed for an object.
        at: seconds on the network's own clock.
    """

    what: str
    other: int
    detail: object
    at: float


class Transport(ABC):
    """What carries bytes between some stations.

    Attributes:
        count: stations.
        heard: what each was told, oldest first.
    """

    def __init__(self, count: int) -> None:
        self.count: Final = count
        self.heard: Final[list[list[Heard]]] = [[] for _ in range(count)]

    # What a node's driver does

    @abstractmethod
    def send_packets(self, source: int, target: int, seeds: list[str], size: int) -> None:
        """Send one datagram for each seed."""

    @abstractmethod
    def send_hello(self, source: int, seed: str, size: int) -> None:
        """Send one datagram to everybody near by."""

    @abstractmethod
    def send_messages(self, source: int, target: int, seeds: list[str], size: int) -> None:
        """Put one message for each seed on the stream, all at once."""

    @abstractmethod
    def send_message_without_address(self, source: int, target: int) -> None:
        """Put a message on the stream to a station whose address is not known."""

    @abstractmethod
    def fetch(self, source: int, task: int, seed: str, size: int, holders: list[int]) -> None:
        """Begin to copy an object from one of its holders."""

    # What the world does

    @abstractmethod
    def store(self, station: int, task: int, seed: str, size: int) -> None:
        """Put an object into a station's store."""

    @abstractmethod
    def fetched_bytes(self, station: int, task: int) -> int:
        """Return how much of an object that is being copied has arrived, roughly."""

    @abstractmethod
    def crash(self, station: int) -> None:
        """End a process as SIGKILL does."""

    @abstractmethod
    def stop(self, station: int) -> None:
        """End a process in order."""

    @abstractmethod
    def start(self, station: int) -> None:
        """Start a station again that has ended, at the same address."""

    @abstractmethod
    def pause(self, station: int, seconds: float) -> None:
        """Let a process stand still from now on for so long; returns at once."""

    @abstractmethod
    def darken(self, station: int) -> None:
        """Take the power from a station's host."""

    @abstractmethod
    def cut(self, one: int, other: int) -> None:
        """Let nothing through between two hosts; nobody is told."""

    @abstractmethod
    def mend(self, one: int, other: int) -> None:
        """Undo a cut."""

    @abstractmethod
    def deafen(self, station: int) -> None:
        """Keep multicast and broadcast from a host."""

    @abstractmethod
    def now(self) -> float:
        """Return seconds on the network's clock."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Let so much time go by."""

    @abstractmethod
    def close(self) -> None:
        """End everything."""

    # Looking

    def of(self, station: int, what: str, other: int | None = None) -> list[object]:
        """Return the details of what a station was told of one kind, about anyone or about one other."""
        return [
            heard.detail
            for heard in list(self.heard[station])
            if heard.what == what and other in (None, heard.other)
        ]

    def wait(self, look: Callable[[], object], limit_s: float = 10.0) -> None:
        """Let time go by until a look gives something true; fail with what was heard after `limit_s`."""
        end = self.now() + limit_s
        while not look():
            assert self.now() < end, f"nothing within {limit_s:g} s; heard was {self.heard}"
            self.pass_time(POLL_S)


def payload_digests(seeds: list[str], size: int) -> list[object]:
    """Return what is heard of the payloads that seeds and a size stand for."""
    return [digest(content(seed, size)) for seed in seeds]


def object_name(task: int) -> ObjectName:
    """Return the name of the objects of these tests."""
    return (bytes(10), task, 0)
