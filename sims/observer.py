"""Watching a simulated mesh: what crosses the boundary of a node, and when, in true time.

Observers see what a person with a sniffer on every cable and a debugger at every driver would see: inputs
before a node takes them, effects as a node hands them out, effects as they leave, and ends of nodes. They
change nothing, so that a run with and without them is the same run.
"""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from sims.host import Host
from swarm.core.effects import Effect, ExecutorTask
from swarm.core.ids import NodeId, ObjectName

PACKET = "packet"
MESSAGE = "message"
CLIENT = "client"
LINK_LOST = "link lost"
PACKET_REFUSED = "packet refused"


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """Sees everything and does nothing; subclasses override what they want to see.

    All times are true virtual seconds; hosts are numbered from 0; `host.node` is the node.
    """

    def on_boot(self, host: Host, now: float) -> None:
        """A node was made from its disk and is about to start."""

    def on_down(self, host: Host, how: str, now: float) -> None:
        """A node ended: `how` is "kill", "power", "left" or "destroyed"; `host.node` is gone already."""

    def on_input(self, host: Host, kind: str, source: int, payload: bytes, now: float) -> None:
        """A node is about to take an input of a kind above; `source` is a host, or a client's session."""

    def on_effects(self, host: Host, effects: list[Effect], now: float) -> None:
        """A node handed out effects; none of them was performed yet."""

    def on_performed(self, host: Host, effect: Effect, now: float) -> None:
        """One effect is performed; every durable write before it is on disk."""

    def on_synced(self, host: Host, now: float) -> None:
        """Everything that a node had written so far is said to be on disk."""

    def on_copied(
        self, host: Host, name: ObjectName, failed: list[NodeId], is_here: bool, now: float
    ) -> None:
        """A node is about to be told how a copy ended: it is here, or all holders in `failed` failed."""

    def on_task(self, host: Host, task: ExecutorTask, begin_s: float, end_s: float, how: str) -> None:
        """An executor is done with a task: `how` is "done", "failed", "recalled" or "killed"."""
