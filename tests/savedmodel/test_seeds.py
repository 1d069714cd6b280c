"""Random ops whose seed each call changes are found, through functions and arithmetic; other state is ignored."""

import keras
import pytest
import tensorflow as tf
from smdecl.savedmodel import inspection
from smdecl.savedmodel.audits import seeds

X = tf.TensorSpec([None], tf.float32, "x")


@pytest.fixture
def find(tmp_path):
    """Saves functions as signatures and returns the ops with a changing seed, with its variables."""

    def save_and_find(*functions, holder=None, **attributes):
        module = tf.Module()
        module.holder = holder
        for name, value in attributes.items():
            setattr(module, name, value)
        module.functions = [tf.function(function) for function in functions]
        signatures = {
            f"s{i}": function.get_concrete_function(X)
            for i, function in enumerate(module.functions)
        }
        tf.saved_model.save(module, str(tmp_path), signatures=signatures)
        found = seeds.draws(inspection.read(tmp_path).meta_graphs[0])
        return {(draw.node.op, *draw.variables) for draw in found}

    return save_and_find


@pytest.fixture
def seed():
    return tf.Variable([1, 2], dtype=tf.int64, name="seed")


def noise(seed, x):
    return x + tf.random.stateless_normal([1], seed)


@tf.function
def noise_in_a_function(seed, x):
    return noise(tf.add(seed, [3, 4]), x)


def advance(seed):
    seed.assign_add([0, 1])


@tf.function
def advance_in_a_function(seed):
    advance(seed)


def through_arithmetic(seed, x):
    drawn = noise(tf.cast(seed * 3, tf.int32), x)
    advance(seed)
    return drawn


def through_functions(seed, x):
    drawn = noise_in_a_function(seed, x)
    advance_in_a_function(seed)
    return drawn


def through_a_branch(seed, x):
    advance(seed)
    return tf.cond(x[0] > 0, lambda: noise_in_a_function(seed.read_value(), x), lambda: x)


def through_a_loop(seed, x):
    advance(seed)
    own = seed.read_value()
    return tf.while_loop(
        lambda i, *_: i < 3, lambda i, s, y: (i + 1, s + 1, noise(s, y)), [0, own, x]
    )[2]


def through_a_map(seed, x):
    advance(seed)
    own = seed.read_value()
    return tf.data.Dataset.range(3).map(lambda _: noise(own, x)).reduce(x, lambda a, b: a + b)


def chosen_by_an_input(seed, x):
    advance(seed)
    return tf.where(x[0] > 0, noise(seed, x), x)


@pytest.mark.parametrize(
    "function",
    [
        through_arithmetic,
        through_functions,
        through_a_branch,
        through_a_loop,
        through_a_map,
        chosen_by_an_input,
    ],
)
def test_a_seed_in_a_variable_that_the_signature_writes_is_found(find, seed, function):
    assert find(lambda x: function(seed, x), seed=seed) == {("StatelessRandomNormalV2", "seed")}


def fixed(seed, x):
    return noise(seed, x)


def counted(seed, x):
    advance(seed)
    return noise([1, 2], x) + tf.cast(seed[0], tf.float32)


def given(seed, x):
    advance(seed)
    return noise(tf.cast(tf.stack([x[0], 1.0]), tf.int64), x)


def counted_in_a_loop(seed, x):
    def body(i, s, y):
        advance(seed)
        return i + 1, s, noise(s, y) + tf.cast(i, tf.float32)

    return tf.while_loop(lambda i, *_: i < 3, body, [seed[0], tf.constant([1, 2]), x])[2]


def drawn_for_nothing(seed, x):
    through_functions(seed, x)
    return x * 2.0


@pytest.mark.parametrize("function", [fixed, counted, given, counted_in_a_loop, drawn_for_nothing])
def test_a_seed_that_calls_do_not_change_is_not_found(find, seed, function):
    assert find(lambda x: function(seed, x), seed=seed) == set()


def test_a_seed_that_another_signature_changes_is_not_found(find, seed):
    def reseed(x):
        advance(seed)
        return x

    assert find(lambda x: noise(seed, x), reseed, seed=seed) == set()


def test_a_draw_with_a_seed_from_an_input_is_not_found_beside_a_cache(find):
    cache = tf.Variable(tf.zeros([4]), name="cache")

    def step(x):
        cache.scatter_nd_update([[0]], x[:1])
        return noise(tf.cast(tf.stack([x[0], 1.0]), tf.int32), cache + x[0])

    assert find(step, cache=cache) == set()


def test_the_seed_of_a_keras_layer_is_found(find):
    layer = keras.layers.Dropout(0.5, seed=1)
    state = layer.seed_generator.state

    found = find(lambda x: layer(x, training=True), holder=[layer, state.value])

    assert [op for op, _ in found] == ["StatelessRandomUniformV2"]
    assert "seed_generator_state" in next(iter(found))[1]
