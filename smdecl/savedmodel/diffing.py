"""Compares two SavedModels: for their callers, and by graph, variables, files and origin."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from smdecl import files
from smdecl.errors import ContractError, Problem
from smdecl.savedmodel import (
    base_path,
    compatibility,
    diff_graph,
    diff_variables,
    inspection,
)
from smdecl.savedmodel.checkpoint import Tensor
from smdecl.savedmodel.compatibility import ADDITIVE, BREAKING
from smdecl.savedmodel.protos import MetaGraphDef, SavedModel
from smdecl.savedmodel.records import Change, DiffRecord, SavedModelRecord

_Tags: TypeAlias = tuple[str, ...]
_Pair: TypeAlias = tuple[_Tags, _Tags | None]
EXIT_CODES = {"same": 0, ADDITIVE: 1, BREAKING: 2}
_ORDER = (BREAKING, ADDITIVE, "internal")


def diff(before: Path, after: Path) -> DiffRecord:
    """Compares the SavedModel in `after` with the one in `before`, without TensorFlow.

    Raises:
        UsageError: If one of them is not a directory, or is a base path.
        ContractError: With everything in them that is missing, malformed or differs from its checksum.
    """
    return record(changes(before, after))


def changes(before: Path, after: Path, ignored: Collection[str] = ()) -> list[Change]:
    """Returns how the SavedModel in `after` differs from the one in `before`.

    Args:
        before: Directory of the SavedModel that callers know.
        after: Directory of the one that follows it.
        ignored: Files that are no part of the comparison.

    Raises:
        UsageError: If one of them is not a directory, or is a base path.
        ContractError: With everything in them that is missing, malformed or differs from its checksum.
    """
    for directory in (before, after):
        base_path.require_one(directory, "a SavedModel")
    old, new = inspection.read(before), inspection.read(after)
    return [
        *_graphs(before, old, after, new),
        *diff_variables.changes(*_checkpoints(before, old, after, new)),
        *_files(before, after, ignored),
    ]


def record(found: Sequence[Change], origin: Sequence[Change] = ()) -> DiffRecord:
    """Returns the record of all changes, with what they mean for a caller.

    Args:
        found: Changes of the SavedModel.
        origin: Changes of what it was made from. They do not call for another version: the bytes may be the same.
    """
    verdicts = {change.verdict for change in found}
    if BREAKING in verdicts:
        verdict, advice = BREAKING, "major"
    elif ADDITIVE in verdicts:
        verdict, advice = ADDITIVE, "minor"
    else:
        verdict, advice = "same", "patch" if found else "none"
    ordered = sorted([*origin, *found], key=lambda change: _ORDER.index(change.verdict))
    return DiffRecord(verdict, advice, tuple(ordered))


def _checkpoints(
    before: Path, old: SavedModel, after: Path, new: SavedModel
) -> list[list[Tensor]]:
    """Returns both checkpoints, or raises with everything that is wrong with either."""
    found: list[list[Tensor]] = []
    problems: list[Problem] = []
    for directory, message in ((before, old), (after, new)):
        try:
            found.append(inspection.tensors(directory, message))
        except ContractError as error:
            problems += error.problems
    if problems:
        raise ContractError(list(dict.fromkeys(problems)))
    return found


def _graphs(
    before: Path, old: SavedModel, after: Path, new: SavedModel
) -> Iterator[Change]:
    """Compares the MetaGraphs that have the same tags, the serving one first."""
    old_graphs, new_graphs = _by_tags(old), _by_tags(new)
    pairs, come = _paired(list(old_graphs), list(new_graphs))
    for old_tags, new_tags in pairs:
        if new_tags is None:
            yield Change("tags", _listed(old_tags), "the graph is gone", BREAKING)
            continue
        old_graph, new_graph = old_graphs[old_tags], new_graphs[new_tags]
        old_record = inspection.inspect_graph(before, old_graph)
        new_record = inspection.inspect_graph(after, new_graph)
        is_serving = old_tags == next(iter(old_graphs))
        for change in _changes(old_graph, new_graph, old_record, new_record):
            where = f"{change.where} (graph {_listed(old_tags)})".lstrip()
            yield change if is_serving else replace(change, where=where)
    for tags in come:
        yield Change("tags", _listed(tags), "the graph is new", ADDITIVE)


def _by_tags(message: SavedModel) -> dict[_Tags, MetaGraphDef]:
    """Returns the first MetaGraph of each set of tags, as loaders do, the serving one first."""
    found: dict[_Tags, MetaGraphDef] = {}
    for graph in (inspection.serving_graph(message), *message.meta_graphs):
        found.setdefault(tuple(sorted(graph.meta_info_def.tags)), graph)
    return found


def _paired(old: list[_Tags], new: list[_Tags]) -> tuple[list[_Pair], list[_Tags]]:
    """Pairs graphs by their tags, None where there is no counterpart; returns the new ones as well.

    One graph left on each side is one whose tags changed.
    """
    old_tags, new_tags = frozenset(old), frozenset(new)
    gone = [tags for tags in old if tags not in new_tags]
    come = [tags for tags in new if tags not in old_tags]
    renamed: dict[_Tags, _Tags] = {}
    if len(gone) == len(come) == 1:
        renamed, come = {gone[0]: come[0]}, []
    counterparts = {**{tags: tags for tags in new}, **renamed}
    return [(tags, counterparts.get(tags)) for tags in old], come


def _changes(
    old: MetaGraphDef,
    new: MetaGraphDef,
    old_record: SavedModelRecord,
    new_record: SavedModelRecord,
) -> Iterator[Change]:
    yield from compatibility.changes(old_record, new_record)
    yield from diff_graph.changes(old_record, new_record, old, new)


def _listed(tags: _Tags) -> str:
    return ", ".join(tags)


def _files(before: Path, after: Path, ignored: Collection[str]) -> Iterator[Change]:
    try:
        old, new = _regular_files(before), _regular_files(after)
        # A file of another size is not read: it may be sparse, and claim any.
        alike = [
            name for name in old if name in new and _size(old[name]) == _size(new[name])
        ]
        alike = [name for name in alike if name not in ignored]
        files.require_stored(old[name] for name in alike)
        files.require_stored(new[name] for name in alike)
        same = {name for name in alike if files.have_same_bytes(old[name], new[name])}
    except OSError as error:
        raise ContractError(
            f"{error.filename}: cannot be read: {error.strerror}"
        ) from error
    for name in sorted({*old, *new} - {*ignored}):
        if name not in new:
            yield Change("files", name, "is gone")
        elif name not in old:
            yield Change("files", name, "is new")
        elif name not in same:
            yield Change("files", name, "has other bytes")


def _regular_files(directory: Path) -> dict[str, Path]:
    return {
        name: directory / name
        for name, entry in files.walk(directory)
        if entry.is_file()
    }


def _size(path: Path) -> int:
    return path.stat().st_size
