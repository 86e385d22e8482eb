"""What runs in every system that is measured: tasks that write down when they begin and end."""

from __future__ import annotations

import itertools
from pathlib import Path

TASKS = 1000
TASK_S = 0.05


def noted(number: int, path: str, nap_s: float = TASK_S) -> int:
    """Write a line at the begin and at the end of a short sleep, and return a known answer."""
    import os
    import time

    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(file, f"{time.time():.6f} begin {number}\n".encode())
    time.sleep(nap_s)  # the work of the task
    os.write(file, f"{time.time():.6f} end {number}\n".encode())
    os.close(file)
    return number * number


class Ran:
    """What the tasks of one job wrote.

    Attributes:
        begins, ends: (seconds of the wall clock, task), in order.
    """

    def __init__(self, path: Path) -> None:
        lines = sorted(line.split() for line in path.read_text().splitlines()) if path.exists() else []
        self.begins = [(float(words[0]), int(words[2])) for words in lines if words[1] == "begin"]
        self.ends = [(float(words[0]), int(words[2])) for words in lines if words[1] == "end"]

    def executions_per_task(self) -> float:
        """Return how often a task that began at all has begun, on the average."""
        tasks = {task for _, task in self.begins}
        return len(self.begins) / max(len(tasks), 1)

    def first_begin(self, after: float) -> float:
        """Return when the first task began after a moment, infinity when none did."""
        return min([moment for moment, _ in self.begins if moment > after], default=float("inf"))

    def longest_gap_s(self, after: float) -> float:
        """Return the longest time without a beginning, from a moment to the last beginning."""
        moments = [after, *[moment for moment, _ in self.begins if moment > after]]
        return max([late - early for early, late in itertools.pairwise(moments)], default=0.0)

    def again(self, before: float) -> int:
        """Return how many tasks that had ended before a moment began once more after it."""
        ended = {task for moment, task in self.ends if moment < before}
        return len({task for moment, task in self.begins if moment > before and task in ended})
