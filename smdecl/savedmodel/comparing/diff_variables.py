"""Compares the variables of two SavedModels: which differ, and by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from smdecl.errors import ContractError, Problem
from smdecl.savedmodel.checkpoint_files.checkpoint import Tensor
from smdecl.savedmodel.checkpoint_files.crc32c import crc32c
from smdecl.savedmodel.comparing.array_distances import distances
from smdecl.savedmodel.records import Change
from smdecl.tensor_texts import tensor_text


def changes(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> Iterator[Change]:
    """Yields the variables of two checkpoints that differ; every checksum is verified.

    Variables are compared by their names. Those whose names only one side has are compared by their
    keys in the checkpoints, because Keras numbers layers and models in the order they are made.

    Args:
        before: The tensors of the first checkpoint by the names to show.
        after: Those of the second checkpoint.

    Raises:
        ContractError: With every variable that cannot be read or differs from its checksum.
    """
    problems: list[Problem] = []
    for name, old, new in _paired(before, after):
        change = _change(name, old, new, problems)
        if change is not None:
            yield change
    if problems:
        raise ContractError(list(dict.fromkeys(problems)))


def _paired(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor]
) -> list[tuple[str, Tensor | None, Tensor | None]]:
    """Returns each variable with its name and its tensors on both sides, sorted by name."""
    pairs: dict[str, tuple[Tensor | None, Tensor | None]] = {}
    removed: dict[str, str] = {}
    for name, old in before.items():
        pairs[name] = (old, after.get(name))
        if name not in after:
            removed[old.name] = name
    for name, new in after.items():
        if name in before:
            continue
        old_name = removed.get(new.name)
        old_tensor = None if old_name is None else before[old_name]
        if old_name is not None:
            del pairs[old_name]
        pairs[name] = (old_tensor, new)
    return [(name, *pairs[name]) for name in sorted(pairs)]


def _change(
    name: str, old: Tensor | None, new: Tensor | None, problems: list[Problem]
) -> Change | None:
    """Compares a variable; adds what cannot be read on either side to `problems`."""
    if old is None or new is None or _form(old) != _form(new):
        for tensor in (old, new):
            if tensor is not None:
                _verify(tensor, problems)
        return Change.of("variables", name, _form(old), _form(new))
    if _has_same_bytes(old, new):
        _verify(old, problems)  # which verifies both
        return None
    message = _difference(old, new, problems)
    return None if message is None else Change("variables", name, message)


def _form(tensor: Tensor | None) -> str | None:
    return tensor_text(tensor.dtype, tensor.shape) if tensor else None


def _has_same_bytes(old: Tensor, new: Tensor) -> bool:
    """Compares the bytes of two tensors; returns False if either cannot be read."""
    if (old.size, old.checksum) != (new.size, new.checksum):
        return False
    try:
        pairs = zip(old.blocks(), new.blocks(), strict=True)
        return all(one == other for one, other in pairs)
    except ContractError:
        return False


def _verify(tensor: Tensor, problems: list[Problem]) -> None:
    """Verifies the checksum of a tensor; adds what is wrong to `problems`."""
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


def _difference(
    old: Tensor, new: Tensor, problems: list[Problem]
) -> str | None:
    """Describes how two tensors of one dtype and shape differ, and verifies their checksums.

    Returns:
        The difference; None if the values are equal or cannot be read.
    """
    known = len(problems)
    for tensor in (old, new):
        _verify(tensor, problems)
    if len(problems) > known:
        return None
    if old.dtype == "string":
        return _difference_of_strings(old, new)
    if old.size != new.size:  # of a dtype that NumPy lacks
        return "content differs"
    return _difference_of_numbers(old, new)


def _difference_of_strings(old: Tensor, new: Tensor) -> str | None:
    count = int((old.read() != new.read()).sum())
    if count == 0:
        return None
    return "1 value differs" if count == 1 else f"{count} values differ"


def _difference_of_numbers(old: Tensor, new: Tensor) -> str | None:
    dtype = old.number or np.dtype(np.uint8)
    is_same = True
    largest: float = 0
    nans = 0  # elements that are NaN on one side only
    for old_block, new_block in zip(old.blocks(), new.blocks(), strict=True):
        if old_block == new_block:
            continue
        is_same = False
        old_values = np.frombuffer(old_block, dtype)
        apart = distances(old_values, np.frombuffer(new_block, dtype))
        largest = max(largest, float(np.fmax.reduce(apart, initial=0)))
        nans += int(np.count_nonzero(np.isnan(apart)))
    if is_same:
        return None
    message = f"values differ by at most {largest:g}"
    return f"{message}; {nans} are NaN on one side only" if nans else message
