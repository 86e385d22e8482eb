"""Performing the faults of a scenario on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import log
from typing import Final, TypeAlias, final

from sims.cluster import Cluster
from sims.recording.excuses import Excuses
from sims.recording.rows import Event
from sims.scenario.churn import UP, read_churn
from sims.scenario.faults import Fault
from sims.scenario.mesh import FOLLOWERS, LEADER, RANDOM, HostNames, random_count
from sims.scenario.model import Scenario
from sims.staging.agenda import Agenda
from sims.staging.conditions import Conditions
from swarm.core.rng import Rng

Undo: TypeAlias = Callable[[float], None]
Method: TypeAlias = Callable[[Fault, list[int], float, Rng], Undo | None]


@final
class Actor:
    """Starts the nodes of a scenario and lets its faults happen.

    Args:
        cluster: all hosts down.
        scenario: what happens.
        names: its hosts.
        agenda: where it is noted.
        excuses: told who is disturbed.

    Attributes:
        events: rows for the trace since they were taken last.
    """

    def __init__(
        self, cluster: Cluster, scenario: Scenario, names: HostNames, agenda: Agenda, excuses: Excuses
    ) -> None:
        self._cluster: Final = cluster
        self._scenario: Final = scenario
        self._names: Final = names
        self._agenda: Final = agenda
        self._excuses: Final = excuses
        self._conditions: Final = Conditions(cluster.network, len(cluster.hosts), excuses)
        self._contacts: Final = self._contact_hosts()
        self.events: list[Event] = []
        self._methods: Final[dict[str, Method]] = {
            "crash": self._end,
            "power-off": self._end,
            "restart": self._end,
            "leave": self._end,
            "start": self._begin_again,
            "partition": self._cut,
            "block": self._cut,
            "isolate": self._isolate,
            "flap": self._flap,
            "clog": self._clog,
            "heal": self._heal,
            "pause": self._pause,
            "suspend": self._suspend,
            "stuck-disk": self._stick_disk,
            "slow": self._slow,
            "drift": self._drift,
            "clock-jump": self._jump,
            "bit-flip": self._flip_bit,
            "lying-disk": self._lie,
            "clone": self._clone,
            "move": self._move,
            "deaf": self._deafen,
            "loss": self._lose,
            "latency": self._delay,
            "churn": self._churn,
            "churn-trace": self._follow_trace,
        }

    def plan(self) -> None:
        """Note the starts of all nodes and all faults in the agenda."""
        seed = self._scenario.seed
        number = 0
        for group in self._scenario.groups():
            rng = Rng(f"{seed}:starts:{group.name}")
            for _ in group.host_names():
                if group.start_s >= 0:
                    time_s = group.start_s + rng.uniform(0.0, group.start_spread_s)
                    self._agenda.note(time_s, partial(self._start, number))
                number += 1
        for place, fault in enumerate(self._scenario.faults):
            rng = Rng(f"{seed}:fault:{place}")
            for time_s in fault.times(self._scenario.seconds):
                self._agenda.note(time_s, partial(self._perform, fault, rng))

    def choose(self, word: str, rng: Rng, is_up: bool = True) -> list[int]:
        """Return the hosts that a word selects now; `random` chooses of those that run, or are down."""
        cluster = self._cluster
        if word == LEADER:
            return cluster.leaders()
        if word == FOLLOWERS:
            leaders = cluster.leaders()
            return [
                host.index for host in cluster.hosts if host.node is not None and host.index not in leaders
            ]
        named = self._names.named(word)
        if named is not None:
            return named
        assert word.startswith(RANDOM), f"scenarios check their words, {word!r} too"
        candidates = [host.index for host in cluster.hosts if (host.node is not None) == is_up]
        return rng.sample(candidates, random_count(word))

    # Starting and ending

    def _start(self, host: int, now: float) -> None:
        if self._cluster.hosts[host].node is None:
            self._cluster.start(host, [contact for contact in self._contacts if contact != host])

    def _contact_hosts(self) -> list[int]:
        found: dict[int, bool] = {}
        for word in self._scenario.contacts:
            for host in self._names.named(word) or []:
                found[host] = True
        return list(found)

    def _perform(self, fault: Fault, rng: Rng, now: float) -> None:
        targets = self._chosen(fault.targets, rng, fault.kind != "start")
        for host in targets or [-1]:
            self._tell(now, host, "fault", _detail(fault))
        undo = self._methods[fault.kind](fault, targets, now, rng)
        if undo is not None and fault.for_s > 0:
            self._agenda.note(now + fault.for_s, partial(self._undo, fault, targets, undo))

    def _undo(self, fault: Fault, targets: list[int], undo: Undo, now: float) -> None:
        for host in targets or [-1]:
            self._tell(now, host, "fault_ends", fault.kind)
        undo(now)

    def _chosen(self, words: Sequence[str], rng: Rng, is_up: bool = True) -> list[int]:
        found: dict[int, bool] = {}
        for word in words:
            for host in self.choose(word, rng, is_up):
                found[host] = True
        return list(found)

    def _tell(self, now: float, host: int, event: str, detail: str) -> None:
        self.events.append(Event(now, host, event, -1, 0, detail))

    def _end(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        for host in targets:
            self._end_one(host, fault.kind, fault.disk)
        return partial(self._start_all, targets)

    def _end_one(self, host: int, how: str, disk: str) -> None:
        if how == "leave":
            if self._cluster.hosts[host].node is not None:
                self._cluster.leave(host)
        else:
            self._cluster.kill(host, how == "power-off", disk)

    def _start_all(self, hosts: Sequence[int], now: float) -> None:
        for host in hosts:
            self._start(host, now)

    def _begin_again(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> None:
        self._start_all(targets, now)

    def _clone(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> None:
        for host in self._chosen(fault.others, rng, is_up=False):
            if self._cluster.hosts[host].node is None and targets:
                self._excuses.disturb([targets[0], host])
                self._cluster.clone(targets[0], host)

    def _move(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> None:
        for host in targets:
            self._cluster.move(host)

    # Network

    def _cut(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        others = self._chosen(fault.others, rng) if fault.others else None
        return self._conditions.cut(targets, others, fault.direction)

    def _isolate(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        return self._conditions.isolate(targets, fault.direction)

    def _flap(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> None:
        others = self._chosen(fault.others, rng) if fault.others else None
        count = 0
        while count * fault.period_s < fault.for_s:
            begin_s = now + count * fault.period_s
            end_s = min(begin_s + fault.share * fault.period_s, now + fault.for_s)
            self._agenda.note(begin_s, partial(self._flap_once, fault, targets, others, end_s))
            count += 1

    def _flap_once(
        self, fault: Fault, targets: list[int], others: list[int] | None, end_s: float, now: float
    ) -> None:
        self._agenda.note(end_s, self._conditions.cut(targets, others, fault.direction))

    def _clog(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        others = self._chosen(fault.others, rng) if fault.others else None
        return self._conditions.clog(targets, others, fault.direction, now + fault.for_s)

    def _heal(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> None:
        self._conditions.heal(now)

    def _deafen(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        return self._conditions.deafen(targets)

    def _lose(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        return self._conditions.set_loss(fault.share)

    def _delay(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        return self._conditions.set_latency_factor(fault.factor)

    # Processes, clocks, disks

    def _pause(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        for host in self._running(targets):
            self._cluster.pause(host, fault.for_s)
        return self._disturbed(targets)

    def _stick_disk(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> None:
        for host in targets:
            self._cluster.hosts[host].stick_disk(now + fault.for_s)

    def _suspend(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        for host in self._running(targets):
            self._cluster.suspend(host, fault.for_s, fault.counts_sleep)
        return self._disturbed(targets)

    def _slow(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        for host in targets:
            self._cluster.set_pace(host, fault.input_s)
            self._cluster.set_slowness(host, fault.factor)
        calm = self._disturbed(targets)
        return partial(self._quicken, targets, calm)

    def _quicken(self, targets: list[int], calm: Undo, now: float) -> None:
        for host in targets:
            self._cluster.set_pace(host, 0.0)
            self._cluster.set_slowness(host, 1.0)
        calm(now)

    def _drift(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        for host in targets:
            self._cluster.set_drift(host, fault.drift_ppm)
        return partial(self._restore_drift, targets)

    def _restore_drift(self, targets: list[int], now: float) -> None:
        for host in targets:
            self._cluster.set_drift(host, self._cluster.hosts[host].spec.drift_ppm)

    def _jump(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> None:
        for host in targets:
            self._cluster.jump_clock(host, fault.seconds)

    def _flip_bit(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> None:
        for host in targets:
            self._cluster.flip_bit(host)

    def _lie(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        for host in targets:
            self._cluster.set_lying_disk(host, True)
        return partial(self._be_honest, targets)

    def _be_honest(self, targets: list[int], now: float) -> None:
        for host in targets:
            self._cluster.set_lying_disk(host, False)

    def _running(self, targets: list[int]) -> list[int]:
        return [host for host in targets if self._cluster.hosts[host].node is not None]

    def _disturbed(self, targets: list[int]) -> Undo:
        self._excuses.disturb(targets)
        return partial(self._excuses.calm, targets)

    # Churn

    def _churn(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> Undo:
        hosts = targets if fault.targets else list(range(len(self._cluster.hosts)))
        end_s = now + fault.for_s if fault.for_s else self._scenario.seconds
        for host in hosts:
            own = Rng(f"{self._scenario.seed}:churn:{now}:{host}:{rng.below(1 << 30)}")
            self._plan_churn(fault, host, end_s, own, now)
        return partial(self._start_all, hosts)

    def _plan_churn(self, fault: Fault, host: int, end_s: float, rng: Rng, now: float) -> None:
        is_up = self._cluster.hosts[host].node is not None
        time_s = now - log(1.0 - rng.unit()) * (fault.up_s if is_up else fault.down_s)
        if time_s < end_s:
            self._agenda.note(time_s, partial(self._churn_once, fault, host, end_s, rng))

    def _churn_once(self, fault: Fault, host: int, end_s: float, rng: Rng, now: float) -> None:
        if self._cluster.hosts[host].node is None:
            self._tell(now, host, "fault", "churn up")
            self._start(host, now)
        else:
            self._tell(now, host, "fault", f"churn {fault.ends}")
            self._end_one(host, fault.ends, fault.disk)
        self._plan_churn(fault, host, end_s, rng, now)

    def _follow_trace(self, fault: Fault, targets: list[int], now: float, rng: Rng) -> None:
        for time_s, name, event in read_churn(fault.file):
            action = partial(self._follow_once, self._names.number(name), event, fault.disk)
            self._agenda.note(now + time_s, action)

    def _follow_once(self, host: int, event: str, disk: str, now: float) -> None:
        self._tell(now, host, "fault", f"trace {event}")
        if event == UP:
            self._start(host, now)
        else:
            self._end_one(host, event, disk)


def _detail(fault: Fault) -> str:
    """Return a fault as words for the trace."""
    return f"{fault.kind} for {fault.for_s:g}" if fault.for_s else fault.kind
