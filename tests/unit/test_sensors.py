"""Sensors of a machine: what is there is read, what is missing, forbidden or nonsense stays unknown."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from swarm.daemon.sensor_commands import CommandSensors, output_of, parse_pmset, parse_termux
from swarm.daemon.sensors import (
    ZONE_COUNT_MAX,
    FileSensors,
    Readings,
    kind_of_name,
    read_load,
    read_psutil,
)
from tests.machines import LAPTOP, PHONE, PI, Machine
from tests.mesh_processes import is_running, wait_for

QUIET = (0.25, 0.3, 0.4)


def sensors(machine: Machine, **more: Any) -> FileSensors:
    return FileSensors(machine.system, machine.processes, lambda: QUIET, **more)


def test_a_board_on_a_cable(tmp_path: Path) -> None:
    read = sensors(Machine(tmp_path, PI)).read()
    assert read == Readings(load=0.25, memory_free=512000 * 1024, temperature=48.3, network="wired")


def test_a_laptop_on_its_battery(tmp_path: Path) -> None:
    read = sensors(Machine(tmp_path, LAPTOP)).read()
    assert read == Readings(
        load=0.25,
        memory_free=8 * 2**30,
        battery=81,
        charging=False,
        temperature=61.0,
        network="wifi",
    )


def test_a_phone_with_broken_sensors(tmp_path: Path) -> None:
    read = sensors(Machine(tmp_path, PHONE)).read()
    assert read == Readings(
        load=0.25, memory_free=2**30, battery=64, charging=True, temperature=39.1, network="cellular"
    )


def test_a_box_without_any_sensor_knows_nothing(tmp_path: Path) -> None:
    def forbidden() -> tuple[float, ...]:
        raise OSError("not allowed")

    assert FileSensors(tmp_path / "none", tmp_path / "none", forbidden).read() == Readings()
    (tmp_path / "power_supply").write_text("a file where a folder was expected")
    assert FileSensors(tmp_path, tmp_path, forbidden).read() == Readings()


@pytest.mark.parametrize(
    ("changes", "battery", "charging"),
    [
        ({"BAT0/status": "Charging", "AC/online": "1"}, 81, True),
        ({"BAT0/status": "Full", "BAT0/capacity": "100"}, 100, True),
        ({"BAT0/status": "Not charging"}, 81, True),
        ({"BAT0/status": "Discharging", "AC/online": "1"}, 81, False),
        ({"BAT0/status": "Unknown", "AC/online": "1"}, 81, True),
        ({"BAT0/status": "Unknown", "AC/online": "0"}, 81, False),
        ({"BAT0/status": "Unknown", "AC/online": "?"}, 81, None),
        ({"BAT0/capacity": "0"}, None, False),
        ({"BAT0/capacity": "-1"}, None, False),
        ({"BAT0/capacity": "255"}, None, False),
        ({"BAT0/capacity": ""}, None, False),
        ({"BAT0/capacity": "", "BAT0/energy_now": "20", "BAT0/energy_full": "40"}, 50, False),
        ({"BAT0/capacity": "0", "BAT0/charge_now": "1", "BAT0/charge_full": "4"}, 25, False),
        ({"BAT0/capacity": "", "BAT0/energy_now": "20", "BAT0/energy_full": "0"}, None, False),
        ({"BAT0/present": "0"}, None, None),
        ({"BAT1/type": "Battery", "BAT1/status": "Unknown", "BAT1/capacity": "19"}, 50, False),
    ],
)
def test_batteries(
    tmp_path: Path, changes: dict[str, str], battery: int | None, charging: bool | None
) -> None:
    machine = Machine(tmp_path, LAPTOP)
    for name, text in changes.items():
        machine.write(f"sys/power_supply/{name}", text)
    read = sensors(machine).read()
    assert (read.battery, read.charging) == (battery, charging)


def test_a_desktop_on_a_plug_has_no_battery_and_says_nothing_of_charging(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {"sys/power_supply/AC/type": "Mains", "sys/power_supply/AC/online": "1"})
    read = sensors(machine).read()
    assert (read.battery, read.charging) == (None, None)


def test_heat_comes_from_the_processor_where_one_is_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path, LAPTOP)
    machine.write("sys/thermal/thermal_zone0/temp", "99000")
    assert sensors(machine).read().temperature == 61.0
    machine.write("sys/thermal/thermal_zone1/type", "another")
    assert sensors(machine).read().temperature == 99.0


def test_heat_of_a_chip_without_zones(tmp_path: Path) -> None:
    files = {"sys/hwmon/hwmon2/name": "k10temp", "sys/hwmon/hwmon2/temp1_input": "55125"}
    other = {"sys/hwmon/hwmon0/name": "nvme", "sys/hwmon/hwmon0/temp1_input": "70000"}
    assert sensors(Machine(tmp_path, {**files, **other})).read().temperature == 55.1


def test_only_some_of_a_hundred_zones_are_read(tmp_path: Path) -> None:
    machine = Machine(tmp_path, PHONE)
    made = sensors(machine)
    made.read()
    assert len(made._zones) == ZONE_COUNT_MAX


def test_a_sensor_that_comes_and_goes(tmp_path: Path) -> None:
    machine = Machine(tmp_path, LAPTOP)
    made = sensors(machine)
    made.read()
    machine.remove("sys/thermal/thermal_zone1/temp")
    machine.remove("proc/meminfo")
    machine.write("sys/net/wlp3s0/operstate", "down")
    read = made.read()
    assert (read.temperature, read.memory_free, read.network) == (None, None, None)
    machine.write("sys/net/wlp3s0/operstate", "up")
    assert made.read().network == "wifi"


def test_a_cable_counts_more_than_wifi_and_containers_count_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, LAPTOP)
    machine.write("sys/net/enp0s25/type", "1")
    machine.write("sys/net/enp0s25/operstate", "up")
    assert sensors(machine).read().network == "wifi", "nothing real is behind it"
    machine.write("sys/net/enp0s25/device/uevent", "")
    assert sensors(machine).read().network == "wired"


def test_where_interfaces_are_hidden_their_names_tell(tmp_path: Path) -> None:
    machine = Machine(tmp_path, {})
    assert sensors(machine, interface_names=lambda: ["rmnet1", "wlan0"]).read().network == "wifi"
    assert sensors(machine, interface_names=lambda: ["rmnet1"]).read().network == "cellular"
    assert sensors(machine, interface_names=lambda: ["tun0", "default"]).read().network is None
    assert [kind_of_name(name) for name in ("eth0", "enp3s0", "en0", "lo")] == ["wired", "wired", None, None]


def test_load_that_is_none(tmp_path: Path) -> None:
    assert read_load(lambda: (1.236, 0, 0)) == 1.24
    assert read_load(lambda: (float("nan"), 0, 0)) is None
    assert read_load(lambda: (-1.0, 0, 0)) is None


def test_readings_complete_each_other() -> None:
    one, other = Readings(battery=5, charging=False), Readings(battery=9, temperature=30.0)
    assert one.or_else(other) == Readings(battery=5, charging=False, temperature=30.0)


# psutil


def use_psutil(monkeypatch: pytest.MonkeyPatch, battery: object) -> None:
    fake = SimpleNamespace(
        virtual_memory=lambda: SimpleNamespace(available=77), sensors_battery=lambda: battery
    )
    monkeypatch.setitem(sys.modules, "psutil", fake)


def test_psutil_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    use_psutil(monkeypatch, SimpleNamespace(percent=41.7, power_plugged=True))
    assert read_psutil() == Readings(memory_free=77, battery=42, charging=True)
    use_psutil(monkeypatch, SimpleNamespace(percent=0, power_plugged=None))
    assert read_psutil() == Readings(memory_free=77)
    use_psutil(monkeypatch, None)
    assert read_psutil() == Readings(memory_free=77)


def test_psutil_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "psutil":
            raise PermissionError("/proc/stat")
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "psutil", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    assert read_psutil() == Readings()


# Commands

TERMUX = """{"present": true, "health": "GOOD", "plugged": "UNPLUGGED", "status": "DISCHARGING",
"temperature": "22.3", "percentage": 85, "level": 85}"""
PMSET = """Now drawing from 'Battery Power'
 -InternalBattery-0 (id=4325475)\t85%; discharging; 4:20 remaining present: true
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TERMUX, Readings(battery=85, charging=False, temperature=22.3)),
        (
            '{"plugged": "PLUGGED_USB", "status": "CHARGING", "percentage": 9, "temperature": 31.06}',
            Readings(battery=9, charging=True, temperature=31.1),
        ),
        ('{"plugged": "PLUGGED_AC", "status": "NOT_CHARGING"}', Readings(charging=True)),
        ('{"plugged": "PLUGGED_AC", "status": "DISCHARGING"}', Readings(charging=False)),
        ('{"percentage": 0, "status": "UNKNOWN", "temperature": 0}', None),
        ('{"percentage": true, "temperature": []}', None),
        ('{"present": false, "percentage": 50}', None),
        ("Error: Termux:API is not installed", None),
        ("[]", None),
        ("", None),
    ],
)
def test_what_termux_says(text: str, expected: Readings | None) -> None:
    assert parse_termux(text) == expected


