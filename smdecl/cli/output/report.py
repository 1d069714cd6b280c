"""Reports an export to a person: results on standard output, the rest on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smdecl.errors import PublishError, SmdeclError
from smdecl.printing import as_line

# It leads to Hydra, which is imported after the start of TensorFlow.
if TYPE_CHECKING:
    from smdecl.pipeline.export import Release


def release(published: Release) -> None:
    """Prints the path of a release, and its warnings.

    Raises:
        PublishError: If standard output cannot be written; the release stays published.
    """
    path = str(published.path)
    if not published.is_new:
        unchanged(path)
    result_of(path, list(map(str, published.warnings)))


def unchanged(path: str, variant: str = "") -> None:
    """Says that a release was published already, because `publish.unchanged` is `skip`."""
    message = (
        f"nothing changed: {path} is the same release, so nothing is published"
    )
    note([message], variant)


def result_of(path: str, warnings: Sequence[str], variant: str = "") -> None:
    """Prints the path of a release, and its warnings.

    Args:
        path: The path of the release.
        warnings: Its warnings.
        variant: The overrides of a variant of a sweep, to begin each line of standard error with.

    Raises:
        PublishError: If standard output cannot be written; the release stays published.
    """
    warn(warnings, variant)
    try:
        result(f"{path}\n")
    except PublishError as refusal:
        raise PublishError(
            f"published {path}, but {refusal}"
        ) from refusal.__cause__


def warn(warnings: Iterable[str], variant: str = "") -> None:
    """Prints warnings."""
    for warning in warnings:
        _print(as_line(f"smdecl: {_prefix(variant)}warning: {warning}"))


def note(texts: Iterable[str], variant: str = "") -> None:
    """Prints what is neither a result nor a problem."""
    for text in texts:
        _print(as_line(f"smdecl: {_prefix(variant)}{text}"))


def result(text: str) -> None:
    """Prints the result of a verb.

    Raises:
        PublishError: If standard output cannot be written.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as refusal:
        # Otherwise the interpreter tries to flush it again at exit.
        sys.stdout = sys.stderr
        raise PublishError(
            f"cannot write to standard output: {refusal}"
        ) from refusal


def error(failure: SmdeclError, variant: str = "") -> None:
    """Prints the warnings and problems of an error, and the user's part of the traceback."""
    warn(map(str, failure.warnings), variant)
    problems = list(map(str, failure.problems))
    failed(failure.exit_code, problems, failure.traceback_text, variant)


def failed(
    exit_code: int,
    errors: Sequence[str],
    traceback_text: str,
    variant: str = "",
) -> None:
    """Prints the problems of an error, after the user's part of the traceback."""
    if traceback_text:
        lines = traceback_text.rstrip().split("\n")
        _print("\n".join(map(as_line, lines)))
    bug = "this is a bug in smdecl: " if exit_code == 1 else ""
    for problem in errors:
        _print(as_line(f"smdecl: {_prefix(variant)}error: {bug}{problem}"))


def _print(text: str) -> None:
    try:
        # At once: the variants of a sweep may print at the same time.
        sys.stderr.write(f"{text}\n")
    except OSError:
        # Otherwise the interpreter tries to flush it again at exit, and exits with 120.
        null = Path(os.devnull)
        sys.stderr = null.open(
            "w", encoding="utf-8", errors="backslashreplace"
        )


def _prefix(variant: str) -> str:
    return f"{variant}: " if variant else ""
