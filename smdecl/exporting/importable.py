"""Makes the modules of the project importable in a process that builds or loads a model."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from smdecl import files
from smdecl.exporting import user_code

_path_stats = SourceFileLoader.path_stats
_get_data = SourceFileLoader.get_data
_imported: dict[str, str] = {}  # real path to the sha256 of the source


def make_importable() -> None:
    """Adds the current directory to the import path, after everything that is installed.

    From now on, this process imports modules under development from their sources alone. Python
    takes cached bytecode to be current if its source has the same size and was saved in the same
    second, so the second of two quick saves would have no effect.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    SourceFileLoader.path_stats = _of_installed  # type: ignore[method-assign, assignment]
    SourceFileLoader.get_data = _noted  # type: ignore[method-assign, assignment]


def sha256(path: Path) -> str:
    """Returns the digest of a module's file as it was imported, if it was; else as it is now.

    The file may have changed since it was imported.

    Raises:
        OSError: If it cannot be read.
    """
    return _imported.get(os.path.realpath(path)) or files.sha256(path)


def _noted(loader: SourceFileLoader, path: str) -> bytes:
    """Reads a file, and notes the digest of sources under development."""
    data = _get_data(loader, path)
    if path.endswith(".py") and user_code.is_users(path):
        digest = hashlib.sha256(data).hexdigest()
        _imported[os.path.realpath(path)] = digest
    return data


def _of_installed(loader: SourceFileLoader, path: str) -> Mapping[str, Any]:
    """Returns what cached bytecode is compared with.

    Raises:
        OSError: If no cached bytecode may be used, as when the source cannot be found.
    """
    if user_code.is_users(path):
        raise OSError(f"cached bytecode of {path!r} may be out of date")
    return _path_stats(loader, path)
