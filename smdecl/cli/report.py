"""Tells a person how an export went: results on standard output, all else on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smdecl.errors import PublishError, SmdeclError
from smdecl.printing import as_line

if TYPE_CHECKING:  # what leads to Hydra is imported after TensorFlow has been started
    from smdecl.pipeline.export import Release


def release(published: Release, variant: str = "") -> None:
    """Prints the path of a release, and its warnings; `variant` is what a sweep calls it.

    Raises:
        PublishError: Where standard output cannot be written; the release stands all the same.
    """
    result_of(str(published.path), list(map(str, published.warnings)), variant)


def result_of(path: str, warnings: Sequence[str], variant: str = "") -> None:
    """Prints the path of a release, and its warnings.

    Raises:
        PublishError: If standard output cannot be written; the release stays.
    """
    warn(warnings, variant)
    try:
        result(f"{path}\n")
    except PublishError as refusal:
        raise PublishError(f"published {path}, but {refusal}") from refusal.__cause__


def warn(warnings: Iterable[str], variant: str = "") -> None:
    """Prints warnings."""
    for warning in warnings:
        _tell(as_line(f"smdecl: {_named(variant)}warning: {warning}"))


def result(text: str) -> None:
    """Prints what a verb is asked for.

    Raises:
        PublishError: Where standard output cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as refusal:
        sys.stdout = (
            sys.stderr
        )  # or the interpreter would try once more to flush it, at exit
        raise PublishError(f"standard output cannot be written: {refusal}") from refusal


def error(failure: SmdeclError, variant: str = "") -> None:
    """Prints every problem of an error, after warnings, and the part of the traceback that is the user's own."""
    warn(map(str, failure.warnings), variant)
    failed(
        failure.exit_code,
        list(map(str, failure.problems)),
        failure.traceback_text,
        variant,
    )


def failed(
    exit_code: int, errors: Sequence[str], traceback_text: str, variant: str = ""
) -> None:
    """Prints the problems of an error, after the part of the traceback that is the user's own."""
    if traceback_text:
        _tell("\n".join(map(as_line, traceback_text.rstrip().split("\n"))))
    bug = "this is a bug in smdecl: " if exit_code == 1 else ""
    for problem in errors:
        _tell(as_line(f"smdecl: {_named(variant)}error: {bug}{problem}"))


def _tell(text: str) -> None:
    try:
        print(text, file=sys.stderr)
    except OSError:
        # There is nowhere to tell it; the interpreter would try once more to flush it, at exit, and exit with 120.
        null = Path(os.devnull)
        sys.stderr = null.open("w", encoding="utf-8", errors="backslashreplace")


def _named(variant: str) -> str:
    return f"{variant}: " if variant else ""
