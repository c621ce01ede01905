"""Measuring several things in turns, so that whatever else the machine does meets all alike."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any


def take_turns(description: str, kinds: dict[str, Callable[[], Any]]) -> dict[str, list]:
    """The main part of a benchmark: each kind is measured once a round, in a process of its own.

    Args:
        description: for `--help`.
        kinds: by name, a function that measures and returns what it found, as JSON can hold it.

    Returns:
        By kind, what each round found.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each kind (5)")
    parser.add_argument("--kind", choices=kinds, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.kind is not None:  # this is such a process
        print(json.dumps(kinds[flags.kind]()))
        sys.exit()

    found = {kind: [] for kind in kinds}
    for number in range(flags.rounds):
        for kind, values in found.items():
            command = [sys.executable, sys.argv[0], "--kind", kind]
            output = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ).stdout
            values.append(json.loads(output.splitlines()[-1]))
            print(f"round {number + 1}: {kind} {values[-1]}", file=sys.stderr)
    return found
