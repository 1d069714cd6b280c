"""The arguments of a function whose elements, or the words in them, are looked up in tables."""

import pytest
import tensorflow as tf
from smdecl.savedmodel import lookups

TEXTS = tf.TensorSpec([None], tf.string)


@pytest.fixture(scope="module")
def table():
    values = tf.lookup.KeyValueTensorInitializer(["a", "b"], [1, 2])
    return tf.lookup.StaticHashTable(values, -1)


def looked_up(function):
    """Returns the arguments of a function of two texts that are looked up, and their separators."""
    trace = tf.function(function).get_concrete_function(TEXTS, TEXTS)
    graph = trace.graph.as_graph_def()
    names = [tensor.op.name for tensor in trace.inputs]
    found = lookups.find(graph.node, graph.library, names)
    assert {(names[each.table], each.key_type) for each in found} <= {(names[2], 7)}
    return {("xy"[each.keys.argument], each.keys.part.separator) for each in found}


@tf.function
def swapped(x, y):
    return tf.strings.lower(y), x


def moved_by_a_loop(x, y):
    """Returns x, y and x in turn."""
    return tf.while_loop(
        lambda number, *_: number < tf.size(x), lambda number, a, b: (number + 1, b, a), (0, x, y)
    )[1]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (lambda x, y: x, {("x", None)}),
        (lambda x, y: tf.strings.lower(tf.reshape(y, [-1, 1])), {("y", None)}),
        (lambda x, y: tf.concat([x, y], 0), {("x", None), ("y", None)}),
        (lambda x, y: swapped(x, y)[0], {("y", None)}),
        (lambda x, y: tf.cond(tf.size(y) > 1, lambda: x, lambda: x[:1]), {("x", None)}),
        (lambda x, y: tf.map_fn(lambda each: swapped(each, each)[1], x), {("x", None)}),
        (moved_by_a_loop, {("x", None), ("y", None)}),
        (lambda x, y: tf.strings.split(x).flat_values, {("x", b" ")}),
        (lambda x, y: tf.strings.split(swapped(x, y)[0], "; ").flat_values, {("y", b"; ")}),
        (lambda x, y: tf.strings.unicode_split(x, "UTF-8").flat_values, {("x", b"")}),
        # What is computed from a text is no element of it.
        (lambda x, y: tf.strings.join([x, y]), set()),
        (lambda x, y: tf.strings.as_string(tf.strings.length(x)), set()),
        (lambda x, y: tf.gather(["a", "b"], tf.strings.to_hash_bucket_fast(x, 2)), set()),
    ],
)
def test_elements_are_followed_to_the_table_that_they_are_looked_up_in(table, keys, expected):
    assert looked_up(lambda x, y: table.lookup(keys(x, y))) == expected


def test_lookups_in_functions_loops_and_branches_are_found(table):
    look = tf.function(lambda words: table.lookup(tf.strings.split(words, ",").flat_values))

    assert looked_up(lambda x, y: look(y)) == {("y", b",")}
    assert looked_up(
        lambda x, y: tf.map_fn(lambda each: look(each[None])[0], x, fn_output_signature=tf.int32)
    ) == {("x", b",")}
    assert looked_up(lambda x, y: tf.cond(tf.size(x) > 1, lambda: look(x), lambda: look(y))) == {
        ("x", b","),
        ("y", b","),
    }
