"""Membership on real networks of namespaces, beside Serf: ``python -m tests.bench.membership --out FILE``.

Needs root, iproute2 and nftables; Serf is Debian's package `serf`, and without it only swarm is measured.
Every session is a fresh group of agents, each in a namespace of its own; sessions of both systems take turns,
one at a time. FILE is written after each, and a later call goes on where the file ends. Progress is on
stderr.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sims.soak_state import sources_digest
from swarm.core.errors import SwarmError
from swarm.version import __version__, is_compiled
from tests.bench.membership import experiments
from tests.bench.membership.experiments import LIMITS_S, Extent, Figures, Run
from tests.bench.membership.group import SYSTEMS, Group, SplitGroup
from tests.bench.membership.outsiders import refusal_costs
from tests.bench.membership.rows import Kept, Row
from tests.netns.lab import why_not

Tell = Callable[[str, Figures], None]

SESSIONS = ("whole", "loss", "heal", "merge", "alone", "deaf", "clone", "outsider")
CODE_TERMINATED = 128 + signal.SIGTERM
SMALL_NODES = 5
CLONE_NODES = 3


@dataclass(frozen=True)
class Session:
    """One group from its start to its end.

    Attributes:
        session: one of `SESSIONS`.
        system: key of `SYSTEMS`.
        nodes: size of the group.
        round: from 0.
    """

    session: str
    system: str
    nodes: int
    round: int

    def __str__(self) -> str:
        return f"{self.session} {self.system} n={self.nodes} round {self.round + 1}"


def plan(
    names: Iterable[str], systems: Iterable[str], nodes: int, sizes: Iterable[int], rounds: int
) -> list[Session]:
    """Return the sessions in the order in which they run: round by round, the systems in turn.

    Args:
        names: of `SESSIONS`.
        systems: families to measure: "swarm", "serf".
        nodes: size of the whole session; merging takes half of it, at least 4 and even.
        sizes: of the groups that only form, lose one and heal.
        rounds: how often each.
    """
    families = list(systems)
    merged = max(4, nodes // 4 * 2)
    wanted: list[tuple[str, str, int]] = []
    for name in SESSIONS:
        if name not in names:
            continue
        if name == "whole":
            wanted += [(name, system, nodes) for system in ("swarm", "serf", "serf-mdns")]
        elif name == "loss":
            wanted += [(name, system, nodes) for system in ("swarm", "serf")]
        elif name == "heal":
            wanted += [(name, system, size) for size in sizes for system in ("swarm", "serf")]
        elif name == "merge":
            wanted += [(name, system, merged) for system in ("swarm", "serf", "serf-mdns")]
        elif name == "alone":
            wanted += [(name, system, nodes) for system in ("swarm", "serf-mdns")]
        elif name == "deaf":
            wanted += [(name, system, min(SMALL_NODES, nodes)) for system in ("swarm-peer", "serf")]
        else:
            wanted.append((name, "swarm", CLONE_NODES if name == "clone" else 1))
    return [
        Session(name, system, size, number)
        for number in range(rounds)
        for name, system, size in wanted
        if ("serf" if SYSTEMS[system].is_serf else "swarm") in families
    ]


def run_session(session: Session, extent: Extent, tell: Tell) -> None:
    """Run one session, telling each experiment's figures as they come."""
    if session.session == "outsider":
        tell("outsider", refusal_costs())
        return
    system = SYSTEMS[session.system]
    rng = random.Random(f"{session.session}:{session.nodes}:{session.round}")
    if session.session == "merge":
        with SplitGroup(system, session.nodes) as split:
            tell("merge", experiments.merge(split))
        return
    with Group(system, session.nodes) as group:
        run = Run(group, extent, rng)
        if session.session == "alone":
            tell("alone", experiments.meet_from_alone(run))
            return
        if session.session == "deaf":
            tell("deaf", {f"deaf_{key}": value for key, value in experiments.form_deaf(run).items()})
            return
        tell("form", experiments.form(run))
        if session.session == "clone":
            tell("clone", experiments.clone(run))
        elif session.session == "loss":
            time.sleep(extent.settle_s)  # at rest is where it begins
            tell("loss", experiments.lose_packets(run))
        elif session.session == "heal":
            time.sleep(extent.settle_s)  # at rest is where it begins
            tell("cut", experiments.cut_in_half(run))
        elif session.system != "serf-mdns":
            _whole(run, tell)


def _whole(run: Run, tell: Tell) -> None:
    tell("rest", experiments.rest(run))
    for figures in experiments.kill_some(run):
        tell("kill", figures)
    for figures in experiments.silence_some(run):
        tell("silence", figures)
    tell("cut", experiments.cut_in_half(run))
    tell("stop", experiments.stand_still(run, cable=False))
    tell("sleep", experiments.stand_still(run, cable=True))


