"""Models with lookup tables, and what both loaders of their exports answer."""

import shutil

import numpy as np
import tensorflow as tf

from tests.conftest import tree
from tests.serving import serve

TABLES = """
import tensorflow as tf

LINE, NUMBER = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER


def to_ids(path):
    return tf.lookup.TextFileInitializer(path, tf.string, LINE, tf.int64, NUMBER)


def to_words(path):
    return tf.lookup.TextFileInitializer(path, tf.int64, NUMBER, tf.string, LINE)


class Ids(tf.Module):
    def __init__(self, vocabulary):
        self.table = tf.lookup.StaticHashTable(to_ids(vocabulary), -1)

    def ask(self, x):
        return self.table.lookup(x)


class Numbers(tf.Module):
    def __init__(self, vocabulary):
        lines = tf.lookup.TextFileInitializer(vocabulary, tf.int64, LINE, tf.int64, NUMBER)
        self.table = tf.lookup.StaticHashTable(lines, -1)

    def ask(self, x):
        return self.table.lookup(x)


class Words(tf.Module):
    def __init__(self, vocabulary):
        self.table = tf.lookup.StaticHashTable(to_words(vocabulary), "?")

    def ask(self, x):
        return self.table.lookup(x)


class Both(tf.Module):
    def __init__(self, vocabulary):
        self.ids = tf.lookup.StaticHashTable(to_ids(vocabulary), -1)
        self.words = tf.lookup.StaticHashTable(to_words(vocabulary), "?")

    def ask(self, x):
        return self.words.lookup(self.ids.lookup(x))


class Buckets(tf.Module):
    def __init__(self, vocabulary, buckets):
        self.table = tf.lookup.StaticVocabularyTable(to_ids(vocabulary), buckets)

    def ask(self, x):
        return self.table.lookup(x)


class File(tf.Module):
    def __init__(self, vocabulary):
        self.file = tf.saved_model.Asset(vocabulary)

    def ask(self, x):
        return tf.strings.join([x, tf.io.read_file(self.file)])


class Given(tf.Module):
    def __init__(self, vocabulary):
        self.table = tf.lookup.StaticHashTable(to_ids(tf.saved_model.Asset(vocabulary)), -1)

    def ask(self, x):
        return self.table.lookup(x)


class Values(tf.Module):
    def __init__(self):
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a", "b"], [1.5, 2.5]), 0.0)

    def ask(self, x):
        return self.table.lookup(x)


class Parts(tf.Module):
    def __init__(self, **parts):
        for name, part in parts.items():
            setattr(self, name, part)


class Mutable(tf.Module):
    def __init__(self):
        self.hash = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        self.hash.insert(["a", "b"], [10, 20])
        self.dense = tf.lookup.experimental.DenseHashTable(tf.string, tf.int64, -1, "<empty>", "<deleted>")
        self.dense.insert(["a", "c"], [100, 300])

    def ask(self, x):
        return {"hash": self.hash.lookup(x), "dense": self.dense.lookup(x)}


class Lazy(tf.Module):
    table = None

    @tf.function
    def ask(self, x):
        if self.table is None:
            self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [7]), -1)
        return self.table.lookup(x)


class Two(tf.Module):
    def __init__(self, first, second):
        self.first = tf.lookup.StaticHashTable(to_ids(first), -1)
        self.second = tf.lookup.StaticHashTable(to_ids(second), -1)

    def ask(self, x):
        return {"first": self.first.lookup(x), "second": self.second.lookup(x)}


def nested(first, second):
    both = tf.Module()
    both.first, both.second = Ids(first), Words(second)
    return both
"""


WORDS = "{x: {shape: [n], dtype: string}}"


NUMBERS = "{x: {shape: [n], dtype: int64}}"


def export(project, model, inputs=WORDS, *overrides):
    project.write("conf/model/net.yaml", model)
    signature = f"+signatures.s={{method: {'ask' if 'keras' not in model else '__call__'}, inputs: {inputs}}}"
    return project.export("model=net", "signatures=none", signature, *overrides)


def export_twice(project, model, inputs=WORDS, *overrides):
    """Returns the export, which has the same bytes as another one of the same config."""
    release, again = (export(project, model, inputs, *overrides) for _ in range(2))
    assert tree(release.path) == tree(again.path)
    assert release.digest == again.digest
    return release


def move(project, release):
    """Moves an export, and removes all that it was made of."""
    elsewhere = project.root.parent / "elsewhere" / "moved"
    elsewhere.parent.mkdir()
    shutil.move(release.path, elsewhere)
    for made_of in ("vocabularies", "exports", "tables.py"):
        path = project.root / made_of
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return elsewhere


def ask(path, x, key="s"):
    """Returns what both loaders give."""
    served = serve(path, key, x=x)
    loaded = tf.saved_model.load(str(path)).signatures[key](x=tf.constant(x))
    answers = {name: value.tolist() for name, value in served.items()}
    assert {name: value.numpy().tolist() for name, value in loaded.items()} == answers
    return answers


def ask_elsewhere(project, release, x):
    return ask(move(project, release), x)


def text(*words):
    return np.array([word.encode() for word in words], object)


def assets(release):
    return {
        name.partition("/")[2]: data
        for name, data in tree(release.path).items()
        if name.startswith("assets/")
    }
