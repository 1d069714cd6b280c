"""The project that smdecl is run from, and what it declares in `[tool.smdecl]` of its pyproject.toml."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
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
    """The project that smdecl is run from.

    Attributes:
        root: The nearest directory upwards that has a pyproject.toml, or the directory itself.
        trusted: Packages outside it that a config may name.
        environment: Environment variables that a config may read.
        custom_ops: Packages, and library files relative to `root`, that register ops for whoever loads a release.
        confine: Whether the kernel confines the project's own code while it builds a model.
        reads: Files and directories outside of `root` that this code may read then.
        writes: Directories outside of `root` that a config may name files in, to be written.
        is_project: Whether code and files below `root` are the project's. They are not where `root` is `/` or a home
            directory without a pyproject.toml, for anything may lie there.
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
        """Tells whether a place lies in the project, all links followed."""
        # Not by Path.resolve, which raises at a loop of links.
        return self.is_project and Path(os.path.realpath(place)).is_relative_to(
            self.root
        )

    @property
    def file(self) -> Path:
        """The file that declares these settings."""
        return self.root / "pyproject.toml"


def find_project(directory: Path, trust: Sequence[str] = ()) -> Project:
    """Returns the project of `directory`, its `[tool.smdecl]` read and `trust` added.

    Raises:
        UsageError: Where its pyproject.toml cannot be read, or what is trusted is no name of a package.
    """
    for name in trust:
        if not name.isidentifier():
            raise UsageError(
                f"--trust: got {name!r}; takes the name of a top-level package"
            )
    root = project_root(directory)
    declared = _declared(root / "pyproject.toml")
    return Project(
        root,
        trusted=frozenset([*declared["trust"], *trust]),
        environment=frozenset(declared["environment"]),
        custom_ops=tuple(dict.fromkeys(declared["custom_ops"])),
        confine=declared["confine"],
        reads=tuple(root / Path(place).expanduser() for place in declared["reads"]),
        writes=tuple(root / Path(place).expanduser() for place in declared["writes"]),
        is_project=(root / "pyproject.toml").is_file() or not _belongs_to_all(root),
    )


def _belongs_to_all(root: Path) -> bool:
    return root in (Path("/"), Path(os.path.expanduser("~")).resolve())  # noqa: PTH111 - it may be unknown


def project_root(directory: Path) -> Path:
    """Returns the nearest directory upwards that has a pyproject.toml, or the directory itself."""
    here = directory.resolve()
    return next(
        (path for path in (here, *here.parents) if (path / "pyproject.toml").is_file()),
        here,
    )


def make_importable() -> None:
    """Puts the current directory last on the path of this process, after all that is installed."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)


def is_library(name: str) -> bool:
    """Tells whether an entry of custom_ops is a library file, and not a package."""
    return "/" in name or _LIBRARY.search(name) is not None


def _is_custom_op(name: str) -> bool:
    if is_library(name):
        return not name.startswith(("/", "~"))  # a release holds no path of one machine
    return all(part.isidentifier() for part in name.split("."))


_LIBRARY = re.compile(r"\.so(\.\d+)*$")


def _lists(fits: Callable[[str], bool]) -> Callable[[Any], bool]:
    """Returns the test of a setting that is a list of strings, each of which fits."""
    return lambda value: (
        isinstance(value, list)
        and all(isinstance(item, str) and fits(item) for item in value)
    )


@dataclass(frozen=True)
class _Setting:
    fits: Callable[[Any], bool]
    takes: str
    default: Any


_SETTINGS = {
    "trust": _Setting(
        _lists(str.isidentifier), "a list of top-level package names", ()
    ),
    "environment": _Setting(
        _lists(str.isidentifier), "a list of names of environment variables", ()
    ),
    "custom_ops": _Setting(
        _lists(_is_custom_op),
        "a list of packages and library files in the project, such as ops/libmine.so",
        (),
    ),
    "confine": _Setting(lambda value: isinstance(value, bool), "true or false", False),
    "reads": _Setting(_lists(bool), "a list of files and directories", ()),
    "writes": _Setting(_lists(bool), "a list of directories", ()),
}


def _declared(pyproject: Path) -> dict[str, Any]:
    if not pyproject.is_file():
        return {key: setting.default for key, setting in _SETTINGS.items()}
    try:
        text = files.read_regular(pyproject, _MOST_BYTES).decode()
        tool = tomllib.loads(text.replace("\r\n", "\n")).get("tool", {})
    except (
        tomllib.TOMLDecodeError,
        UnicodeDecodeError,
        OSError,
        RecursionError,
    ) as error:
        raise UsageError(f"{pyproject}: cannot be read: {error}") from error
    declared = tool.get("smdecl", {}) if isinstance(tool, dict) else {}
    keys = ", ".join(_SETTINGS)
    if not isinstance(declared, dict):
        raise UsageError(
            f"{pyproject}: tool.smdecl: got {declared!r}; takes a table with the keys {keys}"
        )
    for key in declared:
        if key not in _SETTINGS:
            raise UsageError(
                f"{pyproject}: tool.smdecl.{key}: is no key; takes {keys}{nearest(key, _SETTINGS)}"
            )
    for key, setting in _SETTINGS.items():
        if key in declared and not setting.fits(declared[key]):
            raise UsageError(
                f"{pyproject}: tool.smdecl.{key}: got {declared[key]!r}; takes {setting.takes}"
            )
    return {
        key: declared.get(key, setting.default) for key, setting in _SETTINGS.items()
    }
