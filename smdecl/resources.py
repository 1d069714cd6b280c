"""Finds the data files of smdecl: config groups, JSON Schemas, and the files of a new project."""

from __future__ import annotations

from pathlib import Path

# The directory of the package.
PACKAGE = Path(__file__).resolve().parent
# The name of the primary config in `conf_dir()`.
PRIMARY = "export"


def _find(name: str) -> Path:
    # A wheel has the folder inside the package; a checkout has it next to the package.
    inside = PACKAGE / Path(name).name
    return inside if inside.is_dir() else PACKAGE.parent / name


def conf_dir() -> Path:
    """Returns the folder of the built-in config groups."""
    return _find("conf")


def schema_dir() -> Path:
    """Returns the folder of the JSON Schemas."""
    return _find("schemas")


def file_schema_dir() -> Path:
    """Returns the folder of the schemas with which editors check config files."""
    return schema_dir() / "files"


def start_dir() -> Path:
    """Returns the folder with the files of a new project."""
    return _find("examples/start")
