"""Measures smdecl against the plain script, in turn, and prints a table of medians: python tests/benchmarks/run.py.

Every round runs each command once, one after the other, so that a slow spell of the machine falls on all of them.
"""

import argparse
import itertools
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SWEEP = ["-m", "model=scaler", "model.factor=1,2,3,4", "signatures=scalar_float,vector_float"]


def commands(directory: Path) -> dict[str, list[str]]:
    python = sys.executable
    script = [python, str(HERE / "plain_adder.py")]
    return {
        "plain script: import, define, save": [*script, str(directory / "plain")],
        "smdecl: the same, verified, with a manifest": [python, "-m", "smdecl", "model=adder"],
        "plain scripts for 8 variants": [
            "bash",
            "-c",
            f'for n in {{1..8}}; do {shlex.join(script)} "plain$n" || exit; done',
        ],
        "smdecl: a sweep of 8 variants": [python, "-m", "smdecl", *SWEEP],
        'python -c "import hydra"': [python, "-c", "import hydra"],
        "smdecl check": [python, "-m", "smdecl", "check"],
    }


def measure(command: list[str], directory: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=directory, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        runs = commands(Path(name))
        for command in runs.values():  # warms the disk cache
            measure(command, Path(name))
        times: dict[str, list[float]] = {label: [] for label in runs}
        for _, (label, command) in itertools.product(range(rounds), runs.items()):
            times[label].append(measure(command, Path(name)))
    medians = {label: statistics.median(values) for label, values in times.items()}
    plain, export, plains, sweep, hydra, check = medians.values()
    ratios = ["", f"{export / plain:.2f} x the plain script", "",
              f"{sweep / plains:.2f} x the plain scripts, {sweep / export:.2f} x one export", "",
              f"{check / hydra:.2f} x import hydra"]  # fmt: skip
    print(f"| median of {rounds} | seconds | |\n| --- | --- | --- |")
    for (label, median), ratio in zip(medians.items(), ratios, strict=True):
        print(f"| {label} | {median:.2f} | {ratio} |")


if __name__ == "__main__":
    main()
