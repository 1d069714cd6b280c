"""Shared by the tests of building: a project with models, and the results of building them."""

import textwrap

import pytest
import tensorflow as tf
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, ModelError
from smdecl.pipeline import stages
from smdecl.pipeline.children import children

NET = """
import tensorflow as tf


class Net(tf.Module):
    def __init__(self, units, bias=1.0, *, scale=1.0, inner=None):
        super().__init__()
        self.units, self.bias, self.scale, self.inner = units, bias, scale, inner
        self.w = tf.Variable(float(scale), name="w")

    @tf.function
    def add(self, x):
        return self.w * x + self.bias


class Anything(Net):
    def __init__(self, *args, **kwargs):
        super().__init__(units=len(args) + len(kwargs))


class ByPosition(Net):
    def __init__(self, units, /):
        super().__init__(units)


class Nothing(Net):
    def __init__(self):
        super().__init__(1)


class Broken(Net):
    def __init__(self, units):
        super().__init__(units)
        raise ValueError("no such units")


class Plain:
    def add(self, x):
        return x


CONSTANT = 3


def make(units: int = 2, kind: str = "Net"):
    return globals()[kind](units)


def make_nothing():
    return None
"""


KERAS = """
import keras
import tensorflow as tf


class Net(keras.Model):
    def __init__(self, units=2):
        super().__init__()
        self.hidden = keras.layers.Dense(4, name="hidden")
        self.out = keras.layers.Dense(units, name="out")

    def call(self, x):
        return self.out(self.hidden(x))


class WithItsOwnSpec(Net):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], name="x")])
    def serve(self, x):
        return self(x)


class InAModule(tf.Module):
    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(2)
        self.layer.build((None, 3))

    @tf.function
    def __call__(self, x):
        return self.layer(x)
"""


ROWS = "signatures=rows"


def write_net(project):
    """Writes the models, and configs for them."""
    project.write("mynet.py", NET)
    project.write("mykeras.py", KERAS)
    project.write(
        "conf/signatures/rows.yaml",
        "serving_default: {inputs: {x: {shape: [batch, 3], dtype: float32}}}\n",
    )
    project.write("conf/signatures/own.yaml", "serving_default: {method: serve}\n")
    return project


def conf(project, text):
    project.write("conf/model/mine.yaml", textwrap.dedent(text))


def described(project, *overrides):
    """Returns the record of the object that a config builds, as an export builds it."""
    return planned(project, *overrides).obj


def planned(project, *overrides):
    """Returns the plan of a config, made in a separate process as an export does it."""
    here = find_project(project.root)
    config = check.check(project.compose("verify=load", *overrides), here)
    return children.run(_planned, config, here, failure=ModelError, doing="building")


def _planned(config, project):
    planned, _ = stages.plan(config, project)
    return planned


def problems(project, *overrides, kind=ConfigError):
    with pytest.raises(kind) as error:
        project.export(*overrides)
    assert type(error.value) is kind
    assert not (project.root / "exports").exists()
    return {problem.key: problem.message for problem in error.value.problems}


def served(release, key="serving_default", **inputs):
    function = tf.saved_model.load(str(release.path)).signatures[key]
    outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}