def about_this() -> dict[str, Any]:
    """Return what stands beside the figures: the machine and the versions."""
    serf = ""
    try:
        done = subprocess.run(["serf", "version"], capture_output=True, text=True, timeout=20, check=True)
        serf = done.stdout.splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        pass
    return {
        "swarm": __version__,
        "compiled": is_compiled(),
        "python": platform.python_version(),
        "serf": serf,
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "sources": sources_digest(),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; return 0, also when nothing can be measured here, and 1 when a session failed."""
    options = _options(arguments)
    reason = why_not("nft")
    if reason:
        print(f"membership: real nodes are not measured: {reason}", file=sys.stderr)
        return 0
    systems = options.systems.split(",")
    if "serf" in systems and why_not("serf"):
        print("membership: without Serf: install the Debian package serf", file=sys.stderr)
        systems.remove("serf")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    kept = Kept(options.out, about_this())
    sizes = [int(size) for size in options.sizes.split(",") if size]
    sessions = plan(options.only.split(","), systems, options.nodes, sizes, options.rounds)
    waiting = [session for session in sessions if not kept.has(vars(session))]
    print(f"membership: {len(waiting)} of {len(sessions)} sessions to run", file=sys.stderr)
    extent = Extent(
        settle_s=options.settle_seconds,
        idle_s=options.idle_seconds,
        pause_s=options.pause_seconds,
        loss_s=options.loss_seconds,
        kills=options.kills,
    )
    # A group is taken apart by the ends of its contexts: a plain SIGTERM would leave namespaces and daemons.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(CODE_TERMINATED))
    failed = 0
    for number, session in enumerate(waiting, 1):
        print(f"[{number}/{len(waiting)}] {session}", file=sys.stderr, flush=True)
        failed += not _keep(session, extent, kept)
    return 1 if failed else 0


def _keep(session: Session, extent: Extent, kept: Kept) -> bool:
    """Run a session and keep its rows; those of one that fails are not kept."""
    rows: list[Row] = []
    begin_s = time.monotonic()
    load_before = os.getloadavg()[0]

    def tell(what: str, figures: Figures) -> None:
        shown = [f"{key} {'-' if value is None else format(value, '.4g')}" for key, value in figures.items()]
        print(
            f"  {time.monotonic() - begin_s:6.1f} s  {what}: {', '.join(shown)}", file=sys.stderr, flush=True
        )
        for metric, value in figures.items():
            limit = LIMITS_S.get(metric.removeprefix("deaf_"), 0.0)
            if metric.endswith(("stop_known_s", "sleep_known_s")):
                limit = extent.pause_s
            rows.append(Row(**vars(session), metric=metric, value=value, limit=limit))

    try:
        run_session(session, extent, tell)
    except (AssertionError, OSError, RuntimeError, SwarmError, subprocess.SubprocessError) as error:
        print(f"  failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return False
    notes = {
        "seconds": round(time.monotonic() - begin_s, 1),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "extent": vars(extent),
    }
    kept.add(vars(session), notes, rows)
    return True


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.membership", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="JSON file, gone on with when it is there")
    parser.add_argument("--nodes", type=int, default=20, help="size of the whole session (default 20)")
    parser.add_argument("--sizes", default="2,3,5,10", help="of the groups that only heal (default 2,3,5,10)")
    parser.add_argument("--rounds", type=int, default=3, help="how often (default 3)")
    parser.add_argument(
        "--only", default=",".join(SESSIONS), help=f"sessions, of {','.join(SESSIONS)} (default: all)"
    )
    parser.add_argument("--systems", default="swarm,serf", help="of swarm,serf (default: both)")
    parser.add_argument(
        "--kills", type=int, default=3, help="killed, and made silent, in a session (default 3)"
    )
    parser.add_argument("--settle-seconds", type=float, default=10.0, help="rest after forming (default 10)")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="of counting bytes (default 60)")
    parser.add_argument("--pause-seconds", type=float, default=30.0, help="of SIGSTOP and sleep (default 30)")
    parser.add_argument(
        "--loss-seconds", type=float, default=120.0, help="of packet loss (default 120; 600 for ten minutes)"
    )
    options = parser.parse_args(arguments)
    if options.nodes < 2 or options.rounds < 1 or options.kills < 1:
        parser.error("--nodes is at least 2, --rounds and --kills at least 1")
    unknown = set(options.only.split(",")) - set(SESSIONS)
    if unknown:
        parser.error(f"no such session: {', '.join(sorted(unknown))}; there are {', '.join(SESSIONS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
