"""Distances of array elements: exact for integers, defined for NaN."""

import ml_dtypes
import numpy as np
import pytest
from smdecl.savedmodel.comparing.array_distances import distances

INF, NAN = np.inf, np.nan


@pytest.mark.parametrize(
    ("a", "b", "dtype", "apart"),
    [
        ([1, 2], [1.5, 2], np.float32, [0.5, 0]),
        ([INF, INF, -INF], [INF, -INF, 0], np.float64, [0, INF, INF]),
        ([NAN, NAN, 1], [NAN, 1, NAN], np.float16, [0, NAN, NAN]),
        ([1 + 1j, NAN * 1j], [1, NAN * 1j], np.complex64, [1, 0]),
        ([complex(INF, 1), 1], [complex(5, NAN), 1], np.complex128, [NAN, 0]),
        (INF, INF, np.float32, 0),
        (NAN, NAN, np.float64, 0),
        (NAN, 1, np.float64, NAN),
        (3, 1, np.float64, 2),
        ([2**63 - 1, -(2**63), -1], [2**63 - 2, 2**63 - 1, 1], np.int64, [1, 2**64 - 1, 2]),
        ([2**64 - 1, 0], [2**64 - 2, 2**64 - 1], np.uint64, [1, 2**64 - 1]),
        ([-128, 127], [127, 127], np.int8, [255, 0]),
        ([-8, 0], [7, 7], ml_dtypes.int4, [15, 7]),
        ([1, 2], [1, 4], ml_dtypes.bfloat16, [0, 2]),
        ([True, False], [True, True], bool, [0, 1]),
        ([b"a", b"b"], [b"a", b"c"], object, [0, 1]),
    ],
    ids=str,
)
def test_the_distances_of_arrays(a, b, dtype, apart):
    found = distances(np.array(a, dtype), np.array(b, dtype))

    assert found.shape == np.shape(a)
    flat = found.ravel().tolist()
    expected = apart if isinstance(apart, list) else [apart]
    assert [str(each) for each in flat] == [str(type(flat[0])(each)) for each in expected]
