"""The nodes as the leader sees them: what they can run, and what they were given."""

from __future__ import annotations

from typing import Final, final

from swarm.core.ids import AttemptKey, NodeId
from swarm.scheduler.config import SchedulerConfig
from swarm.wire.job_part import TaskOptions

SCRIPTS_MAX: Final = 8
ASK_FIRST_S: Final = 1.0
ASK_MAX_S: Final = 8.0
"""Pauses between two questions for a report double from the first to this. An answer is all that a node knows
of all jobs, megabytes perhaps, and while a stream stalls every answer waits behind the one before."""
LINK_PAUSE_S: Final = 0.1
CUT_S: Final = 120.0
"""How long a way that an object did not take is avoided, where a task can run elsewhere."""


@final
class Worker:
    """A member that runs tasks.

    Attributes:
        node: its id.
        instance: differs after every start of the node's process, which forgets what it was told.
        cores, memory_bytes, python, tags, speed: from its facts; speed 1.0 is the reference.
        given: attempt -> estimated seconds, for what it was given and has not reported.
        loose: those of them that may be taken back, oldest first.
        backlog_s: sum of the estimates, scaled by speed.
        cpus: cores that the given tasks occupy together.
        scripts: given tasks that ask for no core.
        memory: bytes that the given tasks ask for.
        has_reported: whether its inventory under the present ballot is here; it gets no orders before.
        silent_since: when the stream to it broke, while it has not reported since. A node may be alive for
            all others and out of reach for the leader alone.
        reports_from: the first question whose answer counts: since then nothing was ordered and no stream
            broke; 0 for the next one.
        report_request: the last question.
        cancelled: attempts that were cancelled while its report was awaited, which may still name them.
        asked_at: when it was asked.
        ask_at: when it is asked again, while it has not reported.
        is_draining: whether it is about to leave.
        retract_open: whether a RETRACT is unanswered.
        retract_at: earliest time of the next one.
        cut_from: nodes with which it could not exchange objects -> until when that is believed.
        failing: different tasks that failed on it since one succeeded.
        quarantine: why it is given nothing, "" when it is (`swarm.scheduler.quarantine`).
        is_probed: whether a quarantined node may be given one task.
        host: equal for nodes that would lose their disks together.
        fitness: higher is fitter to keep what must not be lost.
    """

    def __init__(self, node: NodeId, facts: dict[str, object]) -> None:
        self.node: Final = node
        self.instance = facts.get("instance")
        self.cores = 1.0
        self.memory_bytes = 0
        self.python = ""
        self.tags: list[str] = []
        self.speed = 1.0
        self.given: dict[AttemptKey, float] = {}
        self.demands: dict[AttemptKey, TaskOptions] = {}
        self.loose: dict[AttemptKey, bool] = {}
        self.backlog_s = 0.0
        self.cpus = 0.0
        self.scripts = 0
        self.memory = 0
        self.has_reported = False
        self.silent_since = 0.0
        self.reports_from = 0
        self.report_request = 0
        self.cancelled: dict[AttemptKey, bool] = {}
        self.asked_at = 0.0
        self.ask_at = 0.0
        self.is_draining = False
        self.retract_open = False
        self.retract_at = 0.0
        self.cut_from: dict[NodeId, float] = {}
        self.failing = 0
        self.quarantine = ""
        self.is_probed = False
        self.host: bytes = node
        self.fitness = 0
        self.update(facts)

    def update(self, facts: dict[str, object]) -> None:
        """Take a member's facts; what is missing or wrong keeps its last value."""
        cores, memory, speed = facts.get("cores"), facts.get("memory"), facts.get("speed")
        if isinstance(cores, (int, float)) and cores >= 0:
            self.cores = float(cores)
        if isinstance(memory, int) and memory >= 0:
            self.memory_bytes = memory
        if isinstance(speed, (int, float)) and speed > 0:
            self.speed = float(speed)
        python, tags = facts.get("python"), facts.get("tags")
        if isinstance(python, str):
            self.python = python
        if isinstance(tags, list):
            self.tags = [tag for tag in tags if isinstance(tag, str)]
        self.is_draining = facts.get("draining") is True
        host, fitness = facts.get("host"), facts.get("fitness")
        if isinstance(host, bytes):
            self.host = host
        if isinstance(fitness, int):
            self.fitness = fitness

    def note_cut(self, other: NodeId, now: float) -> None:
        """Take that an object did not come from one of the two to the other."""
        for node in list(self.cut_from):
            if self.cut_from[node] <= now:
                del self.cut_from[node]
        self.cut_from[other] = now + CUT_S

    def ask(self, request: int, now: float) -> float:
        """Note that it is asked for a report, by a number > 0; return when to ask again."""
        wait_s = ASK_FIRST_S
        if self.reports_from == 0:
            self.reports_from = request
        else:
            wait_s = min(2 * (self.ask_at - self.asked_at), ASK_MAX_S)
        self.has_reported = False
        self.report_request = request
        self.asked_at = now
        self.ask_at = now + wait_s
        return self.ask_at

    def lose_stream(self, now: float) -> float:
        """Note that the stream to it broke, with orders and reports perhaps; return when to ask again."""
        again_at = now + LINK_PAUSE_S
        if self.has_reported:
            self.silent_since = now
            self.cancelled = {}
        else:
            again_at = min(self.ask_at, max(again_at, self.asked_at + ASK_FIRST_S))
        self.has_reported = False
        self.reports_from = 0
        self.ask_at = again_at
        return again_at

    def has_asked(self, request: int) -> bool:
        """Return whether a report that answers a question is wanted."""
        return not self.has_reported and 0 < self.reports_from <= request <= self.report_request

    def why_unfit(self, options: TaskOptions) -> str:
        """Return why this node could never run a task with these options, "" when it could."""
        if options.cpus > self.cores:
            return f"it has {self.cores:g} cores of the {options.cpus:g} asked for"
        if options.memory_bytes and options.memory_bytes > self.memory_bytes:
            return f"it has {self.memory_bytes} bytes of memory of the {options.memory_bytes} asked for"
        if options.python and options.python != self.python:
            return f"it runs Python {self.python}, not {options.python}"
        for tag in options.tags:
            if tag not in self.tags:
                return f"it has no tag {tag}"
        return ""

    def could_run(self, options: TaskOptions) -> bool:
        """Return whether it is there, stays, and fits a task with these options."""
        return self.has_reported and not self.is_draining and not self.why_unfit(options)

    def takes(self, can_be_retried: bool) -> bool:
        """Return whether a task may be given to it as far as quarantine goes; a probe may fail."""
        return not self.quarantine or (self.is_probed and can_be_retried and not self.given)

    def has_room(
        self, options: TaskOptions, estimate_s: float, is_known: bool, config: SchedulerConfig
    ) -> bool:
        """Return whether to give it a task now: a free slot, or a short enough queue."""
        if self.is_draining or not self.has_reported:
            return False
        if options.memory_bytes and self.memory + options.memory_bytes > self.memory_bytes:
            return False
        if options.cpus == 0:
            return self.scripts < SCRIPTS_MAX
        if self.cpus + options.cpus <= self.cores:
            return True
        waiting = len(self.given) - self.scripts
        if not is_known:
            return waiting < 2 * self.cores and options.cpus <= 1
        if waiting >= config.window_tasks_max * self.cores:
            return False
        return self.backlog_s + estimate_s / self.speed <= config.window_s * self.cores

    def give(self, attempt: AttemptKey, options: TaskOptions, estimate_s: float, is_fixed: bool) -> None:
        """Count an attempt as given; a fixed one is not to be taken back for balance."""
        if not is_fixed:
            self.loose[attempt] = True
        seconds = estimate_s / self.speed if options.cpus else 0.0
        self.given[attempt] = seconds
        self.demands[attempt] = options
        self.backlog_s += seconds
        self.cpus += options.cpus
        self.memory += options.memory_bytes
        if options.cpus == 0:
            self.scripts += 1

    def take_back(self, attempt: AttemptKey) -> None:
        """Count an attempt as over; unknown ones are ignored."""
        seconds = self.given.pop(attempt, None)
        if seconds is None:
            return
        self.loose.pop(attempt, None)
        options = self.demands.pop(attempt)
        self.backlog_s = self.backlog_s - seconds if self.given else 0.0
        self.cpus = self.cpus - options.cpus if self.given else 0.0
        self.memory -= options.memory_bytes
        if options.cpus == 0:
            self.scripts -= 1
