"""The object gets the values that a config gives, or they are refused with their key."""

import time

import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import ConfigError, VerificationError

from tests.verification.example_making import given, identity, make, ragged


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (1.5, "float32", []),
        ([[1, 2.5]], "float64", [None, 2]),
        ([1, 2], "float8_e5m2", ["batch"]),
        (2, "bfloat16", []),
        (float("inf"), "float16", []),
        (2**64 - 1, "uint64", []),
        ([-8, 7], "int4", [2]),
        ([True, False], "bool", [None]),
        ([1, 2.5], "complex64", None),
        ([], "int32", [None]),
        ([[], []], "string", [2, None]),
        ("grüß", "string", []),
        (b"\xff\0", "string", []),
    ],
)
def test_the_object_gets_the_given_value(value, dtype, shape):
    array = given(value, dtype, shape)

    assert tf.as_dtype(array.dtype).name == dtype
    plain = value.encode() if isinstance(value, str) else value
    assert array.tolist() == plain


@pytest.mark.parametrize(
    ("value", "dtype", "shape", "message"),
    [
        (1.5, "int32", [], "cannot be converted to int32: got 1.5, which is float"),
        (300, "uint8", [], "cannot be converted to uint8: got 300; expected 0 to 255"),
        (
            -1,
            "uint64",
            [],
            "cannot be converted to uint64: got -1; expected 0 to 18446744073709551615",
        ),
        (
            2**40,
            "int32",
            [],
            "cannot be converted to int32: got 1099511627776; expected -2147483648 to 2147483647",
        ),
        (8, "int4", [], "cannot be converted to int4: got 8; expected -8 to 7"),
        (128, "qint8", [], "cannot be converted to qint8: got 128; expected -128 to 127"),
        (
            1e300,
            "float32",
            [],
            "cannot be converted to float32: got a number that is too large for it",
        ),
        (
            10**400,
            "float64",
            [],
            "cannot be converted to float64: int too large to convert to float",
        ),
        (1, "bool", [], "cannot be converted to bool: got 1, which is int"),
        (True, "float32", [], "cannot be converted to float32: got True, which is bool"),
        ("1", "float32", [], "cannot be converted to float32: got '1', which is str"),
        (1, "string", [], "cannot be converted to string: got 1, which is int"),
        (None, "float32", [], "cannot be converted to float32: got None, which is NoneType"),
        ({"a": 1}, "float32", [], "cannot be converted to float32: got {'a': 1}, which is dict"),
        (
            [[1], [2, 3]],
            "float32",
            [None, None],
            "cannot be converted to float32: got lists of different lengths or depths",
        ),
        ([1, 2], "float32", [], "got a value of shape [2]; expected []"),
        ([[1, 2]], "float32", ["batch", 3], "got a value of shape [1, 2]; expected [batch, 3]"),
        (1, "float32", [None], "got a value of shape []; expected [?]"),
    ],
)
def test_a_given_value_that_does_not_fit_is_reported_with_its_key(value, dtype, shape, message):
    with pytest.raises(ConfigError) as error:
        given(value, dtype, shape)

    assert str(error.value) == f"verify.examples.serving_default[0].inputs.x: {message}"


ARRAYS = [
    (np.array(1.5, np.float32), "float32"),
    (np.array([[1, 2], [3, 4]], ">f4", order="F"), "float32"),
    (np.array([1.5, np.inf, np.nan]), "float32"),
    (np.array([1.5, 1e300]), "float32"),
    (np.array([1.5, 70000]), "float16"),
    (np.array([1.5, -2], np.float16), "bfloat16"),
    (np.array([1, 2]), "float8_e5m2"),
    (np.array([1.5, 1e6]), "float8_e4m3fn"),
    (np.array([2**64 - 1, 2**53 + 1], np.uint64), "float64"),
    (np.array([True]), "float32"),
    (np.array([1 + 2j]), "float32"),
    (np.array([1 + 2j, np.nan]), "complex64"),
    (np.array([1 + 2j, 1e300]), "complex64"),
    (np.array([1, 2], np.uint8), "complex128"),
    (np.array([1, 2], ">i2"), "int64"),
    (np.array([0, 300, -1]), "uint8"),
    (np.array([0, -1, 300]), "uint8"),
    (np.array([0, -1], np.int8), "uint64"),
    (np.array([2**63 - 1, 2**63], np.uint64), "int64"),
    (np.array([2**64 - 1], np.uint64), "uint64"),
    (np.array([-8, 7]), "int4"),
    (np.array([-8, 8], np.int8), "int4"),
    (np.array([15], np.uint8), "uint4"),
    (np.array([-128, 127]), "qint8"),
    (np.array([0, 65536]), "quint16"),
    (np.array([1.0, 2.0]), "int32"),
    (np.array([True, False]), "int32"),
    (np.array([True, False]), "bool"),
    (np.array([1, 0]), "bool"),
    (np.array([b"a", b"\xff\0b", b""]), "string"),
    (np.array([["a", "gr\u00fc\u00df"]]), "string"),
    (np.array([1, 2]), "string"),
    (np.array(["1"]), "float32"),
    (np.array([b"1"]), "bool"),
    (np.array(["2026-01-01"], "datetime64[D]"), "int64"),
    (np.array([1.5], np.longdouble), "float64"),
    (np.array([]), "int32"),
]  # fmt: skip


