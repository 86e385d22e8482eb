"""What the machine says about itself while a node runs: load, free memory, battery, heat, kind of network.

Read from files where the system has them (Linux), else asked of psutil where that is installed; what only a
command knows is in `swarm.daemon.sensor_commands`. Every place may be missing, forbidden (Android hides most
of /proc and /sys) or say nonsense: then that reading is None, which means unknown and nothing else. A battery
at 0 % counts as one whose gauge does not work: a machine that runs has some charge (US-17).

Reading blocks, some batteries for tens of milliseconds: call it in a thread.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, final

SYSTEM_FOLDER: Final = Path("/sys/class")
PROCESS_FOLDER: Final = Path("/proc")
HOTTEST_C: Final = 125.0
"""Above this a sensor is broken: processors switch themselves off some 20 degrees below."""
ZONE_COUNT_MAX: Final = 8
"""Sensors of heat that are read; a phone has up to a hundred."""
SUPPLY_COUNT_MAX: Final = 16
RESCAN_READS: Final = 12
"""After so many readings the sensors of heat are looked for again."""

_PROCESSOR_ZONES: Final = ("cpu", "soc", "x86_pkg", "pkg", "core", "mtktscpu", "k10temp", "zenpower")
_CELLULAR_NAMES: Final = ("rmnet", "ccmni", "wwan", "pdp", "ppp", "seth_")
_WIFI_NAMES: Final = ("wlan", "wlp", "wlx", "swlan")
_WIRED_NAMES: Final = ("eth", "enp", "eno", "ens", "end", "enx")
_KIND_ORDER: Final = ("wired", "wifi", "cellular")
_ETHERNET: Final = "1"


@dataclass(frozen=True, kw_only=True)
class Readings:
    """What the sensors say, None for what none of them does.

    Attributes:
        load: processes that run or want to, on average of the last minute, >= 0.
        memory_free: bytes.
        battery: charge in percent, 1 to 100.
        charging: whether power comes from outside.
        temperature: degrees Celsius.
        network: "wired", "wifi" or "cellular".
    """

    load: float | None = None
    memory_free: int | None = None
    battery: int | None = None
    charging: bool | None = None
    temperature: float | None = None
    network: str | None = None

    def or_else(self, other: Readings) -> Readings:
        """Return these readings, and the other's where these are unknown."""
        values = {}
        for field in fields(self):
            own = getattr(self, field.name)
            values[field.name] = getattr(other, field.name) if own is None else own
        return Readings(**values)


def read_load(measure: Callable[[], Sequence[float]] | None = None) -> float | None:
    """Return the load of the last minute; the system call works where /proc/loadavg may not be read."""
    measure = measure or getattr(os, "getloadavg", None)
    if measure is None:
        return None
    try:
        load = float(measure()[0])
    except (OSError, ValueError):
        return None
    return round(load, 2) if math.isfinite(load) and load >= 0 else None


