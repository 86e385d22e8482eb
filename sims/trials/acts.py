"""What can be done to a mesh in a trial. An act is skipped where it does not apply: any can be left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from sims.checkers.base import Truth
from sims.checkers.records import RecordChecker
from sims.cluster import Cluster
from sims.disk import DESTROYED, KEEP, TORN
from sims.trials.case import Event

STORM_LOSS: Final = 0.2
"""The share of datagrams that networks of trials lose at most by themselves."""


class Stage:
    """The mesh of a trial, and what checkers must be told about what is done to it."""

    def __init__(self, cluster: Cluster, truth: Truth, records: RecordChecker) -> None:
        self.cluster: Final = cluster
        self.truth: Final = truth
        self.records: Final = records

    def act(self, event: Event) -> None:
        """Do what an event says; what changes the network troubles everybody."""
        now = self.cluster.engine.now
        for index in event.targets:
            # It may be asleep for longer than now.
            self.truth.troubled_at[index] = max(now, self.truth.troubled_at[index])
        if event.kind in NETWORK_ACTS:
            # A factor is no time; a clog lasts for its value.
            until_s = now + event.value if event.kind == "clog" else now
            self.truth.net_troubled_at = max(self.truth.net_troubled_at, until_s)
            if event.kind in WIDE_ACTS:
                self.truth.wide_troubled_at = max(self.truth.wide_troubled_at, now)
            for index in event.targets:
                self.truth.troubled_at[index] = max(until_s, self.truth.troubled_at[index])
        ACTS[event.kind](self, event)


def _kill(stage: Stage, event: Event) -> None:
    for index in event.targets:
        stage.cluster.kill(index)


def _power(stage: Stage, event: Event) -> None:
    for index in event.targets:
        _cut_power(stage, index, TORN if event.value else KEEP)


def _cut_power(stage: Stage, index: int, disk: str) -> None:
    """Take the power of a host; a disk that lied loses what it had acknowledged."""
    host = stage.cluster.hosts[index]
    if host.disk.is_lying:
        _forget(stage, index)
    stage.cluster.kill(index, power=True, disk=disk)
    host.disk.is_lying = False


def _destroy(stage: Stage, event: Event) -> None:
    for index in event.targets:
        _end_clones_of(stage, index)
        _forget(stage, index)
        stage.cluster.kill(index, power=True, disk=DESTROYED)


def _forget(stage: Stage, index: int) -> None:
    """Take that a disk lost what it had acknowledged."""
    stage.records.lose(index)
    stage.truth.forget(stage.cluster.hosts[index].node_id)


def _clone(stage: Stage, event: Event) -> None:
    """Let a host come up with a copy of the disk and the identity of another one."""
    source, target = event.targets
    if source in stage.truth.clones.values() or target in stage.truth.clones.values():
        return
    if source in stage.truth.clones or target in stage.truth.clones:
        return
    _destroy(stage, replace(event, targets=(target,)))
    # What one of the two promises, the other does not know.
    stage.truth.forget(stage.cluster.hosts[source].node_id)
    stage.truth.clones[target] = source
    stage.truth.cloned[stage.cluster.hosts[source].node_id] = True
    stage.cluster.clone(source, target)


def _unclone(stage: Stage, event: Event) -> None:
    for index in event.targets:
        _end_clones_of(stage, index)


def _end_clones_of(stage: Stage, index: int) -> None:
    """Take the clone away that a host is, or has."""
    for target, source in list(stage.truth.clones.items()):
        if index in (source, target):
            stage.truth.end_clone(target)
            stage.records.lose(target)
            stage.cluster.end_clone(target)


def _describe(stage: Stage, event: Event) -> None:
    """Let nodes tell everybody anew what they are, as changes of their load would."""
    for index in event.targets:
        host = stage.cluster.hosts[index]
        if host.node is not None:
            stage.cluster.describe(index, {"told": int(1000 * stage.cluster.engine.now)})


def _start(stage: Stage, event: Event) -> None:
    cluster = stage.cluster
    for index in event.targets:
        if cluster.hosts[index].node is None:
            cluster.start(index, [(index + 1) % len(cluster.hosts)])


def _revive(stage: Stage, _event: Event) -> None:
    cluster = stage.cluster
    for host in cluster.hosts:
        if host.node is None:
            stage.truth.troubled_at[host.index] = cluster.engine.now
            cluster.start(host.index, [(host.index + 1) % len(cluster.hosts)])


def _kill_leader(stage: Stage, event: Event) -> None:
    for index in stage.cluster.leaders():
        stage.truth.troubled_at[index] = stage.cluster.engine.now
        if event.value > 0:
            _cut_power(stage, index, KEEP)
        else:
            stage.cluster.kill(index)


def _cut(stage: Stage, event: Event) -> None:
    stage.truth.is_cut = True
    stage.cluster.network.partition([list(group) for group in event.groups])


def _heal(stage: Stage, _event: Event) -> None:
    stage.truth.is_cut = False
    stage.cluster.network.heal()


def _block(stage: Stage, event: Event) -> None:
    stage.truth.is_cut = True
    for source in event.groups[0]:
        for target in event.groups[1]:
            if source != target:
                stage.cluster.network.block(source, target)


def _clog(stage: Stage, event: Event) -> None:
    source, target = event.targets
    stage.cluster.network.clog(source, target, stage.cluster.engine.now + event.value)


def _pause(stage: Stage, event: Event) -> None:
    for index in event.targets:
        if stage.cluster.hosts[index].node is not None:
            stage.cluster.pause(index, event.value)
            _note_stall(stage, index, event.value)


def _suspend(stage: Stage, event: Event) -> None:
    for index in event.targets:
        if stage.cluster.hosts[index].node is not None:
            stage.cluster.suspend(index, event.value)
            _note_stall(stage, index, event.value)


def _suspend_leader(stage: Stage, event: Event) -> None:
    for index in stage.cluster.leaders():
        stage.cluster.suspend(index, event.value)
        _note_stall(stage, index, event.value)


def _note_stall(stage: Stage, index: int, seconds: float) -> None:
    now = stage.cluster.engine.now
    stage.truth.troubled_at[index] = now + seconds
    stage.truth.stalls[index] = (now, now + seconds)


def _pace(stage: Stage, event: Event) -> None:
    for index in event.targets:
        stage.cluster.set_pace(index, event.value)
        stage.cluster.set_slowness(index, 1.0 + 20 * event.value)
        if event.value:
            stage.truth.starving[index] = True
            stage.truth.starved_at = max(stage.truth.starved_at, stage.cluster.engine.now)
        elif stage.truth.starving.pop(index, False):
            stage.truth.starved_at = max(stage.truth.starved_at, stage.cluster.engine.now)


def _drift(stage: Stage, event: Event) -> None:
    for index in event.targets:
        stage.cluster.set_drift(index, event.value)


def _jump(stage: Stage, event: Event) -> None:
    for index in event.targets:
        stage.cluster.jump_clock(index, event.value)


def _flip(stage: Stage, event: Event) -> None:
    for index in event.targets:
        if stage.cluster.flip_bit(index):
            _forget(stage, index)


def _lie(stage: Stage, event: Event) -> None:
    for index in event.targets:
        stage.cluster.set_lying_disk(index, event.value > 0)


def _stick(stage: Stage, event: Event) -> None:
    """Let a disk be stuck: its process goes on, and stands still only where it has something to keep."""
    end_s = stage.cluster.engine.now + event.value
    for index in event.targets:
        stage.cluster.hosts[index].stick_disk(end_s)
        stage.truth.troubled_at[index] = end_s
        stage.truth.starved_at = max(stage.truth.starved_at, end_s)


def _deafen(stage: Stage, event: Event) -> None:
    for index in event.targets:
        stage.cluster.network.deafen(index)


def _loss(stage: Stage, event: Event) -> None:
    stage.cluster.network.set_loss(event.value)
    _note_storm(stage, "loss", event.value > STORM_LOSS)


def _latency(stage: Stage, event: Event) -> None:
    stage.cluster.network.set_latency_factor(event.value)
    _note_storm(stage, "latency", event.value > 1.0)


def _note_storm(stage: Stage, kind: str, is_on: bool) -> None:
    if is_on:
        stage.truth.storms[kind] = True
    else:
        stage.truth.storms.pop(kind, None)


def _move(stage: Stage, event: Event) -> None:
    for index in event.targets:
        stage.cluster.move(index)


def _leave(stage: Stage, event: Event) -> None:
    for index in event.targets:
        if stage.cluster.hosts[index].node is not None:
            stage.cluster.leave(index, event.value > 0)


ACTS: Final[dict[str, Callable[[Stage, Event], None]]] = {
    "kill": _kill,
    "power": _power,
    "destroy": _destroy,
    "start": _start,
    "revive": _revive,
    "kill-leader": _kill_leader,
    "cut": _cut,
    "heal": _heal,
    "block": _block,
    "clog": _clog,
    "pause": _pause,
    "suspend": _suspend,
    "suspend-leader": _suspend_leader,
    "pace": _pace,
    "drift": _drift,
    "jump": _jump,
    "flip": _flip,
    "lie": _lie,
    "stick": _stick,
    "deafen": _deafen,
    "loss": _loss,
    "latency": _latency,
    "move": _move,
    "leave": _leave,
    "clone": _clone,
    "unclone": _unclone,
    "describe": _describe,
}
NETWORK_ACTS: Final = (
    "cut",
    "heal",
    "block",
    "clog",
    "deafen",
    "loss",
    "latency",
    "move",
    "clone",
    "unclone",
)
WIDE_ACTS: Final = ("cut", "heal", "block", "loss", "latency", "clone", "unclone")
"""Those of them that concern everybody; the others concern their targets."""
