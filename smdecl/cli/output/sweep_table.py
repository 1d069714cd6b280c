"""Prints the outcomes of the variants of a sweep."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from smdecl.cli.output import report, text_width
from smdecl.errors import SmdeclError
from smdecl.pipeline.sweeping import sweep_summary
from smdecl.pipeline.sweeping.sweep import CheckedVariant
from smdecl.pipeline.sweeping.variants import Variant
from smdecl.printing import as_line

# Columns, outside a terminal; the whole error is printed above the table.
_MOST_OF_ERROR = 80
_MOST_COLUMNS = 1_000_000  # a row has two lines, of 20,000 characters each


@dataclass(frozen=True)
class _Row:
    """What the table has about a variant.

    Attributes:
        name: Its overrides.
        exit_code: Its exit code.
        seconds: How long it took.
        release: The path of its release, or its errors.
    """

    name: str
    exit_code: str
    seconds: str
    release: str

    @property
    def style(self) -> str:
        return "" if self.exit_code == "0" else "red"


def _label(overrides: Iterable[str], common: Collection[str]) -> str:
    """Returns the overrides of a variant that not all variants share."""
    return " ".join(each for each in overrides if each not in common)


def announce(variant: Variant, common: Collection[str]) -> int:
    """Prints the path of a variant's release, or its errors.

    Args:
        variant: The variant.
        common: The overrides that all variants share.

    Returns:
        Its exit code; if its path cannot be printed, the one of that failure.
    """
    name = _label(variant.overrides, common)
    if variant.exit_code != 0 or variant.path is None:
        report.warn(variant.warnings, name)
        report.failed(
            variant.exit_code, variant.errors, variant.traceback, name
        )
        return variant.exit_code
    try:
        if variant.unchanged:
            report.unchanged(variant.path, name)
        # The earlier run has printed the warnings of a skipped variant.
        warnings = () if variant.skipped else variant.warnings
        report.result_of(variant.path, warnings, name)
    except SmdeclError as error:
        # Standard output is gone; the variant stays published, and the others go on.
        report.error(error, name)
        return error.exit_code
    return 0


def print_checked(
    checked: Iterable[CheckedVariant], common: Collection[str]
) -> int:
    """Prints the errors of each variant, and returns the highest exit code."""
    highest = 0
    for variant in checked:
        name = _label(variant.overrides, common)
        report.warn(map(str, variant.warnings), name)
        if variant.error is not None:
            report.error(variant.error, name)
            highest = max(highest, variant.error.exit_code)
    return highest


def print_table(
    results: Sequence[Variant], directory: Path, common: Collection[str]
) -> None:
    """Prints the outcome of each variant to standard error, as wide as its terminal."""
    is_terminal = sys.stderr.isatty()
    most = _MOST_COLUMNS if is_terminal else _MOST_OF_ERROR
    rows = [_row(variant, common, most) for variant in results]
    console = Console(stderr=True)
    table = _table(rows)
    unlimited = console.options.update(max_width=_MOST_COLUMNS)
    needed = console.measure(table, options=unlimited).maximum
    if not is_terminal:
        console.width = needed
    elif needed > console.width:
        table = _narrow_table(rows)
    # As Text: overrides and errors contain brackets, which would be markup in a plain string.
    place = Text(f"{directory / sweep_summary.NAME}")
    # A table that cannot be written to standard error does not fail the sweep.
    with contextlib.suppress(OSError):
        console.print(place, soft_wrap=True)
        console.print(table)


def _row(variant: Variant, common: Collection[str], most: int) -> _Row:
    seconds = "skipped" if variant.skipped else f"{variant.seconds:.1f}"
    return _Row(
        as_line(_label(variant.overrides, common)),
        str(variant.exit_code),
        seconds,
        as_line(variant.path or _errors(variant, most)),
    )


def _errors(variant: Variant, most: int) -> str:
    """Returns the first error of a variant, at most this wide, and how many more it has."""
    first, *others = variant.errors
    more = f" and {len(others)} more" if others else ""
    return text_width.cut(as_line(first), most) + more


def _table(rows: Iterable[_Row]) -> Table:
    """Returns a table with a line for each variant."""
    table = Table("variant", "exit", "seconds", "release")
    for row in rows:
        name, release = Text(row.name), Text(row.release)
        table.add_row(
            name, row.exit_code, row.seconds, release, style=row.style
        )
    return table


def _narrow_table(rows: Iterable[_Row]) -> Table:
    """Returns a table with the name and the release of each variant below each other."""
    table = Table("exit", "seconds", box=None, pad_edge=False)
    table.add_column("variant and release", overflow="fold")
    for row in rows:
        text = Text("\n".join(filter(None, [row.name, row.release])))
        table.add_row(row.exit_code, row.seconds, text, style=row.style)
    return table
