"""Changes of restored functions are breaking or additive for their callers."""

import collections

import pytest
import tensorflow as tf
from smdecl.release import diffing

from tests.savedmodel.comparing import NUMBER, ONE, TWO, noticed


def test_changes_of_inputs_and_results_of_a_restored_function_are_reported(tmp_path):
    def module(name, *specs, **options):
        made = tf.Module()
        made.ask = tf.function(lambda x, training=False, **more: {"y": x, **more})
        for spec in specs:
            made.ask.get_concrete_function(spec, **options)
        tf.saved_model.save(made, str(tmp_path / name))
        return tmp_path / name

    some, any_, whole = (
        tf.TensorSpec(shape, dtype)
        for shape, dtype in (([3], "float32"), ([None], "float32"), ([3], "int64"))
    )
    found = diffing.diff(module("some", some), module("any", any_))
    assert (found.verdict, noticed(found)) == (
        "additive",
        [
            "functions ask: can now be called as (x: float32 [?], training: value False) -> y: float32 [?]"
        ],
    )
    found = diffing.diff(tmp_path / "any", tmp_path / "some")
    assert (found.verdict, noticed(found)) == (
        "breaking",
        [
            "functions ask: can no longer be called as (x: float32 [?], training: value False) -> y: float32 [?]"
        ],
    )
    found = diffing.diff(module("one", some), module("two", some, whole))
    assert (found.verdict, noticed(found)) == (
        "additive",
        [
            "functions ask: can now be called as (x: int64 [3], training: value False) -> y: int64 [3]"
        ],
    )
    found = diffing.diff(tmp_path / "two", tmp_path / "one")
    assert (found.verdict, noticed(found)) == (
        "breaking",
        [
            "functions ask: can no longer be called as (x: int64 [3], training: value False) -> y: int64 [3]"
        ],
    )
    found = diffing.diff(module("eval", some, training=True), tmp_path / "one")
    assert (found.verdict, noticed(found)) == (
        "breaking",
        [
            "functions ask: can no longer be called as (x: float32 [3], training: value True) -> y: float32 [3]",
            "functions ask: can now be called as (x: float32 [3], training: value False) -> y: float32 [3]",
        ],
    )


Pair = collections.namedtuple("Pair", ["a", "b"])
Couple = collections.namedtuple("Couple", ["a", "b"])


def by(function, *arguments, **keywords):
    """Returns a function and the arguments to trace it with."""
    return function, arguments, keywords


def a_function(directory, function, arguments, keywords):
    """Saves a model with a function that is traced once."""
    module = tf.Module()
    module.f = tf.function(function)
    module.f.get_concrete_function(*arguments, **keywords)
    tf.saved_model.save(module, str(directory))
    return directory


