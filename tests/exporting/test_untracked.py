"""Untracked resources are reported with their holders, and objects that cannot be saved are refused."""

import pytest
from smdecl.errors import ConfigError, ModelError

NET = """
import functools
import tensorflow as tf

GLOBAL = tf.Variable(2.0, name="everywhere")


class Global(tf.Module):
    @tf.function
    def add(self, x):
        return x * GLOBAL


class Closure(tf.Module):
    def __init__(self):
        super().__init__()
        hidden = tf.Variable(3.0, name="closed")
        self.scale = lambda x: x * hidden

    def add(self, x):
        return self.scale(x)


class Box:
    def __init__(self):
        self.weights = [None, {"w": tf.Variable(5.0, name="boxed")}]


class Boxed(tf.Module):
    def __init__(self):
        super().__init__()
        self.box = Box()

    def add(self, x):
        return x * self.box.weights[1]["w"]


class Table(tf.Module):
    def __init__(self):
        super().__init__()
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1.0]), -1.0)
        self.find = functools.partial(lambda table, key: table.lookup(key), table)

    def add(self, x):
        return x + self.find(tf.constant("a"))


class Layer(tf.Module):
    def __init__(self):
        super().__init__()
        layer = tf.keras.layers.Dense(1, use_bias=False, name="dense")
        layer.build([None, 1])
        self.apply = lambda x: layer(x)

    def add(self, x):
        return self.apply(x[None, None])[0, 0]


class Averaged(tf.Module):
    def __init__(self):
        super().__init__()
        self.w = tf.Variable(1.0, name="w")
        self.ema = tf.train.ExponentialMovingAverage(0.5)
        self.ema.apply([self.w])

    def add(self, x):
        return x * self.ema.average(self.w)


@functools.cache
def cached():
    return tf.Variable(2.0, name="cached")


class Cached(tf.Module):
    def __init__(self):
        super().__init__()
        cached()

    def add(self, x):
        return x * cached()  # line 81


class Inserted(tf.Module):
    def __init__(self):
        super().__init__()
        self.blocks = [tf.Variable(1.0)]
        self.blocks.insert(0, tf.Variable(2.0))

    def add(self, x):
        return x * self.blocks[0]


class Empty(tf.Module):
    def __init__(self):
        super().__init__()
        from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

        self.later = UninitializedVariable(dtype=tf.float32, shape=[], name="later")

    @tf.function
    def add(self, x):
        return x * self.later


class Signatures(tf.Module):
    signatures = {"a": 1}

    @tf.function
    def add(self, x):
        return x


class Graph(tf.Module):
    def __init__(self):
        tf.compat.v1.disable_eager_execution()
        super().__init__()


class Saving(tf.Module):
    @tf.function
    def add(self, x):
        tf.saved_model.save(self, "elsewhere")
        return x


class Plain:
    def add(self, x):
        return x
"""


def refused(project, name, kind):
    project.write("mynet.py", NET)
    with pytest.raises(kind) as error:
        project.export(f"model._target_=mynet.{name}")
    assert not (project.root / "exports").exists()
    return [f"{problem.key}: {problem.message}" for problem in error.value.problems], error.value


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("Global", "the variable everywhere, held by mynet.GLOBAL"),
        (
            "Closure",
            "the variable closed, held by Closure.__init__.<locals>.<lambda>[closure hidden]",
        ),
        ("Boxed", "the variable boxed, held by Boxed.box.weights[1]['w']"),
        ("Table", "StaticHashTable, held by Table.find[0]"),
        (
            "Layer",
            "the variable dense/kernel, held by Layer.__init__.<locals>.<lambda>[closure layer]._kernel",
        ),
        (
            "Averaged",
            "the variable w/ExponentialMovingAverage, held by Averaged.ema._averages['w']",
        ),
        ("Cached", "the variable cached, used at mynet.py:81"),
    ],
)
def test_an_untracked_resource_is_reported_with_its_holder(project, name, what):
    (problem,), error = refused(project, name, ModelError)

    assert problem == (
        f"signatures.serving_default: add uses {what}, which {name} does not track; assign it to an attribute of {name},"
        " or of a tf.Module in it"
    )
    assert "Tried to export a function which references an 'untracked' resource" in str(
        error.__cause__
    )


def test_a_list_in_a_state_that_tensorflow_cannot_save_is_reported(project):
    (problem,), _ = refused(project, "Inserted", ModelError)

    assert problem.startswith(
        "model: Inserted.blocks is a list of which an element was replaced, inserted, moved"
    )


def test_a_variable_without_a_value_is_reported(project):
    problems, _ = refused(project, "Empty", ModelError)

    assert problems == [
        "model: the variable later has no value yet; expected the model to initialize it"
    ]


def test_an_attribute_with_a_reserved_name_is_refused(project):
    problems, _ = refused(project, "Signatures", ConfigError)

    assert problems == [
        "model._target_: mynet.Signatures has an attribute 'signatures', a name that SavedModels reserve; rename it"
    ]


def test_an_untrackable_object_is_refused(project):
    problems, _ = refused(project, "Plain", ConfigError)

    assert problems == [
        "model._target_: expected a tf.Module, a Keras model, a tf.train.Checkpoint or any other"
        " Trackable, got a Plain from mynet.Plain"
    ]


def test_graph_mode_is_refused(project):
    problems, _ = refused(project, "Graph", ModelError)

    assert problems == [
        "model._target_: its code disables eager execution; expected a TensorFlow 2 model that calls no switches of"
        " tf.compat.v1"
    ]


def test_saving_within_a_functions_body_is_reported_by_the_signature(project):
    problems, error = refused(project, "Saving", ModelError)

    assert problems == [
        "signatures.serving_default: add calls tf.saved_model.save in its body; call it outside of a tf.function"
    ]
    assert 'mynet.py", line' in error.traceback_text
