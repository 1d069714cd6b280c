"""A project whose methods are traced in many ways."""

NET = """
import collections
import tensorflow as tf

Pair = collections.namedtuple("Pair", "low high")

class Net(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="own")])
    def own(self, x):
        return x + 1.0

    @tf.function(input_signature=[{"a": tf.TensorSpec([], tf.float32), "b": tf.TensorSpec([], tf.float32)}])
    def own_nest(self, pair):
        return pair["a"] - pair["b"]

    @tf.function
    def nest(self, pair, scale):
        return pair["a"] * scale + pair["b"][0]

    def plain(self, x, training=True):
        return x * (2.0 if training else 3.0)

    def listed(self, x):
        return [x, x + 1.0]

    def named(self, x):
        return {"low": x, "high": x + 1.0}

    def pair(self, x):
        return Pair(x, x + 1.0)

    def deep(self, x):
        return {"a": [x, x]}

    def text(self, x):
        return tf.strings.upper(x)

    def lengths(self, x, y):
        return x.row_lengths() + y

    def dense(self, x):
        return tf.sparse.to_dense(x)

    def nothing(self, x):
        tf.print(x)

    def empty(self, x):
        return {}

    def first(self, x):
        return x[:1]
"""


X = "{shape: [batch], dtype: float32}"


def write_net(project):
    project.write("mynet.py", NET)
    project.write("conf/model/net.yaml", "_target_: mynet.Net\n")
    return project


def export(net, method, inputs=f"{{x: {X}}}", outputs="null", *overrides):
    signature = f"+signatures.s={{method: {method}, inputs: {inputs}, outputs: {outputs}}}"
    return net.export("model=net", "signatures=none", signature, "audit=off", *overrides)
