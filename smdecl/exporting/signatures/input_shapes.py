"""Finds the declared shapes that a model does not accept, once it has failed on them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from smdecl.config.settings import Nest, input_names
from smdecl.errors import KeyPath, ModelError, Problem
from smdecl.exporting import user_code
from smdecl.exporting.signatures.parameters import specs_of_graph
from smdecl.exporting.types import Method
from smdecl.tensor_texts import Dim, shape_text

# How Keras reports an input that does not fit a layer, and the shape that the layer got.
_KERAS = re.compile(r"incompatible with the layer|Invalid input shape")
_GOT = re.compile(
    r"(?:found shape=|received input with shape |shape received: |incompatible shape )"
    r"\((?P<shape>[^()]*)\)"
)


def of_inputs(
    path: KeyPath,
    method: Method,
    inputs: Mapping[str, Nest],
    may_be_unknown: bool = True,
) -> Iterator[Problem]:
    """Yields the inputs whose shape differs from that of their Keras Input.

    Keras accepts some of these shapes, so only a failure shows which of them do not fit.

    Args:
        path: The key of the inputs.
        method: The method that failed.
        inputs: The declared inputs.
        may_be_unknown: Whether a size may be unknown where the Input has a fixed one.
    """
    for name, declared, own in specs_of_graph(method, inputs):
        if own.shape is None or declared.shape is None:
            continue
        if not _fits(declared.shape, own.shape, may_be_unknown):
            expected = f"expected {shape_text(own.shape)}, the shape of the Input {name!r}"
            message = f"{expected}, got {shape_text(declared.shape)}"
            yield Problem((*path, name, "shape"), message)


def _fits(
    declared: tuple[Dim, ...], own: tuple[Dim, ...], may_be_unknown: bool
) -> bool:
    if len(declared) != len(own):
        return False
    for size, expected in zip(declared, own, strict=True):
        is_unknown = not isinstance(size, int)
        if not isinstance(expected, int) or (is_unknown and may_be_unknown):
            continue
        if size != expected:
            return False
    return True


def failure(
    path: KeyPath,
    inputs: Mapping[str, Nest] | None,
    doing: str,
    error: BaseException,
) -> ModelError:
    """Returns the error to raise if a model failed on the declared inputs.

    Its key is the shape of an input if that is what a layer of the model does not accept.

    Args:
        path: The key of the signature.
        inputs: The declared inputs.
        doing: What the model was called for.
        error: What the model raised.
    """
    place = _of_layer(inputs or {}, str(error))
    if place is not None:
        path = (*path, "inputs", *place, "shape")
    return user_code.failure(path, doing, error)


def _of_layer(inputs: Mapping[str, Nest], text: str) -> KeyPath | None:
    """Returns the key of the only input that has the shape which a layer refused, or None."""
    got = _GOT.search(text)
    if got is None or not _KERAS.search(text):
        return None
    sizes = [size.strip() for size in got["shape"].split(",")]
    shape = tuple(size for size in sizes if size)
    found = []
    for place, _, spec in input_names(inputs):
        if spec.shape is not None and _as_keras(spec.shape) == shape:
            found.append(place)
    return found[0] if len(found) == 1 else None


def _as_keras(shape: tuple[Dim, ...]) -> tuple[str, ...]:
    return tuple(
        str(size) if isinstance(size, int) else "None" for size in shape
    )
