"""Tells how the variables of a SavedModel differ from those of one before it: which, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smdecl.errors import ContractError, Problem
from smdecl.savedmodel.array_distances import distances
from smdecl.savedmodel.checkpoint import Tensor
from smdecl.savedmodel.records import Change
from smdecl.tensor_texts import tensor_text

_BLOCK = 1 << 20  # numbers to compare at a time


def changes(before: Sequence[Tensor], after: Sequence[Tensor]) -> Iterator[Change]:
    """Yields the variables of two checkpoints that differ; every checksum is verified.

    Raises:
        ContractError: With every variable that cannot be read or differs from its checksum.
    """
    old = {tensor.name: tensor for tensor in before}
    new = {tensor.name: tensor for tensor in after}
    problems: list[Problem] = []
    for name in sorted({*old, *new}):
        change = _change(name, old.get(name), new.get(name), problems)
        if change is not None:
            yield change
    if problems:
        raise ContractError(list(dict.fromkeys(problems)))


def _change(
    name: str,
    old: Tensor | None,
    new: Tensor | None,
    problems: list[Problem],
) -> Change | None:
    """Compares a variable that is read from both sides; adds what cannot be read to `problems`."""
    old_value, new_value = _read(old, problems), _read(new, problems)
    if _form(old) != _form(new):
        return Change.of("variables", name, _form(old), _form(new))
    if old_value is None or new_value is None:
        return None
    message = difference(old_value, new_value)
    return None if message is None else Change("variables", name, message)


def _read(tensor: Tensor | None, problems: list[Problem]) -> npt.NDArray[Any] | None:
    """Returns the value of a tensor; None where there is none, or where a problem was added."""
    if tensor is None:
        return None
    try:
        return tensor.read()
    except ContractError as error:
        problems += error.problems
        return None


def _form(tensor: Tensor | None) -> str | None:
    return tensor_text(tensor.dtype, tensor.shape) if tensor else None


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
        apart = distances(*blocks)
        is_alone = np.isnan(apart)
        largest = max(largest, float(np.max(np.where(is_alone, 0, apart))))
        alone += int(is_alone.sum())
    nans = f", and {alone} that are NaN in one alone" if alone else ""
    return f"has other values, by at most {largest:g}{nans}"


def _blocks(old: Any, new: Any) -> Iterator[tuple[Any, Any]]:
    for start in range(0, old.size, _BLOCK):
        yield old[start : start + _BLOCK], new[start : start + _BLOCK]
