"""Faults of a scenario: what they are called, what they need, and what is wrong with one.

:data:`KINDS` is the one table of them: validation, documentation and performance (`sims.acting`) follow it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

from sims.disk import DISK_FATES, KEEP
from swarm.core.errors import ConfigError

DIRECTIONS: Final = ("both", "out", "in")
ENDS: Final = ("crash", "power-off", "leave")

EVERY_MIN_S: Final = 0.01

NEEDED: Final = "needed"
ALLOWED: Final = "allowed"
NONE: Final = "none"


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        does: what happens, for the documentation.
        targets: whether it needs, allows or refuses targets.
        duration: the same for `for`.
        needs, takes: the other fields that must, or may, be given.
    """

    does: str
    targets: str = NEEDED
    duration: str = NONE
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


KINDS: Final[dict[str, FaultKind]] = {
    "crash": FaultKind(
        does="the process of a node is killed; what it had not synced is lost; started again after `for`",
        duration=ALLOWED,
        takes=("disk",),
    ),
    "power-off": FaultKind(
        does="the whole host goes dark: nobody is told; powered and started again after `for`",
        duration=ALLOWED,
        takes=("disk",),
    ),
    "restart": FaultKind(
        does="the process is killed and started again after `for`", duration=NEEDED, takes=("disk",)
    ),
    "leave": FaultKind(does="a node says goodbye and stops; started again after `for`", duration=ALLOWED),
    "start": FaultKind(does="nodes that are down are started"),
    "partition": FaultKind(
        does="targets are cut off from `others`, or from everybody else; joined again after `for`",
        duration=ALLOWED,
        takes=("others", "direction"),
    ),
    "isolate": FaultKind(
        does="each target is cut off from everybody; joined again after `for`",
        duration=ALLOWED,
        takes=("direction",),
    ),
    "flap": FaultKind(
        does="a partition that comes and goes: in every `period_s` it is there for `share` of the time",
        duration=NEEDED,
        needs=("period_s",),
        takes=("others", "direction", "share"),
    ),
    "block": FaultKind(
        does="nothing passes between targets and `others`; opened again after `for`",
        duration=ALLOWED,
        needs=("others",),
        takes=("direction",),
    ),
    "clog": FaultKind(
        does="what passes between targets and `others`, or everybody else, arrives after `for` only",
        duration=NEEDED,
        takes=("others", "direction"),
    ),
    "heal": FaultKind(does="every cut, block and deafness ends now", targets=NONE),
    "pause": FaultKind(
        does="the process stands still for `for`: its clock goes on, its datagrams wait in the socket",
        duration=NEEDED,
    ),
    "suspend": FaultKind(
        does="the host sleeps for `for`: datagrams to it are lost, its tasks stand still",
        duration=NEEDED,
        takes=("counts_sleep",),
    ),
    "slow": FaultKind(
        does="every input takes `input_s`, and tasks take `factor` times as long; undone after `for`",
        duration=ALLOWED,
        takes=("input_s", "factor"),
    ),
    "drift": FaultKind(
        does="the clock runs faster than true time by `drift_ppm`; as before after `for`",
        duration=ALLOWED,
        needs=("drift_ppm",),
    ),
    "clock-jump": FaultKind(does="the clock jumps forward by `seconds`", needs=("seconds",)),
    "bit-flip": FaultKind(does="a row on disk is damaged, which is noticed at the next start"),
    "lying-disk": FaultKind(
        does="syncs are acknowledged, and undone by a loss of power; honest again after `for`",
        duration=ALLOWED,
    ),
    "stuck-disk": FaultKind(
        does="no durable write ends before `for` has passed; the process goes on", duration=NEEDED
    ),
    "clone": FaultKind(
        does="`others`, which are down, start with a copy of the identity and disk of the target",
        needs=("others",),
    ),
    "move": FaultKind(does="a host gets another address, and its streams break"),
    "deaf": FaultKind(does="a host hears no multicast; hears it again after `for`", duration=ALLOWED),
    "loss": FaultKind(
        does="`share` of all datagrams is lost, everywhere; as before after `for`",
        targets=NONE,
        duration=ALLOWED,
        takes=("share",),
    ),
    "latency": FaultKind(
        does="every delay of the network is multiplied by `factor`; as before after `for`",
        targets=NONE,
        duration=ALLOWED,
        needs=("factor",),
    ),
    "churn": FaultKind(
        does="each target comes and goes: up for `up_s` and down for `down_s` on average, both exponential; "
        "ends after `for`",
        targets=ALLOWED,
        duration=ALLOWED,
        needs=("up_s", "down_s"),
        takes=("ends", "disk"),
    ),
    "churn-trace": FaultKind(
        does="hosts come and go as `file` says, its times counted from `at`",
        targets=NONE,
        needs=("file",),
        takes=("disk",),
    ),
}
"""Every kind of fault by its name."""

