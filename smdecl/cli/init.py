"""Starts a project that uses smdecl: writes its files, and touches none that is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from smdecl import resources
from smdecl.errors import PublishError, UsageError


def init(directory: Path) -> tuple[list[Path], list[Path]]:
    """Writes the files of a new project into a directory, which is made where it is not there.

    Returns:
        The files that were written, and those that most repositories have already and that were kept as they are.

    Raises:
        UsageError: Where another one is there already; nothing is written then.
        PublishError: Where one cannot be written; none of them is left.
    """
    template = resources.start_dir()
    names = sorted(
        path.relative_to(template) for path in template.rglob("*") if path.is_file()
    )
    names = [name for name in names if "__pycache__" not in name.parts]
    there = [name for name in names if os.path.lexists(directory / name)]
    if taken := [str(directory / name) for name in there if str(name) not in _KEPT]:
        raise UsageError(
            f"{', '.join(taken)}: there already, and nothing is replaced; takes a directory without them"
        )
    missing = [name for name in names if name not in there]
    with _all_or_none(directory) as made:
        for name in missing:
            _make_directories((directory / name).parent, made)
            _write(directory / name, (template / name).read_bytes(), made)
        schemas = _write_schemas(directory, made)
    written = [directory / name for name in missing]
    return sorted([*written, schemas]), [directory / name for name in there]


def refresh_schemas(directory: Path) -> Path:
    """Replaces a project's schemas of config files, and returns their directory.

    Raises:
        PublishError: Where one cannot be written.
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


_SCHEMAS = Path(".smdecl/schemas")


_KEPT = (".gitignore", "README.md", "pyproject.toml")


@contextmanager
def _all_or_none(directory: Path) -> Iterator[ExitStack]:
    """Yields a stack of what undoes what is made; it is undone where not all of it can be made."""
    with ExitStack() as made:
        try:
            yield made
        except OSError as error:
            place = error.filename or directory  # a write that fails names no file
            raise PublishError(
                f"{place}: {error.strerror}; takes a directory that can be written"
            ) from error
        made.pop_all()


def _make_directories(directory: Path, made: ExitStack) -> None:
    for path in reversed(
        [path for path in (directory, *directory.parents) if not path.exists()]
    ):
        path.mkdir()
        made.callback(_undo, path.rmdir)


def _write(path: Path, content: bytes, made: ExitStack) -> None:
    with path.open("xb") as file:
        made.callback(_undo, path.unlink)
        file.write(content)


def _undo(remove: Callable[[], None]) -> None:
    with suppress(OSError):  # what failed is told, and not what could not be undone
        remove()
