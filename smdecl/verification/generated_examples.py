"""Generates the inputs of examples from the specs of a signature."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from smdecl.config.settings import Spec, parts
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.verification import example_values

_Dim: TypeAlias = str | int
"""An unknown dim: its name, or its axis if it has none.

Unnamed dims of one axis get the same size, because they mostly agree, as batches do. Those of
different axes get different sizes, unless the object rejects that.
"""

Limits: TypeAlias = Sequence[float]
"""The least and the greatest value."""

_EQUAL = 3  # the size of dims that have to be equal

_WORDS = (b"a", b"to be", "gr\u00fc\u00df".encode())


@dataclass(frozen=True)
class Drawn:
    """Generated inputs.

    Attributes:
        attempts: The dense arrays that the inputs are sent as, by name; then those for an object
            that rejects the previous ones. All unnamed dims have one size in the last attempt.
        has_empty_dim: Whether an unknown dim has the size 0.
    """

    attempts: tuple[dict[str, Array], ...]
    has_empty_dim: bool = False


def draw(
    specs: Mapping[str, Spec],
    count: int,
    seed: int,
    ranges: Mapping[str, Limits],
) -> list[Drawn]:
    """Draws the inputs of examples.

    Args:
        specs: The specs of the inputs by name.
        count: How many to draw; more follow if these have not tried each dim with the size 0.
        seed: The seed of all values.
        ranges: The limits of values by input.
    """
    random = np.random.default_rng(seed)
    unknown = _unknown_dims(specs.values())
    drawn = []
    for number, sizes in enumerate(_sizes(specs.values(), count)):
        inputs = _draw_inputs(random, specs, sizes, ranges)
        has_empty_dim = any(sizes[dim] == 0 for dim in unknown)
        equal_sizes = _with_equal_sizes(sizes)
        attempts = [inputs]
        if equal_sizes != sizes and not has_empty_dim:
            # Apart, so that later examples do not depend on these.
            own = np.random.default_rng([seed, number])
            attempts.append(_draw_inputs(own, specs, equal_sizes, ranges))
        drawn.append(Drawn(tuple(attempts), has_empty_dim))
    return drawn


def _draw_inputs(
    random: np.random.Generator,
    specs: Mapping[str, Spec],
    sizes: Mapping[_Dim, int],
    ranges: Mapping[str, Limits],
) -> dict[str, Array]:
    inputs: dict[str, Array] = {}
    for name, spec in specs.items():
        sized = _with_sizes(spec, sizes)
        arrays = _draw_parts(random, sized, ranges.get(name))
        inputs.update(zip(parts(name, sized), arrays, strict=True))
    return inputs


def _dims(spec: Spec) -> list[_Dim | None]:
    """Returns the unknown dims of a shape, with None for each known size."""
    dims: list[_Dim | None] = []
    for axis, dim in enumerate(spec.shape or ()):
        if isinstance(dim, int):
            dims.append(None)
        else:
            dims.append(axis if dim is None else dim)
    return dims


def _all_dims(specs: Iterable[Spec]) -> list[_Dim]:
    """Returns the unknown dims of specs, each once."""
    found: dict[_Dim, None] = {}
    for spec in specs:
        found.update((dim, None) for dim in _dims(spec) if dim is not None)
    return list(found)


def _unknown_dims(specs: Iterable[Spec]) -> list[_Dim]:
    """Returns the unknown dims that an example has one size for, each once.

    The rows of a ragged tensor differ in length.
    """
    found: dict[_Dim, None] = {}
    for spec in specs:
        ragged_axes = (
            range(1, spec.ragged_rank + 1) if spec.kind == "ragged" else ()
        )
        for axis, dim in enumerate(_dims(spec)):
            if dim is not None and axis not in ragged_axes:
                found[dim] = None
    return list(found)


def _sizes(specs: Iterable[Spec], count: int) -> Iterator[dict[_Dim, int]]:
    """Yields the sizes of the unknown dims in each example.

    Two examples with several sizes alternate with one in which a dim has the size 0. Any two dims
    differ in size in one of these two, because a graph may confuse them. Only one dim is 0 at a
    time, because an object that accepts no rows may still fail on no columns. If there are too few
    examples for that, more follow, at most as many again; if these do not suffice, several dims are
    0 at once.
    """
    specs = list(specs)
    known = _all_dims(specs)
    empty = iter(_empty_sizes(known, _unknown_dims(specs), count))
    for index in range(count):
        if index % 3 == 2:  # noqa: PLR2004 - every third example has an empty dim
            yield next(empty)
        else:
            yield _alternating_sizes(known, index)
    yield from empty


def _alternating_sizes(known: Sequence[_Dim], index: int) -> dict[_Dim, int]:
    """Returns the sizes for an example without an empty dim.

    In examples with an even index, named dims differ from each other, and unnamed dims have the
    size 1. In those with an odd index, unnamed dims differ from each other and from named ones.
    """
    is_even = index % 2 == 0
    named = [dim for dim in known if isinstance(dim, str)]
    unnamed = [dim for dim in known if isinstance(dim, int)]
    sizes: dict[_Dim, int] = dict.fromkeys(known, 1)
    if is_even:
        sizes.update(_differing(named[1:], 3))
    else:
        sizes.update(_differing(named[:1], _EQUAL))
        least = 4 if named else _EQUAL
        sizes.update(_differing(unnamed, least))
    return sizes


def _differing(dims: Sequence[_Dim], least: int) -> dict[_Dim, int]:
    # Bounded, because the number of values is the product of all sizes.
    return {dim: least + place % 4 for place, dim in enumerate(dims)}


def _with_equal_sizes(sizes: Mapping[_Dim, int]) -> dict[_Dim, int]:
    """Returns sizes with a single one for all unnamed dims and the first named one."""
    equal = {}
    for dim, size in sizes.items():
        is_unnamed = isinstance(dim, int)
        equal[dim] = _EQUAL if is_unnamed and size > 1 else size
    return equal


def _empty_sizes(
    known: Sequence[_Dim],
    unknown: Sequence[_Dim],
    count: int,
) -> list[dict[_Dim, int]]:
    """Returns the sizes for the examples in which a dim of `unknown` has the size 0."""
    third = count // 3
    if third == 0:
        return []
    number = min(max(third, len(unknown)), third + count)
    sizes = []
    for index in range(number):
        first = index % max(len(unknown), 1)
        empty = unknown[first::number]
        sizes.append({dim: 0 if dim in empty else 2 for dim in known})
    return sizes


def _with_sizes(spec: Spec, sizes: Mapping[_Dim, int]) -> Spec:
    shape = []
    for size, dim in zip(spec.shape or (), _dims(spec), strict=True):
        shape.append(size if dim is None else sizes[dim])
    return replace(spec, shape=tuple(shape))


def _draw_parts(
    random: np.random.Generator,
    spec: Spec,
    limits: Limits | None,
) -> list[Array]:
    """Draws the dense arrays that a tensor is sent as; all sizes of its shape are known."""
    shape = [size for size in spec.shape or () if isinstance(size, int)]
    if spec.kind == "ragged":
        return _draw_ragged(random, spec, shape, limits)
    value = draw_dense(random, spec.dtype, shape, limits)
    if spec.kind == "dense":
        return [value]
    is_absent = random.integers(0, 2, shape).astype(bool)
    value[is_absent] = b"" if spec.dtype == "string" else 0
    return example_values.sparse_parts(value)


def _draw_ragged(
    random: np.random.Generator,
    spec: Spec,
    shape: Sequence[int],
    limits: Limits | None,
) -> list[Array]:
    rows = shape[0]
    splits: list[Array] = []
    for _ in range(spec.ragged_rank):
        lengths = random.integers(0, 4, rows)
        ends = np.cumsum([0, *lengths])
        splits.append(ends.astype(spec.row_splits_dtype))
        rows = int(ends[-1])
    flat_shape = (rows, *shape[spec.ragged_rank + 1 :])
    values = draw_dense(random, spec.dtype, flat_shape, limits)
    return [values, *splits]


def draw_dense(
    random: np.random.Generator,
    name: str,
    shape: Sequence[int],
    limits: Limits | None,
) -> Array:
    """Draws a dense array.

    Args:
        random: Draws the values.
        name: The name of the dtype.
        shape: The shape.
        limits: The limits of numbers; None for small ones.
    """
    dtype = tf.as_dtype(name)
    if dtype == tf.string:
        count = int(np.prod(shape))
        indices = random.integers(0, len(_WORDS), count)
        words = [_WORDS[index] for index in indices]
        return np.array(words, dtype=object).reshape(shape)
    if dtype == tf.bool:
        return random.integers(0, 2, shape).astype(bool)
    if dtype.is_complex or dtype.is_floating:
        return _draw_floats(random, dtype, shape, limits or (-1, 1))
    # By default small enough to be a valid id for almost any table or embedding.
    least, greatest = limits or (0, 1)
    wide = np.uint64 if dtype == tf.uint64 else np.int64
    drawn = random.integers(
        int(least), int(greatest), shape, wide, endpoint=True
    )
    return np.asarray(drawn).astype(dtype.as_numpy_dtype)


def _draw_floats(
    random: np.random.Generator,
    dtype: tf.DType,
    shape: Sequence[int],
    limits: Limits,
) -> Array:
    least, greatest = map(float, limits)
    # Halves, because the width of a range may exceed every float; and clipped, because half of
    # the least float is 0.
    drawn = 2 * random.uniform(least / 2, greatest / 2, (2, *shape))
    real, imaginary = np.clip(drawn, least, greatest)
    value = real + 1j * imaginary if dtype.is_complex else real
    return np.asarray(value).astype(dtype.as_numpy_dtype)
