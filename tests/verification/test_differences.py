"""Arrays are compared within the tolerances of their dtype."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from smdecl.verification import differences

INF, NAN = float("inf"), float("nan")


def difference(expected, got, dtype=np.float32, rtol=None, atol=None):
    return differences.greatest(np.array(expected, dtype), np.array(got, dtype), rtol, atol)


@pytest.mark.parametrize(
    ("expected", "got", "dtype"),
    [
        (1.0, 1.00001, np.float32),
        (1.0, 1 + 1e-10, np.float64),
        (1.0, 1.009, np.float16),
        (1.0, 1.03, ml_dtypes.bfloat16),
        (1.0, 1.25, ml_dtypes.float8_e4m3fn),
        (1.0, 1.5, ml_dtypes.float8_e5m2),
        (1 + 1j, 1.00001 + 1j, np.complex64),
        ([NAN, INF, -INF], [NAN, INF, -INF], np.float32),
        ([NAN, 1.5], [NAN, 1.5], ml_dtypes.bfloat16),
        ([], [], np.float32),
        ([[], []], [[], []], np.int32),
        ([], [], object),
        ([b"a", b""], [b"a", b""], object),
        (b"a", b"a", object),
        (7, 7, np.int64),
        (-3, -3, ml_dtypes.int4),
        ([True], [True], bool),
    ],
)
def test_equal_arrays_do_not_differ(expected, got, dtype):
    assert difference(expected, got, dtype) is None


@pytest.mark.parametrize(
    ("expected", "got", "dtype", "message"),
    [
        (1.0, 1.5, np.float32, " is 1.5, expected 1.0 within rtol 0.0001, atol 1e-05"),
        (1.0, 1.0001, np.float64, " is 1.0001, expected 1.0 within rtol 1e-09, atol 1e-12"),
        (1.0, 1.125, np.float16, " is 1.125, expected 1.0 within rtol 0.01, atol 0.001"),
        (1.0, 1.125, ml_dtypes.bfloat16, " is 1.125, expected 1 within rtol 0.05, atol 0.01"),
        (1.0, 2.0, ml_dtypes.float8_e4m3fn, " is 2, expected 1 within rtol 0.25, atol 0.1"),
        (
            [1.0, 2.0, 3.0],
            [1.5, 4.0, 3.5],
            np.float32,
            "[1] is 4.0, expected 2.0 within rtol 0.0001, atol 1e-05",
        ),
        (
            [[1, 2], [3, 4]],
            [[1, 2], [9, 4]],
            np.float32,
            "[1, 0] is 9.0, expected 3.0 within rtol 0.0001, atol 1e-05",
        ),
        (
            [9.0, NAN],
            [1.0, 2.0],
            np.float32,
            "[1] is 2.0, expected nan within rtol 0.0001, atol 1e-05",
        ),
        (
            [9.0, 2.0],
            [1.0, NAN],
            np.float32,
            "[1] is nan, expected 2.0 within rtol 0.0001, atol 1e-05",
        ),
        (
            [INF, INF],
            [INF, -INF],
            np.float32,
            "[1] is -inf, expected inf within rtol 0.0001, atol 1e-05",
        ),
        (
            [INF, 1.0],
            [INF, 1e38],
            np.float32,
            "[1] is 1e+38, expected 1.0 within rtol 0.0001, atol 1e-05",
        ),
        (
            [1e308],
            [-1e308],
            np.float64,
            "[0] is -1e+308, expected 1e+308 within rtol 1e-09, atol 1e-12",
        ),
        (
            1 + 1j,
            1 + 2j,
            np.complex64,
            " is (1+2j), expected (1+1j) within rtol 0.0001, atol 1e-05",
        ),
        ([1, 2], [1, 3], np.int32, "[1] is 3, expected 2 exactly"),
        (
            2**62,
            2**62 + 1,
            np.int64,
            " is 4611686018427387905, expected 4611686018427387904 exactly",
        ),
        ([True], [False], bool, "[0] is False, expected True exactly"),
        ([b"a", b"b"], [b"a", b"b\0"], object, r"[1] is b'b\x00', expected b'b' exactly"),
        (b"a", b"b", object, " is b'b', expected b'a' exactly"),
        (-3, 3, ml_dtypes.int4, " is 3, expected -3 exactly"),
        (
            [1e6, 1e-3],
            [1000200.0, 1e-2],
            np.float32,
            "[1] is 0.01, expected 0.001 within rtol 0.0001, atol 1e-05",
        ),
        (
            [1e6, 2.0],
            [1e6 + 1, 2.01],
            np.float32,
            "[1] is 2.01, expected 2.0 within rtol 0.0001, atol 1e-05",
        ),
        (
            [INF, NAN],
            [1.0, 1.0],
            np.float32,
            "[1] is 1.0, expected nan within rtol 0.0001, atol 1e-05",
        ),
        (
            [1.0, INF],
            [2.0, 1.0],
            np.float32,
            "[1] is 1.0, expected inf within rtol 0.0001, atol 1e-05",
        ),
        ([0, 0, 9], [1, 5, 7], np.int32, "[1] is 5, expected 0 exactly"),
        (
            [0, 2**62],
            [1, 2**62 + 2],
            np.int64,
            "[1] is 4611686018427387906, expected 4611686018427387904 exactly",
        ),
        (
            [1, -(2**63)],
            [9, 2**63 - 1],
            np.int64,
            "[1] is 9223372036854775807, expected -9223372036854775808 exactly",
        ),
        ([2**63, 2**64 - 1], [0, 0], np.uint64, "[1] is 0, expected 18446744073709551615 exactly"),
        ([0, 200], [9, 100], np.uint8, "[1] is 100, expected 200 exactly"),
        ([-8, 0], [-7, 7], ml_dtypes.int4, "[1] is 7, expected 0 exactly"),
        ([0, 5], [1, 3], tf.qint8.as_numpy_dtype, "[1] is (3,), expected (5,) exactly"),
        ([True, False], [False, True], bool, "[0] is False, expected True exactly"),
        ([b"a", b"b"], [b"b", b"z"], object, "[0] is b'b', expected b'a' exactly"),
    ],
)
def test_the_greatest_difference_is_reported(expected, got, dtype, message):
    assert difference(expected, got, dtype) == message


def test_given_tolerances_override_those_of_the_dtype():
    assert difference(1.0, 1.4, rtol=0.5) is None
    assert difference(1.0, 1.4, atol=0.5) is None
    assert (
        difference(1.0, 1.4, rtol=0.0, atol=0.1) == " is 1.4, expected 1.0 within rtol 0, atol 0.1"
    )
    assert difference(2, 1, np.int32, rtol=1.0, atol=9.0) == " is 1, expected 2 exactly"
    message = "[1] is 3.0, expected 1.0 within rtol 0, atol 0"
    assert difference([1.0, 1.0], [1.5, 3.0], rtol=0.0, atol=0.0) == message


@pytest.mark.parametrize(
    ("expected", "got", "message"),
    [
        (
            np.zeros((2, 3), np.float32),
            np.zeros((1, 3), np.float32),
            ": got float32 [1, 3], expected float32 [2, 3]",
        ),
        (
            np.zeros(2, np.float32),
            np.zeros(2, np.float64),
            ": got float64 [2], expected float32 [2]",
        ),
        (np.array(b"a", object), np.array(1), ": got int64 [], expected string []"),
        (
            np.zeros(0, np.float32),
            np.zeros(1, np.float32),
            ": got float32 [1], expected float32 [0]",
        ),
        (
            np.zeros(1, ml_dtypes.bfloat16),
            np.zeros(1, np.float16),
            ": got float16 [1], expected bfloat16 [1]",
        ),
    ],
)
def test_a_different_shape_or_dtype_is_reported(expected, got, message):
    assert differences.greatest(expected, got, None, None) == message
