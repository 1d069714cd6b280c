"""Makes the modules of the project importable in a process that builds or loads a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from smdecl.exporting import user_code

_path_stats = SourceFileLoader.path_stats


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


def _of_installed(loader: SourceFileLoader, path: str) -> Mapping[str, Any]:
    """Returns what cached bytecode is compared with.

    Raises:
        OSError: If no cached bytecode may be used, as when the source cannot be found.
    """
    if user_code.is_users(path):
        raise OSError(f"cached bytecode of {path!r} may be out of date")
    return _path_stats(loader, path)
