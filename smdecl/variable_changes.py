"""Tells how the variables of a SavedModel differ from those of one before it: which, and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from smdecl import bundle
from smdecl.records import Change

_BLOCK = 1 << 20  # numbers to compare at a time


def changes(before: Path, after: Path) -> Iterator[Change]:
    """Yields the variables in the directories of two SavedModels that differ.

    Raises:
        ContractError: Where they cannot be read.
    """
    old, new = (
        {tensor.name: tensor for tensor in bundle.read(directory / "variables" / "variables")}
        for directory in (before, after)
    )
    for name in sorted({*old, *new}):
        if name not in old or name not in new:
            yield Change.of("variables", name, _form(old.get(name)), _form(new.get(name)))
        elif _form(old[name]) != _form(new[name]):
            yield Change.of("variables", name, _form(old[name]), _form(new[name]))
        elif told := difference(old[name].read(), new[name].read()):
            yield Change("variables", name, told)


def _form(tensor: bundle.Tensor | None) -> str | None:
    return f"{tensor.dtype} {list(tensor.shape)}" if tensor else None


def difference(old: Any, new: Any) -> str | None:
    """Says how the values of two arrays of one dtype differ; None where they do not."""
    if old.dtype == object:
        count = int((old != new).sum())
        return f"has {count} other values" if count else None
    if old.shape != new.shape:  # bytes of a dtype that NumPy lacks
        return "has other bytes"
    if all(
        np.array_equal(*blocks) for blocks in _blocks(old.reshape(-1).view(np.uint8), new.reshape(-1).view(np.uint8))
    ):
        return None
    largest: float = 0
    alone = 0
    for blocks in _blocks(old.reshape(-1), new.reshape(-1)):
        difference, nans = _distance(*blocks)
        largest, alone = max(largest, difference), alone + nans
    return f"has other values, by at most {largest:g}" + (f", and {alone} that are NaN in one alone" if alone else "")


def _blocks(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    for start in range(0, old.size, _BLOCK):
        yield old[start : start + _BLOCK], new[start : start + _BLOCK]


def _distance(old: Any, new: Any) -> tuple[float, int]:
    """Returns the largest difference, and how many numbers are NaN in one of the two, which have none."""
    if old.dtype.kind in "iu":  # as floats, large ones that differ may be the same
        return float(np.max(np.maximum(old, new).astype(np.uint64) - np.minimum(old, new).astype(np.uint64))), 0
    wide = np.complex128 if old.dtype.kind == "c" else np.float64
    old, new = old.astype(wide), new.astype(wide)
    nan = np.isnan(old) | np.isnan(new)
    with np.errstate(invalid="ignore", over="ignore"):
        # What is equal has none, infinities too; their difference would be NaN.
        apart = np.where(nan | (old == new), 0.0, np.abs(old - new))
    return float(np.max(apart)), int((np.isnan(old) != np.isnan(new)).sum())
