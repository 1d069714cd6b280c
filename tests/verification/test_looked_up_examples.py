"""Generated examples contain keys of the tables that their inputs are looked up in."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.verification.example_making import make

WORDS = {"x": {"dtype": "string", "shape": ["n"]}}
NUMBERS = {"x": {"dtype": "int64", "shape": ["n"]}}


def examples(function, inputs, **options):
    """Returns the inputs and outputs of the examples, of which the third is empty."""
    made = make(lambda x: {"y": function(x)}, inputs, generate=3, **options)
    return [(each.inputs["x"].tolist(), each.outputs["y"].tolist()) for each in made]


def table_of(keys, values, default=-1):
    initializer = tf.lookup.KeyValueTensorInitializer(keys, values)
    return tf.lookup.StaticHashTable(initializer, default)


def int64(*values):
    return tf.constant(values, tf.int64)


def buckets():
    values = tf.lookup.KeyValueTensorInitializer(["c", "b", "d"], int64(0, 1, 2))
    return tf.lookup.StaticVocabularyTable(values, 1).lookup


def mutable(keys, kind=tf.lookup.experimental.MutableHashTable, **options):
    table = kind(keys.dtype, tf.int64, default_value=-1, **options)
    table.insert(keys, int64(0, 1, 2))
    return table


def dense():
    kind = tf.lookup.experimental.DenseHashTable
    table = mutable(
        tf.constant(["c", "b", "d"]), kind, empty_key="<empty>", deleted_key="<deleted>"
    )
    table.insert(tf.constant(["e"]), int64(3))
    table.remove(tf.constant(["e"]))
    return table.lookup


@pytest.mark.parametrize(
    ("make_table", "first"),
    [
        (lambda: table_of(["c", "b", "d"], [0, 1, 2]).lookup, 0),
        (buckets, 0),
        pytest.param(
            lambda: mutable(tf.constant(["c", "b", "d"])).lookup, 0, marks=pytest.mark.slow
        ),
        (dense, 0),
        (lambda: keras.layers.StringLookup(vocabulary=["c", "b", "d"]), 1),
    ],
)
def test_texts_are_keys_and_unknown_words(make_table, first):
    (one, values), (three, more), (empty, _) = examples(make_table(), WORDS)

    assert (one, values) == ([b"c"], [first])
    assert (three[1:], more[1:]) == ([b"d", b"b"], [first + 2, first + 1])
    assert three[0] not in {b"b", b"c", b"d"}
    assert empty == []


def test_all_texts_are_keys_if_the_object_rejects_unknown_words():
    lookup = keras.layers.StringLookup(num_oov_indices=0, vocabulary=["c", "b", "d"])

    assert [values for _, values in examples(lookup, WORDS)] == [[0], [2, 1, 0], []]


@pytest.mark.parametrize(
    ("make_table", "keys"),
    [
        (lambda: keras.layers.IntegerLookup(vocabulary=[70, 90, 80]), [70, 80, 90]),
        pytest.param(
            lambda: mutable(int64(70, 90, 80)).lookup, [70, 80, 90], marks=pytest.mark.slow
        ),
        # Its first keys are the numbers that are generated without a table.
        (lambda: table_of(int64(0, 1, 2), ["a", "b", "c"], "?").lookup, [0, 2, 1]),
    ],
)
def test_numbers_are_keys_and_unknown_numbers(make_table, keys):
    (one, _), (three, found), (empty, _) = examples(make_table(), NUMBERS)

    first, last, second = keys
    assert one == [first]
    assert three[1:] == [last, second]
    assert three[0] not in keys
    assert found[0] not in found[1:]
    assert empty == []


def test_keys_that_an_input_cannot_have_are_left_out():
    lookup = keras.layers.IntegerLookup(vocabulary=[300, 70, 90])

    small = {"x": {"dtype": "uint8", "shape": ["n"]}}
    in_range, in_uint8, others = (
        [x for x, _ in examples(lookup, inputs, **options)]
        for inputs, options in (
            (NUMBERS, {"ranges": {"x": [80, 90]}}),
            (small, {}),
            (NUMBERS, {"ranges": {"x": [5, 5]}}),
        )
    )

    assert in_range[0] == [90]
    assert all(80 <= number <= 90 for number in in_range[1])
    assert in_uint8[0] == [90]
    assert in_uint8[1][1:] == [70, 90]
    assert others[:2] == [[5], [5, 5, 5]]


@pytest.mark.parametrize("split", ["whitespace", pytest.param("character", marks=pytest.mark.slow)])
def test_a_text_that_is_split_has_several_known_words_and_an_unknown_one(split):
    layer = keras.layers.TextVectorization(split=split, output_mode="multi_hot")
    layer.adapt(tf.constant(["dog ate my homework", "a cat sat to be"]))
    inputs = {"x": {"dtype": "string", "shape": ["n", 1]}}

    (_, (first,)), (_, more), _ = examples(layer, inputs)

    for hot in (first, *more):
        assert hot[0] == 1  # the unknown word
        assert sum(hot[1:]) >= 3
    assert np.sum(more, axis=0).astype(bool).sum() > 4


def test_a_text_that_is_looked_up_whole_and_split_is_a_key_in_turn():
    table = table_of(["c", "b", "d"], [0, 1, 2])

    def both(x):
        words = tf.strings.split(x)
        return tf.reduce_sum(tf.ragged.map_flat_values(table.lookup, words), 1) + table.lookup(x)

    (one, _), (three, _), _ = examples(both, WORDS)

    assert one == [b"c"]
    assert [len(text.split()) > 3 for text in three] == [True, False, True]
    assert three[1] == b"d"


def test_the_examples_do_not_depend_on_the_order_of_keys_and_tables():
    words = [f"word {number}" for number in range(1000)]
    values = [number // 2 for number in range(1000)]

    def one(order):
        pairs = [(words[index], values[index]) for index in order]
        table = table_of(*map(list, zip(*pairs, strict=True)))
        return table.lookup

    def two(first, second):
        return lambda x: first(x) + second(x)

    order = np.random.default_rng(0).permutation(1000)
    other = table_of(["a", "z"], [1, 2]).lookup
    inputs = {"x": {"dtype": "string", "shape": [60]}}
    made = examples(two(one(range(1000)), other), inputs)

    assert examples(two(other, one(order)), inputs) == made
    texts = set(made[0][0])
    assert {b"a", b"z", b"word 0", b"word 1"} < texts
    assert texts & {b"word 998", b"word 999"}


def test_an_object_that_rejects_its_keys_gets_other_values():
    table = table_of(["c"], [7])

    def refuse(x):
        tf.debugging.assert_equal(table.lookup(x), -1, "known")
        return x

    assert [len(x) for x, _ in examples(refuse, WORDS)] == [1, 3, 0]


def test_the_inputs_without_a_lookup_stay_the_same():
    table = table_of(["c", "d"], [7, 8])
    inputs = {**WORDS, "z": WORDS["x"], "f": {"dtype": "float32", "shape": ["n"]}}

    def drawn(function):
        made = make(function, inputs, generate=3)
        return [(each.inputs["z"].tolist(), each.inputs["f"].tolist()) for each in made]

    plain = drawn(lambda x, z, f: {"x": x, "z": z, "f": f})
    looked_up = drawn(lambda x, z, f: {"x": table.lookup(x), "z": z, "f": f})
    assert looked_up == plain


@pytest.mark.parametrize(
    ("kind", "part"), [pytest.param("sparse", "x_1", marks=pytest.mark.slow), ("ragged", "x")]
)
def test_sparse_and_ragged_texts_are_keys(kind, part):
    table = table_of(["c", "d"], [7, 8])
    inputs = {"x": {"dtype": "string", "shape": [3, None], "kind": kind}}

    made = make(lambda x: {"y": table.lookup(x)}, inputs, generate=2)

    assert {b"c", b"d"} < {*made[0].inputs[part].tolist(), *made[1].inputs[part].tolist()}


def test_features_of_tf_examples_are_keys():
    kinds = {
        "city": tf.io.FixedLenFeature([], tf.string),
        "ids": tf.io.VarLenFeature(tf.int64),
        "text": tf.io.FixedLenFeature([1], tf.string),
        "other": tf.io.FixedLenFeature([], tf.string),
    }
    cities = table_of(["rome", "oslo", "bern"], [0, 1, 2])
    ids = table_of(int64(70, 80), [0, 1])
    parse = tf.function(lambda inputs: tf.io.parse_example(inputs, kinds))

    @tf.function
    def scores(inputs):
        parsed = parse(inputs)
        words = tf.strings.split(parsed["text"][:, 0], ",")
        found = [
            cities.lookup(parsed["city"]),
            tf.reduce_max(ids.lookup(tf.sparse.to_dense(parsed["ids"])), 1),
            tf.reduce_max(tf.ragged.map_flat_values(cities.lookup, words), 1),
        ]
        return {"scores": tf.cast(tf.stack(found, 1), tf.float32)}

    inputs = {"inputs": {"dtype": "string", "shape": ["n"]}}
    method = "tensorflow/serving/classify"
    one, more, _ = make(scores, inputs, generate=3, method_name=method)

    texts = b"".join([*one.inputs["inputs"], *more.inputs["inputs"]])
    assert one.outputs["scores"].tolist() == [[0, 0, 2]]
    assert more.outputs["scores"].max(axis=0).tolist() == [2, 1, 2]
    assert texts.count(b"rome") > 2
    assert texts.count(b",") == 3 * 4
