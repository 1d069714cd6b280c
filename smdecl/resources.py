"""Finds the data that smdecl ships: its config groups, its JSON Schemas and the files of a new project."""

from __future__ import annotations

from pathlib import Path

# The directory of smdecl's own code.
PACKAGE = Path(__file__).resolve().parent


def _find(name: str) -> Path:
    # A wheel carries the folder inside the package; a checkout and an editable install have it beside the package.
    inside = PACKAGE / Path(name).name
    return inside if inside.is_dir() else PACKAGE.parent / name


def conf_dir() -> Path:
    """Returns the folder of the built-in config groups."""
    return _find("conf")


def schema_dir() -> Path:
    """Returns the folder of the JSON Schemas."""
    return _find("schemas")


def file_schema_dir() -> Path:
    """Returns the folder of the schemas that editors check config files by."""
    return schema_dir() / "files"


def start_dir() -> Path:
    """Returns the folder with the files of a new project."""
    return _find("examples/start")
