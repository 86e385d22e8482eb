"""The capacity of this node while it runs: sensors are read, and the mesh is told what changed.

Every `READ_INTERVAL_S` at most, and so seldom that reading takes no more than `READ_SHARE_MAX` of a core,
however slow the sensors are. What comes of it is smoothed and rounded here; which change is worth telling,
and when, is gossip's to say (`swarm.gossip.fact_changes`), so that nothing here can flood a mesh.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol, final

import trio

from swarm.core.errors import ConfigError
from swarm.daemon.fitness import Fitness
from swarm.daemon.logs import Log
from swarm.daemon.sensor_commands import CommandSensors
from swarm.daemon.sensors import FileSensors, Readings, read_load, read_psutil
from swarm.node_capacity import (
    BATTERY,
    CHARGING,
    IDLE,
    LOAD,
    MEMORY_FREE,
    NETWORK,
    REASON,
    SLOTS_FREE,
    TEMPERATURE,
)

READ_INTERVAL_S: Final = 5.0
"""Who pulls a charger wants to see something happen within 10 s, gossip's part included."""
READ_INTERVAL_MAX_S: Final = 60.0
READ_SHARE_MAX: Final = 0.001
SMOOTHING_S: Final = 60.0
"""Temperatures follow within about this time: a processor jumps by 20 degrees within a second and back."""
_MIB: Final = 2**20


class Sensors(Protocol):
    """What can be read; blocks."""

    def read(self) -> Readings:
        """Return what there is now."""
        ...


@final
class SystemSensors:
    """The sensors of this machine: files on Linux, elsewhere psutil where it is installed.

    Args:
        interface_names: gives the interfaces in use.
    """

    def __init__(self, interface_names: Callable[[], Sequence[str]] = tuple) -> None:
        self._files: Final = FileSensors(interface_names=interface_names)
        self._has_files: Final = sys.platform in ("linux", "android")

    def read(self) -> Readings:
        """Return what there is now."""
        if self._has_files:
            return self._files.read()
        return Readings(load=read_load()).or_else(read_psutil())


@final
class Capacity:
    """Turns readings into facts of a node.

    Args:
        memory_max: bytes of memory that programs of this machine can have; more is never free.
        base_fitness: points of this machine for the council that never change (`swarm.daemon.host.fitness`).
    """

    def __init__(self, memory_max: int, base_fitness: int = 0) -> None:
        self._memory_max: Final = memory_max
        self._fitness: Final = Fitness(base_fitness)
        self._temperature: float | None = None
        self._read_at = -math.inf
        self._was_idle = True

    def facts(
        self,
        readings: Readings,
        slots_free: object,
        reason: object,
        now: float,
        is_battery_heat: bool = False,
    ) -> dict[str, object]:
        """Return all facts of capacity and of fitness, None for what is unknown.

        A node that ran something at the last reading is not idle yet: between two tasks nothing is told.

        Args:
            readings: what the sensors said.
            slots_free, reason: as `Node.capacity` has them.
            now: monotonic seconds, never less than before.
            is_battery_heat: whether the temperature is that of a battery.
        """
        is_idle = reason == IDLE
        told = "" if is_idle and not self._was_idle else reason
        self._was_idle = is_idle
        free = readings.memory_free
        if free is not None:
            free = min(free, self._memory_max) // _MIB * _MIB
        temperature = self._smoothed(readings.temperature, now)
        return {
            SLOTS_FREE: slots_free,
            LOAD: None if readings.load is None else round(readings.load, 1),
            MEMORY_FREE: free,
            BATTERY: readings.battery,
            CHARGING: readings.charging,
            TEMPERATURE: None if temperature is None else round(temperature),
            NETWORK: readings.network,
            REASON: told,
            **self._fitness.facts(readings, temperature, is_battery_heat, now),
        }

    def _smoothed(self, reading: float | None, now: float) -> float | None:
        before = self._temperature
        if reading is not None and before is not None:
            reading = before + (reading - before) * min(1.0, (now - self._read_at) / SMOOTHING_S)
        self._temperature, self._read_at = reading, now
        return reading


@final
class CapacityKeeper:
    """Reads the sensors of this machine and tells the node.

    Args:
        sensors: are read in a worker thread.
        commands: are asked by themselves; what they know counts where the sensors are silent.
        capacity: makes facts of readings; it has made those that the node was started with.
        told: those facts.
        view: gives what the node itself knows, as `Node.capacity`.
        tell: takes changed facts of the node.
        log: hears when facts cannot be told.
        interval_s: seconds between two readings, at least.
    """

    def __init__(
        self,
        *,
        sensors: Sensors,
        commands: CommandSensors,
        capacity: Capacity,
        told: dict[str, object],
        view: Callable[[], dict[str, object]],
        tell: Callable[[dict[str, object]], None],
        log: Log,
        interval_s: float = READ_INTERVAL_S,
    ) -> None:
        self._sensors: Final = sensors
        self._commands: Final = commands
        self._capacity: Final = capacity
        self._told = told
        self._view: Final = view
        self._tell: Final = tell
        self._log: Final = log
        self._interval_s: Final = interval_s
        self._is_refused = False
        self._counts = {"reads": 0, "changes": 0}
        self._spent_s = 0.0

    def statistics(self) -> dict[str, object]:
        """Return counters, and the processor time that reading has taken."""
        return {
            **self._counts,
            "spent_s": round(self._spent_s, 4),
            "command_failures": self._commands.failure_count,
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read and tell until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._commands.has_any():
                nursery.start_soon(self._commands.run)
            task_status.started()
            pause_s = self._interval_s
            while True:
                await trio.sleep(pause_s)
                pause_s = max(self._interval_s, await self._read_once())

    async def _read_once(self) -> float:
        """Read, tell, and return how long to pause for what the reading took."""
        readings, took_s = await trio.to_thread.run_sync(self._read)
        self._counts["reads"] += 1
        self._spent_s += took_s
        own = self._view()
        facts = self._capacity.facts(
            readings.or_else(self._commands.readings),
            own.get(SLOTS_FREE),
            own.get(REASON),
            trio.current_time(),
            is_battery_heat=readings.temperature is None,
        )
        changes = {name: value for name, value in facts.items() if value != self._told.get(name)}
        if changes:
            self._counts["changes"] += 1
            self._say(changes)
        self._told = facts
        return min(took_s / READ_SHARE_MAX, READ_INTERVAL_MAX_S)

    def _read(self) -> tuple[Readings, float]:
        before = time.thread_time()
        readings = self._sensors.read()
        return readings, time.thread_time() - before

    def _say(self, changes: dict[str, object]) -> None:
        try:
            self._tell(changes)
        except ConfigError as error:
            if not self._is_refused:
                self._log.event("capacity_not_told", {"error": str(error)})
            self._is_refused = True
