"""A few keys of a table are read without exporting it."""

import numpy as np
import pytest
import tensorflow as tf
from smdecl.verification import large_tables

from tests.verification.example_making import make

FILE = tf.lookup.TextFileIndex


def table_of_file(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines))
    kinds = (tf.string, FILE.WHOLE_LINE, tf.int64, FILE.LINE_NUMBER)
    initializer = tf.lookup.TextFileInitializer(str(path), *kinds, value_index_offset=5)
    return tf.lookup.StaticHashTable(initializer, -1)


def sampled(table, count):
    keys, values = large_tables.sample(table.resource_handle, count)
    return dict(zip(keys.numpy().tolist(), values.numpy().tolist(), strict=True))


def test_the_first_lines_of_a_vocabulary_file_are_read(tmp_path):
    table = table_of_file(tmp_path / "words.txt", ["c", "b", "a"])

    assert sampled(table, 2) == {b"c": 5, b"b": 6}
    assert table.size() == 3


def test_the_first_keys_and_the_last_one_of_arrays_are_read():
    initializer = tf.lookup.KeyValueTensorInitializer([7, 5, 6, 4], ["a", "b", "c", "d"])

    assert sampled(tf.lookup.StaticHashTable(initializer, "?"), 3) == {7: b"a", 5: b"b", 4: b"d"}


def test_a_table_without_an_initializer_is_not_sampled():
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)

    assert large_tables.sample(table.resource_handle, 2) is None


@pytest.mark.slow
def test_generated_examples_have_keys_of_a_large_vocabulary(tmp_path):
    count = 1_000_001
    table = table_of_file(tmp_path / "words.txt", np.arange(count) + 100)

    first, second = make(table.lookup, {"keys": {"dtype": "string", "shape": ["n"]}})

    assert first.inputs["keys"].tolist() == [b"100"]
    assert second.outputs["output_0"].tolist() == [-1, 5 + 63, 5 + 1]
