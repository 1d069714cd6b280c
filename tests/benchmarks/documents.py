"""Writes what was measured as Markdown, for the README and docs/performance.md."""

from collections.abc import Iterator
from typing import Any

from tests.benchmarks import results
from tests.benchmarks.results import Result

_ALT = "The time of a verified export by stage, relative to a plain script that only saves"

# The README has room for some; docs/performance.md has them all.
_IN_README = ("adder", "variables-500", "resnet50", "efficientnetb0", "gib-0.5", "sweep-32")


def readme(document: dict[str, Any]) -> Iterator[str]:
    """Yields the lines of the README: the picture, and a line for some cases."""
    measured = results.cases(document)
    yield f"{_machine(document)} ([details](docs/performance.md)):"
    yield ""
    yield f"![{_ALT}](docs/benchmarks/benchmarks.svg)"
    yield ""
    yield "| case | compared with | its seconds | smdecl | ratio |"
    yield "| --- | --- | --- | --- | --- |"
    for result in measured:
        if result.name in _IN_README and result.ratio is not None:
            yield _line(result, result.ratio)


def _line(result: Result, ratio: float) -> str:
    own, beside, *_ = result.measured
    seconds = f"{beside.seconds:.2f} | {own.seconds:.2f}"
    return f"| {result.title} | {_cell(beside.label)} | {seconds} | {results.ratio_text(ratio)} |"


def _cell(label: str) -> str:
    is_command = label.startswith(("python ", "saved_model_cli "))
    return f"`{label}`" if is_command else label


def performance(document: dict[str, Any]) -> Iterator[str]:
    """Yields the lines of docs/performance.md: the picture, and all tables."""
    measured = results.cases(document)
    yield ""
    yield f"{_machine(document)}:"
    yield ""
    yield f"![{_ALT}](benchmarks/benchmarks.svg)"
    yield ""
    yield from results.table(measured).splitlines()
    yield ""
    yield "The seconds of each stage:"
    yield ""
    yield from results.stages_table(measured).splitlines()
    yield ""
    yield "How the CPU time of all processes grows:"
    yield ""
    yield from results.growth_table(results.growths(document)).splitlines()
    yield ""


def _machine(document: dict[str, Any]) -> str:
    machine = document["machine"]
    packages = machine["packages"]
    python = ".".join(machine["python"].split(".")[:2])
    versions = f"TensorFlow {packages['tensorflow']}, Keras {packages['keras']}, Python {python}"
    return f"Medians of {machine['runs']} runs on {machine['cores']} cores, with {versions}"
