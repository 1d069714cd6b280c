"""Decides whether one tensor can replace another, as an input or as an output."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

from smdecl.savedmodel.records import Shape, TensorRecord

Form: TypeAlias = tuple[str, str | None, str | None]


def form(tensor: TensorRecord) -> Form:
    """Returns what must be equal for one tensor to replace another: all but the shape."""
    return tensor.dtype, tensor.kind, tensor.detail


def accepts(new: TensorRecord, old: TensorRecord) -> bool:
    """Returns whether an input `new` accepts every tensor that `old` accepts."""
    return form(old) == form(new) and _contains(new.shape, old.shape)


def answers(
    old: TensorRecord, new: TensorRecord, freed: Collection[int | None]
) -> bool:
    """Returns whether callers who expect the output `old` can use `new`.

    The new output may be more specific. It may also have an unknown size in place of one in
    `freed`: for the inputs that were valid before, the size has not changed.

    Args:
        old: The output that callers know.
        new: The output that replaces it.
        freed: The sizes of inputs that may be any size now, from `freed_sizes`.
    """
    if form(old) != form(new):
        return False
    if old.shape is None:
        return True
    if new.shape is None:
        is_freed = all(size is None or size in freed for size in old.shape)
        return None in freed and is_freed
    if len(old.shape) != len(new.shape):
        return False
    return all(
        before in (None, after) or (after is None and before in freed)
        for before, after in zip(old.shape, new.shape, strict=True)
    )


def freed_sizes(
    old: Mapping[str, TensorRecord], new: Mapping[str, TensorRecord]
) -> set[int | None]:
    """Returns the sizes of old inputs that may be any size now.

    None is among them if an input may have any rank now. The result is empty if an old input is no
    longer accepted.
    """
    freed = set[int | None]()
    for name in old.keys() & new.keys():
        if not accepts(new[name], old[name]):
            return set()
        before, after = old[name].shape, new[name].shape
        if before is None:
            continue
        if after is None:
            freed |= {*before, None}
            continue
        for size, now in zip(before, after, strict=True):
            if size is not None and now is None:
                freed.add(size)
    return freed


def _contains(outer: Shape, inner: Shape) -> bool:
    """Returns whether every shape that matches `inner` also matches `outer`."""
    if outer is None:
        return True
    if inner is None or len(inner) != len(outer):
        return False
    pairs = zip(outer, inner, strict=True)
    return all(
        outer_size in (None, inner_size) for outer_size, inner_size in pairs
    )
