"""Compares arrays within the tolerances of their dtype, and says where they differ most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl.savedmodel.comparing.array_distances import Array, distances, wide
from smdecl.tensor_texts import tensor_text

# The default (rtol, atol) by dtype. Graph and eager execution may sum in different orders.
_TOLERANCES = {
    "float64": (1e-9, 1e-12),
    "complex128": (1e-9, 1e-12),
    "float32": (1e-4, 1e-5),
    "complex64": (1e-4, 1e-5),
    "float16": (1e-2, 1e-3),
    "bfloat16": (5e-2, 1e-2),
    "float8_e4m3fn": (0.25, 0.1),
    "float8_e5m2": (0.5, 0.2),
}
_WIDE = ("float64", "complex128", "float32", "complex64")


def greatest(
    expected: Array,
    got: Array,
    rtol: float | None,
    atol: float | None,
    where: str = "",
) -> str | None:
    """Returns where two arrays differ most relative to their tolerance.

    None means that they are equal within it; two NaNs are equal.

    Args:
        expected: The array with the right values.
        got: The array to check, which must have the same shape and dtype.
        rtol: The relative tolerance; None is the default of the dtype.
        atol: The absolute tolerance; None is the default of the dtype.
        where: Follows the value that differs, such as " in the file".
    """
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return f": got {_form(got)}, expected {_form(expected)}"
    tolerance = _tolerance(expected.dtype, rtol, atol)
    a, b = np.atleast_1d(got), np.atleast_1d(expected)
    wrong = np.flatnonzero(_differ(a, b, tolerance))
    if not wrong.size:
        return None
    measures = _measures(a.ravel()[wrong], b.ravel()[wrong], tolerance)
    worst = wrong[_worst(measures)]
    index = np.unravel_index(worst, a.shape)
    place = f"[{', '.join(map(str, index))}]" if expected.ndim else ""
    return f"{place} is {a[index]!s}{where}, expected {b[index]!s} {_tolerance_text(tolerance)}"


def _tolerance(
    dtype: np.dtype[Any],
    rtol: float | None,
    atol: float | None,
) -> tuple[float, float] | None:
    """Returns rtol and atol; None for a dtype whose values are compared exactly."""
    default = _TOLERANCES.get(tf.as_dtype(dtype).name)
    if default is None:
        return None
    default_rtol, default_atol = default
    relative = default_rtol if rtol is None else rtol
    absolute = default_atol if atol is None else atol
    return float(relative), float(absolute)


def _tolerance_text(tolerance: tuple[float, float] | None) -> str:
    if tolerance is None:
        return "exactly"
    rtol, atol = tolerance
    return f"within rtol {rtol:g}, atol {atol:g}"


def _form(array: Array) -> str:
    return tensor_text(tf.as_dtype(array.dtype).name, array.shape)


def _differ(
    got: Array,
    expected: Array,
    tolerance: tuple[float, float] | None,
) -> Array:
    if tolerance is None:
        return np.asarray(got != expected)
    rtol, atol = tolerance
    # Infinities make NumPy warn; only unequal ones are a difference.
    with np.errstate(invalid="ignore", over="ignore"):
        return ~np.isclose(
            wide(got), wide(expected), rtol, atol, equal_nan=True
        )


def _worst(measures: Sequence[Array]) -> int:
    """Returns the index with the greatest first measure; each next measure breaks ties."""
    places = np.arange(len(measures[0]))
    for measure in measures:
        places = places[measure[places] == measure[places].max()]
    return int(places[0])


def _measures(
    got: Array,
    expected: Array,
    tolerance: tuple[float, float] | None,
) -> list[Array]:
    """Returns how wrong each element is: NaN in one array alone, by the tolerance, by distance."""
    apart = distances(got, expected)
    if tolerance is None:
        return [apart]
    rtol, atol = tolerance
    with np.errstate(all="ignore"):  # infinities, and tolerances of 0
        ratio = apart / (atol + rtol * np.abs(wide(expected)))
    is_alone = np.isnan(apart)
    return [is_alone, _infinite_for_nan(ratio), _infinite_for_nan(apart)]


def _infinite_for_nan(array: Array) -> Array:
    return np.nan_to_num(array, nan=np.inf, posinf=np.inf)


def half_precision_hint(
    output: tuple[str, str],
    expected: Array,
    value: Array,
    find_dtype: Callable[[], str | None],
) -> str:
    """Returns the hint at an output of a 16-bit computation that differs from the expected one.

    Args:
        output: The signature and the name of the output.
        expected: What it should be.
        value: What it is.
        find_dtype: Returns the 16-bit dtype that the signature computes in, if any.
    """
    key, name = output
    is_same_form = (value.shape, value.dtype) == (
        expected.shape,
        expected.dtype,
    )
    if not is_same_form or tf.as_dtype(value.dtype).name not in _WIDE:
        return ""
    dtype = find_dtype()
    if dtype is None:
        return ""
    rtol, atol = _TOLERANCES[dtype]
    hint = (
        f"; {key} computes in {dtype},"
        f" whose tolerance is {{rtol: {rtol:g}, atol: {atol:g}}}"
    )
    # A greater difference may be more than rounding.
    if greatest(expected, value, rtol, atol) is None:
        hint += f": set verify.tolerances.{key}.{name} to it"
    return hint
