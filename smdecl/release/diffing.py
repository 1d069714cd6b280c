"""Compares two SavedModels, and the manifests of both if they are releases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from smdecl.release import diff_manifest, manifest
from smdecl.release.manifest_types import Manifest
from smdecl.release.manifest_versions import config_of
from smdecl.savedmodel.comparing import diffing
from smdecl.savedmodel.records import Change, DiffRecord


def diff(before: Path, after: Path) -> DiffRecord:
    """Compares the SavedModel in `after` with the one in `before`, without TensorFlow.

    Raises:
        UsageError: If one of them is not a directory, or is a base path.
        ContractError: If files are missing, malformed or differ from their checksum; with all
            of them.
        VerificationError: If one is a release whose manifest has changed.
    """
    changes = diffing.changes(before, after, ignored=manifest.UNLISTED)
    return diffing.record(changes, list(_manifest_changes(before, after)))


def _manifest_changes(before: Path, after: Path) -> Iterator[Change]:
    """Yields nothing unless both SavedModels are releases."""
    manifests = [directory / manifest.FILE for directory in (before, after)]
    if not all(file.is_file() for file in manifests):
        return
    old, new = manifest.read(before), manifest.read(after)
    yield from diff_manifest.changes(_completed(old), _completed(new))


def _completed(content: Manifest) -> Manifest:
    """Returns a manifest with the config keys that its version of smdecl did not know."""
    completed = content.copy()
    completed["config"] = config_of(content)
    return completed
