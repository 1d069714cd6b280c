"""Draws the ratio of each export to its plain script, as a bar of its stages."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tests.benchmarks.results import Result

_TEMPLATE = "picture.svg"
_WIDTH = 420  # of the plain script's bar
_ROW = 26
_COLORS = {
    "compose": "#bcbd22",
    "check": "#8c564b",
    "inputs": "#c7c7c7",
    "start": "#9ecae1",
    "build": "#4e79a7",
    "trace": "#76b7b2",
    "save": "#f28e2b",
    "inspect": "#edc948",
    "examples": "#b07aa1",
    "sources": "#ff9da7",
    "seal": "#9c755f",
    "verify": "#59a14f",
    "publish": "#e15759",
    "other": "#bab0ac",
}


@dataclass(frozen=True)
class Part:
    """A part of a bar, in pixels."""

    stage: str
    color: str
    left: float
    width: float
    seconds: float


@dataclass(frozen=True)
class Bar:
    """A bar, and the place of its upper edge."""

    title: str
    ratio: float
    top: int
    end: float
    parts: tuple[Part, ...]


def draw(results: Sequence[Result]) -> str:
    """Returns an SVG of the cases that have stages."""
    drawn = [result for result in results if result.ratio and result.measured[0].stages]
    bars = [_bar(result, number) for number, result in enumerate(drawn)]
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        autoescape=True,
        loader=loader,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template(_TEMPLATE)
    longest = max((bar.end for bar in bars), default=_WIDTH)
    return template.render(bars=bars, colors=_COLORS, plain=_WIDTH, row=_ROW, longest=longest)


def _bar(result: Result, number: int) -> Bar:
    ratio = result.ratio
    assert ratio is not None
    plain = result.measured[1].seconds
    left, parts = 0.0, []
    for stage, seconds in result.measured[0].stages.items():
        width = _WIDTH * seconds / plain
        parts.append(Part(stage, _COLORS.get(stage, _COLORS["other"]), left, width, seconds))
        left += width
    return Bar(result.title, ratio, number * _ROW, left, tuple(parts))
