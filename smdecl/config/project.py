"""The project that smdecl runs in, and the settings in `[tool.smdecl]` of its pyproject.toml."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smdecl import files
from smdecl.errors import UsageError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_MOST_BYTES = 1 << 20  # of a pyproject.toml


@dataclass(frozen=True)
class Project:
    """The project that smdecl runs in.

    Attributes:
        root: The nearest directory upwards with a pyproject.toml, or the current directory.
        trusted: Packages outside the project that a config may name.
        environment: Environment variables that a config may read.
        custom_ops: Packages, and library files relative to `root`, that register the ops a release
            needs.
        confine: Whether the kernel confines the project's own code while it builds a model.
        reads: Files and directories outside `root` that this code may read then.
        writes: Directories outside `root` in which a config may name files to write.
        is_project: Whether code and files below `root` are the project's. They are not if `root` is
            `/` or a home directory without a pyproject.toml, which may contain anything.
    """

    root: Path
    trusted: frozenset[str] = frozenset()
    environment: frozenset[str] = frozenset()
    custom_ops: tuple[str, ...] = ()
    confine: bool = False
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    is_project: bool = True

    def owns(self, place: Path) -> bool:
        """Returns whether a path is inside the project once all links are followed."""
        # Not by Path.resolve, which raises at a loop of links.
        real = Path(os.path.realpath(place))
        return self.is_project and real.is_relative_to(self.root)

    @property
    def file(self) -> Path:
        """The file that declares these settings."""
        return self.root / "pyproject.toml"


def find_project(directory: Path, trust: Sequence[str] = ()) -> Project:
    """Returns the project of `directory`, with the settings of its pyproject.toml.

    Args:
        directory: Where smdecl runs.
        trust: Further packages to trust.

    Raises:
        UsageError: If the pyproject.toml cannot be read or has invalid settings, or if a name in
            `trust` is not a package name.
    """
    for name in trust:
        if not name.isidentifier():
            expected = "expected the name of a top-level package"
            raise UsageError(f"--trust: {expected}, got {name!r}")
    root = project_root(directory)
    pyproject = root / "pyproject.toml"
    settings = _settings(pyproject)
    return Project(
        root,
        trusted=frozenset([*settings["trust"], *trust]),
        environment=frozenset(settings["environment"]),
        custom_ops=tuple(dict.fromkeys(settings["custom_ops"])),
        confine=settings["confine"],
        reads=_paths(root, settings["reads"]),
        writes=_paths(root, settings["writes"]),
        is_project=pyproject.is_file() or not is_shared(root),
    )


def _paths(root: Path, names: Sequence[str]) -> tuple[Path, ...]:
    return tuple(root / Path(name).expanduser() for name in names)


def is_shared(root: Path) -> bool:
    """Returns whether a directory is `/` or the home directory, which may contain anything."""
    # Not by Path.home, which raises if the home directory is unknown.
    home = Path(os.path.expanduser("~"))  # noqa: PTH111
    return root in (Path("/"), home.resolve())


def project_root(directory: Path) -> Path:
    """Returns the nearest directory upwards with a pyproject.toml, or the directory itself."""
    here = directory.resolve()
    for path in (here, *here.parents):
        if (path / "pyproject.toml").is_file():
            return path
    return here


def link_places(config_dirs: Iterable[Path], here: Path) -> tuple[Path, ...]:
    """Returns the directories that links to configs may lead into.

    Args:
        config_dirs: The user's config directories, without links in their paths.
        here: A directory in the project.
    """
    return (*config_dirs, project_root(here))


def is_library(name: str) -> bool:
    """Returns whether an entry of custom_ops is a library file rather than a package."""
    return "/" in name or _LIBRARY.search(name) is not None


def _is_custom_op(name: str) -> bool:
    if is_library(name):
        # A release must not depend on the paths of one machine.
        return not name.startswith(("/", "~"))
    return all(part.isidentifier() for part in name.split("."))


_LIBRARY = re.compile(r"\.so(\.\d+)*$")


@dataclass(frozen=True)
class _Setting:
    """A key of `[tool.smdecl]`.

    Attributes:
        fits: Returns whether a value is valid.
        expected: The valid values in words.
        default: The value of an absent key.
    """

    fits: Callable[[object], bool]
    expected: str
    default: object = ()


def _list_of(fits: Callable[[str], bool]) -> Callable[[object], bool]:
    """Returns a check of a list of strings, each of which must fit."""

    def is_valid(value: object) -> bool:
        if not isinstance(value, list):
            return False
        return all(isinstance(item, str) and fits(item) for item in value)

    return is_valid


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


_SETTINGS = {
    "trust": _Setting(
        _list_of(str.isidentifier), "a list of top-level package names"
    ),
    "environment": _Setting(
        _list_of(str.isidentifier), "a list of names of environment variables"
    ),
    "custom_ops": _Setting(
        _list_of(_is_custom_op),
        "a list of packages and library files in the project, such as ops/libmine.so",
    ),
    "confine": _Setting(_is_bool, "true or false", default=False),
    "reads": _Setting(_list_of(bool), "a list of files and directories"),
    "writes": _Setting(_list_of(bool), "a list of directories"),
}


def _settings(pyproject: Path) -> dict[str, Any]:
    """Returns every setting of a pyproject.toml, with the defaults of absent ones."""
    declared = _declared(pyproject) if pyproject.is_file() else {}
    keys = ", ".join(_SETTINGS)
    place = f"{pyproject}: tool.smdecl"
    if not isinstance(declared, dict):
        raise UsageError(
            f"{place}: expected a table with the keys {keys}, got {declared!r}"
        )
    for key in declared:
        if key not in _SETTINGS:
            expected = f"expected one of {keys}{nearest(key, _SETTINGS)}"
            raise UsageError(f"{place}: unknown key {key!r}; {expected}")
    for key, setting in _SETTINGS.items():
        if key in declared and not setting.fits(declared[key]):
            message = f"expected {setting.expected}, got {declared[key]!r}"
            raise UsageError(f"{place}.{key}: {message}")
    return {
        key: declared.get(key, setting.default)
        for key, setting in _SETTINGS.items()
    }


def _declared(pyproject: Path) -> object:
    """Returns the table `tool.smdecl` of a pyproject.toml."""
    try:
        text = files.read_regular(pyproject, _MOST_BYTES).decode()
        document = tomllib.loads(text.replace("\r\n", "\n"))
    # ValueError includes what is not TOML or UTF-8, and integers that Python does not convert.
    except (ValueError, OSError, RecursionError) as error:
        raise UsageError(f"cannot read {pyproject}: {error}") from error
    tool = document.get("tool", {})
    return tool.get("smdecl", {}) if isinstance(tool, dict) else {}