_ALWAYS: Final = ("at_s", "kind", "targets", "for_s", "every_s", "until_s")


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong, once or again and again.

    Attributes:
        at_s: when, seconds since the start, >= 0.
        kind: one of the kinds below.
        targets: which hosts: names of hosts or of groups, ``site:NAME``, ``all``, ``leader`` (who leads at
            that time), ``followers`` (who runs and does not lead), ``random`` or ``random:COUNT`` (of those
            that run; of those that are down for a start).
        for_s: after how long it is undone, seconds > 0; 0 for never.
        every_s: it happens again each so many seconds, > 0; 0 for once. Targets are chosen anew.
        until_s: when repeating ends, seconds; 0 for the end of the run.
        others: the other side of a cut, or who becomes a clone; as targets.
        direction: what a cut stops: "both" ways, only "out" of the targets, only "in" to them.
        disk: what happens to the disk of a host that goes down: "keep" (what was synced is there), "torn"
            (part of what was being written too), "destroyed" (nothing is left, not even the identity).
        ends: how hosts go down in churn: "crash", "power-off" or "leave".
        share: of datagrams lost, 0 to 1; of flapping the share of a period that is cut.
        factor: on the run times of tasks, or on delays, > 0.
        input_s: that every input keeps the process busy, >= 0.
        seconds: by which the clock jumps forward, > 0.
        drift_ppm: of the clock, parts per million, above -500,000.
        period_s: of flapping, > 0.
        up_s, down_s: mean times up and down in churn, > 0.
        counts_sleep: whether the clock counts the sleep, as CLOCK_BOOTTIME does.
        file: of churn: lines ``seconds,host,event`` in order of time, with the events up, crash, power-off
            and leave.
    """

    at_s: float = field(metadata={"key": "at"})
    kind: str
    targets: tuple[str, ...] = ()
    for_s: float = field(default=0.0, metadata={"key": "for"})
    every_s: float = field(default=0.0, metadata={"key": "every"})
    until_s: float = field(default=0.0, metadata={"key": "until"})
    others: tuple[str, ...] = ()
    direction: str = "both"
    disk: str = KEEP
    ends: str = "crash"
    share: float = 0.5
    factor: float = 1.0
    input_s: float = 0.0
    seconds: float = 0.0
    drift_ppm: float = 0.0
    period_s: float = 0.0
    up_s: float = 0.0
    down_s: float = 0.0
    counts_sleep: bool = True
    file: str = ""

    def __post_init__(self) -> None:
        for name in ("targets", "others"):
            given = getattr(self, name)
            # A lone host stands for a tuple of one; frozen, but not finished yet.
            object.__setattr__(self, name, (given,) if isinstance(given, str) else tuple(given))
        kind = KINDS.get(self.kind)
        if kind is None:
            raise ConfigError(f"kind is {self.kind!r}, it must be one of {', '.join(KINDS)}")
        for name in ("at_s", "for_s", "every_s", "until_s", "input_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{_key(name)} is {getattr(self, name):g}, it must be at least 0 seconds")
        self._check_words()
        self._check_numbers()
        self._check_fields(kind)

    def _check_words(self) -> None:
        for name, known in (("direction", DIRECTIONS), ("disk", DISK_FATES), ("ends", ENDS)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"{name} is {value!r}, it must be one of {', '.join(known)}")

    def _check_numbers(self) -> None:
        if not 0 <= self.share <= 1:
            raise ConfigError(f"share is {self.share:g}, it must be in 0 to 1")
        if self.kind == "loss" and self.share == 1:
            raise ConfigError("share is 1, but a loss must leave something; cut hosts off by 'isolate'")
        if not self.factor > 0:
            raise ConfigError(f"factor is {self.factor:g}, it must be above 0")
        if self.drift_ppm <= -500_000:
            raise ConfigError(f"drift_ppm is {self.drift_ppm:g}, it must be above -500000")
        for name in ("seconds", "period_s", "up_s", "down_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}, it must be above 0 seconds")
        if 0 < self.every_s < EVERY_MIN_S:
            raise ConfigError(f"every is {self.every_s:g}, it must be at least {EVERY_MIN_S:g} seconds")
        if self.until_s and self.until_s < self.at_s:
            raise ConfigError(f"until is {self.until_s:g}, it must not come before at = {self.at_s:g}")
        if self.until_s and not self.every_s:
            raise ConfigError(f"until is {self.until_s:g}, but nothing is repeated; add `every = ...`")

    def _check_fields(self, kind: FaultKind) -> None:
        """Check that what the kind needs is there, and nothing that it does not know."""
        if kind.targets == NEEDED and not self.targets:
            raise ConfigError(f"kind {self.kind!r} needs targets; add `targets = [...]`")
        if kind.targets == NONE and self.targets:
            raise ConfigError(f"targets is {list(self.targets)}, but {self.kind!r} has none; remove it")
        if kind.duration == NEEDED and not self.for_s:
            raise ConfigError(f"kind {self.kind!r} needs to end; add `for = ...` seconds, above 0")
        if kind.duration == NONE and self.for_s:
            raise ConfigError(f"for is {self.for_s:g}, but {self.kind!r} is not undone; remove it")
        for item in fields(self):
            if item.name in _ALWAYS:
                continue
            is_given = getattr(self, item.name) != item.default
            if item.name in kind.needs and not is_given:
                raise ConfigError(f"kind {self.kind!r} needs {item.name}; add `{item.name} = ...`")
            if is_given and item.name not in kind.needs and item.name not in kind.takes:
                known = ", ".join([*kind.needs, *kind.takes]) or "none of these"
                raise ConfigError(
                    f"{item.name} does not belong to {self.kind!r}, which takes {known}; remove it"
                )
        if self.kind == "slow" and self.input_s == 0 and self.factor == 1:
            raise ConfigError("kind 'slow' needs input_s or factor; add `input_s = ...` or `factor = ...`")

    def times(self, end_s: float) -> list[float]:
        """Return when it happens, up to the end of a run."""
        last = min(self.until_s or end_s, end_s)
        found = [self.at_s]
        if self.every_s:
            count = 1
            while self.at_s + count * self.every_s <= last:
                found.append(self.at_s + count * self.every_s)
                count += 1
        return found


def _key(name: str) -> str:
    return {"at_s": "at", "for_s": "for", "every_s": "every", "until_s": "until"}.get(name, name)
