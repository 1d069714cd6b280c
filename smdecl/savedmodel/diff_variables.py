"""Tells how the variables of a SavedModel differ from those of one before it: which, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from smdecl.errors import ContractError, Problem
from smdecl.savedmodel.array_distances import distances
from smdecl.savedmodel.checkpoint import Tensor
from smdecl.savedmodel.crc32c import crc32c
from smdecl.savedmodel.records import Change
from smdecl.tensor_texts import tensor_text


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
    """Compares a variable; adds what cannot be read on either side to `problems`."""
    if old is not None and new is not None and _form(old) == _form(new):
        if _is_same(old, new):
            _require(old, problems)  # which verifies both
            return None
        message = _difference(old, new, problems)
        return None if message is None else Change("variables", name, message)
    for tensor in (old, new):
        if tensor is not None:
            _require(tensor, problems)
    return Change.of("variables", name, _form(old), _form(new))


def _is_same(old: Tensor, new: Tensor) -> bool:
    """Compares the bytes; what cannot be read is the same as nothing."""
    if (old.size, old.checksum) != (new.size, new.checksum):
        return False
    try:
        return all(
            one == other for one, other in zip(old.blocks(), new.blocks(), strict=True)
        )
    except ContractError:
        return False


def _require(tensor: Tensor, problems: list[Problem]) -> None:
    """Verifies the checksum of a tensor."""
    try:
        if tensor.dtype == "string":
            tensor.read()
            return
        checksum = 0
        for block in tensor.blocks():
            checksum = crc32c(block, checksum)
        tensor.require_checksum(checksum)
    except ContractError as error:
        problems += error.problems


def _difference(old: Tensor, new: Tensor, problems: list[Problem]) -> str | None:
    """Says how two tensors of one form differ, whose checksums it verifies; None where one cannot be read."""
    known = len(problems)
    for tensor in (old, new):
        _require(tensor, problems)
    if len(problems) > known:
        return None
    if old.dtype == "string":
        count = int((old.read() != new.read()).sum())
        return f"has {count} other values" if count else None
    if old.size != new.size:  # bytes of a dtype that NumPy lacks
        return "has other bytes"
    return _numbers(old, new)


def _numbers(old: Tensor, new: Tensor) -> str | None:
    dtype = old.number or np.dtype(np.uint8)
    is_same = True
    largest: float = 0
    alone = 0
    for blocks in zip(old.blocks(), new.blocks(), strict=True):
        if blocks[0] != blocks[1]:
            is_same = False
            apart = distances(*(np.frombuffer(block, dtype) for block in blocks))
            is_alone = np.isnan(apart)
            largest = max(largest, float(np.max(np.where(is_alone, 0, apart))))
            alone += int(is_alone.sum())
    if is_same:
        return None
    told = f"has other values, by at most {largest:g}"
    return f"{told}, and {alone} that are NaN in one alone" if alone else told


def _form(tensor: Tensor | None) -> str | None:
    return tensor_text(tensor.dtype, tensor.shape) if tensor else None
