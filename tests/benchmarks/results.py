"""What was measured, as a table and as JSON."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from smdecl.progress import STAGES

from tests.benchmarks.measure import Memory, Run

_HEADER = ("case", "", "s", "ratio", "CPU s", "process MiB", "all MiB", "written MiB")
_SMALL = 10 * 2**20  # bytes


@dataclass(frozen=True)
class Measured:
    """A command with its runs; medians of them."""

    label: str
    runs: tuple[Run, ...]
    memory: Memory | None

    @property
    def seconds(self) -> float:
        return statistics.median(run.seconds for run in self.runs)

    @property
    def cpu(self) -> float:
        return statistics.median(run.cpu for run in self.runs)

    @property
    def written(self) -> float:
        return statistics.median(run.written for run in self.runs)

    @property
    def stages(self) -> dict[str, float]:
        """Stage to its median of seconds, and `other` for what belongs to no stage."""
        if not self.runs[0].stages:
            return {}
        medians = {}
        for name in STAGES:
            if name in self.runs[0].stages:
                medians[name] = statistics.median(run.stages[name] for run in self.runs)
        return {**medians, "other": max(0.0, self.seconds - sum(medians.values()))}


@dataclass(frozen=True)
class Result:
    """A case with what was measured: smdecl first, then what it is compared with."""

    name: str
    title: str
    measured: tuple[Measured, ...]

    @property
    def ratio(self) -> float | None:
        """smdecl's seconds over those of the first command beside it."""
        if len(self.measured) == 1:
            return None
        return self.measured[0].seconds / self.measured[1].seconds


@dataclass(frozen=True)
class Grown:
    """CPU seconds at three sizes."""

    name: str
    sizes: tuple[int, ...]
    cpu: tuple[float, ...]

    @property
    def exponent(self) -> float | None:
        """The k of `a + b * size ** k`; None if the cost does not grow, or noise hides it.

        A fixed cost cancels: the sizes have one common factor, so the differences have the ratio
        `factor ** k`.
        """
        first, second, third = self.cpu
        if not first < second < third:
            return None
        factor = self.sizes[1] / self.sizes[0]
        return math.log((third - second) / (second - first), factor)


def table(results: Sequence[Result]) -> str:
    """Returns a Markdown table, a line per command."""
    rows = [_HEADER, ("---",) * len(_HEADER)]
    for result in results:
        rows += _rows(result)
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def ratio_text(ratio: float) -> str:
    """Returns a ratio with at least two digits that count."""
    digits = 3 if ratio < 0.1 else 2
    return f"{ratio:.{digits}f} x"


def _rows(result: Result) -> Iterator[tuple[str, ...]]:
    own = result.measured[0].seconds
    for index, one in enumerate(result.measured):
        ratio = "" if index == 0 else ratio_text(own / one.seconds)
        process = _mebibytes(one.memory.process if one.memory else None)
        together = _mebibytes(one.memory.total if one.memory else None)
        yield (
            "" if index else result.title,
            one.label,
            f"{one.seconds:.2f}",
            ratio,
            f"{one.cpu:.2f}",
            process,
            together,
            _mebibytes(one.written),
        )


def _mebibytes(size: float | None) -> str:
    if size is None:
        return ""
    return f"{size / 2**20:,.1f}" if size < _SMALL else f"{size / 2**20:,.0f}"


def stages_table(results: Sequence[Result]) -> str:
    """Returns a Markdown table of the seconds of each stage."""
    staged = [result for result in results if result.measured[0].stages]
    if not staged:
        return ""
    names = list(staged[0].measured[0].stages)
    rows = [("seconds", *names), ("---",) * (len(names) + 1)]
    for result in staged:
        stages = result.measured[0].stages
        rows.append((result.title, *(f"{stages.get(name, 0):.2f}" for name in names)))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def growth_table(grown: Sequence[Grown]) -> str:
    """Returns a Markdown table of the CPU seconds at each size, and of their exponents."""
    if not grown:
        return ""
    lines = ["| growth with | sizes | CPU s | exponent |\n", "| --- | --- | --- | --- |\n"]
    for one in grown:
        exponent = "none" if one.exponent is None else f"{one.exponent:.2f}"
        sizes, cpu = ", ".join(map(str, one.sizes)), ", ".join(f"{value:.2f}" for value in one.cpu)
        lines.append(f"| {one.name} | {sizes} | {cpu} | {exponent} |\n")
    return "".join(lines)


def as_json(results: Sequence[Result], grown: Sequence[Grown], machine: dict[str, Any]) -> Any:
    """Returns all runs and their medians, as JSON has them."""
    return {
        "machine": machine,
        "cases": [_case(result) for result in results],
        "growth": [{**asdict(one), "exponent": one.exponent} for one in grown],
    }


def cases(document: dict[str, Any]) -> list[Result]:
    """Returns the cases of what `as_json` has written."""
    found = []
    for case in document["cases"]:
        measured = tuple(_measured(command) for command in case["commands"])
        found.append(Result(case["name"], case["title"], measured))
    return found


def _measured(command: dict[str, Any]) -> Measured:
    runs = tuple(Run(**run) for run in command["runs"])
    memory = command["memory"]
    return Measured(command["label"], runs, None if memory is None else Memory(**memory))


def growths(document: dict[str, Any]) -> list[Grown]:
    """Returns the growths of what `as_json` has written."""
    found = []
    for grown in document["growth"]:
        found.append(Grown(grown["name"], tuple(grown["sizes"]), tuple(grown["cpu"])))
    return found


def _case(result: Result) -> dict[str, Any]:
    commands = []
    for one in result.measured:
        medians = {"seconds": one.seconds, "cpu": one.cpu, "written": one.written}
        commands.append({**asdict(one), "median": {**medians, "stages": one.stages}})
    return {"name": result.name, "title": result.title, "ratio": result.ratio, "commands": commands}