def test_what_pmset_says() -> None:
    assert parse_pmset(PMSET) == Readings(battery=85, charging=False)
    plugged = PMSET.replace("Battery Power", "AC Power").replace("85%; discharging", "100%; charged")
    assert parse_pmset(plugged) == Readings(battery=100, charging=True)
    assert parse_pmset("Now drawing from 'AC Power'\n") == Readings()
    assert parse_pmset("usage: pmset") is None


def test_a_command_says_what_it_prints() -> None:
    assert trio.run(output_of, ["sh", "-c", "echo 5"]) == "5\n"
    assert trio.run(output_of, ["sh", "-c", "echo 5; exit 1"]) is None
    assert trio.run(output_of, ["sh", "-c", "yes"]) is None, "too much"
    assert trio.run(output_of, ["/nonexistent/command"]) is None


def test_a_command_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 600 & echo $! $$ > {pids}; wait"
    assert trio.run(output_of, ["sh", "-c", script], 1.0) is None
    written = [int(word) for word in pids.read_text().split()]
    assert len(written) == 2
    wait_for(lambda: not any(is_running(pid) for pid in written), 10.0, "the end of both")


def test_a_command_is_asked_again_and_what_it_forgot_is_unknown(tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    answer.write_text(TERMUX)
    give, take = trio.open_memory_channel[str](100)

    def parse(text: str) -> Readings | None:
        give.send_nowait(text)
        return parse_termux(text)

    made = CommandSensors([(("cat", str(answer)), parse)], timeout_s=5.0, pause_s=0.01)
    assert made.has_any()

    async def watch() -> None:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(made.run)
                assert await take.receive() == TERMUX
                assert made.readings.battery == 85
                answer.write_text("nonsense")
                async for text in take:
                    if text == "nonsense":
                        break
                assert made.readings == Readings()
                nursery.cancel_scope.cancel()

    trio.run(watch)
    assert made.failure_count > 0


def test_machines_without_such_commands_ask_nothing() -> None:
    made = CommandSensors([(("no-such-command-here",), parse_termux)])
    assert not made.has_any()
    trio.run(made.run)
    assert made.readings == Readings()
