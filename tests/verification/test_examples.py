"""Examples are generated, run on the object, written and read back."""

import numpy as np
import pytest
import tensorflow as tf
from smdecl.config import parsing
from smdecl.errors import ConfigError, VerificationError
from smdecl.verification import stored_examples

from tests.verification.example_making import assert_same, identity, make, ragged

DTYPES = [
    "bfloat16", "bool", "complex64", "complex128", "float16", "float32", "float64", "float8_e4m3fn", "float8_e5m2",
    "int4", "int8", "int16", "int32", "int64", "qint8", "qint16", "qint32", "quint8", "quint16", "string", "uint4",
    "uint8", "uint16", "uint32", "uint64",
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
def test_examples_of_every_dtype_are_generated_and_stored(tmp_path, dtype):
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


def test_a_seed_determines_the_examples():
    inputs = {"x": {"dtype": "float32", "shape": [4]}}

    first, again, other = (
        make(identity, inputs, seed=seed)[0].inputs["x"].tolist() for seed in (1, 1, 2)
    )

    assert first == again
    assert first != other


def test_the_requested_number_of_examples_is_generated():
    inputs = {"x": {"dtype": "float32", "shape": ["batch"]}}

    assert [e.inputs["x"].shape for e in make(identity, inputs, generate=3)] == [(1,), (3,), (0,)]
    assert make(identity, inputs, generate=0) == []


def test_named_dims_have_several_sizes_including_0():
    inputs = {
        "x": {"dtype": "float32", "shape": ["batch", "length"]},
        "y": {"dtype": "float32", "shape": ["batch", None, 2]},
    }

    shapes = [
        (e.inputs["x"].shape, e.inputs["y"].shape) for e in make(lambda x, y: x, inputs, generate=4)
    ]
    assert shapes == [
        ((1, 3), (1, 1, 2)),
        ((3, 1), (3, 4, 2)),
        ((0, 2), (0, 2, 2)),
        ((3, 1), (3, 4, 2)),
        ((2, 0), (2, 2, 2)),
        ((2, 2), (2, 0, 2)),
    ]


@pytest.mark.parametrize(
    ("shape", "generate", "shapes"),
    [
        ([None, None], 3, [(1, 1), (3, 4), (0, 2), (2, 0)]),
        ([None, "a", None], 2, [(1, 1, 1), (4, 3, 5)]),
        (["a", "b"], 3, [(1, 3), (3, 1), (0, 2), (2, 0)]),
        (["a", "b"], 6, [(1, 3), (3, 1), (0, 2), (3, 1), (1, 3), (2, 0)]),
        (["a", "b"], 2, [(1, 3), (3, 1)]),
        (["a", "b", "c", "d"], 2, [(1, 3, 4, 5), (3, 1, 1, 1)]),
        ([None] * 7, 3, [(1,) * 7, (3, 4, 5, 6, 3, 4, 5), (0, 2, 2, 2, 0, 2, 2), *[
            tuple(0 if place % 4 == first else 2 for place in range(7)) for first in (1, 2, 3)
        ]]),
    ],
)  # fmt: skip
def test_unknown_dims_differ_in_size_and_have_the_size_0_in_an_example(shape, generate, shapes):
    inputs = {"x": {"dtype": "float32", "shape": shape}}

    assert [e.inputs["x"].shape for e in make(identity, inputs, generate=generate)] == shapes


def test_unnamed_dims_are_equal_if_the_object_rejects_others():
    def square(x):
        tf.debugging.assert_equal(*tf.unstack(tf.shape(x)))
        return x

    inputs = {"x": {"dtype": "float32", "shape": [None, None]}}

    assert [e.inputs["x"].shape for e in make(square, inputs, generate=3)] == [(1, 1), (3, 3)]


def test_an_empty_batch_is_skipped_if_the_object_rejects_it():
    inputs = {"x": {"dtype": "float32", "shape": ["batch"]}}

    def first(x):
        tf.debugging.assert_positive(tf.size(x), "is empty")
        return x[0]

    assert [e.inputs["x"].shape for e in make(first, inputs, generate=3)] == [(1,), (3,)]
    with pytest.raises(VerificationError, match="is empty"):
        make(first, inputs, [{"inputs": {"x": []}}])


def test_an_empty_batch_is_skipped_if_the_object_returns_a_different_shape_for_it():
    inputs = {"x": {"dtype": "float32", "shape": ["batch", 2]}}

    made = make(lambda x: tf.map_fn(tf.identity, x), inputs, generate=3)

    assert [e.outputs["output_0"].shape for e in made] == [(1, 2), (3, 2)]


def entries_and_rows(x):
    if isinstance(x, tf.SparseTensor):
        return tf.size(x.values), x.dense_shape[0]
    return tf.size(x.flat_values), x.nrows()


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("sparse", [1, 2]), ("sparse", [None, 2]), ("ragged", [1, None]), ("ragged", ["a", "b"])],
)
def test_a_sparse_or_ragged_tensor_without_entries_is_not_an_empty_batch(kind, shape):
    def refuse(x):
        entries, rows = entries_and_rows(x)
        tf.debugging.Assert(tf.logical_or(entries > 0, rows == 0), ["has no entries"])
        return entries

    with pytest.raises(VerificationError, match="has no entries"):
        make(refuse, {"x": {"dtype": "float32", "shape": shape, "kind": kind}}, generate=100)


