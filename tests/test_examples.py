"""Examples: given, generated, run on the object, written and read back."""

import io
import json
import time
import zipfile

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from smdecl import config, examples, stored_examples, tracing
from smdecl.building import Built
from smdecl.config import Devices, Verify
from smdecl.errors import ConfigError, VerificationError
from smdecl.records import ObjectRecord
from smdecl.stored_examples import Example

DTYPES = [
    "bfloat16", "bool", "complex64", "complex128", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2",
    "int4", "int8", "int16", "int32", "int64", "qint8", "qint16", "qint32", "quint8", "quint16", "string", "uint4",
    "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip


def make(function, inputs, given=(), generate=2, seed=0, key="serving_default", **verify):
    """Traces a function as the method of an object and makes the examples of its signature."""
    module = tf.Module()
    module.method = function if isinstance(function, tf.types.experimental.GenericFunction) else tf.function(function)
    signatures = {key: config.parse_signature({"method": "method", "inputs": inputs})}
    built = Built(module, ObjectRecord("Module", (), {}))
    traced = tracing.trace(built, signatures, Devices(None, None, None, None), {"experimental_variable_policy": None})
    verify = {part: {key: values} for part, values in verify.items()}
    options = Verify({key: list(given)} if given else {}, generate, None, None, ("python",), **verify)
    return examples.make(traced, options, seed)


def identity(x):
    return {"y": tf.identity(x)}


def given(value, dtype, shape):
    (example,) = make(identity, {"x": {"dtype": dtype, "shape": shape}}, [{"inputs": {"x": value}}])
    return example.inputs["x"]


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
def test_a_given_value_is_what_the_object_gets(value, dtype, shape):
    array = given(value, dtype, shape)

    assert tf.as_dtype(array.dtype).name == dtype
    plain = value.encode() if isinstance(value, str) else value
    assert array.tolist() == plain


@pytest.mark.parametrize(
    ("value", "dtype", "shape", "message"),
    [
        (1.5, "int32", [], "cannot be made int32: got 1.5, which is float"),
        (300, "uint8", [], "cannot be made uint8: got 300; takes 0 to 255"),
        (-1, "uint64", [], "cannot be made uint64: got -1; takes 0 to 18446744073709551615"),
        (2**40, "int32", [], "cannot be made int32: got 1099511627776; takes -2147483648 to 2147483647"),
        (8, "int4", [], "cannot be made int4: got 8; takes -8 to 7"),
        (128, "qint8", [], "cannot be made qint8: got 128; takes -128 to 127"),
        (1e300, "float32", [], "cannot be made float32: got a number that is too large for it"),
        (10**400, "float64", [], "cannot be made float64: int too large to convert to float"),
        (1, "bool", [], "cannot be made bool: got 1, which is int"),
        (True, "float32", [], "cannot be made float32: got True, which is bool"),
        ("1", "float32", [], "cannot be made float32: got '1', which is str"),
        (1, "string", [], "cannot be made string: got 1, which is int"),
        (None, "float32", [], "cannot be made float32: got None, which is NoneType"),
        ({"a": 1}, "float32", [], "cannot be made float32: got {'a': 1}, which is dict"),
        ([[1], [2, 3]], "float32", [None, None], "cannot be made float32: got lists of different lengths or depths"),
        ([1, 2], "float32", [], "got a value of shape [2]; takes []"),
        ([[1, 2]], "float32", ["batch", 3], "got a value of shape [1, 2]; takes [batch, 3]"),
        (1, "float32", [None], "got a value of shape []; takes [null]"),
    ],
)
def test_a_given_value_that_does_not_fit_is_told_by_its_key(value, dtype, shape, message):
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
def test_an_array_in_a_file_is_taken_as_strictly_as_an_inline_value(tmp_path, array, dtype):
    np.save(tmp_path / "x.npy", array)

    assert outcome({"file": str(tmp_path / "x.npy")}, dtype) == outcome(array.tolist(), dtype)


def test_an_array_in_a_file_is_taken_as_a_whole(tmp_path):
    array = np.ones((1000, 2000), np.float32)
    np.save(tmp_path / "x.npy", array)

    for dtype in ("float32", "float64", "complex64"):
        start = time.thread_time()
        (example,) = make(
            identity,
            {"x": {"dtype": dtype, "shape": [None, 2000]}},
            [{"inputs": {"x": {"file": str(tmp_path / "x.npy")}}}],
        )
        assert time.thread_time() - start < 2  # of the processor; element by element, 12
        assert (example.inputs["x"] == array).all()


def test_records_in_a_file_are_no_numbers(tmp_path):
    np.save(tmp_path / "x.npy", np.array([(1, 2.5)], [("a", "i4"), ("b", "f4")]))

    with pytest.raises(ConfigError, match="cannot be made float32: got \\(1, 2.5\\), which is tuple"):
        given({"file": str(tmp_path / "x.npy")}, "float32", None)


def test_an_empty_array_in_a_file_keeps_its_shape(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((0, 3), np.float32))

    assert given({"file": str(tmp_path / "x.npy")}, "float32", [None, 3]).shape == (0, 3)


def test_given_outputs_are_what_is_expected():
    inputs = {"x": {"dtype": "float32", "shape": []}}
    cases = [{"inputs": {"x": 1}}, {"inputs": {"x": 1}, "outputs": {"y": 5}}]

    first, second = make(identity, inputs, cases)

    assert first.outputs == {"y": 1}
    assert second.outputs == {"y": 5}
    assert second.outputs["y"].dtype == np.float32


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"z": 1}, "outputs.z: 'z' is no output; takes y"),
        ({"y": [1]}, "outputs.y: got a value of shape [1]; takes []"),
        ({"y": "a"}, "outputs.y: cannot be made float32: got 'a', which is str"),
    ],
)
def test_given_outputs_that_do_not_fit_are_told_by_their_key(outputs, message):
    with pytest.raises(ConfigError) as error:
        make(identity, {"x": {"dtype": "float32", "shape": []}}, [{"inputs": {"x": 1}, "outputs": outputs}])

    assert str(error.value) == f"verify.examples.serving_default[0].{message}"