@final
class FileSensors:
    """The sensors of a Linux machine, as files.

    Args:
        system: where the classes of devices are.
        processes: where the kernel tells of itself.
        measure_load: gives load averages; by default the system does.
        interface_names: gives the interfaces in use, for where /sys/class/net may not be read.
    """

    def __init__(
        self,
        system: Path | None = None,
        processes: Path | None = None,
        measure_load: Callable[[], Sequence[float]] | None = None,
        interface_names: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._system: Final = system or SYSTEM_FOLDER
        self._processes: Final = processes or PROCESS_FOLDER
        self._measure_load: Final = measure_load
        self._interface_names: Final = interface_names
        self._zones: list[Path] = []
        self._reads_left = 0

    def read(self) -> Readings:
        """Return what there is now. Blocks; never raises for what a file says."""
        if self._reads_left <= 0:
            self._zones = self._find_zones()
            self._reads_left = RESCAN_READS
        self._reads_left -= 1
        battery, charging = self._read_power()
        return Readings(
            load=read_load(self._measure_load),
            memory_free=self._read_memory(),
            battery=battery,
            charging=charging,
            temperature=self._read_temperature(),
            network=self._read_network(),
        )

    # Memory

    def _read_memory(self) -> int | None:
        try:
            with (self._processes / "meminfo").open(encoding="ascii", errors="replace") as file:
                for line in file:
                    name, _, rest = line.partition(":")
                    words = rest.split()
                    if name == "MemAvailable" and words and words[0].isdecimal():
                        return int(words[0]) * 1024
        except OSError:
            pass
        return None

    # Power

    def _read_power(self) -> tuple[int | None, bool | None]:
        """Return charge and whether power comes from outside, of all batteries that feed this machine."""
        levels: list[float] = []
        statuses: list[str] = []
        mains: list[bool] = []
        for supply in _entries(self._system / "power_supply")[:SUPPLY_COUNT_MAX]:
            kind = _word(supply / "type")
            if _word(supply / "scope") == "Device":  # the battery of a mouse
                continue
            if kind in ("Battery", "UPS"):
                if _word(supply / "present") == "0":
                    continue
                level = _level(supply)
                if level is not None:
                    levels.append(level)
                statuses.append(_word(supply / "status"))
            elif kind and _word(supply / "online") in ("0", "1", "2"):
                mains.append(_word(supply / "online") != "0")
        if not statuses:
            return None, None
        battery = max(1, round(sum(levels) / len(levels))) if levels else None
        return battery, _is_charging(statuses, mains)

    # Heat

    def _find_zones(self) -> list[Path]:
        """Return the files of the processor's temperature; without any such, those of all zones."""
        preferred: list[Path] = []
        others: list[Path] = []
        for zone in _entries(self._system / "thermal"):
            if zone.name.startswith("thermal_zone"):
                kind = _word(zone / "type").lower()
                (preferred if kind.startswith(_PROCESSOR_ZONES) else others).append(zone / "temp")
        if not preferred:
            for chip in _entries(self._system / "hwmon"):
                if _word(chip / "name").lower().startswith(_PROCESSOR_ZONES):
                    preferred.append(chip / "temp1_input")
        return (preferred or others)[:ZONE_COUNT_MAX]

    def _read_temperature(self) -> float | None:
        found: list[float] = []
        for path in self._zones:
            value = _number(path)
            if value is not None and 0.0 < value / 1000.0 <= HOTTEST_C:
                found.append(value / 1000.0)
        return round(max(found), 1) if found else None

    # Network

    def _read_network(self) -> str | None:
        """Return the best kind among the interfaces that are up."""
        interfaces = _entries(self._system / "net")
        if interfaces:
            kinds = [_kind_of(interface) for interface in interfaces]
        else:
            kinds = [kind_of_name(name) for name in self._interface_names()]
        for kind in _KIND_ORDER:
            if kind in kinds:
                return kind
        return None


def kind_of_name(name: str) -> str | None:
    """Return the kind of an interface by the customs of naming, None where there is none."""
    if name.startswith(_CELLULAR_NAMES):
        return "cellular"
    if name.startswith(_WIFI_NAMES):
        return "wifi"
    return "wired" if name.startswith(_WIRED_NAMES) else None


def read_psutil() -> Readings:
    """Return what psutil knows where it is installed; slower than the files and not for Linux."""
    try:
        import psutil
    except Exception:  # noqa: BLE001 - on Android its import fails with whatever it may not read
        return Readings()
    memory: int | None = None
    level: int | None = None
    charging: bool | None = None
    try:
        memory = int(psutil.virtual_memory().available)
        battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
        if battery is not None:
            percent = round(float(battery.percent))
            level = percent if 1 <= percent <= 100 else None
            charging = battery.power_plugged if isinstance(battery.power_plugged, bool) else None
    except Exception:  # noqa: BLE001, S110 - likewise; what was found until then counts
        pass
    return Readings(memory_free=memory, battery=level, charging=charging)


def _is_charging(statuses: Sequence[str], mains: Sequence[bool]) -> bool | None:
    """Return whether power comes from outside.

    What batteries say counts most: one that is drained beside a weak charger is drained. Their "Unknown",
    which some say whenever they rest, leaves it to the plug.
    """
    if "Charging" in statuses:
        return True
    if "Discharging" in statuses:
        return False
    if "Full" in statuses or "Not charging" in statuses:
        return True
    return any(mains) if mains else None


def _level(supply: Path) -> float | None:
    """Return the charge of a battery in percent, None when it does not say or says 0."""
    level = _number(supply / "capacity")
    for left, full in (("energy_now", "energy_full"), ("charge_now", "charge_full")):
        if level is None or level <= 0:
            present, whole = _number(supply / left), _number(supply / full)
            if present is not None and whole is not None and whole > 0:
                level = min(100.0, 100.0 * present / whole)
    return level if level is not None and 0 < level <= 100 else None


def _kind_of(interface: Path) -> str | None:
    """Return the kind of an interface that is up and real, else None."""
    if _word(interface / "type") != _ETHERNET and not interface.name.startswith(_CELLULAR_NAMES):
        return None
    state = _word(interface / "operstate")
    if state != "up" and not (state == "unknown" and _word(interface / "carrier") == "1"):
        return None
    if (interface / "wireless").exists() or (interface / "phy80211").exists():
        return "wifi"
    if interface.name.startswith(_CELLULAR_NAMES):
        return "cellular"
    return "wired" if (interface / "device").exists() else None


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").split("\n", 1)[0].strip()
    except OSError:
        return ""


def _number(path: Path) -> float | None:
    text = _word(path)
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
