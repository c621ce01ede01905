"""What this machine is, and how many trials it trains at a time."""

import os
import platform
from pathlib import Path

# What a trial of a small model was seen to take at most, with TensorFlow.
BYTES_A_TRIAL = 1_500_000_000


def processor() -> str:
    """The name of the processor, as far as it can be told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    named = {name.strip(): value.strip() for name, value in fields.items()}
    # Equal names do not mean equal instructions, on virtual machines above all.
    return " ".join(named.get(name, "") for name in ("model name", "flags")).strip()


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
