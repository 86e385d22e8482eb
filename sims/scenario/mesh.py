"""The hosts of a scenario: groups of equal ones, and words that select some of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sims.settings import HostSpec
from sims.workload.noise import SPEED_KINDS, draw_speeds
from swarm.core.errors import ConfigError
from swarm.core.rng import Rng

HOSTS_MAX: Final = 100_000

ALL: Final = "all"
LEADER: Final = "leader"
FOLLOWERS: Final = "followers"
RANDOM: Final = "random"
SITE: Final = "site:"
ACCESSES: Final = ("", "pi-wifi", "pi-wifi-power-save")
WORDS: Final = (ALL, LEADER, FOLLOWERS, RANDOM)


@dataclass(frozen=True, kw_only=True)
class HostGroup:
    """Hosts that are alike.

    Attributes:
        name: of the host; with a count, of the group, whose hosts are called ``name0``, ``name1`` and so on.
        count: hosts, 1 to 100,000; 0 for one host that has the group's own name.
        cores: that tasks may occupy together, >= 0.
        memory_bytes: that tasks may ask for together, >= 0; 0 for no bound.
        speed: run times of tasks are divided by it, > 0; 1 is the machine that run times are stated for.
        speeds: how speeds differ in the group: "equal", "uniform", "log-normal" or "steps" (1, 1/2, 1/4 in
            turn); each is multiplied by `speed`.
        speed_spread: of uniform and log-normal speeds; see `sims.workload.noise.draw_speeds`.
        fitness: how well the node suits the council, >= 0.
        tags: of the node.
        python: version told to the mesh.
        drift_ppm: how much faster than true time the clocks run, parts per million.
        drift_spread_ppm: clocks differ uniformly by so much around that, >= 0.
        site: the place where the hosts are: hosts of one site hear each other's multicast,
            `[[network.links]]` says what lies between sites, and ``site:NAME`` selects them in faults.
        access: the hosts' last hop: "" for a wire, "pi-wifi" or "pi-wifi-power-save".
        loss: share of the datagrams to and from a host that is lost, 0 <= loss < 1.
        up_bytes_s, down_bytes_s: what a host sends and receives at most, >= 0; 0 for that of the network.
        is_nat: whether the hosts stand behind address translators: only they can begin to speak.
        is_deaf: whether they hear no multicast; theirs is heard.
        start_s: when the nodes start, seconds >= 0; -1 for not by themselves.
        start_spread_s: they start at random within so many seconds after that, >= 0.
    """

    name: str
    count: int = 0
    cores: float = 1.0
    memory_bytes: int = 1 << 30
    speed: float = 1.0
    speeds: str = "equal"
    speed_spread: float = 0.5
    fitness: int = 100
    tags: tuple[str, ...] = ()
    python: str = "3.11"
    drift_ppm: float = 0.0
    drift_spread_ppm: float = 0.0
    site: str = ""
    access: str = ""
    loss: float = 0.0
    up_bytes_s: float = 0.0
    down_bytes_s: float = 0.0
    is_nat: bool = False
    is_deaf: bool = False
    start_s: float = 0.0
    start_spread_s: float = 0.0

    def __post_init__(self) -> None:
        if self.name in WORDS or not self.name or any(mark in self.name for mark in ":,"):
            raise ConfigError(
                f"name is {self.name!r}, it must not be empty, contain a colon or a comma, or be one of "
                f"{', '.join(WORDS)}"
            )
        if not 0 <= self.count <= HOSTS_MAX:
            raise ConfigError(f"count is {self.count}, it must be in 0 to {HOSTS_MAX}")
        if self.speeds not in SPEED_KINDS:
            raise ConfigError(f"speeds is {self.speeds!r}, it must be one of {', '.join(SPEED_KINDS)}")
        for name in ("drift_spread_ppm", "start_spread_s", "speed_spread", "up_bytes_s", "down_bytes_s"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is {getattr(self, name):g}, it must be at least 0")
        if not 0 <= self.loss < 1:
            raise ConfigError(f"loss is {self.loss:g}, it must be a share in [0, 1)")
        if self.access not in ACCESSES:
            known = ", ".join([repr(access) for access in ACCESSES])
            raise ConfigError(f"access is {self.access!r}, it must be one of {known}")
        if self.start_s < 0 and self.start_s != -1:
            raise ConfigError(f"start_s is {self.start_s:g}, it must be at least 0, or -1 for no start")
        self.specs("check")

    def host_names(self) -> list[str]:
        """Return what the hosts are called."""
        return [f"{self.name}{number}" for number in range(self.count)] if self.count else [self.name]

    def is_placed(self) -> bool:
        """Return whether the group says anything about where its hosts are."""
        return bool(
            self.site
            or self.access
            or self.loss
            or self.up_bytes_s
            or self.down_bytes_s
            or self.is_nat
            or self.is_deaf
        )

    def specs(self, seed: str) -> list[HostSpec]:
        """Return the hosts; speeds and drifts are drawn from the seed.

        Raises:
            ConfigError: a value is out of its range.
        """
        rng = Rng(f"{seed}:hosts:{self.name}")
        names = self.host_names()
        speeds = draw_speeds(len(names), self.speeds, rng, self.speed_spread)
        found: list[HostSpec] = []
        for name, speed in zip(names, speeds, strict=True):
            drift_ppm = self.drift_ppm
            if self.drift_spread_ppm:
                drift_ppm += rng.uniform(-self.drift_spread_ppm, self.drift_spread_ppm)
            found.append(
                HostSpec(
                    name=name,
                    cores=self.cores,
                    memory_bytes=self.memory_bytes,
                    speed=speed * self.speed,
                    fitness=self.fitness,
                    tags=self.tags,
                    python=self.python,
                    drift_ppm=drift_ppm,
                )
            )
        return found


class HostNames:
    """All hosts of a scenario by name, group and site.

    Args:
        groups: in the order of the hosts' numbers.

    Attributes:
        names: of the hosts, by number.
        sites: the same for their places.
    """

    def __init__(self, groups: Sequence[HostGroup]) -> None:
        self.names: Final[list[str]] = []
        self.sites: Final[list[str]] = []
        self._numbers: Final[dict[str, list[int]]] = {}
        self._groups: Final = [group.name for group in groups]
        for group in groups:
            for name in group.host_names():
                number = len(self.names)
                self.names.append(name)
                self.sites.append(group.site)
                self._numbers.setdefault(name, []).append(number)
                if name != group.name:
                    self._numbers.setdefault(group.name, []).append(number)

    def number(self, name: str) -> int:
        """Return the number of a host, -1 for none of this name."""
        found = self._numbers.get(name, [])
        return found[0] if len(found) == 1 else -1

    def named(self, word: str) -> list[int] | None:
        """Return the hosts that a word names at any time (a host, group, site, all), None for other words."""
        if word == ALL:
            return list(range(len(self.names)))
        if word.startswith(SITE):
            return [number for number, site in enumerate(self.sites) if site == word[len(SITE) :]]
        return self._numbers.get(word)

    def problem_of(self, word: str) -> str:
        """Return what is wrong with a word that selects hosts, "" for nothing."""
        if word in (LEADER, FOLLOWERS) or self.named(word):
            return ""
        if word == RANDOM or word.startswith(f"{RANDOM}:"):
            count = random_count(word)
            if 1 <= count <= len(self.names):
                return ""
            return f"{word!r} wants {word[len(RANDOM) + 1 :]!r} hosts, it must be in 1 to {len(self.names)}"
        return f"there is no host, group or site {word!r}; there are {self._known()}"

    def _known(self) -> str:
        # Groups only, not each of a thousand hosts.
        sites = [f"{SITE}{site}" for site in dict.fromkeys(self.sites) if site]
        groups = [self._shown(name) for name in self._groups[:12]]
        known = [*groups, *(["..."] if len(self._groups) > 12 else []), *sites[:12], *WORDS]
        return ", ".join(known)

    def _shown(self, group: str) -> str:
        """Return a group's name, with the names of its hosts when they differ from it."""
        numbers = self._numbers[group]
        first, last = self.names[numbers[0]], self.names[numbers[-1]]
        if first == group:
            return group
        return f"{group} ({first})" if len(numbers) == 1 else f"{group} ({first} to {last})"


def random_count(word: str) -> int:
    """Return how many hosts ``random`` or ``random:COUNT`` wants, 0 for nonsense."""
    text = word[len(RANDOM) + 1 :] if word != RANDOM else "1"
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
