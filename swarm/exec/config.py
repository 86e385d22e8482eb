"""Settings of the execution core."""

from __future__ import annotations

from dataclasses import dataclass

from swarm.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ExecConfig:
    """Settings of :class:`swarm.exec.core.ExecCore`; the defaults suit a laptop as well as a Pi.

    Attributes:
        executor_idle_s: how long an executor without work stays warm, seconds > 0. A warm one costs about
            8 MB; starting one costs some 10 ms. 300 keeps a session that is used by hand warm.
        script_count_max: executors for tasks that ask for no cpu (scripts that only steer others), >= 1.
        pipeline_max: tasks that an executor may hold at once, >= 1; only tiny ones are given ahead. 16 tasks
            of 0.1 ms hide a round trip between node and executor of 1 ms.
        pipeline_task_max_s: a task is tiny when tasks of its name took less on average, seconds >= 0.
        pipeline_stall_s: when the first of an executor's tasks takes longer than this, the ones given ahead
            are recalled and run elsewhere, seconds > 0. It may even wait for one of them.
        respawn_min_s, respawn_max_s: pause after executors that ended before they were ready, doubling from
            the first to the second, 0 < min <= max.
        attempts_max: attempts held at once, >= 1; further ones are given back. About 1 kB each.
        bytes_max: small objects kept in memory, bytes >= 0; see `swarm.objects.table`.
        fetch_count_max: objects fetched at once, >= 1. More would only share the same network.
        names_max: task names whose mean duration is known, >= 1; the oldest is forgotten.
        functions_known_max: functions that an executor is trusted to remember, >= 1; executors keep at least
            twice as many, least recently used last.
        output_bytes_max: printed output passed on per attempt, bytes >= 0; the rest is dropped and counted.
        printed_bytes_max: printed output kept to tell the next leader, bytes >= 0.
        ended_count_max, ended_bytes_max: completions remembered, so that an order that is repeated after the
            attempt ended is answered again instead of run again, >= 0.
    """

    executor_idle_s: float = 300.0
    script_count_max: int = 8
    pipeline_max: int = 16
    pipeline_task_max_s: float = 0.005
    pipeline_stall_s: float = 0.25
    respawn_min_s: float = 0.1
    respawn_max_s: float = 30.0
    attempts_max: int = 200_000
    bytes_max: int = 64 * 1024 * 1024
    fetch_count_max: int = 8
    names_max: int = 1000
    functions_known_max: int = 64
    output_bytes_max: int = 16 * 1024 * 1024
    printed_bytes_max: int = 1024 * 1024
    ended_count_max: int = 1000
    ended_bytes_max: int = 4 * 1024 * 1024

    def __post_init__(self) -> None:
        counts = [
            ("script_count_max", self.script_count_max),
            ("pipeline_max", self.pipeline_max),
            ("attempts_max", self.attempts_max),
            ("fetch_count_max", self.fetch_count_max),
            ("names_max", self.names_max),
            ("functions_known_max", self.functions_known_max),
        ]
        for name, count in counts:
            if count < 1:
                raise ConfigError(f"{name} is at least 1, not {count}")
        sizes = [
            ("bytes_max", self.bytes_max),
            ("output_bytes_max", self.output_bytes_max),
            ("printed_bytes_max", self.printed_bytes_max),
            ("ended_count_max", self.ended_count_max),
            ("ended_bytes_max", self.ended_bytes_max),
        ]
        for name, size in sizes:
            if size < 0:
                raise ConfigError(f"{name} is at least 0, not {size}")
        if self.executor_idle_s <= 0 or self.pipeline_stall_s <= 0:
            raise ConfigError("executor_idle_s and pipeline_stall_s are above 0")
        if self.pipeline_task_max_s < 0:
            raise ConfigError(f"pipeline_task_max_s is at least 0, not {self.pipeline_task_max_s}")
        if not 0 < self.respawn_min_s <= self.respawn_max_s:
            raise ConfigError("respawn_min_s is above 0 and at most respawn_max_s")
