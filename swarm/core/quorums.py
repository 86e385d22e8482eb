"""What a mesh may be, from its founding on: see `swarm.node_election`."""

from __future__ import annotations

from typing import Final

AVAILABLE: Final = "available"
"""It goes on with whatever is left; two sides of a cut may run a task twice."""
STRICT: Final = "strict"
"""Only a majority of its voters dispatches; everybody else waits."""
QUORUMS: Final = (AVAILABLE, STRICT)
