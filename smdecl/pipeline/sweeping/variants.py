"""The variants of a sweep, and the record of each outcome."""

from __future__ import annotations

import contextlib
import json
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from smdecl import progress
from smdecl.errors import InternalError, Problem, PublishError, SmdeclError
from smdecl.isolation.groups import AbandonedError
from smdecl.pipeline.export import Release
from smdecl.progress import Run

_RESULT = "result.json"

Make: TypeAlias = Callable[[], Release]
"""Makes the release of a variant, or raises the reason why it cannot be made."""


@dataclass(frozen=True)
class Request:
    """A sweep to run.

    Attributes:
        overrides: The overrides of all variants, in Hydra's sweep syntax.
        config_dir: Directories of the user's own configs.
        config_name: The primary config.
        jobs: The number of variants that run at the same time; None for as many as
            there are cores and memory for.
        resume: The `sweep.json` of an earlier run, whose published variants are skipped; None to
            run all variants.
    """

    overrides: Sequence[str]
    config_dir: Sequence[str | Path]
    config_name: str
    jobs: int | None = None
    resume: Path | None = None


@dataclass(frozen=True)
class Variant:
    """The outcome of one variant of a sweep.

    Attributes:
        number: Its position in the sweep.
        overrides: Its overrides.
        exit_code: The exit code that a single export would have.
        path: The path of its release; None if it failed.
        digest: The digest of its release; None if it failed.
        errors: Its errors, as the command line prints them.
        seconds: The wall time.
        warnings: Its warnings, as the command line prints them.
        traceback: The part of the traceback in the user's own code, if that code failed.
        skipped: Whether an earlier run of the sweep, which was resumed, has published it.
        unchanged: Whether the same release was there, so that it was not published again.
    """

    number: int
    overrides: tuple[str, ...]
    exit_code: int
    path: str | None
    digest: str | None
    errors: tuple[str, ...]
    seconds: float
    warnings: tuple[str, ...] = ()
    traceback: str = ""
    skipped: bool = False
    unchanged: bool = False


Announce: TypeAlias = Callable[[Variant], object]
"""Prints the outcome of a variant."""


Note: TypeAlias = Callable[[str], object]
"""Prints a remark about a whole sweep."""


def ignore(_printed: object) -> None:
    """Prints nothing."""


def export(
    number: int, overrides: Sequence[str], directory: Path, make: Make
) -> Variant:
    """Runs one export, and writes its record for the process that started the sweep.

    Raises:
        AbandonedError: If it was abandoned; no record is written then.
    """
    with progress.variant(Run(number, tuple(overrides))):
        variant = _export(number, overrides, directory, make)
        progress.ended(has_failed=variant.exit_code != 0)
    return variant


def _export(
    number: int, overrides: Sequence[str], directory: Path, make: Make
) -> Variant:
    started = time.monotonic()
    variant = Variant(number, tuple(overrides), 0, None, None, (), 0.0)
    try:
        variant = _published(variant, make())
    except SmdeclError as error:
        variant = failed(variant, error)
    except AbandonedError:
        raise
    except Exception as error:
        variant = failed(variant, bug(error))
    variant = replace(variant, seconds=round(time.monotonic() - started, 3))
    try:
        write(directory / _RESULT, asdict(variant))
    except PublishError as error:
        variant = failed(variant, error)
    return variant


def bug(error: Exception) -> InternalError:
    """Returns an unexpected exception, to be called while it is handled, as an error of smdecl."""
    return InternalError(
        f"{type(error).__name__}: {error}", traceback.format_exc()
    )


def failing(error: SmdeclError) -> Make:
    """Returns a function that raises an error instead of making a release."""

    def make() -> Release:
        raise error

    return make


def failed(variant: Variant, error: SmdeclError) -> Variant:
    """Returns a variant with the error that it failed with."""
    return replace(
        variant,
        exit_code=error.exit_code,
        errors=tuple(map(str, error.problems)),
        warnings=(*variant.warnings, *map(str, error.warnings)),
        traceback=error.traceback_text,
    )


def _published(variant: Variant, release: Release) -> Variant:
    warnings = tuple(map(str, release.warnings))
    return replace(
        variant,
        path=str(release.path),
        digest=release.digest,
        warnings=warnings,
        unchanged=not release.is_new,
    )


def write(path: Path, value: object) -> None:
    """Writes a record of a sweep as JSON.

    Raises:
        PublishError: If it cannot be written.
    """
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a record of a sweep that is JSON already.

    Raises:
        PublishError: If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text)
    except OSError as error:
        reason = f"cannot write {str(path)!r}: {error.strerror}"
        message = f"{reason}; expected a directory that can be written"
        raise PublishError(
            Problem(("hydra", "sweep", "dir"), message)
        ) from error


def _replace(path: Path, text: str) -> None:
    """Writes a new file and renames it, so that a link at this path is not followed."""
    new = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with new.open("x", encoding="utf-8") as file:
            file.write(text)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def read(directory: Path) -> list[Variant]:
    """Returns the recorded variants of a sweep in order."""
    found = map(load, records(directory))
    return sorted(found, key=lambda variant: variant.number)


def records(directory: Path) -> Iterator[Path]:
    """Yields the files of the recorded variants of a sweep."""
    return directory.rglob(_RESULT)


def load(path: Path) -> Variant:
    """Returns the variant that a file records."""
    return of_record(json.loads(path.read_text(encoding="utf-8")))


def forget(directory: Path) -> None:
    """Removes the records of variants that an earlier sweep left in its directory."""
    for path in [*records(directory)]:
        path.unlink(missing_ok=True)
        if path.parent != directory:
            # Hydra may have saved the config of the variant there.
            with contextlib.suppress(OSError):
                path.parent.rmdir()


def of_record(record: Mapping[str, Any]) -> Variant:
    """Returns a variant from its record, as it was read from JSON."""
    values: dict[str, Any] = {}
    for key, value in record.items():
        values[key] = tuple(value) if isinstance(value, list) else value
    return Variant(**values)
