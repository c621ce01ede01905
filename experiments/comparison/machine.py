"""What this machine is, and how many trials it trains at a time."""

import os
from pathlib import Path

# What a trial of a small model was seen to take at most, with TensorFlow.
BYTES_A_TRIAL = 1_500_000_000


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def best_workers(trials: int) -> int:
    """How many trials to train at a time: one a core, as far as there is memory.

    Two trials with a thread each take less time than one after the other with two threads each: a
    small model's operations are too small to be shared out well, and what begins and ends a
    training uses one core anyway.
    """
    workers = min(cores(), max(trials, 1))
    try:
        fields = dict(
            line.split(":", 1) for line in Path("/proc/meminfo").read_text("utf-8").splitlines()
        )
        available = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return workers
    return max(min(workers, available // BYTES_A_TRIAL), 1)
