"""A release is compared with the SavedModel that its weights come from."""

import numpy as np
import pytest
import tensorflow as tf
from smdecl.config.settings import Verify
from smdecl.isolation import confine
from smdecl.verification import saved_reference, stored_examples
from smdecl.verification.records import Comparison
from smdecl.verification.stored_examples import Example

ROWS = tf.TensorSpec([None, 3], tf.float32, "x")
VERIFY = Verify(examples={}, generate=2, rtol=None, atol=None, loaders=("cpp",))


class Net(tf.Module):
    def __init__(self, function=tf.identity, words=None):
        super().__init__()
        self.function = function
        self.table = None
        if words is not None:
            filling = tf.lookup.KeyValueTensorInitializer(words, tf.range(len(words)))
            self.table = tf.lookup.StaticHashTable(filling, -1)

    def __call__(self, x):
        if self.table is not None:
            x += tf.cast(self.table.lookup(tf.constant(["?"])), tf.float32)
        return {"y": self.function(x)}


def saved(directory, net, spec=ROWS, key="serving_default"):
    function = tf.function(net.__call__, input_signature=[spec])
    tf.saved_model.save(net, str(directory), {key: function.get_concrete_function()})
    return directory


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    directory = saved(tmp_path_factory.mktemp("release"), Net(words=["a", "b"]))
    cases = []
    for rows in (1, 2):
        value = np.full([rows, 3], 0.5, np.float32)
        cases.append(Example("serving_default", {"x": value}, {"y": value - 1}))
    stored_examples.write(cases, directory)
    return directory


def compared(release, directory, net, **options):
    weights = saved(directory / "weights", net, **options)
    return saved_reference.compare(weights, release, VERIFY)


def test_equal_models_have_no_difference(release, tmp_path):
    found = compared(release, tmp_path, Net(words=["a", "b"]))

    assert found == Comparison(has_same_tables=True)


def test_outputs_and_tables_that_differ_are_found(release, tmp_path):
    found = compared(release, tmp_path, Net(tf.nn.relu, ["b", "a"]))

    assert found.differences == (
        "serving_default: example 0: y[0, 0] is -0.5, expected 0.0 within rtol 0.0001, atol 1e-05",
        "serving_default: example 1: y[0, 0] is -0.5, expected 0.0 within rtol 0.0001, atol 1e-05",
        'a table has the keys ["a", "b"], expected ["b", "a"]',
    )
    assert (found.uncompared, found.has_same_tables) == ((), False)


def test_tables_of_different_number_are_not_the_same(release, tmp_path):
    assert compared(release, tmp_path, Net(lambda x: x - 1)) == Comparison()


@pytest.mark.slow
def test_only_examples_of_accepted_shapes_are_run(release, tmp_path):
    net = Net(tf.nn.relu, ["a", "b"])
    found = compared(release, tmp_path, net, spec=tf.TensorSpec([2, 3], tf.float32))
    assert [each[:26] for each in found.differences] == ["serving_default: example 1"]

    found = compared(release, tmp_path / "none", net, spec=tf.TensorSpec([5, 3], tf.float32))
    reason = "serving_default: its inputs have shapes that no example has"
    assert found == Comparison(uncompared=(reason,))


@pytest.mark.slow
def test_a_model_without_the_signature_is_not_compared(release, tmp_path):
    found = compared(release, tmp_path, Net(), key="predict")

    assert found == Comparison(uncompared=("serving_default: it has no such signature",))


@pytest.mark.slow
def test_a_model_that_fails_on_an_example_differs(release, tmp_path):
    net = Net(lambda x: tf.reshape(x, [1, 3]), ["a", "b"])

    (message,) = compared(release, tmp_path, net).differences

    assert message.startswith("serving_default: example 1: the model fails: ")


@pytest.mark.slow
def test_a_model_that_fails_on_all_examples_is_not_compared(release, tmp_path):
    net = Net(lambda x: x + tf.strings.to_number(tf.io.read_file("absent")), ["a", "b"])

    found = compared(release, tmp_path, net)

    assert found.differences == ()
    assert "serving_default: it fails: " in found.uncompared[0]
    assert "absent" in found.uncompared[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_a_model_that_cannot_be_loaded_is_not_compared(release, tmp_path, name):
    net = Net()
    net.variable = tf.Variable(1.0)
    saved(tmp_path, net)
    (tmp_path / name).write_bytes(b"broken")

    found = saved_reference.compare(tmp_path, release, VERIFY)

    assert found.differences == ()
    assert len(found.uncompared) == 1


def test_ops_that_reach_outside_run_only_where_the_kernel_confines(release, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("?")

    def reading(x):
        return x + tf.strings.to_number(tf.io.read_file(str(tmp_path / "file")))

    monkeypatch.setattr(confine, "abi", lambda: 0)

    assert compared(release, tmp_path, Net(reading)) == Comparison(
        uncompared=(
            "ReadFile reaches into files, the network or Python, and this kernel has no Landlock to"
            " confine it",
        )
    )
