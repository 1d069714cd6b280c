"""Compares smdecl with what its users would run instead.

    python -m tests.benchmarks                          # all cases, 5 runs; an hour
    python -m tests.benchmarks adder resnet50 --runs 3  # some cases
    python -m tests.benchmarks growth-variables         # CPU time at three sizes

Every round runs each command of a case once, so that a slow phase of the machine affects all of
them. Writes benchmarks.json and benchmarks.svg, and prints tables of medians.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.benchmarks import measure, picture, results
from tests.benchmarks.cases import CASES, GROWTHS, Case, Command, Growth
from tests.benchmarks.results import Grown, Measured, Result

_PACKAGES = ("tensorflow", "keras", "hydra-core", "numpy")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    chosen = [case for case in CASES if _is_chosen(case.name, options)]
    growths = [growth for growth in GROWTHS if _is_chosen(f"growth-{growth.name}", options)]
    options.output.mkdir(parents=True, exist_ok=True)
    measured: list[Result] = []
    grown: list[Grown] = []
    for case in chosen:
        if not case.is_installed:
            _tell(f"{case.name}: left out, {case.needs} is not installed")
            continue
        _tell(case.name)
        measured.append(_measure(case, options.runs, options.memory))
        _write(options.output, measured, grown, options.runs)
    for growth in growths:
        _tell(f"growth-{growth.name}")
        grown.append(_grow(growth, options.runs))
        _write(options.output, measured, grown, options.runs)
    tables = [results.table(measured), results.stages_table(measured), results.growth_table(grown)]
    print("\n".join(filter(None, tables)), end="")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = [case.name for case in CASES] + [f"growth-{growth.name}" for growth in GROWTHS]
    parser = argparse.ArgumentParser(
        "python -m tests.benchmarks", description=__doc__, epilog=f"cases: {', '.join(names)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("cases", nargs="*", metavar="CASE", help="cases to measure (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (default: 5)")
    parser.add_argument(
        "--no-memory", dest="memory", action="store_false", help="skip the run that measures memory"
    )
    parser.add_argument("--output", type=Path, default=Path(), help="directory for the two files")
    options = parser.parse_args(arguments)
    if unknown := sorted({*options.cases} - {*names}):
        parser.error(f"unknown case {', '.join(unknown)}; expected some of {', '.join(names)}")
    return options


def _is_chosen(name: str, options: argparse.Namespace) -> bool:
    return not options.cases or name in options.cases


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _measure(case: Case, runs: int, with_memory: bool) -> Result:
    commands = (case.command, *case.beside)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        directory = Path(name)
        for command in case.prepare:
            measure.timed(command, directory)
        # Also brings what the commands read into the page cache, before anything is timed.
        measured_memory = measure.memory if with_memory else _no_memory
        memory = [measured_memory(command, directory) for command in commands]
        rounds = [[measure.timed(command, directory) for command in commands] for _ in range(runs)]
    columns = zip(*rounds, strict=True)
    together = zip(commands, columns, memory, strict=True)
    measured = [Measured(command.label, column, peaks) for command, column, peaks in together]
    return Result(case.name, case.title, tuple(measured))


def _no_memory(_command: Command, _directory: Path) -> None:
    return None


def _grow(growth: Growth, runs: int) -> Grown:
    cpu = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        for size in growth.sizes:
            command = growth.command(size)
            timed = [measure.timed(command, Path(name)) for _ in range(runs)]
            cpu.append(statistics.median(run.cpu for run in timed))
    return Grown(growth.name, growth.sizes, tuple(cpu))


def _write(directory: Path, measured: list[Result], grown: list[Grown], runs: int) -> None:
    """Writes what is measured so far, so that an interrupted benchmark is not lost."""
    document = results.as_json(measured, grown, _machine(runs))
    (directory / "benchmarks.json").write_text(json.dumps(document, indent=1) + "\n")
    (directory / "benchmarks.svg").write_text(picture.draw(measured), encoding="utf-8")


def _machine(runs: int) -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "runs": runs,
    }


if __name__ == "__main__":
    main()
