"""How commands write what nodes tell of their machines; what is unknown is a dash, never a zero."""

from __future__ import annotations

from collections.abc import Mapping

UNKNOWN = "-"


def known_text(value: object) -> str:
    """Return a value as text, a dash for None."""
    if isinstance(value, float):
        return f"{value:g}"
    return UNKNOWN if value is None else str(value)


def battery_text(row: Mapping[str, object]) -> str:
    """Return the charge, with a plus sign while power comes from outside: ``85%+``."""
    battery, charging = row.get("battery"), row.get("charging")
    if battery is None and charging is None:
        return UNKNOWN
    level = "?" if battery is None else str(battery)
    return f"{level}%{'+' if charging is True else ''}"


def heat_text(temperature: object) -> str:
    """Return degrees Celsius."""
    return f"{temperature:.0f}C" if isinstance(temperature, (int, float)) else UNKNOWN


def power_text(row: Mapping[str, object]) -> str:
    """Return the charge and where power comes from, in words."""
    battery, charging = row.get("battery"), row.get("charging")
    words = [] if battery is None else [f"{battery} %"]
    if charging is not None:
        words.append("power from outside" if charging is True else "being drained")
    return ", ".join(words) or UNKNOWN


def machine_text(status: Mapping[str, object]) -> str:
    """Return one line about a machine: slots, load, battery, heat, network."""
    slots, free = known_text(status.get("slots")), known_text(status.get("slots_free"))
    return (
        f"{free} of {slots} slots free; load {known_text(status.get('load'))}; battery {power_text(status)};"
        f" heat {heat_text(status.get('temperature'))}; network {known_text(status.get('network'))}"
        f"{strain_text(status)}"
    )


def strain_text(status: Mapping[str, object]) -> str:
    """Return why a machine should rather not lead, with a semicolon in front; "" as a rule."""
    strain = status.get("strain")
    return f"; should not lead: {strain}" if strain else ""
