"""Compares values that a config gives inline with their specs, without NumPy."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

from smdecl import schema
from smdecl.config.settings import Spec
from smdecl.tensor_texts import Dim, shape_text

_LONGEST_VALUE = 80  # characters
_KINDS: dict[type, str] = {
    bool: "booleans",
    int: "integers",
    float: "floats",
    str: "text",
}


def wrong_kind(value: object, spec: Spec) -> str | None:
    """Returns why leaves of a value have the wrong kind for its dtype; None if they have not."""
    if not is_dtype(spec.dtype):
        return None  # the schema reports the dtype
    known = accepted(spec.dtype)
    for leaf in _leaves(value):
        if isinstance(leaf, dict):
            continue
        if _KINDS.get(type(leaf)) not in known:
            got = f"got {_shown(leaf)}, which is {type(leaf).__name__}"
            return f"cannot be converted to {spec.dtype}: {got}"
    return None


def wrong_sizes(value: object, spec: Spec) -> str | None:
    """Returns why a value has the wrong shape; None if it has not.

    Values with files or base64 in them, and the rows of ragged tensors, are compared elsewhere.
    """
    if _has_files(value) or spec.kind == "ragged":
        return None
    found = _shape(value)
    if found is None:
        reason = "got lists of different lengths or depths"
        return f"cannot be converted to {spec.dtype}: {reason}"
    if spec.shape is not None and not fits(spec.shape, found):
        return wrong_shape(found, spec.shape)
    return None


def sizes(value: object) -> tuple[int, ...] | None:
    """Returns the shape of a value without files in it; None if no array has it."""
    return None if _has_files(value) else _shape(value)


def _has_files(value: object) -> bool:
    return any(isinstance(leaf, dict) for leaf in _leaves(value))


@functools.cache
def _dtypes() -> frozenset[str]:
    spec = schema.load("config")["$defs"]["spec"]
    return frozenset(spec["properties"]["dtype"]["enum"])


def is_dtype(name: object) -> bool:
    """Returns whether the schema accepts a dtype."""
    return name in _dtypes()


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
    """Returns whether sizes match a shape in number, and wherever the shape has a fixed size."""
    if len(shape) != len(sizes):
        return False
    pairs = zip(shape, sizes, strict=True)
    return all(size == dim for dim, size in pairs if isinstance(dim, int))


def wrong_shape(sizes: Sequence[int], shape: Sequence[Dim]) -> str:
    """Returns the message for a value whose sizes do not match a shape."""
    return f"got a value of shape {list(sizes)}; expected {shape_text(shape)}"
