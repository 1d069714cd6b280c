"""Names what differs between two SavedModels that were to be the same: nodes of the graph, and variables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl.inspecting import all_nodes, read

_NAMED = 3  # nodes of a kind; the first ones say where to look
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def differences(before: Path, after: Path) -> list[str]:
    """Returns a line for each node and variable that differs."""
    return [*_nodes(before, after), *_variables(before, after)]


def _nodes(before: Path, after: Path) -> Iterator[str]:
    old, new = _by_place(before), _by_place(after)
    changed = {
        "is missing": [place for place in old if place not in new],
        "is new": [place for place in new if place not in old],
        "is another": [place for place in old if place in new and old[place] != new[place]],
    }
    for how, places in changed.items():
        yield from (f"node {place} {how}" for place in places[:_NAMED])
        if len(places) > _NAMED:
            yield f"so it is with {len(places) - _NAMED} nodes more: each {how}"


def _by_place(directory: Path) -> dict[str, bytes]:
    graph = read(directory).meta_graphs[0]
    return {
        f"{function}/{node.name}" if function else node.name: node.SerializeToString(deterministic=True)
        for function, node in all_nodes(graph)
    }


def _variables(before: Path, after: Path) -> Iterator[str]:
    readers = [_reader(before), _reader(after)]
    names = {name for reader in readers if reader for name in reader.get_variable_to_dtype_map()} - {_OBJECT_GRAPH}
    for name in sorted(names):
        old, new = (reader.get_tensor(name) if reader and reader.has_tensor(name) else None for reader in readers)
        if difference := _difference(old, new):
            yield f"variable {name.removesuffix('/.ATTRIBUTES/VARIABLE_VALUE')} {difference}"


def _reader(directory: Path) -> Any:
    prefix = directory / "variables" / "variables"
    return tf.train.load_checkpoint(str(prefix)) if prefix.with_suffix(".index").is_file() else None


def _difference(old: Any, new: Any) -> str | None:
    if old is None or new is None:
        return "is new" if old is None else "is missing"
    old, new = np.asarray(old), np.asarray(new)
    if old.shape != new.shape or old.dtype != new.dtype:
        return f"was {old.dtype} {list(old.shape)}, and is {new.dtype} {list(new.shape)}"
    if old.dtype.kind not in "fiuc":
        return None if (old == new).all() else "has other values"
    if old.tobytes() == new.tobytes():
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        largest = np.nanmax(np.abs(old.astype(np.complex128) - new.astype(np.complex128)))
    return f"has other values, by at most {largest:g}"