OF_X, NO_MORE = by(lambda x: x, NUMBER), "can no longer be called as (x: float32 []) -> float32 []"
# Before, after, the verdict, and the first change.
FUNCTIONS = {
    "an argument without a default is added": (OF_X, by(lambda x, training: x, NUMBER, False), "breaking", "arguments changed from (x) to (x, training)"),
    "an argument is added, and traced with a value other than its default": (
        OF_X, by(lambda x, scale=1.0: x * scale, NUMBER, 2.0), "breaking", NO_MORE,
    ),
    "an argument is added, and traced with a nest other than its default": (
        OF_X, by(lambda x, o=(1, []): x, NUMBER, (1, {})), "breaking", NO_MORE,
    ),
    "an argument is added, and traced with an empty nest": (
        OF_X, by(lambda x, o: x, NUMBER, ()), "breaking", "arguments changed from (x) to (x, o)",
    ),
    "an argument is added with its default": (
        OF_X, by(lambda x, scale=1.0, *, o=(1, [2, {}]): x * scale, NUMBER), "additive",
        "arguments changed from (x) to (x, scale=1.0, *, o=(1, [2, {}]))",
    ),
    "a tensor argument is added, with a default that converts to a tensor": (
        OF_X, by(lambda x, y=2.0, *, z=ONE: x * y + z, NUMBER, NUMBER, z=NUMBER), "additive",
        "arguments changed from (x) to (x, y=2.0, *, z=float32 1.0)",
    ),
    "a tensor argument is added, with a default that does not convert": (
        OF_X, by(lambda x, y=None: x, NUMBER, NUMBER), "breaking", NO_MORE,
    ),
    "a nest is longer": (
        by(lambda x, o=(1,): x, NUMBER), by(lambda x, o=(1, 2): x, NUMBER), "breaking",
        "arguments changed from (x, o=(1,)) to (x, o=(1, 2))",
    ),
    "arguments swap places": (
        by(lambda x, y: x - y, NUMBER, NUMBER), by(lambda y, x: x - y, NUMBER, NUMBER), "breaking",
        "arguments changed from (x, y) to (y, x)",
    ),
    "an argument is added before an old one": (
        OF_X, by(lambda y=1.0, x=2.0: x, 1.0, NUMBER), "breaking", "arguments changed from (x) to (y=1.0, x=2.0)",
    ),
    "a default is removed": (
        by(lambda x=1.0: x, 1.0), by(lambda x: x, 1.0), "breaking", "arguments changed from (x=1.0) to (x)",
    ),
    "a default changes": (
        by(lambda x, y="a": x, NUMBER, "a"), by(lambda x, y="b": x, NUMBER, "a"), "breaking",
        "arguments changed from (x, y='a') to (x, y='b')",
    ),
    "a tensor that is a default changes": (
        by(lambda x, y=ONE: x, NUMBER), by(lambda x, y=TWO: x, NUMBER), "breaking",
        "arguments changed from (x, y=float32 1.0) to (x, y=float32 2.0)",
    ),
    "an argument has a default now": (
        by(lambda x: x, 1.0), by(lambda x=1.0: x, 1.0), "additive", "arguments changed from (x) to (x=1.0)",
    ),
    "an argument can be given by its name alone": (
        by(lambda x, y: x, NUMBER, NUMBER), by(lambda x, *, y: x, NUMBER, y=NUMBER), "breaking",
        "arguments changed from (x, y) to (x, *, y)",
    ),
    "an argument can be given by its place as well": (
        by(lambda x, *, y, z: x, NUMBER, y=NUMBER, z=NUMBER), by(lambda x, z, *, y: x, NUMBER, NUMBER, y=NUMBER),
        "additive", "arguments changed from (x, *, y, z) to (x, z, *, y)",
    ),
    "arguments that are given by their names swap places": (
        by(lambda x, *, y, z: x, NUMBER, y=NUMBER, z=NUMBER), by(lambda x, *, z, y: x, NUMBER, y=NUMBER, z=NUMBER),
        "same", None,
    ),
    "an argument that `**rest` accepted is named": (
        by(lambda x, **more: x, NUMBER, y=NUMBER), by(lambda x, *, y: x, NUMBER, y=NUMBER), "additive",
        "arguments changed from (x) to (x, *, y)",
    ),
    "a named tuple becomes a mapping": (
        by(lambda x: Pair(x, x), NUMBER), by(lambda x: {"a": x, "b": x}, NUMBER), "breaking",
        "can no longer be called as (x: float32 []) -> a: float32 [], b: float32 [], with return a named tuple (a, b)",
    ),
    "a named tuple in a mapping becomes a mapping": (
        by(lambda x: {"p": Pair(x, x)}, NUMBER), by(lambda x: {"p": {"a": x, "b": x}}, NUMBER), "breaking",
        "can no longer be called as (x: float32 []) -> p.a: float32 [], p.b: float32 [], with return.p a named tuple"
        " (a, b)",
    ),
    "the class of a named tuple changes": (by(lambda x: Pair(x, x), NUMBER), by(lambda x: Couple(x, x), NUMBER), "same", None),
    "an argument is a list instead of a tuple": (
        by(lambda x: x[0], (NUMBER, NUMBER)), by(lambda x: x[0], [NUMBER, NUMBER]), "breaking",
        "can no longer be called as (x.0: float32 [], x.1: float32 []) -> float32 []",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", FUNCTIONS)
def test_changes_of_arguments_of_a_restored_function_are_reported(tmp_path, row):
    before, after, verdict, first = FUNCTIONS[row]

    found = diffing.diff(
        a_function(tmp_path / "before", *before), a_function(tmp_path / "after", *after)
    )

    assert (found.verdict, noticed(found)[:1]) == (
        verdict,
        [f"functions f: {first}"] if first else [],
    )


DTYPES = (
    "bool",
    "int8",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "string",
)
SPECS = {dtype: tf.TensorSpec([], dtype) for dtype in DTYPES}


SPECS |= {"row": tf.TensorSpec([None], tf.float32), "any": tf.TensorSpec(None, tf.float32)}


@pytest.mark.parametrize(
    ("default", "additive"),
    [
        (True, {"bool"}),
        (2, {"int32", "int64", "float32", "float64", "any"}),
        (-(2**40), set()),
        (2.0, {"float16", "bfloat16", "float32", "float64", "any"}),
        ("a", {"string"}),
        (None, set()),
        ((1.0,), set()),
        (ONE, {"float32", "any"}),
        (tf.constant([2.0]), set()),
    ],
)
def test_a_tensor_argument_can_be_omitted_if_its_default_converts_to_a_tensor(
    tmp_path, default, additive
):
    net, plain = tf.Module(), tf.Module()
    for place, spec in SPECS.items():
        setattr(net, place, tf.function(lambda x, y=default: x))
        getattr(net, place).get_concrete_function(NUMBER, spec)
        setattr(plain, place, tf.function(lambda x: x))
        getattr(plain, place).get_concrete_function(NUMBER)

    found = diffing.diff(saved(tmp_path / "plain", plain), saved(tmp_path / "net", net))

    assert (
        SPECS.keys() - {change.where for change in found.changes if change.verdict == "breaking"}
        == additive
    )
    loaded = tf.saved_model.load(str(tmp_path / "net"))
    for place in additive:
        getattr(loaded, place)(ONE)


def a_net(**names):
    """Returns a module with parts of these names, which are modules or functions."""
    net = tf.Module()
    for name, part in names.items():
        setattr(net, name, part)
    return net


def saved(directory, net):
    tf.saved_model.save(net, str(directory), signatures={})
    return directory


def ask():
    return tf.function(lambda x: x, input_signature=[NUMBER])


def test_a_function_is_compared_under_each_of_its_names(tmp_path):
    f, net = ask(), a_net(block=a_net(f=ask()))
    one = saved(tmp_path / "one", a_net(f=f, net=net))
    more = saved(tmp_path / "more", a_net(f=f, predict=f, net=net, a=net))

    gone, come = diffing.diff(more, one), diffing.diff(one, more)

    names = ("a.block.f", "predict")
    assert (gone.verdict, noticed(gone)) == (
        "breaking",
        [
            f"functions {name}: was removed; tf.saved_model.load no longer restores it"
            for name in names
        ],
    )
    assert (come.verdict, noticed(come)) == (
        "additive",
        [f"functions {name}: was added" for name in names],
    )


def test_changes_of_private_functions_do_not_concern_callers(tmp_path):
    keras_own = a_net(_default_save_signature=ask(), _part=a_net(f=ask()))
    one = saved(tmp_path / "one", a_net(f=ask(), net=keras_own))
    none = saved(tmp_path / "none", a_net(f=ask()))

    gone, come = diffing.diff(one, none), diffing.diff(none, one)

    message = "was removed; tf.saved_model.load no longer restores it"
    names = ("net._default_save_signature", "net._part.f")
    changes = [str(change) for change in gone.changes if change.part == "functions"]
    assert (gone.verdict, changes) == ("same", [f"functions {name}: {message}" for name in names])
    assert come.verdict == "same"
