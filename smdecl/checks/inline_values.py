"""Compares the values that a config gives inline with the specs that they are for, without NumPy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from smdecl.config.settings import Spec
from smdecl.errors import KeyPath, Problem
from smdecl.tensor_texts import Dim, shape_text

_SHOWN = 80  # characters of a value


def problems(path: KeyPath, value: Any, spec: Spec) -> Iterator[Problem]:
    """Yields what building would refuse in a value: a leaf of a different kind, or a different shape.

    What files and base64 hold is compared elsewhere; how the rows of a ragged tensor nest, where it is built.
    """
    leaves = list(_leaves(value))
    if any(isinstance(leaf, dict) for leaf in leaves):
        return
    wrong = next(
        (leaf for leaf in leaves if _kind(leaf) not in taken(spec.dtype)), None
    )
    if wrong is not None or None in leaves:
        text = repr(wrong)
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        yield Problem(
            path,
            f"cannot be made {spec.dtype}: got {shown}, which is {type(wrong).__name__}",
        )
    elif spec.kind != "ragged":
        yield from _compare_shape(path, value, spec)


def _leaves(value: Any) -> Iterator[Any]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending += reversed(item)
        else:
            yield item


def _kind(leaf: Any) -> str | None:
    """Returns the kind of a scalar, in the words of `taken`."""
    return {bool: "booleans", int: "integers", float: "floats", str: "text"}.get(
        type(leaf)
    )


def taken(dtype: str) -> tuple[str, ...]:
    """Returns the kinds of numbers that an array of a dtype is made of without loss of what they are."""
    if dtype in ("bool", "string"):
        return ("booleans",) if dtype == "bool" else ("text",)
    if dtype.startswith("complex"):
        return ("integers", "floats", "complex")
    return ("integers", "floats") if "float" in dtype else ("integers",)


def _compare_shape(path: KeyPath, value: Any, spec: Spec) -> Iterator[Problem]:
    shape = _shape(value)
    if shape is None:
        message = (
            f"cannot be made {spec.dtype}: got lists of different lengths or depths"
        )
        yield Problem(path, message)
    elif spec.shape is not None and not fits(spec.shape, shape):
        yield Problem(
            path, f"got a value of shape {list(shape)}; takes {shape_text(spec.shape)}"
        )


def _shape(value: Any) -> tuple[int, ...] | None:
    """Returns the shape of nested lists; None if they are not those of an array."""
    if not isinstance(value, list):
        return ()
    shapes = {_shape(item) for item in value}
    if len(shapes) > 1:
        return None
    inner = shapes.pop() if shapes else ()
    return None if inner is None else (len(value), *inner)


def fits(shape: Sequence[Dim], sizes: Sequence[int]) -> bool:
    """Returns whether sizes are those of a shape, in number and where the shape has them fixed."""
    pairs = zip(shape, sizes, strict=False)
    return len(shape) == len(sizes) and all(
        size == dim for dim, size in pairs if isinstance(dim, int)
    )
