"""Who keeps copies of a job's record: rendezvous hashing over the fittest members.

Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates" (1998): every node
ranks all candidates by a hash of (job, node), so all agree without talking and a change of members
moves only the copies it must.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, final

from swarm.core.ids import JobId, NodeId
from swarm.core.records import Record

CANDIDATES_MAX: Final = 8


@final
class Keeper(Record):
    """A member that could keep a copy.

    Attributes:
        node: its id.
        host: equal for nodes that would lose their disks together.
        fitness: higher is fitter (mains power, wired, long up).
    """

    __slots__ = ("fitness", "host", "node")

    def __init__(self, node: NodeId, host: bytes, fitness: int) -> None:
        self.node: Final = node
        self.host: Final = host
        self.fitness: Final = fitness

    def fields(self) -> tuple[object, ...]:
        return (self.node, self.host, self.fitness)


def choose_keepers(
    job: JobId, me: Keeper, others: list[Keeper], count: int, without: list[NodeId], having: list[NodeId]
) -> list[NodeId]:
    """Return the nodes that keep the record of `job` besides `me`.

    Members on hosts of their own come first; only when hosts run out does a second node of one host get
    a copy: it still survives the death of a process.

    Args:
        job: whose record.
        me: the node that took the submission; it always keeps a copy.
        others: the members believed alive, without `me`.
        count: copies wanted in all, those there are included, >= 1.
        without: nodes that must not be chosen (they failed to confirm).
        having: nodes besides `me` that have a copy or were asked to keep one: their hosts come last, too.

    Returns:
        At most `count - 1` node ids less those in `having`, best first.
    """
    ranked = _ranked(job, others, without + having)
    wanted = count - 1 - len(having)
    chosen: list[NodeId] = []
    hosts: list[bytes] = [me.host]
    hosts.extend([keeper.host for keeper in others if keeper.node in having])
    for _, _, keeper in ranked:
        if len(chosen) < wanted and keeper.host not in hosts:
            chosen.append(keeper.node)
            hosts.append(keeper.host)
    for _, _, keeper in ranked:
        if len(chosen) < wanted and keeper.node not in chosen:
            chosen.append(keeper.node)
    return chosen


def choose_copies(
    job: JobId, live: list[Keeper], count: int, without: list[NodeId], having: list[NodeId]
) -> list[NodeId]:
    """Return the nodes that should keep the record of `job` besides those that have it.

    There are to be `count` copies on as many hosts, or on all nodes and all hosts where there are fewer.

    Args:
        job: whose record.
        live: the members that can keep copies.
        count: copies wanted, >= 1.
        without: members that must not be chosen now.
        having: those of `live` that have a copy, or are about to.

    Returns:
        Node ids, best first; fewer than wanted when there is nobody left.
    """
    if are_enough(live, count, having):
        return []
    ranked = _ranked(job, live, without + having)
    hosts: dict[bytes, bool] = {}
    held: dict[bytes, bool] = {}
    for keeper in live:
        hosts[keeper.host] = True
        if keeper.node in having:
            held[keeper.host] = True
    chosen: list[NodeId] = []
    for _, _, keeper in ranked:
        is_short = len(having) + len(chosen) < count or len(held) < min(count, len(hosts))
        if is_short and keeper.host not in held:
            chosen.append(keeper.node)
            held[keeper.host] = True
    for _, _, keeper in ranked:
        if len(having) + len(chosen) < count and keeper.node not in chosen:
            chosen.append(keeper.node)
    return chosen


def are_enough(live: list[Keeper], count: int, having: list[NodeId]) -> bool:
    """Return whether those of `live` that have a copy are `count` on as many hosts, or as there are."""
    hosts: dict[bytes, bool] = {}
    held: dict[bytes, bool] = {}
    for keeper in live:
        hosts[keeper.host] = True
        if keeper.node in having:
            held[keeper.host] = True
    return len(having) >= min(count, len(live)) and len(held) >= min(count, len(hosts))


def _ranked(job: JobId, keepers: list[Keeper], without: list[NodeId]) -> list[tuple[bytes, bytes, Keeper]]:
    """Return the fittest keepers but those in `without` with their weights, best first."""
    fittest: list[tuple[int, bytes]] = [(-keeper.fitness, keeper.node) for keeper in keepers]
    fittest.sort()
    allowed = [node for _, node in fittest if node not in without][:CANDIDATES_MAX]
    ranked: list[tuple[bytes, bytes, Keeper]] = []
    for keeper in keepers:
        if keeper.node in allowed:
            ranked.append((blake2b(job + keeper.node, digest_size=8).digest(), keeper.node, keeper))
    ranked.sort(key=_rank)
    return ranked


def _rank(item: tuple[bytes, bytes, Keeper]) -> tuple[bytes, bytes]:
    return (item[0], item[1])