def outcome(value, dtype):
    try:
        array = given(value, dtype, None)
    except ConfigError as error:
        return str(error)
    return tf.as_dtype(array.dtype).name, array.shape, repr(array.tolist())


@pytest.mark.parametrize(("array", "dtype"), ARRAYS)
def test_an_array_in_a_file_is_converted_as_strictly_as_an_inline_value(tmp_path, array, dtype):
    np.save(tmp_path / "x.npy", array)

    assert outcome({"file": str(tmp_path / "x.npy")}, dtype) == outcome(array.tolist(), dtype)


def test_an_array_in_a_file_is_converted_as_a_whole(tmp_path):
    array = np.ones((1000, 2000), np.float32)
    np.save(tmp_path / "x.npy", array)

    for dtype in ("float32", "float64", "complex64"):
        start = time.thread_time()
        (example,) = make(
            identity,
            {"x": {"dtype": dtype, "shape": [None, 2000]}},
            [{"inputs": {"x": {"file": str(tmp_path / "x.npy")}}}],
        )
        assert time.thread_time() - start < 2  # of CPU; element by element, it takes 12
        assert (example.inputs["x"] == array).all()


def test_structured_records_in_a_file_are_not_numbers(tmp_path):
    np.save(tmp_path / "x.npy", np.array([(1, 2.5)], [("a", "i4"), ("b", "f4")]))

    with pytest.raises(
        ConfigError, match="cannot be converted to float32: got \\(1, 2.5\\), which is tuple"
    ):
        given({"file": str(tmp_path / "x.npy")}, "float32", None)


def test_an_empty_array_in_a_file_keeps_its_shape(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((0, 3), np.float32))

    assert given({"file": str(tmp_path / "x.npy")}, "float32", [None, 3]).shape == (0, 3)


def test_given_outputs_replace_the_computed_ones():
    inputs = {"x": {"dtype": "float32", "shape": []}}
    cases = [{"inputs": {"x": 1}}, {"inputs": {"x": 1}, "outputs": {"y": 1.00001}}]

    first, second = make(identity, inputs, cases)

    assert first.outputs == {"y": 1}
    assert second.outputs == {"y": np.float32(1.00001)}
    assert second.outputs["y"].dtype == np.float32


def test_given_outputs_that_the_object_does_not_return_are_all_reported():
    inputs = {"x": {"dtype": "float32", "shape": [2]}}
    cases = [
        {"inputs": {"x": [1, 2]}, "outputs": {"y": [1, 4]}},
        {"inputs": {"x": [1, 2]}, "outputs": {"y": [1, 2.002]}},
    ]

    def half(x):
        return {"y": tf.cast(tf.cast(x, tf.float16) * 1, tf.float32)}

    with pytest.raises(VerificationError) as error:
        make(half, inputs, cases)

    key = "verify.examples.serving_default"
    within = "within rtol 0.0001, atol 1e-05; serving_default computes in float16, whose tolerance"
    assert str(error.value).splitlines() == [
        f"{key}[0].outputs.y: [1] is 2.0 in the model in memory, expected 4.0 {within} is"
        " {rtol: 0.01, atol: 0.001}",
        f"{key}[1].outputs.y: [1] is 2.0 in the model in memory, expected 2.002 {within} is"
        " {rtol: 0.01, atol: 0.001}: set verify.tolerances.serving_default.y to it",
    ]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"z": 1}, "outputs.z: unknown output 'z'; expected one of y"),
        ({"y": [1]}, "outputs.y: got a value of shape [1]; expected []"),
        ({"y": "a"}, "outputs.y: cannot be converted to float32: got 'a', which is str"),
    ],
)
def test_given_outputs_that_do_not_fit_are_reported_with_their_key(outputs, message):
    with pytest.raises(ConfigError) as error:
        make(
            identity,
            {"x": {"dtype": "float32", "shape": []}},
            [{"inputs": {"x": 1}, "outputs": outputs}],
        )

    assert str(error.value) == f"verify.examples.serving_default[0].{message}"


