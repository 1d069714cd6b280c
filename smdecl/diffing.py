"""Tells how a SavedModel differs from one before it: for its callers, in its graph, its variables, files and origin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smdecl import base_paths, compatibility, graph_changes, inspecting, manifest, origin_changes, variable_changes
from smdecl.compatibility import ADDITIVE, BREAKING
from smdecl.errors import ContractError
from smdecl.records import Change, DiffRecord

EXIT_CODES = {"same": 0, ADDITIVE: 1, BREAKING: 2}
_ORDER = (BREAKING, ADDITIVE, "internal")


def diff(before: Path, after: Path) -> DiffRecord:
    """Returns how the SavedModel in `after` differs from that in `before`; TensorFlow is not needed for it.

    Raises:
        UsageError: Where one of them is no directory, or a base path.
        ContractError: Where one of them cannot be read.
        VerificationError: Where one is a release whose manifest was changed.
    """
    for directory in (before, after):
        base_paths.require_one(directory, "a SavedModel")
    (old, old_record), (new, new_record) = inspecting.load(before), inspecting.load(after)
    found = [
        *_origin(before, after),
        *compatibility.changes(old_record, new_record),
        *_beside(old, new),
        *graph_changes.changes(old_record, new_record, old.meta_graphs[0], new.meta_graphs[0]),
        *variable_changes.changes(before, after),
        *_files(before, after),
    ]
    found.sort(key=lambda change: _ORDER.index(change.verdict))
    verdicts = {change.verdict for change in found}
    verdict = BREAKING if BREAKING in verdicts else ADDITIVE if ADDITIVE in verdicts else "same"
    # What a caller of the same bytes cannot tell calls for no other version.
    inside = any(change.part not in origin_changes.PARTS for change in found)
    advice = {BREAKING: "major", ADDITIVE: "minor", "same": "patch" if inside else "none"}[verdict]
    return DiffRecord(verdict, advice, tuple(found))


def _beside(old: Any, new: Any) -> Iterator[Change]:
    """Compares what the records of the first graphs do not have: the methods of signatures, and further graphs."""
    methods = [
        {key: value.method_name for key, value in each.meta_graphs[0].signature_def.items()} for each in (old, new)
    ]
    for key in sorted(methods[0].keys() & methods[1].keys()):
        if methods[0][key] != methods[1][key]:
            yield Change("signatures", key, f"was for {methods[0][key]!r}, and is for {methods[1][key]!r}", BREAKING)
    others = [{tuple(sorted(graph.meta_info_def.tags)): graph for graph in each.meta_graphs[1:]} for each in (old, new)]
    for tags in sorted({*others[0], *others[1]}):
        if tags not in others[1]:
            yield Change("tags", ", ".join(tags), "is a graph that is gone", BREAKING)
        elif tags not in others[0]:
            yield Change("tags", ", ".join(tags), "is a graph that is new", ADDITIVE)
        elif graph_changes.serialized(others[0][tags]) != graph_changes.serialized(others[1][tags]):
            yield Change("tags", ", ".join(tags), "is another graph than it was")


def _files(before: Path, after: Path) -> Iterator[Change]:
    try:
        old, new = manifest.sha256_of_files(before), manifest.sha256_of_files(after)
    except OSError as error:
        raise ContractError(f"{error.filename}: cannot be read: {error.strerror}") from error
    for name in sorted({*old, *new}):
        if name not in new:
            yield Change("files", name, "is gone")
        elif name not in old:
            yield Change("files", name, "is new")
        elif old[name] != new[name]:
            yield Change("files", name, "has other bytes")


def _origin(before: Path, after: Path) -> Iterator[Change]:
    """Compares what the manifests say; a SavedModel that smdecl has not made has none."""
    if not all((directory / manifest.FILE).is_file() for directory in (before, after)):
        return
    yield from origin_changes.changes(manifest.read(before), manifest.read(after))
