"""Each loader on small SavedModels."""

import os
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from smdecl.savedmodel import inspection
from smdecl.verification import load as loading
from smdecl.verification.c_api import LoaderError


def save(directory, function, *specs, **attributes):
    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    module.function = tf.function(function)
    tf.saved_model.save(
        module, str(directory), signatures=module.function.get_concrete_function(*specs)
    )
    return directory


def load(loader, directory, tags=("serve",)):
    return loader(directory, tags, inspection.read(directory).meta_graphs[0].signature_def)


def text(*values):
    return np.array(values, dtype=object)


def resident_mebibytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


VALUES = {
    "float scalar": np.array(1.5, np.float32),
    "empty batch": np.zeros((0, 3), np.float32),
    "not contiguous": np.arange(12, dtype=np.float64).reshape(3, 4).T,
    "bool": np.array([True, False]),
    "int64": np.array([[2**62, -1]], np.int64),
    "uint64": np.array([2**64 - 1], np.uint64),
    "complex": np.array([1 + 2j, np.inf], np.complex64),
    "bfloat16": np.array([1.5, -2], ml_dtypes.bfloat16),
    "bfloat16 scalar": np.array(1.5, ml_dtypes.bfloat16),
    "float8": np.array([[1.5]], ml_dtypes.float8_e5m2),
    "int4": np.array([-8, 7], ml_dtypes.int4),
    "uint4 scalar": np.array(15, ml_dtypes.uint4),
    "qint8": np.array([-3, 4], tf.qint8.as_numpy_dtype),
    "text scalar": np.array(b"a\0b\0", dtype=object),
    "long text": text(b"x" * 1000, b"", b"\xff\xfe", "grüß".encode(), b"\0"),
    "no text": text().reshape(0, 2),
}


@pytest.mark.parametrize("loader", [loading.load_python, loading.load_cpp, loading.load_session])
@pytest.mark.parametrize("name", VALUES)
def test_values_round_trip(tmp_path, loader, name):
    value = VALUES[name]
    spec = tf.TensorSpec([None] * value.ndim, tf.as_dtype(value.dtype), "x")
    save(tmp_path, lambda x: {"y": tf.identity(x)}, spec)

    got = load(loader, tmp_path)("serving_default", {"x": value})

    assert list(got) == ["y"]
    assert (got["y"].dtype, got["y"].shape) == (value.dtype, value.shape)
    assert got["y"].tolist() == value.tolist()


def test_the_cpp_loader_encodes_python_text_as_utf_8(tmp_path):
    save(tmp_path, lambda x: {"size": tf.strings.length(x)}, tf.TensorSpec([None], tf.string, "x"))
    run = load(loading.load_cpp, tmp_path)

    assert run("serving_default", {"x": np.array(["grüß", "a"])})["size"].tolist() == [6, 1]
    assert run("serving_default", {"x": np.array([b"abc", b""])})["size"].tolist() == [3, 0]


def test_outputs_keep_their_names(tmp_path):
    spec = tf.TensorSpec([], tf.float32, "x")
    save(tmp_path, lambda x: {"zwei": x * 2, "drei": x * 3, "a": x}, spec)

    for loader in (loading.load_python, loading.load_cpp, loading.load_session):
        got = load(loader, tmp_path)("serving_default", {"x": np.float32(1)})
        assert got == {"a": 1, "drei": 3, "zwei": 2}


def test_a_table_and_a_variable_are_initialised(tmp_path):
    vocabulary = tmp_path / "vocabulary.txt"
    vocabulary.write_text("a\nb\n")
    index, line = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(str(vocabulary), tf.string, line, tf.int64, index), -1
    )
    bias = tf.Variable(10, dtype=tf.int64)
    directory = save(
        tmp_path / "saved",
        lambda x: table.lookup(x) + bias,
        tf.TensorSpec([None], tf.string, "x"),
        table=table,
        bias=bias,
    )
    vocabulary.unlink()

    for loader in (loading.load_python, loading.load_cpp, loading.load_session):
        got = load(loader, directory)("serving_default", {"x": text(b"b", b"c")})
        assert got["output_0"].tolist() == [11, 9]