def test_given_inputs_whose_named_dims_disagree_are_reported_with_their_key():
    inputs = {name: {"dtype": "float32", "shape": ["batch"]} for name in ("x", "y")}

    with pytest.raises(ConfigError) as error:
        make(lambda x, y: x, inputs, [{"inputs": {"x": [1], "y": [1, 2]}}])

    assert (
        str(error.value)
        == "verify.examples.serving_default[0].inputs: dim 'batch' is 1 in x and 2 in y"
    )


def test_given_names_are_compared_with_those_of_the_function():
    function = tf.function(lambda x: x, input_signature=[tf.TensorSpec([], tf.float32, "x")])

    with pytest.raises(ConfigError) as error:
        make(function, None, [{"inputs": {"y": 1}}])

    assert [str(problem) for problem in error.value.problems] == [
        "verify.examples.serving_default[0].inputs.y: unknown input 'y'; expected one of x",
        "verify.examples.serving_default[0].inputs.x: is missing: an example needs every input",
    ]
    assert make(function, None, [{"inputs": {"x": 2}}])[0].outputs == {"output_0": 2}


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ([[1, 2], [], [3]], [[1.0, 2.0, 3.0], [0, 2, 2, 3]]),
        ([[], []], [[], [0, 0, 0]]),
        ([], [[], [0]]),
    ],
)
def test_a_ragged_value_is_given_as_lists_of_any_length(value, parts):
    (example,) = make(lambda x: x.flat_values, ragged(), [{"inputs": {"x": value}}])

    assert [part.tolist() for part in example.inputs.values()] == parts


def test_a_sparse_value_is_given_as_its_dense_equivalent():
    inputs = {"x": {"dtype": "string", "shape": [None, 2], "kind": "sparse"}}

    (example,) = make(lambda x: x.values, inputs, [{"inputs": {"x": [["a", ""], ["", "b"]]}}])

    assert [part.tolist() for part in example.inputs.values()] == [
        [[0, 0], [1, 1]],
        [b"a", b"b"],
        [2, 2],
    ]


@pytest.mark.parametrize(
    ("shape", "rank", "parts"),
    [
        ((2, 3), 1, [[0, 1, 2, 3, 4, 5], [0, 3, 6]]),
        ((2, 0), 1, [[], [0, 0, 0]]),
        ((0,), 1, [[], [0]]),
        ((2, 1, 2), 1, [[[0, 1], [2, 3]], [0, 1, 2]]),
        ((2, 1, 2), 2, [[0, 1, 2, 3], [0, 1, 2], [0, 2, 4]]),
        ((0, 3, 2), 1, [[], [0]]),
    ],
)
def test_a_ragged_value_may_be_an_array_in_a_file(tmp_path, shape, rank, parts):
    np.save(tmp_path / "x.npy", np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    inputs = ragged(shape=[None] * (rank + 1) + [2] * (len(shape) - rank - 1), rank=rank)

    (example,) = make(
        lambda x: x.flat_values, inputs, [{"inputs": {"x": {"file": str(tmp_path / "x.npy")}}}]
    )

    assert [part.tolist() for part in example.inputs.values()] == parts


@pytest.mark.parametrize("array", [np.array(3.0), np.array([1.0, 2.0])])
def test_an_array_with_too_few_dims_for_a_ragged_tensor_is_reported(tmp_path, array):
    np.save(tmp_path / "x.npy", array)

    with pytest.raises(ConfigError, match="x: expected lists nested 1 deep for a ragged tensor"):
        make(
            lambda x: x.flat_values,
            ragged(),
            [{"inputs": {"x": {"file": str(tmp_path / "x.npy")}}}],
        )


@pytest.mark.parametrize("value", [3, [1, 2], [[1], 2]])
def test_a_ragged_value_of_the_wrong_depth_is_reported(value):
    with pytest.raises(ConfigError) as error:
        make(lambda x: x.flat_values, ragged(), [{"inputs": {"x": value}}])

    assert str(error.value) == (
        "verify.examples.serving_default[0].inputs.x: expected lists nested 1 deep for a ragged tensor"
    )
