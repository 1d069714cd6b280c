"""Every format restores weights into a built object."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from smdecl.checks.weights.weights_formats import FORMATS
from smdecl.config.settings import Weights
from smdecl.errors import ConfigError
from smdecl.exporting.restoring import restore
from smdecl.models import Scaler

from tests.weights_projects import (
    ROWS,
    described,
    output,
    overrides,
    problems,
    restored,
    write_ready,
)


@pytest.fixture
def ready(project, tmp_path_factory):
    return write_ready(project, tmp_path_factory)


@pytest.mark.parametrize(
    ("fmt", "path"),
    [
        ("checkpoint", "net"),
        pytest.param("checkpoint", "wrapped-1", marks=pytest.mark.slow),
        ("saved_model", "saved"),
    ],
)
def test_a_restored_module_computes_with_its_weights(ready, fmt, path):
    assert output(ready.export(*overrides("mynet.Net", fmt, path))) == [[5, 5]]
    assert restored(ready, "mynet.Net", fmt, path) == (["b", "w"], [])


@pytest.mark.parametrize(
    ("fmt", "path"),
    [
        pytest.param("checkpoint", "model", marks=pytest.mark.slow),
        ("checkpoint", "model_wrapped-1"),
        pytest.param("keras_weights", "model.weights.h5", marks=pytest.mark.slow),
        ("keras", "model.keras"),
    ],
)
def test_a_restored_functional_model_computes_with_its_weights(ready, fmt, path):
    given = overrides("mykeras.functional", fmt, path)

    assert output(ready.export(*given, "audit=off"), "inputs") == [[17, 17]]
    names, missing = restored(ready, "mykeras.functional", fmt, path)
    assert [name for name in names if "seed" not in name] == [
        "hidden/bias",
        "hidden/kernel",
        "out/bias",
        "out/kernel",
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("fmt", "path"),
    [("checkpoint", "custom"), ("keras_weights", "custom.weights.h5"), ("keras", "custom.keras")],
)
def test_a_keras_model_of_custom_classes_is_built_by_the_specs_and_restored(ready, fmt, path):
    given = overrides("mykeras.Custom", fmt, path)

    assert output(ready.export(*given)) == [[3, 3]]
    assert restored(ready, "mykeras.Custom", fmt, path) == (
        ["custom/block/dense/bias", "custom/block/dense/kernel"],
        [],
    )


def test_an_export_of_a_keras_model_restores_into_the_next(ready):
    first = ready.export(*overrides("mykeras.functional", "keras", "model.keras"), "name=first")

    again = ready.export(*overrides("mykeras.functional", "saved_model", first.path), "name=again")

    assert output(again, "inputs") == [[17, 17]]


def test_a_checkpoint_may_hold_more_than_the_object(ready):
    # A checkpoint of a training script also holds the optimizer's state and the step.
    assert restored(ready, "mynet.Net", "checkpoint", "trained") == (["b", "w"], [])


def test_a_variable_under_two_names_is_restored_once(ready):
    assert restored(ready, "mynet.Table", "checkpoint", "table") == (["alone", "w"], [])


def test_without_weights_the_model_keeps_its_own(ready):
    given = ["model._target_=mynet.Net", ROWS, "verify=load"]

    record = described(ready, *given)

    assert (record.restored, record.not_restored) == ((), ())
    assert output(ready.export(*given)) == [[0, 0]]


def test_a_restored_value_is_used_eagerly_and_served(ready):
    tf.train.Checkpoint(Scaler(12.5)).write("scaler")

    release = ready.export("model=scaler", "weights=checkpoint", "weights.path=scaler")

    loaded = tf.saved_model.load(str(release.path))
    assert loaded.signatures["serving_default"](x=tf.constant(2.0))[
        "output_0"
    ].numpy() == np.float32(25)
    assert loaded.factor.numpy() == np.float32(12.5)


def test_every_format_can_be_restored():
    assert restore.RESTORERS.keys() == FORMATS.keys()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of Keras
def test_only_the_first_of_many_variables_that_do_not_fit_are_listed(tmp_path):
    def deep(units):
        return keras.Sequential([keras.Input([2]), *(keras.layers.Dense(units) for _ in range(12))])

    path = tmp_path / "deep.weights.h5"
    deep(3).save_weights(path)

    with pytest.raises(ConfigError) as error:
        restore.restore(deep(4), Weights("keras_weights", str(path)))

    assert len(error.value.problems) == 21
    assert error.value.problems[-1].message == "and 4 more like these"


LAZY = """
import tensorflow as tf


class Lazy(tf.Module):
    def __init__(self):
        super().__init__()
        self.b = tf.Variable(0.0)
        self.w = None

    def __call__(self, x):
        if self.w is None:
            self.w = tf.Variable(tf.ones([3, 2]), name="w")
        return x @ self.w + self.b
"""


def test_a_variable_that_tracing_creates_is_restored_or_refused(ready):
    ready.write("lazy.py", LAZY)
    tf.train.Checkpoint(b=tf.Variable(1.0), w=tf.Variable(tf.fill([3, 2], 5.0))).write("all")
    tf.train.Checkpoint(b=tf.Variable(1.0)).write("less")

    ((key, message),) = problems(ready, "lazy.Lazy", "checkpoint", "less")
    assert key == "weights.path"
    assert message.startswith("has no value for w [3, 2]: the model creates it only when")
    assert output(ready.export(*overrides("lazy.Lazy", "checkpoint", "all"))) == [[16, 16]]
