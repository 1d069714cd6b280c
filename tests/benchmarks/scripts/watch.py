"""Measures `--watch` from the save of a file to the answer: python watch.py VERB.

Prints the median of several saves, after the first answers.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

WARM_UP, SAVES = 2, 5
CONFIG = Path("conf/model/mine.yaml")
# How the line begins that answers a save.
ANSWERS = {"check": "ok", "plan": "unchanged", "export": "out/smdecl/"}


def main(verb: str) -> None:
    save(0)
    command = ["smdecl", verb, "--watch", "--config-dir", "conf", "model=mine"]
    with subprocess.Popen(
        [sys.executable, "-m", *command, "export_dir=out/smdecl"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        try:
            await_line(process, "smdecl: waiting")
            runs = [measured(process, ANSWERS[verb], factor) for factor in factors()]
        finally:
            process.terminate()  # an interrupt is ignored in the background of a shell
    seconds, cpu = (statistics.median(column) for column in zip(*runs[WARM_UP:], strict=True))
    Path("measured.json").write_text(json.dumps({"seconds": seconds, "cpu": cpu}))


def factors() -> range:
    return range(1, 1 + WARM_UP + SAVES)


def measured(process: subprocess.Popen[str], answer: str, factor: int) -> tuple[float, float]:
    cpu, started = cpu_of(process.pid), perf_counter()
    save(factor)
    await_line(process, answer)
    return perf_counter() - started, cpu_of(process.pid) - cpu


def save(factor: int) -> None:
    CONFIG.parent.mkdir(parents=True, exist_ok=True)
    new = CONFIG.with_suffix(".new")
    new.write_text(f"_target_: smdecl.models.Scaler\nfactor: {factor}.0\n")
    new.replace(CONFIG)


def await_line(process: subprocess.Popen[str], start: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(start):
            return
    raise SystemExit(f"ended without a line {start!r}")


def cpu_of(root: int) -> float:
    """Returns the CPU seconds of a process, its descendants, and those that they waited for."""
    ticks = sum(sum(times) for times in map(times_of, tree(root)))
    return ticks / os.sysconf("SC_CLK_TCK")


def times_of(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # it has ended
        return []
    return list(map(int, text.rpartition(")")[2].split()[11:15]))


def tree(pid: int) -> Iterator[int]:
    yield pid
    for place in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in place.read_text().split():
            yield from tree(int(child))


if __name__ == "__main__":
    main(sys.argv[1])
