"""Models, files of their weights, and configs that restore them."""

import shutil

import pytest
import tensorflow as tf
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, ModelError
from smdecl.exporting.building import build
from smdecl.pipeline.children import children

from tests.conftest import run_script
from tests.shared import made_once

NETS = """
import tensorflow as tf


class Net(tf.Module):
    def __init__(self, units=2, deep=False, fill=0.0):
        super().__init__()
        self.w = tf.Variable(tf.fill([3, units], fill), name="w")
        self.b = tf.Variable(tf.fill([2], fill), name="b")
        self.layers = [Sub(fill)] if deep else []

    @tf.function
    def __call__(self, x):
        return x @ self.w + tf.reduce_sum(self.b) + sum(layer.v for layer in self.layers)


class Sub(tf.Module):
    def __init__(self, fill):
        super().__init__()
        self.v = tf.Variable(fill, name="v")


class Table(tf.Module):
    def __init__(self, fill=0.0):
        super().__init__()
        self.w = tf.Variable(fill)
        self.again = self.w
        self.alone = tf.Variable([fill, fill], name="alone")

    def __call__(self, x):
        return x * self.w
"""


KERAS = """
import keras


def functional(units=2, middle=False, fill=0.0, name=None, width=4, act=None):
    start = keras.initializers.Constant(fill)
    x = inputs = keras.Input((3,), name="x")
    x = keras.layers.Dense(width, act, name="hidden", kernel_initializer=start, bias_initializer=start)(x)
    if middle:
        x = keras.layers.Dense(4, name="middle", kernel_initializer=start, bias_initializer=start)(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Dense(units, name="out", kernel_initializer=start, bias_initializer=start)(x)
    return keras.Model(inputs, x, name=name)


class Block(keras.layers.Layer):
    def __init__(self, fill=0.0, **kwargs):
        super().__init__(**kwargs)
        self.fill = fill
        self.dense = keras.layers.Dense(2, name="dense", kernel_initializer=keras.initializers.Constant(fill))

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {**super().get_config(), "fill": self.fill}


class Custom(keras.Model):
    def __init__(self, fill=0.0, **kwargs):
        super().__init__(**kwargs)
        self.fill = fill
        self.block = Block(fill, name="block")

    def call(self, x):
        return self.block(x)

    def get_config(self):
        return {**super().get_config(), "fill": self.fill}


class Failing(Custom):
    def load_own_variables(self, store):
        raise RuntimeError("takes no weights")

    def build(self, shape):
        self.built = True

    @classmethod
    def from_config(cls, config):
        raise RuntimeError("is made of no config")


def with_lambda():
    return keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x * 2), keras.layers.Dense(2)])
"""
# Every file of weights that the tests read, each made as a training script makes it.
FILES = """
import keras
import tensorflow as tf
import mykeras, mynet

net = mynet.Net(fill=1.0)
tf.train.Checkpoint(net).write("net")
tf.train.Checkpoint(model=net, step=tf.Variable(7)).save("wrapped")
optimizer = keras.optimizers.Adam()
optimizer.build([keras.Variable([1.0])])
tf.train.Checkpoint(net, optimizer=optimizer, step=tf.Variable(7)).write("trained")
tf.train.Checkpoint(mynet.Net(units=5, fill=1.0)).write("wide")
tf.train.Checkpoint(other=tf.Variable(1.0)).write("other")
tf.train.Checkpoint(mynet.Table(fill=1.0)).write("table")
tf.compat.v1.train.Saver({"w": net.w, "b": net.b}).save(None, "by_name", write_meta_graph=False)
tf.saved_model.save(net, "saved", signatures=net.__call__.get_concrete_function(tf.TensorSpec([None, 3])))
tf.saved_model.save(tf.Module(), "empty")

model = mykeras.functional(fill=1.0)
model.compile(optimizer="adam", loss="mse")
model.fit(tf.ones([1, 3]), model(tf.ones([1, 3])), verbose=0)
for variable in model.trainable_variables:
    variable.assign(tf.ones_like(variable))
model.save("model.keras")
model.save_weights("model.weights.h5")
tf.train.Checkpoint(model).write("model")
tf.train.Checkpoint(model=model, optimizer=model.optimizer).save("model_wrapped")
model.export("model_saved", verbose=False)
variants = {"wide": {"units": 5}, "narrow": {"width": 3}, "other": {"units": 5, "width": 6}, "middle": {"middle": True}}
for name, options in variants.items():
    other = mykeras.functional(fill=1.0, **options)
    other.save(f"model_{name}.keras")
    other.save_weights(f"model_{name}.weights.h5")
    tf.train.Checkpoint(other).write(f"model_{name}")
custom = mykeras.Custom(fill=1.0)
custom(tf.ones([1, 3]))
custom.save("custom.keras")
custom.save_weights("custom.weights.h5")
failing = mykeras.Failing()
failing(tf.ones([1, 3]))
failing.save("failing.keras")
tf.train.Checkpoint(custom).write("custom")
mykeras.with_lambda().save("lambda.keras")
"""


ROWS = "signatures=rows"


def make_files(directory):
    """Writes the code of the models, and the weights files that a separate process makes."""
    for name, text in {"mynet.py": NETS, "mykeras.py": KERAS}.items():
        (directory / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        run_script(FILES)


def write_ready(project, factory):
    """Copies the code of the models and the weights files to a project and adds signatures."""
    shutil.copytree(made_once(factory, "weights", make_files), project.root, dirs_exist_ok=True)
    for name, argument in {"rows": "x", "custom": "x", "keras": "inputs"}.items():
        inputs = f"{{{argument}: {{shape: [batch, 3], dtype: float32}}}}"
        project.write(f"conf/signatures/{name}.yaml", f"serving_default: {{inputs: {inputs}}}\n")
    return project


def overrides(model, fmt, path, expect="full", **arguments):
    signature = "keras" if model.startswith("mykeras.functional") else "rows"
    return [
        "model=adder",
        f"model._target_={model}",
        *[f"+model.{name}={value}" for name, value in arguments.items()],
        f"weights={fmt}",
        f"weights.path={path}",
        f"weights.expect={expect}",
        f"signatures={signature}",
        "verify=load",
    ]


def described(project, *given):
    """Returns the record of the object that a config builds and restores in a separate process."""
    here = find_project(project.root)
    config = check.check(project.compose(*given), here)
    return children.run(_record, config, here, failure=ModelError, doing="building")


def _record(config, project):
    return build.build(config, project).record


def restored(project, *args, **options):
    record = described(project, *overrides(*args, **options))
    return sorted(record.restored), sorted(record.not_restored)


def problems(project, *args, kind=ConfigError, **options):
    with pytest.raises(kind) as error:
        project.export(*overrides(*args, **options))
    assert type(error.value) is kind
    assert not (project.root / "exports").exists()
    return [(problem.key, problem.message) for problem in error.value.problems]


def output(release, argument="x"):
    """Returns the output for a row of ones: 0 with fresh weights."""
    function = tf.saved_model.load(str(release.path)).signatures["serving_default"]
    (value,) = function(**{argument: tf.ones([1, 3])}).values()
    return value.numpy().tolist()
