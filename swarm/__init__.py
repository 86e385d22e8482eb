"""swarm: a peer-to-peer cluster without a central server.

::

    import swarm

    with swarm.connect() as mesh:
        squares = mesh.map(lambda x: x * x, range(1000))
        print(mesh.submit(sum, squares).result())

The names below are imported when they are first used, so that ``import swarm`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from swarm.version import __version__

if TYPE_CHECKING:
    from swarm.client.futures import Future, as_completed, gather, wait
    from swarm.client.local import local
    from swarm.client.mesh import GraphJob, Mesh, connect, submit
    from swarm.client.tasks import program, remote, result_of, task
    from swarm.core.errors import SwarmError, TaskCancelled, TaskError, TaskFailed, TaskTimedOut

__all__ = [
    "Future",
    "GraphJob",
    "Mesh",
    "SwarmError",
    "TaskCancelled",
    "TaskError",
    "TaskFailed",
    "TaskTimedOut",
    "__version__",
    "as_completed",
    "connect",
    "gather",
    "local",
    "program",
    "remote",
    "result_of",
    "submit",
    "task",
    "wait",
]

_HOMES = {
    "Future": "swarm.client.futures",
    "GraphJob": "swarm.client.mesh",
    "Mesh": "swarm.client.mesh",
    "SwarmError": "swarm.core.errors",
    "TaskCancelled": "swarm.core.errors",
    "TaskError": "swarm.core.errors",
    "TaskFailed": "swarm.core.errors",
    "TaskTimedOut": "swarm.core.errors",
    "as_completed": "swarm.client.futures",
    "connect": "swarm.client.mesh",
    "gather": "swarm.client.futures",
    "local": "swarm.client.local",
    "program": "swarm.client.tasks",
    "remote": "swarm.client.tasks",
    "result_of": "swarm.client.tasks",
    "submit": "swarm.client.mesh",
    "task": "swarm.client.tasks",
    "wait": "swarm.client.futures",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'swarm' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