def test_given_inputs_whose_named_dims_disagree_are_told_by_their_key():
    inputs = {name: {"dtype": "float32", "shape": ["batch"]} for name in ("x", "y")}

    with pytest.raises(ConfigError) as error:
        make(lambda x, y: x, inputs, [{"inputs": {"x": [1], "y": [1, 2]}}])

    assert str(error.value) == "verify.examples.serving_default[0].inputs: dim 'batch' is 1 in x and 2 in y"


def test_given_names_are_compared_with_the_functions_own():
    function = tf.function(lambda x: x, input_signature=[tf.TensorSpec([], tf.float32, "x")])

    with pytest.raises(ConfigError) as error:
        make(function, None, [{"inputs": {"y": 1}}])

    assert [str(problem) for problem in error.value.problems] == [
        "verify.examples.serving_default[0].inputs.x: is missing: an example gives every input",
        "verify.examples.serving_default[0].inputs.y: 'y' is no input; takes x",
    ]
    assert make(function, None, [{"inputs": {"x": 2}}])[0].outputs == {"output_0": 2}


@pytest.mark.parametrize("dtype", DTYPES)
def test_examples_of_every_dtype_are_generated_and_kept(tmp_path, dtype):
    made = make(
        lambda x, scalar: {"x": tf.identity(x), "scalar": tf.identity(scalar)},
        {"x": {"dtype": dtype, "shape": [None, 2]}, "scalar": {"dtype": dtype, "shape": []}},
    )

    assert [example.inputs["x"].shape for example in made] == [(1, 2), (3, 2)]
    assert [example.inputs["scalar"].shape for example in made] == [(), ()]
    for example in made:
        assert_same(example.outputs, example.inputs)
        assert {tf.as_dtype(array.dtype).name for array in example.inputs.values()} == {dtype}
    stored_examples.write(made, tmp_path)
    for before, after in zip(made, stored_examples.read(tmp_path), strict=True):
        assert_same(after.inputs, before.inputs)
        assert_same(after.outputs, before.outputs)


