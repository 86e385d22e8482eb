"""A group of agents of one system on one field, and a thread that notes what they say."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.bench.membership.agents import Agent, SerfAgent, SwarmAgent
from tests.bench.membership.field import Field
from tests.bench.membership.sightings import LISTED, Sighting, first_time_all, not_yet
from tests.mesh_processes import agreed_leader, new_invitation

POLL_S = 0.01
"""How often the logs are read: the resolution of every time."""
LOOK_S = 0.05


@dataclass(frozen=True)
class System:
    """A way to run agents.

    Attributes:
        name: key in results.
        label: for tables and plots.
        is_serf: Serf or swarm.
        by_seed: agents are told the address of the first one; without it they find each other by multicast.
    """

    name: str
    label: str
    is_serf: bool
    by_seed: bool


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System("swarm", "swarm", False, False),
        System("swarm-peer", "swarm, one address", False, True),
        System("serf", "Serf, one address", True, True),
        System("serf-mdns", "Serf, mDNS", True, False),
    )
}


class Group:
    """Agents a0, a1 and so on, each on a host of its own; use it as a context.

    Args:
        system: which ones.
        count: how many.

    Attributes:
        agents: by name.
        sightings: what was seen so far, by time.
    """

    def __init__(self, system: System, count: int) -> None:
        self.system = system
        self.field = Field()
        self.agents: dict[str, Agent] = {}
        self.sightings: list[Sighting] = []
        self._ending = threading.Event()
        self._failure: BaseException | None = None
        self._reader = threading.Thread(target=self._read, name="sightings", daemon=True)
        try:
            for _ in range(count):
                self.field.host()
            key, invitation = os.urandom(32), new_invitation("bench")
            for number in range(count):
                self.agents[f"a{number}"] = self._made(f"a{number}", number, key, invitation)
            if system.is_serf and not system.by_seed:
                self.field.route_multicast()
        except BaseException:  # nobody else could take it apart
            self.field.close()
            raise

    def _made(self, name: str, number: int, key: bytes, invitation: str) -> Agent:
        host = self.field.hosts[number]
        seed = self.field.hosts[self._seed_of(number)].address if self.system.by_seed else ""
        if not self.system.is_serf:
            return SwarmAgent(name, host, invitation, [seed] if seed and seed != host.address else [])
        return SerfAgent(name, host, key, seed, "" if self.system.by_seed else "bench")

    def _seed_of(self, number: int) -> int:
        """Return whose address an agent is given; groups that start apart override it."""
        del number
        return 0

    def __enter__(self) -> Self:
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._reader.join()
        for agent in self.agents.values():
            with contextlib.suppress(AssertionError, OSError):
                agent.resume()
        self.field.close()
        for agent in self.agents.values():
            agent.close()

    @property
    def names(self) -> list[str]:
        """The names of all agents."""
        return list(self.agents)

    def start(self, names: Sequence[str] = ()) -> tuple[float, float]:
        """Start agents (all without names) at once and wait until they run.

        Returns:
            When the first was begun and when the last was ready, monotonic seconds.
        """
        chosen = [self.agents[name] for name in names or self.names]
        begin_s = time.monotonic()
        for agent in chosen:
            agent.begin()
        with ThreadPoolExecutor(len(chosen)) as pool:
            list(pool.map(lambda agent: agent.wait_ready(), chosen))
        self.wait_until(lambda: all(agent.ready_at for agent in chosen), 5.0)
        return begin_s, max(agent.ready_at for agent in chosen)

    def wait_until(self, is_so: Callable[[], bool], limit_s: float) -> bool:
        """Wait until something is so; return whether it came about in time."""
        give_up = time.monotonic() + limit_s
        while True:
            if self._failure is not None:
                raise RuntimeError("the logs cannot be read any more") from self._failure
            if is_so():
                return True
            if time.monotonic() > give_up:
                return False
            time.sleep(LOOK_S)  # agents write logs, and wake nobody who reads them

    def wait_all(
        self,
        states: Sequence[str],
        begin_s: float,
        limit_s: float,
        judges: Sequence[str] = (),
        members: Sequence[str] = (),
    ) -> float | None:
        """Wait until judges hold members (each: all without names) in one of `states`.

        Returns:
            Seconds from `begin_s`, None when it did not come about by `begin_s + limit_s`.
        """
        judges, members = judges or self.names, members or self.names
        found: list[float | None] = [None]

        def is_so() -> bool:
            found[0] = first_time_all(self.sightings[:], judges, members, states, begin_s)
            return found[0] is not None

        self.wait_until(is_so, begin_s + limit_s - time.monotonic())
        return found[0]

    def wait_leader(self, begin_s: float, limit_s: float) -> float | None:
        """Wait until all nodes of swarm name one leader and list each other; seconds from `begin_s`.

        None for Serf, which has no leader, and when it does not come about in time.
        """
        nodes = [agent.node for agent in self.agents.values() if isinstance(agent, SwarmAgent)]
        if not nodes:
            return None
        found = self.wait_until(lambda: _has_leader(self), begin_s + limit_s - time.monotonic())
        return time.monotonic() - begin_s if found else None

    def missing(self, states: Sequence[str] = LISTED) -> str:
        """Return who does not hold whom in one of `states`, for messages."""
        pairs = not_yet(self.sightings[:], self.names, self.names, states)
        return ", ".join(f"{judge} of {member}" for judge, member in pairs[:5]) + (
            f" and {len(pairs) - 5} more" if len(pairs) > 5 else ""
        )

    def _read(self) -> None:
        try:
            while not self._ending.wait(POLL_S):
                for agent in self.agents.values():
                    self.sightings += agent.take_sightings()
        except BaseException as error:  # noqa: BLE001 - whoever waits tells it
            self._failure = error


class SplitGroup(Group):
    """A group that starts as two, on two networks that do not reach each other: even and odd numbers.

    With seeds, each half is given the address of its own first one.
    """

    def halves(self) -> tuple[list[str], list[str]]:
        """Return the names of both."""
        return self.names[::2], self.names[1::2]

    def _seed_of(self, number: int) -> int:
        return number % 2

    def start_apart(self) -> bool:
        """Start both halves and return whether each found together."""
        one, other = self.halves()
        self.field.cut([self.agents[name].host for name in other])
        begin_s, _ = self.start()
        found = [self.wait_all(LISTED, begin_s, 120.0, half, half) for half in (one, other)]
        return None not in found


def _has_leader(group: Group) -> bool:
    nodes = [agent.node for agent in group.agents.values() if isinstance(agent, SwarmAgent)]
    try:
        return bool(agreed_leader(nodes))
    except Exception:  # noqa: BLE001 - a node that does not answer yet names no leader
        return False
