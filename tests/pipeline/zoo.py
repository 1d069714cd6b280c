"""Models of many kinds, each with something that varies by time, place or process.

The file is copied into a project; `RELEASES` has the release config of each kind.
"""

import random
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

KIND_OF_LINE = (
    tf.string,
    tf.lookup.TextFileIndex.WHOLE_LINE,
    tf.int64,
    tf.lookup.TextFileIndex.LINE_NUMBER,
)


class Drawn(tf.Module):
    """Its values are drawn, by each of the generators that a model may use."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(tf.random.normal([3, 2]), name="kernel")
        self.bias = tf.Variable(np.random.normal(size=2).astype(np.float32), name="bias")
        self.scale = tf.Variable(random.random(), name="scale")
        self.shift = tf.Variable(tf.random.get_global_generator().normal([2]), name="shift")

    def ask(self, x):
        return (x @ self.kernel + self.bias) * self.scale + self.shift


class Nested(tf.Module):
    def __init__(self, depth=2):
        super().__init__()
        self.weight = tf.Variable(tf.random.normal([3]), name="weight")
        self.rows = [Nested(depth - 1) for _ in range(depth)]
        self.by_name = {name: Nested(depth - 1) for name in ("z", "a", "m") if depth}

    def ask(self, x):
        x = x * self.weight
        for inner in (*self.rows, *self.by_name.values()):
            x = inner.ask(x)
        return x


class Flow(tf.Module):
    def __init__(self):
        super().__init__()
        self.step = tf.Variable(0.5, name="step")

    @tf.function
    def ask(self, x):
        total = tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y + self.step), (0, x))[1]
        total = tf.cond(tf.size(x) > 2, lambda: total * 2.0, lambda: total - 1.0)
        for row in total:  # AutoGraph makes a loop of it
            if row > 0.0:
                total += row * self.step
        return {
            "mapped": tf.map_fn(lambda y: y * self.step, total),
            "scanned": tf.scan(lambda state, y: state + y, total, initializer=tf.constant(0.0)),
        }


@tf.custom_gradient
def clipped(x):
    return x * 2.0, lambda upstream: tf.clip_by_value(upstream, -1.0, 1.0)


class Gradient(tf.Module):
    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(3.0, name="scale")

    @tf.function
    def ask(self, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = clipped(x) * self.scale
        return {"y": y, "dx": tape.gradient(y, x)}


def functional():
    left, right = keras.Input((4,), name="left"), keras.Input((4,), name="right")
    hidden = keras.layers.Dense(3, activation="relu")
    joined = keras.layers.Concatenate()(
        [hidden(left), keras.layers.BatchNormalization()(hidden(right))]
    )
    return keras.Model(
        [left, right], [keras.layers.Dense(2)(joined), keras.layers.Dense(1, name="score")(joined)]
    )


def sequential():
    return keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            keras.layers.Conv2D(2, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first, self.second = keras.layers.Dense(3), keras.layers.Dense(2)
        self.seen = self.add_weight(shape=(), initializer="zeros", name="seen")

    def call(self, x):
        return self.second(keras.ops.relu(self.first(x)))

    @tf.function
    def ask(self, x):
        return {"logits": self(x), "best": tf.argmax(self(x), axis=-1)}


def recurrent():
    return keras.Sequential(
        [
            keras.Input((None, 3)),
            keras.layers.LSTM(4, return_sequences=True),
            keras.layers.Bidirectional(keras.layers.GRU(2)),
        ]
    )


class Drawing(keras.Model):
    """Draws when it is served; what it returns is the same all the same."""

    def __init__(self):
        super().__init__()
        self.flip, self.drop = keras.layers.RandomFlip(), keras.layers.Dropout(0.5)

    def call(self, x):
        drawn = self.drop(self.flip(x, training=True), training=True)
        return tf.reduce_sum(tf.abs(tf.sign(x)), axis=[1, 2, 3]) + 0.0 * tf.reduce_sum(
            drawn, axis=[1, 2, 3]
        )


class Preprocessed(keras.Model):
    def __init__(self):
        super().__init__()
        words = tf.constant(["the cat sat", "a dog ran", "the dog sat on the cat"])
        self.split = keras.layers.TextVectorization(output_sequence_length=4)
        self.split.adapt(words)
        self.lookup = keras.layers.StringLookup(num_oov_indices=2, output_mode="multi_hot")
        self.lookup.adapt(tf.strings.split(words).flat_values)
        self.embed = keras.layers.Embedding(20, 3)
        self.scale = keras.layers.Normalization(axis=-1)
        self.scale.adapt(np.random.normal(size=(64, 3)).astype(np.float32))

    @tf.function
    def ask(self, x):
        return {
            "rows": self.scale(tf.reduce_mean(self.embed(self.split(x)), axis=1)),
            "hot": self.lookup(x[:, None]),
        }


def looked_up(vocabulary):
    return keras.Sequential(
        [
            keras.Input((), dtype="string"),
            keras.layers.StringLookup(vocabulary=vocabulary),
            keras.layers.Embedding(9, 2),
        ]
    )


class Table(tf.Module):
    """TensorFlow names the tables by the path, or by the address of the asset."""

    def __init__(self, vocabulary, is_asset=False):
        super().__init__()
        vocabulary = str(Path(vocabulary).resolve())
        path = tf.saved_model.Asset(vocabulary) if is_asset else vocabulary
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(path, *KIND_OF_LINE), -1
        )
        self.buckets = tf.lookup.StaticVocabularyTable(
            tf.lookup.TextFileInitializer(vocabulary, *KIND_OF_LINE), 3
        )

    def ask(self, x):
        return {"ids": self.table.lookup(x), "buckets": self.buckets.lookup(x)}


class Listing(tf.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.file = tf.saved_model.Asset(vocabulary)
        self.count = tf.Variable(len(Path(vocabulary).read_text().splitlines()), name="count")

    def ask(self, x):
        return tf.strings.join([x, tf.io.read_file(self.file), tf.strings.as_string(self.count)])


class Mutable(tf.Module):
    def __init__(self):
        super().__init__()
        words = tf.constant([f"word {number}" for number in range(100)])
        self.hash = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        self.hash.insert(words, tf.range(100, dtype=tf.int64))
        self.dense = tf.lookup.experimental.DenseHashTable(
            tf.string, tf.int64, -1, "<empty>", "<deleted>"
        )
        self.dense.insert(words, tf.range(100, 200, dtype=tf.int64))
        self.numbers = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, [0.0, 0.0])
        self.numbers.insert(tf.range(50, dtype=tf.int64), tf.random.normal([50, 2]))

    def ask(self, x):
        numbers = self.hash.lookup(x)
        return {
            "hash": numbers,
            "dense": self.dense.lookup(x),
            "rows": self.numbers.lookup(numbers),
        }


class Ragged(tf.Module):
    def __init__(self):
        super().__init__()
        self.embedding = tf.Variable(tf.random.normal([3, 2]), name="embedding")

    def ask(self, x):
        return tf.reduce_sum(
            tf.ragged.map_flat_values(lambda ids: tf.gather(self.embedding, ids), x), axis=1
        )


class Constant(tf.Module):
    def __init__(self):
        super().__init__()
        self.held = tf.random.normal([1024, 300])
        self.small = {"b": tf.random.uniform([3]), "a": tf.constant(["x", "y"])}

    def ask(self, x):
        return tf.gather(self.held, x) + self.small["b"][0]


class Unordered(tf.Module):
    """Makes variables and ops in the order of a set of texts, which the hashes of the texts decide."""

    def __init__(self):
        super().__init__()
        self.names = {f"feature {number}" for number in range(20)}
        for name in self.names:
            setattr(
                self,
                name.replace(" ", "_"),
                tf.Variable(tf.random.normal([]), name=name.replace(" ", "_")),
            )
        self.scales = {name: tf.Variable(float(len(name))) for name in self.names}

    @tf.function
    def ask(self, x):
        for name in self.names:
            x = x * self.scales[name] + getattr(self, name.replace(" ", "_"))
        return x


class Calling(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(tf.random.normal([4, 4]), name="weight")
        self.count = tf.Variable(0, name="count")

    @tf.function
    def inner(self, x):
        self.count.assign_add(1)
        return tf.matmul(x, self.weight)

    @tf.function(reduce_retracing=True, experimental_implements="zoo.softmax")
    def pure(self, x):
        return tf.nn.softmax(x)

    @tf.function(jit_compile=False)
    def outer(self, x):
        return self.inner(self.pure(x)) + tf.function(lambda y: y * 2.0)(x)

    @tf.function
    def ask(self, x):
        return self.outer(x) + self.inner(x)


class Summed(tf.Module):
    """Holds products so large that threads divide their sums, whose order shows in the last bits."""

    def __init__(self):
        super().__init__()
        left, right = tf.random.normal([32, 2000]), tf.random.normal([2000, 64])
        self.product = tf.Variable(left @ right, name="product")
        drawn = np.random.normal(size=(500, 500)).astype(np.float32)
        self.by_numpy = tf.Variable((drawn @ drawn)[:8], name="by_numpy")
        self.wide = tf.Variable(tf.random.normal([50_000, 4]), name="wide")

    def ask(self, x):
        return (
            (x[:, None] * tf.ones([1, 50_000])) @ self.wide
            + tf.reduce_sum(self.product)
            + tf.reduce_sum(self.by_numpy)
        )


class Pair(tf.Module):
    """Its inputs are neither declared nor taken in the order of their names, and have shapes and ranges of their own."""

    def ask(self, y, x, b=1.0):
        return {"sum": tf.reduce_sum(x) + tf.reduce_sum(y), "rows": x[:, None] * b}


SCALAR, VECTOR = {"shape": [], "dtype": "float32"}, {"shape": ["n"], "dtype": "float32"}
ROWS = {"shape": ["n", 3], "dtype": "float32"}
WORDS = {"shape": ["n"], "dtype": "string"}
VOCABULARY = {"vocabulary": "vocabularies/words.txt"}


def release(target, inputs=None, method="ask", model=None, **rest):
    signatures = {} if inputs is None else {"serving_default": {"method": method, "inputs": inputs}}
    return {"model": {"_target_": target, **(model or {})}, "signatures": signatures, **rest}


RELEASES = {
    "drawn": release("zoo.Drawn", {"x": ROWS}),
    "nested": release("zoo.Nested", {"x": {"shape": [3], "dtype": "float32"}}),
    "flow": release("zoo.Flow", {"x": VECTOR}),
    "gradient": release("zoo.Gradient", {"x": SCALAR}),
    "functional": release("zoo.functional"),
    "sequential": release("zoo.sequential"),
    "subclassed": release("zoo.Subclassed", {"x": ROWS}),
    "recurrent": release("zoo.recurrent"),
    "drawing": release("zoo.Drawing", {"x": {"shape": ["n", 4, 4, 1], "dtype": "float32"}}, "__call__"),
    "preprocessed": release("zoo.Preprocessed", {"x": WORDS}),
    "looked_up": release("zoo.looked_up", model=VOCABULARY),
    "table": release("zoo.Table", {"x": WORDS}, model=VOCABULARY),
    "asset_table": release("zoo.Table", {"x": WORDS}, model={**VOCABULARY, "is_asset": True}),
    "listing": release("zoo.Listing", {"x": WORDS}, model=VOCABULARY),
    "mutable": release("zoo.Mutable", {"x": WORDS}),
    "mirrored": release(
        "zoo.Drawn", {"x": ROWS}, devices={"strategy": {"_target_": "tensorflow.distribute.MirroredStrategy"}}
    ),
    "checkpoint": release(
        "tensorflow.train.Checkpoint", {"x": ROWS}, "net.ask", {"net": {"_target_": "zoo.Drawn"}}
    ),
    "ragged": release(
        "zoo.Ragged", {"x": {"shape": ["n", None], "dtype": "int64", "kind": "ragged"}}
    ),
    "constant": release("zoo.Constant", {"x": {"shape": ["n"], "dtype": "int64"}}),
    "unordered": release("zoo.Unordered", {"x": SCALAR}),
    "calling": release("zoo.Calling", {"x": {"shape": ["n", 4], "dtype": "float32"}}),
    "debugged": release(
        "zoo.Flow", {"x": VECTOR}, options={"save_debug_info": True, "function_aliases": {"asked": "ask"}}
    ),
    "summed": release("zoo.Summed", {"x": VECTOR}),
    "unsorted": release(
        "zoo.Pair", {"y": {"shape": ["m", "n"], "dtype": "float32"}, "x": VECTOR, "b": SCALAR},
        verify={"ranges": {"serving_default": {"y": [5, 9], "b": [1, 2]}}},
    ),
}  # fmt: skip
