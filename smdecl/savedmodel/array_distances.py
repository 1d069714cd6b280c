"""How far the elements of two arrays of one dtype are apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def distances(a: Array, b: Array) -> Array:
    """Returns the distance of each element of `a` to that of `b`, which has the same shape and dtype.

    Equal elements have none, infinities and two NaNs as well. An element that is NaN in one array
    alone has the distance NaN. Distances of integers are exact; those of texts are 0 or 1.
    """
    if a.dtype == object:
        return np.not_equal(a, b).astype(np.float64)
    if a.dtype.kind in "iu":  # large ones that differ may be the same as floats
        # What wraps around between signed integers is right again without signs.
        high: Array = np.maximum(a, b).astype(np.uint64)
        return high - np.minimum(a, b).astype(np.uint64)
    a, b = wide(a), wide(b)
    with np.errstate(invalid="ignore", over="ignore"):
        apart: Array = np.where(a == b, 0.0, np.abs(a - b))
    apart[np.isnan(a) & np.isnan(b)] = 0.0
    apart[np.isnan(a) != np.isnan(b)] = np.nan
    return apart


def wide(array: Array) -> Array:
    """Returns an array as float64, or as complex128."""
    return array.astype(np.complex128 if np.iscomplexobj(array) else np.float64)
