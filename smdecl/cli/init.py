"""Starts a project that uses smdecl: writes its files and replaces none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from smdecl import resources
from smdecl.errors import PublishError, UsageError

_SCHEMAS = Path(".smdecl/schemas")
# Files that most repositories have already; they stay as they are.
_KEPT = (".gitignore", "README.md", "pyproject.toml")


def init(directory: Path) -> tuple[list[Path], list[Path]]:
    """Writes the files of a new project into a directory, which is made if necessary.

    Returns:
        The files that were written, and those that existed and were kept.

    Raises:
        UsageError: If a file exists that cannot be kept; nothing is written then.
        PublishError: If a file cannot be written; none of them is left.
    """
    template = resources.start_dir()
    names = _names(template)
    existing = [name for name in names if os.path.lexists(directory / name)]
    taken = [
        str(directory / name) for name in existing if str(name) not in _KEPT
    ]
    if taken:
        hint = (
            "expected a directory without these files; none is ever replaced"
        )
        raise UsageError(f"already exists: {', '.join(taken)}; {hint}")
    missing = [name for name in names if name not in existing]
    with _all_or_none(directory) as made:
        for name in missing:
            _make_directories((directory / name).parent, made)
            _write(directory / name, (template / name).read_bytes(), made)
        schemas = _write_schemas(directory, made)
    written = [directory / name for name in missing]
    kept = [directory / name for name in existing]
    return sorted([*written, schemas]), kept


def _names(template: Path) -> list[Path]:
    names = []
    for path in template.rglob("*"):
        name = path.relative_to(template)
        if path.is_file() and "__pycache__" not in name.parts:
            names.append(name)
    return sorted(names)


def refresh_schemas(directory: Path) -> Path:
    """Replaces a project's schemas of config files, and returns their directory.

    Raises:
        PublishError: If one cannot be written.
    """
    with _all_or_none(directory) as made:
        return _write_schemas(directory, made)


def _write_schemas(directory: Path, made: ExitStack) -> Path:
    """Copies the schemas into the project, so that editors find them without a network."""
    target = directory / _SCHEMAS
    _make_directories(target, made)
    for schema in sorted(resources.file_schema_dir().glob("*.json")):
        (target / schema.name).unlink(missing_ok=True)
        _write(target / schema.name, schema.read_bytes(), made)
    return target


@contextmanager
def _all_or_none(directory: Path) -> Iterator[ExitStack]:
    """Yields a stack of steps that undo what was made; runs them if any of it fails."""
    with ExitStack() as made:
        try:
            yield made
        except OSError as error:
            # The error of a write has no file name.
            place = error.filename or directory
            reason = f"cannot write {place}: {error.strerror}"
            hint = "expected a directory that can be written"
            raise PublishError(f"{reason}; {hint}") from error
        made.pop_all()


def _make_directories(directory: Path, made: ExitStack) -> None:
    missing = [
        path for path in (directory, *directory.parents) if not path.exists()
    ]
    for path in reversed(missing):
        path.mkdir()
        made.callback(_undo, path.rmdir)


def _write(path: Path, content: bytes, made: ExitStack) -> None:
    with path.open("xb") as file:
        made.callback(_undo, path.unlink)
        file.write(content)


def _undo(remove: Callable[[], None]) -> None:
    # Best effort: the original error is the one reported.
    with suppress(OSError):
        remove()
