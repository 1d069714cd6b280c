"""Functional models hold few tensors while an example is computed, and compute the same."""

import threading
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from smdecl.exporting.tracing import keras_memory

X = tf.constant([[1.0, 2.0]])


class Results:
    """Counts the results of layers that are in memory. Keras would copy a list."""

    def __init__(self):
        self.made, self.counts = [], []

    def add(self, tensor):
        self.made.append(weakref.ref(tensor))
        self.counts.append(sum(made() is not None for made in self.made))


class AddsOne(keras.layers.Layer):
    def __init__(self, results):
        super().__init__()
        self.results = results

    def call(self, x):
        y = x + 1.0
        if tf.executing_eagerly():
            self.results.add(y)
        return y


def test_a_tensor_is_freed_after_the_last_layer_that_needs_it():
    results = Results()
    x = inputs = keras.Input((2,))
    for _ in range(10):
        x = AddsOne(results)(x)
    model = keras.Model(inputs, x)
    with keras_memory.freeing():
        model(X)

    assert max(results.counts) <= 3
    model(X)
    assert max(results.counts) == 10  # otherwise this test shows nothing


def entangled():
    """Needs tensors late, twice and as outputs; has a model within and one layer used twice."""
    dense = keras.layers.Dense(2, kernel_initializer="ones")
    part_input = keras.Input((2,))
    part = keras.Model(part_input, [dense(part_input) * 2.0, part_input])
    one, other = keras.Input((2,), name="one"), keras.Input((2,), name="other")
    first = dense(one)
    doubled, same = part(first)
    deep = dense(doubled) + keras.ops.multiply(first, first)
    merged = keras.layers.Concatenate()([deep, other, same, one])
    left, right = keras.ops.split(merged, 2, axis=1)
    return keras.Model([one, other], {"a": left, "b": doubled, "c": right + first[:, :1], "d": one})


def test_the_values_stay_the_same():
    model = entangled()
    expected = model([X, X * 3.0])
    with keras_memory.freeing():
        freed = model([X, X * 3.0])
        again = model([X, X * 3.0])

    for outputs in (freed, again):
        assert outputs.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(outputs[name], value)


def test_calls_in_two_threads_do_not_disturb_each_other():
    meeting = threading.Barrier(2, timeout=60)

    class Meeting(keras.layers.Layer):
        def call(self, x):
            if tf.executing_eagerly():
                meeting.wait()
            return x + 1.0

    inputs = keras.Input((2,))
    x = inputs
    for _ in range(3):
        x = keras.layers.Add()([x, Meeting()(x)])
    model = keras.Model(inputs, x)
    outputs = []
    with keras_memory.freeing():
        threads = [threading.Thread(target=lambda: outputs.append(model(X))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    for output in outputs:
        np.testing.assert_array_equal(output, X * 8.0 + 7.0)
    assert len(outputs) == 2


HOARDED = """
import weakref

import keras
import tensorflow as tf

made = []


class AddsOne(keras.layers.Layer):
    def call(self, x):
        y = x + 1.0
        if tf.executing_eagerly():
            made.append(weakref.ref(y))
            assert sum(each() is not None for each in made) <= 3
        return y


def make():
    x = inputs = keras.Input((2,))
    for _ in range(10):
        x = AddsOne()(x)
    return keras.Model(inputs, x)
"""


@pytest.mark.slow
def test_an_export_computes_its_examples_so(project):
    project.write("hoarded.py", HOARDED)

    assert project.export("model._target_=hoarded.make", "signatures=none").version == 1
