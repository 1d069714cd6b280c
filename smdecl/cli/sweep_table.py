"""Prints what became of the variants of a sweep."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from smdecl.cli import report
from smdecl.errors import SmdeclError
from smdecl.pipeline.sweep import SUMMARY, CheckedVariant
from smdecl.pipeline.variants import Variant, failed
from smdecl.printing import as_line


def tell(variant: Variant) -> Variant:
    """Prints the path of a variant's release, or its errors; returns the variant as it stands then."""
    name = " ".join(variant.overrides)
    if variant.exit_code == 0 and variant.path is not None:
        try:
            report.result_of(variant.path, variant.warnings, name)
        except (
            SmdeclError
        ) as error:  # standard output is gone; the other variants go on
            variant = failed(variant, error)
            report.error(error, name)
    else:
        report.warn(variant.warnings, name)
        report.failed(variant.exit_code, variant.errors, variant.traceback, name)
    return variant


def tell_checked(checked: Iterable[CheckedVariant]) -> int:
    """Prints what is wrong with each variant, and returns the highest exit code."""
    highest = 0
    for variant in checked:
        name = " ".join(variant.overrides)
        report.warn(map(str, variant.warnings), name)
        if variant.error is not None:
            report.error(variant.error, name)
            highest = max(highest, variant.error.exit_code)
    return highest


def print_table(results: Sequence[Variant], directory: Path) -> None:
    """Prints a line for each variant to standard error."""
    console = Console(stderr=True)
    console.width = max(console.width, 120)
    table = Table(
        "variant",
        "exit",
        "seconds",
        "release",
        title=Text(f"{directory}/{SUMMARY}"),
        title_justify="left",
    )
    shared = (
        set.intersection(*(set(variant.overrides) for variant in results))
        if len(results) > 1
        else set()
    )
    for variant in results:
        own = " ".join(
            override for override in variant.overrides if override not in shared
        )
        style = "" if variant.exit_code == 0 else "red"
        outcome = variant.path or variant.errors[0]
        # As text: overrides and errors hold brackets, which would be markup.
        told = Text(as_line(outcome))
        table.add_row(
            Text(as_line(own)),
            str(variant.exit_code),
            f"{variant.seconds:.1f}",
            told,
            style=style,
        )
    with contextlib.suppress(
        OSError
    ):  # where standard error cannot be written, nobody can be told
        console.print(table)
