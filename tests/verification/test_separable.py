"""Which SavedModels may be loaded one after the other in one process."""

import pytest
import tensorflow as tf
from smdecl.verification import separable


class Net(tf.Module):
    """Variables, control flow and calls of functions."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(tf.ones([3, 2]))
        self.calls = tf.Variable(0)

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def serve(self, x):
        self.calls.assign_add(1)
        y = self.inner(x)
        for _ in tf.range(self.calls):
            y += 1.0
        return tf.cond(tf.reduce_any(y > 2.0), lambda: y, lambda: -y)

    @tf.function
    def inner(self, x):
        return x @ self.kernel


class Table(tf.Module):
    def __init__(self):
        super().__init__()
        values = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2])
        self.table = tf.lookup.StaticHashTable(values, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(self, x):
        return self.table.lookup(x)


class Random(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([])])
    def serve(self, x):
        return x + tf.random.uniform([])


class ReadsFile(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def serve(self, x):
        return tf.io.read_file(x)


class Batches(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None])])
    def serve(self, x):
        return tf.nondifferentiable_batch_function(1, 8, 10)(lambda y: y + 1.0)(x)


class Prints(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([])])
    def serve(self, x):
        tf.print(x)
        return x


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Net, True),
        (Table, False),
        (Random, False),
        (ReadsFile, False),
        (Prints, False),
        (Batches, False),
    ],
)
def test_nothing_but_variables_may_have_state(tmp_path, kind, expected):
    net = kind()
    tf.saved_model.save(net, tmp_path, signatures=net.serve)

    assert separable.is_separable(tmp_path) == expected
