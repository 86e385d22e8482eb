"""L8, demanded at the end of a trial: a quiet minute after the last fault jobs have all their copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sims.checkers.base import Violation
from sims.checkers.records import COPIES, JOB_SIZE
from sims.host import Host
from swarm.wire.messages import INLINE_SIZE_MAX

if TYPE_CHECKING:
    from sims.trials.run import Trial

QUIET_MINUTE_S: Final = 60.0
RESULT_COPIES: Final = 2
STEP_S: Final = 1.0


def judge_copies(trial: Trial, core: list[Host], since_s: float) -> None:
    """Demand L8 of every acknowledged job that is not forgotten, a minute after `since_s` at the earliest.

    A job that is on no disk of the core cannot be copied (record-elsewhere in `EXCUSES`). A disk that lost
    rows under a running node has fewer copies than that node believes.

    Raises:
        Violation: a job has too few copies, or too many on one machine.
    """
    engine = trial.cluster.engine
    while engine.now < since_s + QUIET_MINUTE_S:
        trial.step(engine.now + STEP_S)
    _judge_results(trial, core)
    sound = [host for host in core if host.node_id not in trial.truth.forgot]
    for key in trial.records.acknowledged:
        job = key[:JOB_SIZE]
        if any([host.disk.row("tombs", job) is not None for host in core]):
            continue
        having = [host for host in core if host.disk.row("parts", key) is not None]
        if not [host for host in having if host in sound]:
            continue
        machines = {_machine_of(host) for host in having}
        if len(having) < min(COPIES, len(sound)) or len(machines) < min(
            COPIES, len({_machine_of(host) for host in sound})
        ):
            names = ", ".join([host.spec.name for host in having])
            raise Violation(
                "L8",
                f"{engine.now:.3f} s: job {job.hex()[:6]} is on {names} only, "
                f"{engine.now - since_s:.0f} s after the last fault, with {len(sound)} nodes there",
            )


def _judge_results(trial: Trial, core: list[Host]) -> None:
    """Demand that results of ended jobs which are in a store of the core are in two, where all reach all."""
    if trial.case.is_core_relayed or trial.case.nat or len(core) < RESULT_COPIES:
        return
    for plan, client in trial.clients:
        if client.state != "done" or plan.size_bytes <= INLINE_SIZE_MAX or plan.is_random:
            continue
        is_known = any([host.disk.row("parts", client.job + bytes(4)) is not None for host in core])
        if not is_known or any([host.disk.row("tombs", client.job) is not None for host in core]):
            continue
        for task, completion in client.results.items():
            name = (client.job, task, 0)
            digest = b"" if completion.outputs is None else completion.outputs[0].digest
            having = [host for host in core if host.store.get(name, (b"", 0))[0] == digest]
            if len(having) == 1:
                now, short = trial.cluster.engine.now, client.job.hex()[:6]
                text = f"the result of task {task} of job {short} is on {having[0].spec.name} alone"
                raise Violation("L8", f"{now:.3f} s: {text}")


def _machine_of(host: Host) -> str:
    return host.spec.machine or host.spec.name
