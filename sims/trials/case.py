"""A case: everything that happens in a trial, as plain values that can be written down and cut smaller."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from sims.network import NetworkConfig
from sims.settings import HostSpec
from swarm.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that is done at a time.

    Attributes:
        at_s: when, seconds since the start.
        kind: one of `sims.trials.acts.ACTS`.
        targets: hosts, by number.
        value: seconds, a factor or another number that the kind wants.
        groups: sides of a cut.
    """

    at_s: float
    kind: str
    targets: tuple[int, ...] = ()
    value: float = 0.0
    groups: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """A job that a client submits.

    Attributes:
        at_s: when.
        host: the node that the client is attached to first.
        shape: one of `sims.trials.jobs.SHAPES`.
        width: how large, >= 1.
        task_s: run time of a task at speed 1.
        size_bytes: of each output.
        cancel_s: seconds after the submission at which it is cancelled, 0 for never.
        retries: of each task.
        fails: whether one task fails.
        is_random: whether every run of a task makes other outputs.
        cpus: that a task asks for; a host of the core has as many.
        memory_bytes: the same for its memory.
        pins: names of hosts; task n runs only on the n-th of them, and all others where they like.
    """

    at_s: float
    host: int
    shape: str
    width: int
    task_s: float
    size_bytes: int
    cancel_s: float = 0.0
    retries: int = 0
    fails: bool = False
    is_random: bool = False
    cpus: float = 1.0
    memory_bytes: int = 0
    pins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Case:
    """A trial.

    Attributes:
        seed: of everything random that is not written down here.
        profile: what it was drawn from.
        hosts: the mesh.
        network: at the start.
        events: what is done, in order of time.
        jobs: what is submitted.
        faults_s: length of the first phase.
        core: hosts that are up and connected in the second phase.
        is_core_relayed: whether the first host of the core is the only one that the others reach.
        quiet_s: length of the look at traffic in the end.
        results_ttl_s: how long ended jobs stay, 0 for the scheduler's own choice.
        nat: hosts behind an address translator: only they can begin to speak.
        quorum: of the mesh, "available" or "strict".
    """

    seed: int
    profile: str
    hosts: tuple[HostSpec, ...]
    network: NetworkConfig
    events: tuple[Event, ...] = ()
    jobs: tuple[JobPlan, ...] = ()
    faults_s: float = 60.0
    core: tuple[int, ...] = ()
    is_core_relayed: bool = False
    quiet_s: float = 5.0
    results_ttl_s: float = 0.0
    nat: tuple[int, ...] = ()
    quorum: str = "available"
    notes: tuple[str, ...] = field(default=())


def to_json(case: Case) -> str:
    """Return a case as text."""
    return json.dumps(asdict(case), indent=1) + "\n"


def from_json(text: str) -> Case:
    """Return the case of a text made by :func:`to_json`.

    Raises:
        ConfigError: it is none; says why.
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        network = dict(fields.pop("network"))
        network["latencies_s"] = tuple(network.get("latencies_s", ()))
        hosts = tuple([HostSpec(**{**host, "tags": tuple(host["tags"])}) for host in fields.pop("hosts")])
        events = tuple([_event(event) for event in fields.pop("events")])
        jobs = tuple([JobPlan(**{**job, "pins": tuple(job.get("pins", ()))}) for job in fields.pop("jobs")])
        fields["core"] = tuple(fields["core"])
        fields["nat"] = tuple(fields.get("nat", ()))
        fields["notes"] = tuple(fields.get("notes", ()))
        return Case(hosts=hosts, network=NetworkConfig(**network), events=events, jobs=jobs, **fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"this is no case of the soak: {error}") from None


def _event(fields: dict[str, Any]) -> Event:
    groups = tuple([tuple(group) for group in fields.pop("groups")])
    targets = tuple(fields.pop("targets"))
    return Event(groups=groups, targets=targets, **fields)
