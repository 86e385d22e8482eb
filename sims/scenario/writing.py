"""Scenarios as TOML documents, and scenarios with other values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sims.scenario.binding import default_of, key_of, shown
from sims.scenario.model import Scenario
from sims.scenario.parts import Workload
from sims.scenario.reading import PLAIN, Document, scenario_of_document
from sims.scenario.source import ScenarioError, Source


def document_of_scenario(scenario: Scenario) -> Document:
    """Return a scenario as a TOML document that holds what differs from the defaults.

    Task graphs that were made in Python stand in it as they are; before it becomes TOML text, they must be
    written to files (`sims.output`).
    """
    document: Document = {"name": scenario.name}
    if scenario.description:
        document["description"] = scenario.description
    plain = Scenario(nodes=1)
    mesh: Document = {} if scenario.hosts else {"nodes": scenario.nodes}
    if scenario.contacts:
        mesh["contacts"] = list(scenario.contacts)
    if scenario.hosts:
        mesh["hosts"] = [_difference(group) for group in scenario.hosts]
    document["mesh"] = mesh
    document["time"] = {"seconds": scenario.seconds, "seed": scenario.seed}
    for key in ("end", "sample_s"):
        if getattr(scenario, key) != getattr(plain, key):
            document["time"][key] = getattr(scenario, key)
    for section, (_, name) in PLAIN.items():
        table = _difference(getattr(scenario, name))
        if table:
            document[section] = table
    if scenario.links:
        document.setdefault("network", {})["links"] = [_difference(link) for link in scenario.links]
    if scenario.network_graph:
        document.setdefault("network", {})["graph"] = scenario.network_graph
    if scenario.faults:
        document["faults"] = [_difference(fault) for fault in scenario.faults]
    workloads = [_workload_document(workload) for workload in scenario.workloads]
    if workloads:
        document["workload"] = workloads if len(workloads) > 1 else workloads[0]
    return document


def _difference(value: Any) -> Document:
    """Return the fields of a dataclass that have not their defaults, by their keys."""
    found: Document = {}
    for field in fields(value):
        given = getattr(value, field.name)
        if given != default_of(field):
            found[key_of(field)] = list(given) if isinstance(given, (tuple, list)) else given
    return found


def _workload_document(workload: Workload) -> Document:
    found = _difference(workload)
    for key in ("arrivals", "noise"):
        if key in found:
            found[key] = _difference(found[key])
    if "parameters" in found:
        found["parameters"] = dict(found["parameters"])
    return found


def with_settings(scenario: Scenario, settings: Mapping[str, object]) -> Scenario:
    """Return a scenario with other values.

    Args:
        scenario: to start from.
        settings: by the names of docs/SCENARIOS.md, as ``{"gossip.probe_interval_s": 0.5, "time.seed": 3}``;
            rows of lists are counted from 1, as ``faults[1].at``.

    Raises:
        ScenarioError: there is no such key, or the value is wrong; begins with ``key = value``.
    """
    if not settings:
        return scenario
    try:
        return _changed(scenario, settings)
    except ScenarioError:
        _blame_one(scenario, settings)
        raise


def _changed(scenario: Scenario, settings: Mapping[str, object]) -> Scenario:
    """Return a scenario with values that are judged together: one may need another."""
    document = document_of_scenario(scenario)
    sources: list[Source] = []
    for key, value in settings.items():
        sources.append(Source(f"{key} = {shown(value)}"))
        _set(document, key, value, sources[-1])
    together = Source(", ".join([source.name for source in sources]))
    return scenario_of_document(document, together)


def _blame_one(scenario: Scenario, settings: Mapping[str, object]) -> None:
    """Raise the error of the one setting without which the others are right, if there is one."""
    for key, value in settings.items():
        rest = {other: given for other, given in settings.items() if other != key}
        try:
            changed = _changed(scenario, rest)
        except ScenarioError:
            continue
        _changed(changed, {key: value})


def _set(document: Document, key: str, value: object, source: Source) -> None:
    parts: list[str | int] = []
    for word in key.split("."):
        found = re.fullmatch(r"([\w-]+)(?:\[(\d+)\])?", word)
        if found is None:
            source.refuse((), f"{word!r} is no key; write section.key or section[number].key")
        parts.append(found.group(1))
        if found.group(2):
            parts.append(int(found.group(2)) - 1)
    if parts == ["mesh", "nodes"]:
        document["mesh"].pop("hosts", None)
    place: Any = document
    for number, part in enumerate(parts[:-1]):
        if isinstance(part, int):
            if not isinstance(place, list) or not 0 <= part < len(place):
                count = len(place) if isinstance(place, list) else 0
                source.refuse((), f"there is no row {part + 1}; there are {count}")
            place = place[part]
            continue
        if isinstance(place, list):
            source.refuse((), f"{parts[number - 1]} is a list of {len(place)}; write {parts[number - 1]}[1]")
        place = place.setdefault(part, {}) if isinstance(place, dict) else None
    last = parts[-1]
    if last == "preset" and isinstance(place, dict):
        # A preset stands for all values of its section, those given before included.
        place.clear()
    if isinstance(place, list) or isinstance(last, int):
        source.refuse((), "a row cannot be set as a whole; name a key of it")
    if not isinstance(place, dict):
        source.refuse((), f"{key} is no key: what stands before its last point is a value, not a table")
    place[last] = value
