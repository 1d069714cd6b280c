"""Compares values that a config gives inline with their specs, without NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from smdecl.checks.types import Problems
from smdecl.config.settings import Spec
from smdecl.errors import KeyPath, Problem
from smdecl.tensor_texts import Dim, shape_text

_LONGEST_VALUE = 80  # characters
_KINDS: dict[type, str] = {
    bool: "booleans",
    int: "integers",
    float: "floats",
    str: "text",
}


def problems(path: KeyPath, value: object, spec: Spec) -> Problems:
    """Yields what the build would refuse in a value: leaves of a different kind, or another shape.

    Values with files or base64 in them, and the rows of ragged tensors, are compared elsewhere.
    """
    leaves = list(_leaves(value))
    if any(isinstance(leaf, dict) for leaf in leaves):
        return
    known = accepted(spec.dtype)
    wrong = [leaf for leaf in leaves if _KINDS.get(type(leaf)) not in known]
    if wrong:
        got = f"got {_shown(wrong[0])}, which is {type(wrong[0]).__name__}"
        yield Problem(path, f"cannot be converted to {spec.dtype}: {got}")
    elif spec.kind != "ragged":
        yield from _compare_shape(path, value, spec)


def _leaves(value: object) -> Iterator[object]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += reversed(item)
        else:
            yield item


def _shown(value: object) -> str:
    text = repr(value)
    return (
        text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
    )


def accepted(dtype: str) -> tuple[str, ...]:
    """Returns the kinds of values from which an array of a dtype can be made without loss."""
    if dtype == "bool":
        return ("booleans",)
    if dtype == "string":
        return ("text",)
    if dtype.startswith("complex"):
        return ("integers", "floats", "complex")
    if "float" in dtype:
        return ("integers", "floats")
    return ("integers",)


def _compare_shape(path: KeyPath, value: object, spec: Spec) -> Problems:
    sizes = _shape(value)
    if sizes is None:
        reason = "got lists of different lengths or depths"
        yield Problem(path, f"cannot be converted to {spec.dtype}: {reason}")
    elif spec.shape is not None and not fits(spec.shape, sizes):
        yield Problem(path, wrong_shape(sizes, spec.shape))


def _shape(value: object) -> tuple[int, ...] | None:
    """Returns the shape of nested lists; None if no array has it."""
    if not isinstance(value, list):
        return ()
    shapes = {_shape(item) for item in value}
    if len(shapes) > 1:
        return None
    inner = shapes.pop() if shapes else ()
    return None if inner is None else (len(value), *inner)


def fits(shape: Sequence[Dim], sizes: Sequence[int]) -> bool:
    """Returns True if sizes match a shape in number, and wherever the shape has a fixed size."""
    if len(shape) != len(sizes):
        return False
    pairs = zip(shape, sizes, strict=True)
    return all(size == dim for dim, size in pairs if isinstance(dim, int))


def wrong_shape(sizes: Sequence[int], shape: Sequence[Dim]) -> str:
    """Returns the message for a value whose sizes do not match a shape."""
    return f"got a value of shape {list(sizes)}; expected {shape_text(shape)}"
