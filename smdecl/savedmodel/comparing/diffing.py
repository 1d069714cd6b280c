"""Compares two SavedModels: their APIs, graphs, variables and files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from smdecl import files
from smdecl.errors import ContractError, Problem
from smdecl.savedmodel import base_path, inspection, variable_names
from smdecl.savedmodel.checkpoint_files.checkpoint import Tensor
from smdecl.savedmodel.comparing import (
    compatibility,
    diff_graph,
    diff_variables,
)
from smdecl.savedmodel.protos import MetaGraphDef, SavedModel
from smdecl.savedmodel.records import (
    ADDITIVE,
    BREAKING,
    INTERNAL,
    Change,
    DiffRecord,
)

EXIT_CODES = {"same": 0, ADDITIVE: 1, BREAKING: 2}
_ORDER = (BREAKING, ADDITIVE, INTERNAL)

_Tags: TypeAlias = tuple[str, ...]
_Pair: TypeAlias = tuple[_Tags, _Tags | None]
"""The tags of a graph, and those of its counterpart; None if it was removed."""


def diff(before: Path, after: Path) -> DiffRecord:
    """Compares the SavedModel in `after` with the one in `before`, without TensorFlow.

    Raises:
        UsageError: If either is not a directory, or is a base path.
        ContractError: With everything that is missing, malformed or differs from its checksum.
    """
    return record(changes(before, after))


def changes(
    before: Path, after: Path, ignored: Collection[str] = ()
) -> list[Change]:
    """Returns how the SavedModel in `after` differs from the one in `before`.

    Args:
        before: The directory of the SavedModel that callers know.
        after: The directory of its successor.
        ignored: Files to leave out of the comparison.

    Raises:
        UsageError: If either is not a directory, or is a base path.
        ContractError: With everything that is missing, malformed or differs from its checksum.
    """
    for directory in (before, after):
        base_path.require_one(directory, "a SavedModel")
    old = inspection.read(before)
    new = inspection.read(after)
    graphs = list(_graphs(before, old, after, new))
    variables = diff_variables.changes(*_checkpoints(before, old, after, new))
    return [*graphs, *variables, *_files(before, after, ignored)]


def record(
    found: Sequence[Change], origin: Sequence[Change] = ()
) -> DiffRecord:
    """Returns the record of all changes, with their meaning for callers.

    Args:
        found: The changes of the SavedModel.
        origin: The changes of what it was made from. They do not call for a new version, because
            the bytes may be the same.
    """
    verdicts = {change.verdict for change in found}
    if BREAKING in verdicts:
        verdict, advice = BREAKING, "major"
    elif ADDITIVE in verdicts:
        verdict, advice = ADDITIVE, "minor"
    else:
        verdict = "same"
        advice = "patch" if found else "none"
    ordered = sorted(
        [*origin, *found], key=lambda change: _ORDER.index(change.verdict)
    )
    return DiffRecord(verdict, advice, tuple(ordered))


def _checkpoints(
    before: Path, old: SavedModel, after: Path, new: SavedModel
) -> list[dict[str, Tensor]]:
    """Returns the tensors in both checkpoints by name, or raises with all problems of either."""
    found: list[dict[str, Tensor]] = []
    problems: list[Problem] = []
    for directory, message in ((before, old), (after, new)):
        try:
            tensors = inspection.tensors(directory, message)
        except ContractError as error:
            problems += error.problems
        else:
            found.append(_by_name(message, tensors))
    if problems:
        raise ContractError(list(dict.fromkeys(problems)))
    return found


def _by_name(
    message: SavedModel, tensors: Sequence[Tensor]
) -> dict[str, Tensor]:
    objects = inspection.serving_graph(message).object_graph_def
    keys = [tensor.name for tensor in tensors]
    names = variable_names.of_tensors(objects, keys)
    return {names[tensor.name]: tensor for tensor in tensors}


def _graphs(
    before: Path, old: SavedModel, after: Path, new: SavedModel
) -> Iterator[Change]:
    """Compares the MetaGraphs with the same tags, the serving one first."""
    old_graphs, new_graphs = _by_tags(old), _by_tags(new)
    serving_tags = next(iter(old_graphs))
    pairs, added = _paired(list(old_graphs), list(new_graphs))
    for old_tags, new_tags in pairs:
        if new_tags is None:
            yield Change(
                "tags", _text(old_tags), "the graph was removed", BREAKING
            )
            continue
        old_graph, new_graph = old_graphs[old_tags], new_graphs[new_tags]
        for change in _changes(before, old_graph, after, new_graph):
            if old_tags == serving_tags:
                yield change
            else:
                where = f"{change.where} (graph {_text(old_tags)})".lstrip()
                yield replace(change, where=where)
    for tags in added:
        yield Change("tags", _text(tags), "the graph was added", ADDITIVE)


def _by_tags(message: SavedModel) -> dict[_Tags, MetaGraphDef]:
    """Returns the first MetaGraph of each set of tags, as loaders do, the serving one first."""
    found: dict[_Tags, MetaGraphDef] = {}
    for graph in (inspection.serving_graph(message), *message.meta_graphs):
        found.setdefault(tuple(sorted(graph.meta_info_def.tags)), graph)
    return found


def _paired(
    old: list[_Tags], new: list[_Tags]
) -> tuple[list[_Pair], list[_Tags]]:
    """Pairs graphs by their tags.

    If just one graph is left on each side, its tags changed.

    Returns:
        A pair for each old graph, and the graphs that were added.
    """
    old_tags, new_tags = frozenset(old), frozenset(new)
    removed = [tags for tags in old if tags not in new_tags]
    added = [tags for tags in new if tags not in old_tags]
    counterparts = {tags: tags for tags in new}
    if len(removed) == len(added) == 1:
        counterparts[removed[0]] = added.pop()
    return [(tags, counterparts.get(tags)) for tags in old], added


def _changes(
    before: Path, old: MetaGraphDef, after: Path, new: MetaGraphDef
) -> Iterator[Change]:
    old_record = inspection.inspect_graph(before, old)
    new_record = inspection.inspect_graph(after, new)
    yield from compatibility.changes(old_record, new_record)
    yield from diff_graph.changes(old_record, new_record, old, new)


def _text(tags: _Tags) -> str:
    return ", ".join(tags)


def _files(
    before: Path, after: Path, ignored: Collection[str]
) -> Iterator[Change]:
    try:
        old, new = _regular_files(before), _regular_files(after)
        same = _same_files(old, new, ignored)
    except OSError as error:
        message = f"cannot read {error.filename!r}: {error.strerror}"
        raise ContractError(message) from error
    for name in sorted({*old, *new} - {*ignored}):
        if name not in new:
            yield Change("files", name, "was removed")
        elif name not in old:
            yield Change("files", name, "was added")
        elif name not in same:
            yield Change("files", name, "content differs")


def _same_files(
    old: dict[str, Path], new: dict[str, Path], ignored: Collection[str]
) -> set[str]:
    """Returns the names of the files with the same bytes on both sides."""
    # A file of a different size is not read: it may be sparse, and claim any size.
    common = [name for name in old if name in new and name not in ignored]
    alike = [name for name in common if _size(old[name]) == _size(new[name])]
    files.require_stored(old[name] for name in alike)
    files.require_stored(new[name] for name in alike)
    return {
        name for name in alike if files.have_same_bytes(old[name], new[name])
    }


def _regular_files(directory: Path) -> dict[str, Path]:
    return {
        name: directory / name
        for name, entry in files.walk(directory)
        if entry.is_file()
    }


def _size(path: Path) -> int:
    return path.stat().st_size
