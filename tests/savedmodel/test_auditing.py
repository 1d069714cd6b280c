"""Every audit rule finds what it is for in a SavedModel, and nothing else."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import InternalError
from smdecl.pipeline.children import children
from smdecl.savedmodel import inspection
from smdecl.savedmodel.audits import auditing
from tensorflow.compiler.tf2xla.python import xla

from tests.savedmodel.audits import (
    SCALAR,
    TEXT,
    X,
    Y,
    levels,
    nodes,
    places,
    rules_of,
    save_and_audit,
)


@pytest.fixture
def find(tmp_path):
    return functools.partial(save_and_audit, tmp_path)


def conditional(x):
    tf.debugging.assert_all_finite(x, "must be finite")
    tf.debugging.assert_positive(x)
    tf.debugging.Assert(tf.size(x) > 0, [x])
    doubled = tf.cond(x[0] > 0, lambda: x * 2, lambda: -x)
    (_, looped) = tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y + 1), [0, doubled])
    return tf.map_fn(lambda y: y * 2, looped)


@pytest.mark.parametrize(
    ("function", "spec"),
    [
        (conditional, X),
        (lambda x: x + tf.random.stateless_normal([1], [1, 2]), X),
        (lambda x: x + tf.zeros([1 << 20])[0], X),
        (lambda x: tf.strings.split(x).to_tensor(), TEXT),
        (lambda x: tf.data.Dataset.range(3).reduce(x, lambda a, b: a + tf.cast(b, tf.float32)), X),
        (lambda x: xla.dynamic_slice(x, [0], [1]), tf.TensorSpec([4], tf.float32, "x")),
        (
            lambda x: tf.strings.join([x, "</s> and/or http://tmp/x encoder/tmp /device:CPU:0"]),
            TEXT,
        ),
        (lambda x: tf.strings.join([x, "/" + "long" * 200, "/", "//", "/\0"]), TEXT),
    ],
    ids=["control flow", "stateless", "splat", "text", "dataset", "xla", "slashes", "odd paths"],
)
def test_a_clean_function_has_no_findings(find, function, spec):
    assert find(function, spec) == ()


def test_variables_and_tables_have_no_findings(find):
    bias = tf.Variable(tf.random.normal([1 << 19]))
    fixed = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(["a", "b"], [1.0, 2.0]), -1.0
    )
    mutable = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 0.0)

    def function(x):
        return fixed.lookup(x) + mutable.lookup(x) + bias[0]

    assert find(function, TEXT, bias=bias, fixed=fixed, mutable=mutable) == ()


def test_a_trained_keras_model_has_no_findings(tmp_path):
    layers = tf.keras.layers
    model = tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 3)),
            layers.Conv2D(2, 3),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    model.fit(np.zeros((2, 8, 8, 3)), np.zeros((2, 1)), verbose=0)
    call = tf.function(model).get_concrete_function(tf.TensorSpec([None, 8, 8, 3], tf.float32, "x"))
    tf.saved_model.save(model, str(tmp_path), signatures=call)

    assert auditing.audit(inspection.read(tmp_path), levels()) == ()


@pytest.mark.parametrize("layer", ["StringLookup", "TextVectorization"])
def test_keras_text_layers_that_pin_themselves_to_the_cpu_have_no_findings(tmp_path, layer):
    model = tf.keras.Sequential([getattr(tf.keras.layers, layer)(vocabulary=["a", "b"])])
    call = tf.function(model).get_concrete_function(TEXT)
    tf.saved_model.save(model, str(tmp_path), signatures=call)

    assert auditing.audit(inspection.read(tmp_path), levels()) == ()


def test_a_rule_that_is_off_finds_nothing(find):
    def function(x):
        tf.print(x)
        return x + tf.random.normal([1])

    assert rules_of(find(function, X)) == {"random_ops", "io_ops"}
    assert rules_of(find(function, X, rules=["io_ops"])) == {"io_ops"}


@pytest.mark.parametrize(
    "device", ["/GPU:0", "/CPU:1", "/job:localhost/device:CPU:0", "/job:worker/task:1"]
)
def test_a_device_in_a_functions_body_is_found(find, device):
    def function(x):
        with tf.device(device):
            y = tf.exp(x, name="pinned")
        return y + 1

    findings = find(function, X)

    assert rules_of(findings) == {"baked_devices"}
    assert nodes(findings) == {"pinned"}
    assert all("__inference_function_" in finding.where for finding in findings)
    assert all(device.removeprefix("/") in finding.message for finding in findings)
    assert {finding.most for finding in findings} == {None}


@pytest.mark.parametrize("device", ["cpu", "/CPU:0"])
def test_a_cpu_in_a_functions_body_is_at_most_a_warning(find, device):
    def function(x):
        with tf.device(device):
            y = tf.exp(x, name="pinned")
        return y + 1

    findings = find(function, X)

    assert nodes(findings) == {"pinned"}
    assert {(finding.message.partition(";")[0], finding.most) for finding in findings} == {
        ("is pinned to a CPU", "warn")
    }


def test_devices_in_the_branches_and_bodies_of_a_function_are_found(find):
    def pinned(x, name):
        with tf.device("/GPU:1"):
            return tf.exp(x, name=name)

    def function(x):
        y = tf.cond(x > 0, lambda: pinned(x, "branch"), lambda: x)
        return tf.while_loop(lambda i, _: i < 3, lambda i, z: (i + 1, pinned(z, "body")), [0, y])[1]

    findings = find(function, SCALAR)

    assert rules_of(findings) == {"baked_devices"}
    assert nodes(findings) == {"cond/branch", "while/body"}


def test_a_cpu_pin_beside_text_is_found(find):
    def function(x, y):
        with tf.device("/CPU:0"):
            size = tf.strings.length(x)
            number = tf.exp(y, name="number")
        return tf.cast(size, tf.float32) + number

    assert nodes(find(function, TEXT, Y)) == {"number"}


def test_a_function_of_the_user_is_audited_whatever_its_name(find):
    def traced_save(x):
        with tf.device("/GPU:0"):
            return tf.exp(x, name="pinned")

    traced_save.__name__ = "_traced_save"

    assert nodes(find(traced_save, X)) == {"pinned"}


def test_traces_of_a_strategy_are_found():
    replicas, variables, plain = children.run(
        strategy_findings, failure=InternalError, doing="tracing under a strategy"
    )

    assert {finding.rule for finding in replicas} == {"baked_devices", "strategy"}
    found = [finding for finding in replicas if finding.rule == "strategy"]
    assert nodes(found) == {"replica_1/pinned"}
    assert all("device:CPU:1" in finding.message for finding in found)
    assert [(finding.rule, finding.where) for finding in variables] == [("strategy", "weight")]
    assert "device:CPU:0" in variables[0].message
    assert "device:CPU:1" in variables[0].message
    assert plain == ()


def strategy_findings():
    """Runs in a separate process, because logical devices must be set before TensorFlow starts."""
    import tempfile
    from pathlib import Path

    halves = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], halves)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def saved(function, **options):
        module = tf.Module()
        with strategy.scope():
            module.weight = tf.Variable(2.0, name="weight")
        module.function = tf.function(lambda x: function(module.weight, x))
        with tempfile.TemporaryDirectory() as directory:
            tf.saved_model.save(
                module,
                directory,
                signatures=module.function.get_concrete_function(SCALAR),
                options=tf.saved_model.SaveOptions(**options),
            )
            return auditing.audit(inspection.read(Path(directory)), levels())

    def run(weight, x):
        replicas = strategy.run(lambda y: tf.multiply(y, weight, name="pinned"), (x,))
        return strategy.reduce("mean", replicas, axis=None)

    def multiply(weight, x):
        with tf.name_scope("replica_1"), tf.name_scope("replica_set"):
            return weight * x

    policy = tf.saved_model.experimental.VariablePolicy.EXPAND_DISTRIBUTED_VARIABLES
    return saved(run), saved(multiply, experimental_variable_policy=policy), saved(multiply)


def test_an_op_that_waits_for_other_replicas_is_found(find):
    def function(x):
        return tf.raw_ops.CollectiveReduce(
            input=x,
            group_size=2,
            group_key=1,
            instance_key=1,
            merge_op="Add",
            final_op="Id",
            subdiv_offsets=[0],
        )

    findings = find(function, tf.TensorSpec([2], tf.float32, "x"))

    assert rules_of(findings) == {"strategy"}
    assert nodes(findings) == {"CollectiveReduce"}


@pytest.mark.parametrize(
    ("call", "op"),
    [
        (lambda x: tf.py_function(lambda v: v, [x], tf.float32), "EagerPyFunc"),
        (lambda x: tf.numpy_function(lambda v: v, [x], tf.float32), "PyFunc"),
        (
            lambda x: tf.numpy_function(lambda v: v, [x], tf.float32, stateful=False),
            "PyFuncStateless",
        ),
        (
            lambda x: tf.cond(
                x[0] > 0, lambda: tf.py_function(lambda v: v, [x], tf.float32), lambda: x
            ),
            "EagerPyFunc",
        ),
    ],
)
def test_a_python_function_in_the_graph_is_found(find, call, op):
    findings = find(lambda x: call(x) + 1, X)

    assert rules_of(findings) == {"py_function"}
    assert {finding.where.rpartition("/")[2] for finding in findings} == {op}
    assert all(finding.message.startswith(f"{op} runs Python") for finding in findings)


def test_an_absolute_path_is_found(find, tmp_path):
    data = tmp_path / "data.txt"
    data.write_text("a")
    missing = str(tmp_path / "missing.txt")

    findings = find(lambda x: tf.strings.join([x, str(data), missing]), TEXT)

    assert rules_of(findings) == {"absolute_paths"}
    assert {finding.message for finding in findings} == {
        f"names {str(data)!r}, which other machines lack"
    }


def test_the_path_of_a_vocabulary_in_the_name_of_its_table_is_found(find, tmp_path):
    vocabulary = tmp_path / "words_of-mine.txt"
    vocabulary.write_text("a\nb\n")
    index, line = tf.lookup.TextFileIndex.LINE_NUMBER, tf.lookup.TextFileIndex.WHOLE_LINE
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(str(vocabulary), tf.string, line, tf.int64, index), -1
    )

    findings = find(table.lookup, TEXT, table=table)

    assert rules_of(findings) == {"absolute_paths"}
    assert "hash_table" in places(findings)
    assert {finding.message for finding in findings} == {
        f"names {str(vocabulary)!r}, which other machines lack"
    }


def test_a_large_constant_is_found_if_captured_or_in_a_functions_body(find):
    table = np.arange(1 << 19, dtype=np.float32)
    captured = tf.constant(table)

    inside = find(lambda x: x + tf.constant(table, name="big")[0], X)
    outside = find(lambda x: x + captured[0], X)

    assert rules_of(inside) == rules_of(outside) == {"large_constants"}
    assert nodes(inside) == {"big"}
    assert places(outside) == {"Const"}
    assert "holds 2.0 MiB" in outside[0].message