def assert_same(got, expected):
    assert list(got) == list(expected) or sorted(got) == sorted(expected)
    for name, array in expected.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        assert got[name].tolist() == array.tolist()


def test_a_seed_always_generates_the_same_and_another_one_something_else():
    inputs = {"x": {"dtype": "float32", "shape": [4]}}

    first, again, other = (make(identity, inputs, seed=seed)[0].inputs["x"].tolist() for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_as_many_examples_are_generated_as_asked():
    inputs = {"x": {"dtype": "float32", "shape": ["batch"]}}

    assert [e.inputs["x"].shape for e in make(identity, inputs, generate=3)] == [(1,), (3,), (0,)]
    assert make(identity, inputs, generate=0) == []


def test_named_dims_are_of_several_sizes_and_empty_too():
    inputs = {
        "x": {"dtype": "float32", "shape": ["batch", "length"]},
        "y": {"dtype": "float32", "shape": ["batch", None, 2]},
    }

    shapes = [(e.inputs["x"].shape, e.inputs["y"].shape) for e in make(lambda x, y: x, inputs, generate=4)]
    assert shapes == [
        ((1, 3), (1, 1, 2)),
        ((3, 1), (3, 3, 2)),
        ((0, 2), (0, 2, 2)),
        ((3, 1), (3, 3, 2)),
        ((2, 0), (2, 2, 2)),
        ((2, 2), (2, 0, 2)),
    ]


@pytest.mark.parametrize(
    ("shape", "generate", "shapes"),
    [
        ([None, None], 3, [(1, 1), (3, 3), (0, 2), (2, 0)]),
        (["a", "b"], 3, [(1, 3), (3, 1), (0, 2), (2, 0)]),
        (["a", "b"], 6, [(1, 3), (3, 1), (0, 2), (3, 1), (1, 3), (2, 0)]),
        (["a", "b"], 2, [(1, 3), (3, 1)]),
        ([None] * 7, 3, [(1,) * 7, (3,) * 7, (0, 2, 2, 2, 0, 2, 2), *[
            tuple(0 if place % 4 == first else 2 for place in range(7)) for first in (1, 2, 3)
        ]]),
    ],
)  # fmt: skip
def test_every_unknown_dim_is_empty_in_an_example(shape, generate, shapes):
    inputs = {"x": {"dtype": "float32", "shape": shape}}

    assert [e.inputs["x"].shape for e in make(identity, inputs, generate=generate)] == shapes


def test_an_empty_batch_is_left_out_where_the_object_takes_none():
    inputs = {"x": {"dtype": "float32", "shape": ["batch"]}}

    def first(x):
        tf.debugging.assert_positive(tf.size(x), "is empty")
        return x[0]

    assert [e.inputs["x"].shape for e in make(first, inputs, generate=3)] == [(1,), (3,)]
    with pytest.raises(VerificationError, match="is empty"):
        make(first, inputs, [{"inputs": {"x": []}}])


def entries_and_rows(x):
    if isinstance(x, tf.SparseTensor):
        return tf.size(x.values), x.dense_shape[0]
    return tf.size(x.flat_values), x.nrows()


@pytest.mark.parametrize(
    ("kind", "shape"), [("sparse", [1, 2]), ("sparse", [None, 2]), ("ragged", [1, None]), ("ragged", ["a", "b"])]
)
def test_no_entries_and_empty_rows_are_no_empty_batch(kind, shape):
    def refuse(x):
        entries, rows = entries_and_rows(x)
        tf.debugging.Assert(tf.logical_or(entries > 0, rows == 0), ["has no entries"])
        return entries

    with pytest.raises(VerificationError, match="has no entries"):
        make(refuse, {"x": {"dtype": "float32", "shape": shape, "kind": kind}}, generate=100)


@pytest.mark.parametrize(("kind", "shape"), [("sparse", [None, 2]), ("ragged", [None, None])])
def test_an_empty_batch_of_another_kind_is_left_out_too(kind, shape):
    def refuse(x):
        entries, rows = entries_and_rows(x)
        tf.debugging.assert_positive(rows, "is empty")
        return entries

    assert len(make(refuse, {"x": {"dtype": "float32", "shape": shape, "kind": kind}}, generate=3)) == 2


@pytest.mark.parametrize(
    ("dtype", "limits"),
    [
        ("int64", [5, 9]),
        ("float32", [5.5, 9]),
        ("uint8", [5, 5]),
        ("complex64", [5, 9]),
        ("uint64", [0, 2**64 - 1]),
        ("uint64", [2**64 - 9, 2**64 - 1]),
        ("int64", [-(2**63), 2**63 - 1]),
        ("float64", [-1.7e308, 1.7e308]),
        ("complex128", [-1.7e308, 1.7e308]),
        ("float64", [-(10**308), 10**308]),
        ("float64", [0, 1.5e-323]),
    ],
)
def test_generated_values_lie_in_the_range_that_is_given(dtype, limits):
    inputs = {"x": {"dtype": dtype, "shape": [200]}}

    for example in make(identity, inputs, ranges={"x": limits}):
        real = np.real(example.inputs["x"])
        assert real.min() >= limits[0]
        assert real.max() <= limits[1]
        assert dtype == "uint8" or len(set(real.tolist())) > 1


@pytest.mark.parametrize(
    ("verify", "message"),
    [
        ({"ranges": {"y": [0, 1]}}, "ranges.serving_default.y: 'y' is no input; takes x"),
        ({"ranges": {"x": [0, 300]}}, "ranges.serving_default.x: cannot be made uint8: got 300; takes 0 to 255"),
        ({"ranges": {"x": [-1, 5]}}, "ranges.serving_default.x: cannot be made uint8: got -1; takes 0 to 255"),
        ({"ranges": {"x": [0, 0.5]}}, "ranges.serving_default.x: cannot be made uint8: got 0.5, which is float"),
        ({"tolerances": {"z": {"rtol": 1}}}, "tolerances.serving_default.z: 'z' is no output; takes y"),
    ],
)
def test_a_range_or_a_tolerance_that_fits_nothing_is_told(verify, message):
    with pytest.raises(ConfigError) as error:
        make(identity, {"x": {"dtype": "uint8", "shape": []}}, **verify)

    assert str(error.value) == f"verify.{message}"


def ragged(dtype="float32", shape=(None, None), rank=1):
    return {"x": {"dtype": dtype, "shape": list(shape), "kind": "ragged", "ragged_rank": rank}}


@pytest.mark.parametrize(
    ("inputs", "rank"),
    [
        (ragged(), 1),
        (ragged("string", [3, None]), 1),
        (ragged("int64", [None, None, None, 2], 2), 2),
        ({"x": {"dtype": "float32", "shape": [None, None], "kind": "ragged", "row_splits_dtype": "int32"}}, 1),
    ],
)
def test_ragged_examples_are_generated_in_the_parts_that_they_are_sent_as(inputs, rank):
    made = make(lambda x: {"values": x.flat_values, "lengths": x.row_lengths()}, inputs, generate=3)

    assert len(made) == 3
    spec = config.parse_signature({"inputs": inputs}).inputs["x"]
    for example in made:
        values, *splits = example.inputs.values()
        assert list(example.inputs) == ["x", *(f"x_{index}" for index in range(1, rank + 1))]
        assert {split.dtype.name for split in splits} == {spec.row_splits_dtype}
        assert example.outputs["values"].tolist() == values.tolist()
        assert example.outputs["lengths"].tolist() == np.diff(splits[0]).tolist()


@pytest.mark.parametrize("dtype", ["float32", "int8", "string", "bool"])
def test_sparse_examples_are_generated_in_the_parts_that_they_are_sent_as(dtype):
    inputs = {"x": {"dtype": dtype, "shape": [None, 3], "kind": "sparse"}}

    for example in make(lambda x: {"indices": x.indices, "values": x.values, "shape": x.dense_shape}, inputs):
        indices, values, shape = (example.inputs[name] for name in ("x", "x_1", "x_2"))
        assert shape[1] == 3
        assert indices.tolist() == sorted(indices.tolist())
        assert example.outputs["values"].tolist() == values.tolist()


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


def test_a_sparse_value_is_given_as_the_dense_one_it_stands_for():
    inputs = {"x": {"dtype": "string", "shape": [None, 2], "kind": "sparse"}}

    (example,) = make(lambda x: x.values, inputs, [{"inputs": {"x": [["a", ""], ["", "b"]]}}])

    assert [part.tolist() for part in example.inputs.values()] == [[[0, 0], [1, 1]], [b"a", b"b"], [2, 2]]


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

    (example,) = make(lambda x: x.flat_values, inputs, [{"inputs": {"x": {"file": str(tmp_path / "x.npy")}}}])

    assert [part.tolist() for part in example.inputs.values()] == parts


@pytest.mark.parametrize("array", [np.array(3.0), np.array([1.0, 2.0])])
def test_an_array_that_is_no_ragged_value_is_told(tmp_path, array):
    np.save(tmp_path / "x.npy", array)

    with pytest.raises(ConfigError, match="x: takes lists in lists, 1 deep, for a ragged tensor"):
        make(lambda x: x.flat_values, ragged(), [{"inputs": {"x": {"file": str(tmp_path / "x.npy")}}}])


@pytest.mark.parametrize("value", [3, [1, 2], [[1], 2]])
def test_a_ragged_value_of_another_depth_is_told(value):
    with pytest.raises(ConfigError) as error:
        make(lambda x: x.flat_values, ragged(), [{"inputs": {"x": value}}])

    assert str(error.value) == (
        "verify.examples.serving_default[0].inputs.x: takes lists in lists, 1 deep, for a ragged tensor"
    )


def test_numbers_that_the_method_returns_are_outputs():
    (example,) = make(
        lambda x: {"y": x, "version": 3, "scale": 0.5}, {"x": {"dtype": "float32", "shape": []}}, generate=1
    )

    dtypes = {name: array.dtype.name for name, array in example.outputs.items()}
    assert dtypes == {"y": "float32", "version": "int32", "scale": "float32"}


def test_an_object_that_fails_is_told_with_the_example_and_its_own_lines():
    def gather(x):
        return tf.gather([1.0], x + 5)

    with pytest.raises(VerificationError) as error:
        make(gather, {"x": {"dtype": "int32", "shape": [None]}})

    (problem,) = error.value.problems
    assert problem.key == "verify.examples.serving_default[0]"
    assert "the object in memory fails on this example, x int32 [1]: InvalidArgumentError" in problem.message
    assert "return tf.gather([1.0], x + 5)" in error.value.traceback_text
    assert not tf.config.functions_run_eagerly()


ODD = [
    Example(
        "odd",
        {
            "bytes": np.array([b"a\0", b"\0", b"", b"\xff\xfe", "grüß".encode()], dtype=object),
            "scalar": np.array(b"tail\0\0", dtype=object),
            "empty scalar": np.array(b"", dtype=object),
            "no text": np.empty((0, 2), dtype=object),
            "matrix": np.array([[b"a", b"bc"], [b"", b"d"]], dtype=object),
        },
        {
            "empty": np.empty((2, 0), np.float32),
            "empty bfloat16": np.empty((0,), ml_dtypes.bfloat16),
            "transposed": np.arange(6, dtype=np.int64).reshape(2, 3).T,
            "bfloat16": np.array([[1.5], [-2]], ml_dtypes.bfloat16),
            "int4 scalar": np.array(-3, ml_dtypes.int4),
            "a/name with/slashes": np.array([1 + 2j]),
        },
    )
]


def test_odd_values_are_kept(tmp_path):
    stored_examples.write(ODD, tmp_path)
    (read,) = stored_examples.read(tmp_path)

    assert read.signature == "odd"
    assert list(read.inputs) == list(ODD[0].inputs)
    assert_same(read.inputs, ODD[0].inputs)
    assert_same(read.outputs, ODD[0].outputs)


def test_the_same_examples_make_the_same_bytes(tmp_path):
    stored_examples.write(ODD, tmp_path / "a")
    stored_examples.write(ODD, tmp_path / "b")

    assert (tmp_path / "a" / stored_examples.FILE).read_bytes() == (tmp_path / "b" / stored_examples.FILE).read_bytes()


def test_anyone_with_numpy_can_read_the_file_and_nothing_in_it_is_pickled(tmp_path):
    stored_examples.write(ODD, tmp_path)

    with np.load(tmp_path / stored_examples.FILE, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if not name.endswith(".json")}
    assert arrays
    assert not [name for name, array in arrays.items() if array.dtype.hasobject]
    with zipfile.ZipFile(tmp_path / stored_examples.FILE) as archive:
        assert archive.testzip() is None


def broken(index=None, **members):
    """Returns a writer of an archive with an index and members that do not fit it."""

    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            if index is not None:
                archive.writestr("examples.json", index if isinstance(index, str) else json.dumps(index))
            for name, array in members.items():
                buffer = io.BytesIO()
                np.save(buffer, array)
                archive.writestr(f"{name}.npy", buffer.getvalue())

    return write


def entry(**changed):
    tensor = {"file": "a", "dtype": "float32", "shape": [2]} | changed
    return [{"signature": "s", "inputs": {"x": tensor}, "outputs": {}}]


PAIR = np.zeros(2, np.float32)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no zip"),
        lambda path: np.save(path.with_suffix(".npy"), PAIR) or path.with_suffix(".npy").rename(path),
        broken(),
        broken("[1,"),
        broken("[" * 100_000),
        broken(3),
        broken({}),
        broken([3]),
        broken([{}]),
        broken([{"signature": "s", "inputs": {}}]),
        broken([{"signature": 3, "inputs": {}, "outputs": {}}]),
        broken([{"signature": "s", "inputs": [], "outputs": {}}]),
        broken(entry()),
        broken(entry(file=3), a=PAIR),
        broken(entry(file="examples.json"), a=PAIR),
        broken(entry(more=1), a=PAIR),
        broken(entry(dtype="float3"), a=PAIR),
        broken(entry(dtype="variant"), a=PAIR),
        broken(entry(dtype="string"), a=PAIR),
        broken(entry(dtype="string"), **{"a": np.zeros(2, np.uint8), "a.lengths": np.array([1])}),
        broken(entry(dtype="string"), **{"a": np.zeros(2, np.uint8), "a.lengths": np.array([0.5, 1.5])}),
        broken(entry(shape=[3]), a=PAIR),
        broken(entry(shape="x"), a=PAIR),
        broken(entry(shape=None), a=PAIR),
        broken(entry(), a=np.zeros(3, np.uint8)),
    ],
)
def test_examples_that_cannot_be_read_are_told_by_their_file(tmp_path, write):
    path = tmp_path / stored_examples.FILE
    path.parent.mkdir(parents=True)
    write(path)

    with pytest.raises(VerificationError) as error:
        stored_examples.read(tmp_path)

    assert str(error.value).startswith(f"{path}: cannot be read: ")
