"""Computes the distances between the elements of two arrays of one dtype."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


def distances(a: Array, b: Array) -> Array:
    """Returns the distance between each element of `a` and that of `b`.

    Equal elements have the distance 0; so do equal infinities and two NaNs. An element that is NaN
    in one array only has the distance NaN. Distances of integers are exact; those of strings are 0
    or 1.

    Args:
        a: An array.
        b: An array of the same shape and dtype.
    """
    if a.dtype == object:
        return np.not_equal(a, b).astype(np.float64)
    if a.dtype.kind in "iu":  # as floats, large ones that differ may be equal
        # A difference of signed integers may overflow; modulo 2**64 it is right.
        high: Array = np.maximum(a, b).astype(np.uint64)
        return high - np.minimum(a, b).astype(np.uint64)
    a, b = wide(a), wide(b)
    with np.errstate(invalid="ignore", over="ignore"):
        apart: Array = np.asarray(np.abs(a - b))  # of single values, no array
        # A finite sum has only finite distances. A complex difference may be infinite and NaN.
        if np.isfinite(apart.sum()):
            return apart
    apart[a == b] = 0.0  # infinities
    apart[np.isnan(a) & np.isnan(b)] = 0.0
    apart[np.isnan(a) != np.isnan(b)] = np.nan
    return apart


def wide(array: Array) -> Array:
    """Returns an array as float64, or as complex128 if it is complex."""
    dtype = np.complex128 if np.iscomplexobj(array) else np.float64
    return array.astype(dtype)
