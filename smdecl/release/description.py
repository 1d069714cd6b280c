"""Describes a SavedModel, and its manifest if it is a release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from smdecl.release import manifest
from smdecl.savedmodel import description as describing
from smdecl.savedmodel.description_records import (
    DescriptionRecord,
    ReleaseRecord,
)


def describe(directory: Path) -> DescriptionRecord:
    """Describes a SavedModel by its files, and a release also by its manifest.

    Raises:
        UsageError: If `directory` is not a directory, or is a base path.
        ContractError: If it contains no SavedModel, or one that cannot be read.
        VerificationError: If it is a release whose manifest has changed.
    """
    description = describing.describe(directory)
    if not (directory / manifest.FILE).is_file():
        return description
    content = manifest.read(directory)
    source = content["source"]
    release = ReleaseRecord(
        content["name"],
        content["digest"],
        content["environment"].get("smdecl", "?"),
        None if source is None else source["commit"],
    )
    return replace(description, release=release)
