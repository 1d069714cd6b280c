"""Describes a SavedModel, and what its manifest says where it is a release."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from smdecl.release import manifest
from smdecl.savedmodel import description as describing
from smdecl.savedmodel.description_records import DescriptionRecord, ReleaseRecord


def describe(directory: Path) -> DescriptionRecord:
    """Describes any SavedModel by its files, and a release by its manifest as well.

    Raises:
        UsageError: If it is not a directory, or is a base path.
        ContractError: If it holds no SavedModel that can be read.
        VerificationError: If it is a release whose manifest was changed.
    """
    description = describing.describe(directory)
    if not (directory / manifest.FILE).is_file():
        return description
    content = manifest.read(directory)
    version = content["environment"].get("smdecl", "?")
    commit = (content["source"] or {}).get("commit")
    release = ReleaseRecord(content["name"], content["digest"], version, commit)
    return replace(description, release=release)
