"""Prints the outcomes of the variants of a sweep."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from smdecl.cli import report
from smdecl.errors import SmdeclError
from smdecl.pipeline.sweep import SUMMARY, CheckedVariant
from smdecl.pipeline.variants import Variant, failed
from smdecl.printing import as_line

_NARROWEST = 120  # columns


def _label(overrides: Iterable[str], common: Collection[str]) -> str:
    """Returns the overrides of a variant that not all variants share."""
    return " ".join(each for each in overrides if each not in common)


def tell(variant: Variant, common: Collection[str]) -> Variant:
    """Prints the path of a variant's release, or its errors.

    Args:
        variant: The variant.
        common: The overrides that all variants share.

    Returns:
        The variant; as a failure if standard output cannot be written.
    """
    name = _label(variant.overrides, common)
    if variant.exit_code != 0 or variant.path is None:
        report.warn(variant.warnings, name)
        report.failed(
            variant.exit_code, variant.errors, variant.traceback, name
        )
        return variant
    try:
        report.result_of(variant.path, variant.warnings, name)
    except (
        SmdeclError
    ) as error:  # standard output is gone; the other variants go on
        report.error(error, name)
        return failed(variant, error)
    return variant


def tell_checked(
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
    """Prints a line for each variant to standard error."""
    console = Console(stderr=True)
    console.width = max(console.width, _NARROWEST)
    # As Text: overrides and errors contain brackets, which would be markup in a plain string.
    title = Text(f"{directory}/{SUMMARY}")
    table = Table(
        "variant",
        "exit",
        "seconds",
        "release",
        title=title,
        title_justify="left",
    )
    for variant in results:
        table.add_row(
            Text(as_line(_label(variant.overrides, common))),
            str(variant.exit_code),
            f"{variant.seconds:.1f}",
            Text(as_line(variant.path or variant.errors[0])),
            style="" if variant.exit_code == 0 else "red",
        )
    # A table that cannot be written to standard error does not fail the sweep.
    with contextlib.suppress(OSError):
        console.print(table)
