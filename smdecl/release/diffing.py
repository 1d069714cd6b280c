"""Compares two SavedModels, and where both are releases, what they were made from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from smdecl.release import diff_manifest, manifest
from smdecl.release.manifest_versions import config_of
from smdecl.savedmodel import diffing
from smdecl.savedmodel.records import Change, DiffRecord


def diff(before: Path, after: Path) -> DiffRecord:
    """Compares the SavedModel in `after` with the one in `before`, without TensorFlow.

    Raises:
        UsageError: If one of them is not a directory, or is a base path.
        ContractError: With everything in them that is missing, malformed or differs from its checksum.
        VerificationError: If one is a release whose manifest was changed.
    """
    changes = diffing.changes(before, after, ignored=manifest.UNLISTED)
    return diffing.record(changes, list(_origin(before, after)))


def _origin(before: Path, after: Path) -> Iterator[Change]:
    """Compares what the manifests say; a SavedModel that smdecl has not made has none."""
    if not all((directory / manifest.FILE).is_file() for directory in (before, after)):
        return
    old, new = manifest.read(before), manifest.read(after)
    yield from diff_manifest.changes(
        old | {"config": config_of(old)}, new | {"config": config_of(new)}
    )