def test_text_stored_by_the_model_outlives_the_call(tmp_path):
    kept = tf.Variable("", dtype=tf.string)

    def swap(x):
        before = kept.read_value()
        with tf.control_dependencies([before]):
            kept.assign(x)
        return before

    save(tmp_path, swap, tf.TensorSpec([], tf.string, "x"), kept=kept)
    run = load(loading.load_cpp, tmp_path)

    texts = [bytes([65 + index]) * 100_000 for index in range(20)]
    got = [
        run("serving_default", {"x": np.array(text, dtype=object)})["output_0"].item()
        for text in texts
    ]
    assert got == [b"", *texts[:-1]]


def test_calls_do_not_leak_memory(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda x: {"y": tf.concat([x, x], 0)})
    specs = {"floats": tf.float32, "texts": tf.string}
    tf.saved_model.save(
        module,
        str(tmp_path),
        signatures={
            key: module.double.get_concrete_function(tf.TensorSpec([None], dtype, "x"))
            for key, dtype in specs.items()
        },
    )
    run = load(loading.load_cpp, tmp_path)
    values = {"floats": np.ones(100_000, np.float32), "texts": text(*[b"x" * 4000] * 100)}
    for _ in range(20):
        for key, value in values.items():
            run(key, {"x": value})

    before = resident_mebibytes()
    for _ in range(500):
        for key, value in values.items():
            run(key, {"x": value})

    # Each call has more than a mebibyte of inputs, and as much of outputs.
    assert resident_mebibytes() - before < 50


@pytest.fixture
def doubler(tmp_path):
    def double(x):
        tf.debugging.assert_positive(x, message="only more than nothing")
        return x * 2

    return save(tmp_path / "doubler", double, tf.TensorSpec([2], tf.float32, "x"))


def test_wrong_tags_are_reported(doubler):
    with pytest.raises(LoaderError, match=r"tags: . gpu serve"):
        load(loading.load_cpp, doubler, ("serve", "gpu"))


def test_a_missing_directory_is_reported(tmp_path):
    with pytest.raises(LoaderError, match="nowhere"):
        loading.load_cpp(tmp_path / "nowhere", ["serve"], {})


def test_a_missing_operation_is_reported(doubler):
    graph = inspection.read(doubler).meta_graphs[0]
    graph.signature_def["serving_default"].outputs["output_0"].name = "nothing:0"

    run = loading.load_cpp(doubler, ["serve"], graph.signature_def)

    with pytest.raises(LoaderError, match="no operation 'nothing'"):
        run("serving_default", {"x": np.ones(2, np.float32)})


def test_a_missing_output_of_an_operation_is_reported(doubler):
    graph = inspection.read(doubler).meta_graphs[0]
    graph.signature_def["serving_default"].outputs["output_0"].name = "StatefulPartitionedCall:7"

    run = loading.load_cpp(doubler, ["serve"], graph.signature_def)

    with pytest.raises(LoaderError):
        run("serving_default", {"x": np.ones(2, np.float32)})


@pytest.mark.parametrize(
    ("signature", "inputs", "message"),
    [
        ("other", {"x": np.ones(2, np.float32)}, "no signature 'other'"),
        ("serving_default", {"y": np.ones(2, np.float32)}, "serving_default has no input y"),
        ("serving_default", {}, "serving_default_x"),
        ("serving_default", {"x": np.ones(2, np.int32)}, "(?i)int32|type"),
        ("serving_default", {"x": -np.ones(2, np.float32)}, "only more than nothing"),
    ],
)
def test_a_failing_call_is_reported_and_the_next_one_works(doubler, signature, inputs, message):
    run = load(loading.load_cpp, doubler)

    with pytest.raises(LoaderError, match=message):
        run(signature, inputs)
    assert run("serving_default", {"x": np.ones(2, np.float32)})["output_0"].tolist() == [2, 2]
