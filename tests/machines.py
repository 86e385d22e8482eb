"""Machines as folders of files, like those that Linux shows below /sys/class and /proc."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PI: Mapping[str, str] = {
    "proc/meminfo": "MemTotal:        948280 kB\nMemFree:          93100 kB\nMemAvailable:     512000 kB\n",
    "sys/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/thermal/thermal_zone0/temp": "48312",
    "sys/net/eth0/type": "1",
    "sys/net/eth0/operstate": "up",
    "sys/net/eth0/device/uevent": "",
    "sys/net/wlan0/type": "1",
    "sys/net/wlan0/operstate": "down",
    "sys/net/wlan0/device/uevent": "",
    "sys/net/wlan0/wireless/link": "",
    "sys/net/lo/type": "772",
    "sys/net/lo/operstate": "unknown",
}
"""A board on a cable: no battery."""

LAPTOP: Mapping[str, str] = {
    "proc/meminfo": "MemTotal:       16268280 kB\nMemFree:          193100 kB\nMemAvailable:   8388608 kB\n",
    "sys/power_supply/AC/type": "Mains",
    "sys/power_supply/AC/online": "0",
    "sys/power_supply/BAT0/type": "Battery",
    "sys/power_supply/BAT0/present": "1",
    "sys/power_supply/BAT0/status": "Discharging",
    "sys/power_supply/BAT0/capacity": "81",
    "sys/power_supply/hidpp_battery_0/type": "Battery",
    "sys/power_supply/hidpp_battery_0/scope": "Device",
    "sys/power_supply/hidpp_battery_0/status": "Discharging",
    "sys/power_supply/hidpp_battery_0/capacity": "5",
    "sys/thermal/cooling_device0/type": "Processor",
    "sys/thermal/thermal_zone0/type": "acpitz",
    "sys/thermal/thermal_zone0/temp": "27800",
    "sys/thermal/thermal_zone1/type": "x86_pkg_temp",
    "sys/thermal/thermal_zone1/temp": "61000",
    "sys/net/wlp3s0/type": "1",
    "sys/net/wlp3s0/operstate": "up",
    "sys/net/wlp3s0/device/uevent": "",
    "sys/net/wlp3s0/phy80211/name": "phy0",
    "sys/net/docker0/type": "1",
    "sys/net/docker0/operstate": "up",
}
"""On its battery and Wi-Fi, with a mouse whose own battery is nearly empty."""

PHONE: Mapping[str, str] = {
    "proc/meminfo": "MemTotal:        3768280 kB\nMemAvailable:    1048576 kB\n",
    "sys/power_supply/battery/type": "Battery",
    "sys/power_supply/battery/present": "1",
    "sys/power_supply/battery/status": "Charging",
    "sys/power_supply/battery/capacity": "64",
    "sys/power_supply/usb/type": "USB",
    "sys/power_supply/usb/online": "1",
    **{f"sys/thermal/thermal_zone{number}/type": f"soc_{number}" for number in range(40)},
    **{f"sys/thermal/thermal_zone{number}/temp": "39100" for number in range(40)},
    "sys/thermal/thermal_zone1/temp": "-273000",
    "sys/thermal/thermal_zone2/temp": "168000",
    "sys/thermal/thermal_zone3/temp": "Invalid argument",
    "sys/net/rmnet_data0/type": "519",
    "sys/net/rmnet_data0/operstate": "unknown",
    "sys/net/rmnet_data0/carrier": "1",
    "sys/net/wlan0/type": "1",
    "sys/net/wlan0/operstate": "down",
    "sys/net/wlan0/wireless/link": "",
}
"""Away from home, charging, with a heap of sensors of which some are broken."""


class Machine:
    """A folder that looks like a machine.

    Attributes:
        system, processes: for `swarm.daemon.sensors.FileSensors`.
    """

    def __init__(self, root: Path, files: Mapping[str, str]) -> None:
        self.root = root
        self.system = root / "sys"
        self.processes = root / "proc"
        for name, text in files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Give a file another content, at once."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        written = path.with_name(path.name + "~")
        written.write_text(text + "\n")
        written.replace(path)

    def remove(self, name: str) -> None:
        """Take a file away."""
        (self.root / name).unlink()
