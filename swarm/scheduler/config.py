"""Settings of the scheduler, the job records and the gateway; each with its unit and its reason."""

from __future__ import annotations

from dataclasses import dataclass

from swarm.core.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class SchedulerConfig:
    """Settings shared by everything in this package.

    Attributes:
        replicas: copies of a job's record on disk before it is acknowledged, >= 1. Three survive any
            two disks (membership-leadership model: R = 3).
        record_retry_s: how long a copy may stay unconfirmed before another node is asked, seconds.
            Longer than an fsync on a worn SD card (hundreds of milliseconds).
        recopy_delay_s: how long a job may have too few copies before new ones are made: a node that
            restarts is back by then.
        recopy_bytes_s: how much a leader sends for that, bytes per second; a sixth of 100 Mbit Ethernet.
        result_copies: nodes that are to have each large result of an ended job, >= 1.
        result_copy_bytes_max: results that are larger are not copied, bytes.
        end_confirm_s: how long an end waits for a keeper to have it on disk before it is told; one that
            takes longer is not waited for again until it answers.
        collect_s: how long a new leader waits for the inventories of the nodes it believes alive.
        window_s: seconds of estimated work queued ahead of each slot of a node. Long enough to hide a
            round trip on Wi-Fi (p99 of 20 ms without power save), short enough to keep choices open.
        window_tasks_max: tasks queued ahead of each slot, whatever their estimate.
        overhead_s: what any task costs besides its own run time, added to estimates.
        default_duration_s: estimate for a function never seen.
        bandwidth_bytes_s: assumed rate between two nodes until measured ones exist; 12.5 MB/s is
            100 Mbit Ethernet or good Wi-Fi.
        executor_deaths_max: executors a task may kill before it is given up (as Dask's
            allowed-failures, 3).
        node_faults_max: attempts of a task that may fail because of their nodes (full disks) before it is
            given up.
        quarantine_tasks: different tasks in a row that fail on a node, and succeed on others, until it is
            given no more.
        quarantine_s: for how long, before it gets one as a probe; doubles with each that fails.
        quarantine_max_s: the longest of these pauses.
        retry_backoff_s: pause before the first retry of a failed task; doubles, up to 10 s.
        results_ttl_s: how long an ended job and its kept results stay.
        session_ttl_s: the same for a session's job: its results were the client's, which is gone.
        ended_bytes_max: small results of ended jobs kept in memory; beyond it they go at once.
        tombstone_ttl_s: how long a job that was forgotten is remembered as ended: longer than the
            longest absence we promise to survive (30 days).
        orphan_s: a session's job without any watcher for so long is cancelled.
        ask_timeout_s: how long a question to the leader may stay open.
        output_bytes_max: printed output kept per job, the oldest dropped first.
        jobs_max: jobs that a node holds records of.
        steal_backlog_s: a node with less estimated work than this keeps its queue.
    """

    replicas: int = 3
    record_retry_s: float = 3.0
    recopy_delay_s: float = 5.0
    recopy_bytes_s: float = 2e6
    result_copies: int = 2
    result_copy_bytes_max: int = 64 * 1024 * 1024
    end_confirm_s: float = 1.0
    collect_s: float = 1.0
    window_s: float = 0.1
    window_tasks_max: int = 512
    overhead_s: float = 0.0002
    default_duration_s: float = 0.05
    bandwidth_bytes_s: float = 12.5e6
    executor_deaths_max: int = 3
    node_faults_max: int = 10
    quarantine_tasks: int = 3
    quarantine_s: float = 60.0
    quarantine_max_s: float = 3600.0
    retry_backoff_s: float = 0.1
    results_ttl_s: float = 3600.0
    session_ttl_s: float = 60.0
    ended_bytes_max: int = 64 * 1024 * 1024
    tombstone_ttl_s: float = 30 * 86400.0
    orphan_s: float = 60.0
    ask_timeout_s: float = 10.0
    output_bytes_max: int = 1024 * 1024
    jobs_max: int = 10_000
    steal_backlog_s: float = 0.05

    def __post_init__(self) -> None:
        counts = (
            "window_tasks_max",
            "executor_deaths_max",
            "node_faults_max",
            "jobs_max",
            "quarantine_tasks",
        )
        for name in ("replicas", "result_copies", *counts):
            count = getattr(self, name)
            if count < 1:
                raise ConfigError(f"{name} must be at least 1, not {count}")
        for name in (
            "record_retry_s",
            "quarantine_s",
            "quarantine_max_s",
            "recopy_delay_s",
            "recopy_bytes_s",
            "end_confirm_s",
            "collect_s",
            "window_s",
            "overhead_s",
            "bandwidth_bytes_s",
            "ask_timeout_s",
        ):
            value = getattr(self, name)
            if value <= 0:
                raise ConfigError(f"{name} must be more than 0, not {value}")