@pytest.mark.parametrize(("kind", "shape"), [("sparse", [None, 2]), ("ragged", [None, None])])
def test_an_empty_batch_of_a_sparse_or_ragged_tensor_is_skipped(kind, shape):
    def refuse(x):
        entries, rows = entries_and_rows(x)
        tf.debugging.assert_positive(rows, "is empty")
        return entries

    assert (
        len(make(refuse, {"x": {"dtype": "float32", "shape": shape, "kind": kind}}, generate=3))
        == 2
    )


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
def test_generated_values_are_in_the_given_range(dtype, limits):
    inputs = {"x": {"dtype": dtype, "shape": [200]}}

    for example in make(identity, inputs, ranges={"x": limits}):
        real = np.real(example.inputs["x"])
        assert real.min() >= limits[0]
        assert real.max() <= limits[1]
        assert dtype == "uint8" or len(set(real.tolist())) > 1


@pytest.mark.parametrize(
    ("verify", "message"),
    [
        (
            {"ranges": {"y": [0, 1]}},
            "ranges.serving_default.y: unknown input 'y'; expected one of x",
        ),
        (
            {"ranges": {"x": [0, 300]}},
            "ranges.serving_default.x: cannot be converted to uint8: got 300; expected 0 to 255",
        ),
        (
            {"ranges": {"x": [-1, 5]}},
            "ranges.serving_default.x: cannot be converted to uint8: got -1; expected 0 to 255",
        ),
        (
            {"ranges": {"x": [0, 0.5]}},
            "ranges.serving_default.x: cannot be converted to uint8: got 0.5, which is float",
        ),
        (
            {"tolerances": {"z": {"rtol": 1}}},
            "tolerances.serving_default.z: unknown output 'z'; expected one of y",
        ),
    ],
)
def test_an_invalid_range_or_tolerance_is_reported(verify, message):
    with pytest.raises(ConfigError) as error:
        make(identity, {"x": {"dtype": "uint8", "shape": []}}, **verify)

    assert str(error.value) == f"verify.{message}"


@pytest.mark.parametrize(
    ("inputs", "rank"),
    [
        (ragged(), 1),
        (ragged("string", [3, None]), 1),
        (ragged("int64", [None, None, None, 2], 2), 2),
        (
            {
                "x": {
                    "dtype": "float32",
                    "shape": [None, None],
                    "kind": "ragged",
                    "row_splits_dtype": "int32",
                }
            },
            1,
        ),
    ],
)
def test_ragged_examples_are_generated_as_dense_parts(inputs, rank):
    made = make(lambda x: {"values": x.flat_values, "lengths": x.row_lengths()}, inputs, generate=3)

    assert len(made) == 3
    spec = parsing.parse_signature({"inputs": inputs}).inputs["x"]
    for example in made:
        values, *splits = example.inputs.values()
        assert list(example.inputs) == ["x", *(f"x_{index}" for index in range(1, rank + 1))]
        assert {split.dtype.name for split in splits} == {spec.row_splits_dtype}
        assert example.outputs["values"].tolist() == values.tolist()
        assert example.outputs["lengths"].tolist() == np.diff(splits[0]).tolist()


@pytest.mark.parametrize("dtype", ["float32", "int8", "string", "bool"])
def test_sparse_examples_are_generated_as_dense_parts(dtype):
    inputs = {"x": {"dtype": dtype, "shape": [None, 3], "kind": "sparse"}}

    for example in make(
        lambda x: {"indices": x.indices, "values": x.values, "shape": x.dense_shape}, inputs
    ):
        indices, values, shape = (example.inputs[name] for name in ("x", "x_1", "x_2"))
        assert shape[1] == 3
        assert indices.tolist() == sorted(indices.tolist())
        assert example.outputs["values"].tolist() == values.tolist()


def test_python_numbers_that_the_method_returns_are_outputs():
    (example,) = make(
        lambda x: {"y": x, "version": 3, "scale": 0.5},
        {"x": {"dtype": "float32", "shape": []}},
        generate=1,
    )

    dtypes = {name: array.dtype.name for name, array in example.outputs.items()}
    assert dtypes == {"y": "float32", "version": "int32", "scale": "float32"}


def test_a_failing_object_is_reported_with_the_example_and_its_own_lines():
    def gather(x):
        return tf.gather([1.0], x + 5)

    with pytest.raises(VerificationError) as error:
        make(gather, {"x": {"dtype": "int32", "shape": [None]}})

    (problem,) = error.value.problems
    assert problem.key == "verify.examples.serving_default[0]"
    assert (
        "the object in memory fails on this example, x int32 [1]: InvalidArgumentError"
        in problem.message
    )
    assert "return tf.gather([1.0], x + 5)" in error.value.traceback_text
    assert not tf.config.functions_run_eagerly()
