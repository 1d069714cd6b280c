"""Which changes of a SavedModel break those who call it, and which only add to what can be called."""

import collections

import pytest
import tensorflow as tf

from smdecl import release_diffing

ROWS, ROW = ("float32", [None, 3]), ("float32", [1, 3])
ANY, TEXT, IDS = ("float32", None), ("string", [None]), ("int64", [None])


def specs(inputs, outputs=None):
    return {"serving_default": (inputs, outputs or {"y": ROWS})}


def answers(**outputs):
    return specs({"x": ROWS}, outputs)


def a_tensor(dtype, shape):
    """Returns a tensor whose shape a graph knows as far as it is said."""
    value = tf.zeros([size or 1 for size in shape or ()], dtype)
    return tf.raw_ops.PlaceholderWithDefault(input=value, shape=tf.TensorShape(shape))


def save(directory, signatures=None, functions=("ask",)):
    """Saves a model with these signatures, and with functions that can be called once it is loaded."""

    def traced(inputs, outputs):
        @tf.function
        def answer(**_):
            return {name: a_tensor(*spec) for name, spec in outputs.items()}

        return answer.get_concrete_function(**{name: tf.TensorSpec(s, d, name=name) for name, (d, s) in inputs.items()})

    module = tf.Module()
    for name in functions:
        setattr(module, name, tf.function(lambda x: x, input_signature=[tf.TensorSpec([], tf.float32)]))
    signatures = {
        key: traced(*spec) for key, spec in (specs({"x": ROWS}) if signatures is None else signatures).items()
    }
    tf.saved_model.save(module, str(directory), signatures=signatures)
    return directory


def told(found):
    """Returns what a caller can tell, as the command line prints it."""
    return [str(change) for change in found.changes if change.part in ("tags", "signatures", "functions")]


X, Y = "signatures serving_default.inputs.x", "signatures serving_default.outputs.y"
BREAKING, ADDITIVE = ("breaking", "major"), ("additive", "minor")
# Before, after, the verdict, and all that is told.
TABLE = {
    "an input is added": (
        specs({"x": ROWS}), specs({"x": ROWS, "weight": ("float64", [])}), BREAKING,
        ["signatures serving_default.inputs.weight: is new: float64 []"],
    ),
    "an input is removed": (
        specs({"x": ROWS, "ids": IDS}), specs({"x": ROWS}), BREAKING, ["signatures serving_default.inputs.ids: is gone"],
    ),
    "an input is renamed": (specs({"x": ROWS}), specs({"rows": ROWS}), BREAKING, [f"{X}: was renamed to 'rows'"]),
    "two inputs alike are renamed": (
        specs({"x": ROWS, "y": ROWS}), specs({"left": ROWS, "right": ROWS}), BREAKING,
        [
            f"{X}: is gone",
            "signatures serving_default.inputs.y: is gone",
            "signatures serving_default.inputs.left: is new: float32 [?, 3]",
            "signatures serving_default.inputs.right: is new: float32 [?, 3]",
        ],
    ),
    "an input has another dtype": (
        specs({"x": IDS}), specs({"x": ("int32", [None])}), BREAKING, [f"{X}: was int64 [?], and is int32 [?]"],
    ),
    "two inputs swap their dtypes": (
        specs({"x": IDS, "words": TEXT}), specs({"x": TEXT, "words": IDS}), BREAKING,
        [
            "signatures serving_default.inputs.words: was string [?], and is int64 [?]",
            f"{X}: was int64 [?], and is string [?]",
        ],
    ),
    "an input takes one size alone": (
        specs({"x": ROWS}), specs({"x": ROW}), BREAKING,
        [f"{X}: was float32 [?, 3], and is float32 [1, 3]"],
    ),
    "an input takes one rank alone": (
        specs({"x": ANY}), specs({"x": ROWS}), BREAKING,
        [f"{X}: was float32 (unknown rank), and is float32 [?, 3]"],
    ),
    "an input takes any size": (
        specs({"x": ROW}), specs({"x": ROWS}), ADDITIVE,
        [f"{X}: was float32 [1, 3], and is float32 [?, 3]"],
    ),
    "an input takes any rank": (
        specs({"x": ROWS}), specs({"x": ANY}), ADDITIVE,
        [f"{X}: was float32 [?, 3], and is float32 (unknown rank)"],
    ),
    "an input has another rank": (
        specs({"x": ROWS}), specs({"x": ("float32", [None, 3, 1])}), BREAKING,
        [f"{X}: was float32 [?, 3], and is float32 [?, 3, 1]"],
    ),
    "an input has another size": (
        specs({"x": ROWS}), specs({"x": ("float32", [None, 4])}), BREAKING,
        [f"{X}: was float32 [?, 3], and is float32 [?, 4]"],
    ),
    "an input is wider in one place and narrower in another": (
        specs({"x": ("float32", [None, 3])}), specs({"x": ("float32", [1, None])}), BREAKING,
        [f"{X}: was float32 [?, 3], and is float32 [1, ?]"],
    ),
    "a third output is added": (
        answers(y=ROWS, ids=IDS), answers(y=ROWS, ids=IDS, label=TEXT), ADDITIVE,
        ["signatures serving_default.outputs.label: is new: string [?]"],
    ),
    # TensorFlow Serving's REST API names outputs where there is more than one.
    "a second output is added": (
        answers(y=ROWS), answers(y=ROWS, label=TEXT), BREAKING,
        [
            "signatures serving_default.outputs.label: is new: string [?] beside the only output, 'y', which REST"
            " answers did not name"
        ],
    ),
    "an output is removed": (
        answers(y=ROWS, ids=IDS), answers(ids=IDS), BREAKING, [f"{Y}: is gone"],
    ),
    "an output is renamed": (answers(y=ROWS), answers(logits=ROWS), BREAKING, [f"{Y}: was renamed to 'logits'"]),
    "an output has another dtype": (
        answers(y=ROWS), answers(y=("float16", [None, 3])), BREAKING,
        [f"{Y}: was float32 [?, 3], and is float16 [?, 3]"],
    ),
    "an output may be of any size": (
        answers(y=ROW), answers(y=ROWS), BREAKING, [f"{Y}: was float32 [1, 3], and is float32 [?, 3]"],
    ),
    "an output is of one size": (
        answers(y=ROWS), answers(y=ROW), ADDITIVE, [f"{Y}: was float32 [?, 3], and is float32 [1, 3]"],
    ),
    "an output may be of any rank": (
        answers(y=ROWS), answers(y=ANY), BREAKING,
        [f"{Y}: was float32 [?, 3], and is float32 (unknown rank)"],
    ),
    "an input is widened, and the output with it": (
        {"serving_default": ({"x": ROW}, {"y": ROW})}, {"serving_default": ({"x": ROWS}, {"y": ROWS})}, ADDITIVE,
        [f"{X}: was float32 [1, 3], and is float32 [?, 3]", f"{Y}: was float32 [1, 3], and is float32 [?, 3]"],
    ),
    # From an input of more rows follow outputs of more rows, and not of more columns.
    "an input is widened, and the output beyond it": (
        specs({"x": ROW}, {"y": ("float32", [1, 4])}), specs({"x": ROWS}, {"y": ("float32", [None, None])}), BREAKING,
        [f"{Y}: was float32 [1, 4], and is float32 [?, ?]", f"{X}: was float32 [1, 3], and is float32 [?, 3]"],
    ),
    "an input is widened, and the output is of more rows and of columns that are known": (
        specs({"x": ROW}, {"y": ("float32", [1, None])}), specs({"x": ROWS}, {"y": ("float32", [None, 4])}), ADDITIVE,
        [f"{X}: was float32 [1, 3], and is float32 [?, 3]", f"{Y}: was float32 [1, ?], and is float32 [?, 4]"],
    ),
    "an input is of any rank, and the output with it": (
        specs({"x": ROW}, {"y": ROW}), specs({"x": ANY}, {"y": ANY}), ADDITIVE,
        [f"{X}: was float32 [1, 3], and is float32 (unknown rank)", f"{Y}: was float32 [1, 3], and is float32 (unknown rank)"],
    ),
    "an input is of any rank, and the output beyond it": (
        specs({"x": ROW}, {"y": ("float32", [1, 4])}), specs({"x": ANY}, {"y": ANY}), BREAKING,
        [f"{Y}: was float32 [1, 4], and is float32 (unknown rank)", f"{X}: was float32 [1, 3], and is float32 (unknown rank)"],
    ),
    "an input is of any size, and the output of any rank": (
        specs({"x": ROW}, {"y": ("float32", [1])}), specs({"x": ROWS}, {"y": ANY}), BREAKING,
        [f"{Y}: was float32 [1], and is float32 (unknown rank)", f"{X}: was float32 [1, 3], and is float32 [?, 3]"],
    ),
    "a signature is added": (
        specs({"x": ROWS}), {**specs({"x": ROWS}), "embed": ({"x": TEXT}, {"y": ROWS})}, ADDITIVE,
        ["signatures embed: is new"],
    ),
    "a signature is removed": (
        {**specs({"x": ROWS}), "embed": ({"x": TEXT}, {"y": ROWS})}, specs({"x": ROWS}), BREAKING,
        ["signatures embed: is gone"],
    ),
    "a signature is renamed": (
        specs({"x": ROWS}), {"predict": ({"x": ROWS}, {"y": ROWS})}, BREAKING,
        ["signatures serving_default: was renamed to 'predict'"],
    ),
    "what breaks is told before what is added": (
        {**answers(y=ROWS), "embed": ({"x": TEXT}, {"y": ROWS})}, {"more": ({"x": IDS}, {"y": IDS}), **answers(y=IDS)},
        BREAKING,
        [
            "signatures embed: is gone",
            f"{Y}: was float32 [?, 3], and is int64 [?]",
            "signatures more: is new",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", TABLE)
def test_a_change_of_signatures_has_a_verdict_and_is_told(tmp_path, row):
    before, after, (verdict, advice), lines = TABLE[row]

    found = release_diffing.diff(save(tmp_path / "before", before), save(tmp_path / "after", after))

    assert (found.verdict, found.advice, told(found)) == (verdict, advice, lines)


def test_the_same_signatures_are_the_same_whatever_the_order_that_they_were_made_in(tmp_path):
    before = {"a": ({"x": ROWS, "y": IDS}, {"p": ROWS, "q": IDS}), "b": ({"x": TEXT}, {"y": IDS})}
    after = {"b": before["b"], "a": tuple(dict(reversed(side.items())) for side in before["a"])}

    found = release_diffing.diff(save(tmp_path / "before", before), save(tmp_path / "after", after))

    assert (found.verdict, told(found)) == ("same", [])


def test_a_function_that_can_be_called_after_loading_is_told(tmp_path):
    before = save(tmp_path / "before", functions=["ask", "embed"])
    after = save(tmp_path / "after", functions=["ask", "rank"])

    found = release_diffing.diff(before, after)

    assert (found.verdict, found.advice) == BREAKING
    assert told(found) == [
        "functions embed: is gone from what tf.saved_model.load gives",
        "functions rank: is new",
    ]
    found = release_diffing.diff(save(tmp_path / "less", functions=["ask"]), after)
    assert ((found.verdict, found.advice), told(found)) == (ADDITIVE, ["functions rank: is new"])


def test_what_a_restored_function_takes_and_gives_is_told(tmp_path):
    def module(name, *specs, **options):
        made = tf.Module()
        made.ask = tf.function(lambda x, training=False, **more: {"y": x, **more})
        for spec in specs:
            made.ask.get_concrete_function(spec, **options)
        tf.saved_model.save(made, str(tmp_path / name))
        return tmp_path / name

    some, any_, whole = (
        tf.TensorSpec(shape, dtype) for shape, dtype in (([3], "float32"), ([None], "float32"), ([3], "int64"))
    )
    found = release_diffing.diff(module("some", some), module("any", any_))
    assert (found.verdict, told(found)) == (
        "additive",
        ["functions ask: can be called as (x: float32 [?], training: value False) -> y: float32 [?] now"],
    )
    found = release_diffing.diff(tmp_path / "any", tmp_path / "some")
    assert (found.verdict, told(found)) == (
        "breaking",
        ["functions ask: can no longer be called as (x: float32 [?], training: value False) -> y: float32 [?]"],
    )
    found = release_diffing.diff(module("one", some), module("two", some, whole))
    assert (found.verdict, told(found)) == (
        "additive",
        ["functions ask: can be called as (x: int64 [3], training: value False) -> y: int64 [3] now"],
    )
    found = release_diffing.diff(tmp_path / "two", tmp_path / "one")
    assert (found.verdict, told(found)) == (
        "breaking",
        ["functions ask: can no longer be called as (x: int64 [3], training: value False) -> y: int64 [3]"],
    )
    found = release_diffing.diff(module("eval", some, training=True), tmp_path / "one")
    assert (found.verdict, told(found)) == (
        "breaking",
        [
            "functions ask: can no longer be called as (x: float32 [3], training: value True) -> y: float32 [3]",
            "functions ask: can be called as (x: float32 [3], training: value False) -> y: float32 [3] now",
        ],
    )


NUMBER = tf.TensorSpec([], tf.float32)
ONE, TWO = tf.constant(1.0), tf.constant(2.0)
Pair = collections.namedtuple("Pair", ["a", "b"])
Couple = collections.namedtuple("Couple", ["a", "b"])


def by(function, *arguments, **keywords):
    """Returns a function and what it is traced with."""
    return function, arguments, keywords


def a_function(directory, function, arguments, keywords):
    """Saves a model with a function that is traced once."""
    module = tf.Module()
    module.f = tf.function(function)
    module.f.get_concrete_function(*arguments, **keywords)
    tf.saved_model.save(module, str(directory))
    return directory


OF_X, NO_MORE = by(lambda x: x, NUMBER), "can no longer be called as (x: float32 []) -> float32 []"
# Before, after, the verdict, and what is told first.
FUNCTIONS = {
    "an argument without a default is added": (OF_X, by(lambda x, training: x, NUMBER, False), "breaking", "took (x), and takes (x, training)"),
    "an argument is added, and traced with another value than its default": (
        OF_X, by(lambda x, scale=1.0: x * scale, NUMBER, 2.0), "breaking", NO_MORE,
    ),
    "an argument is added, and traced with another nest than its default": (
        OF_X, by(lambda x, o=(1, []): x, NUMBER, (1, {})), "breaking", NO_MORE,
    ),
    "an argument is added, and traced with an empty nest": (
        OF_X, by(lambda x, o: x, NUMBER, ()), "breaking", "took (x), and takes (x, o)",
    ),
    "an argument is added with its default": (
        OF_X, by(lambda x, scale=1.0, *, o=(1, [2, {}]): x * scale, NUMBER), "additive",
        "took (x), and takes (x, scale=1.0, *, o=(1, [2, {}]))",
    ),
    "an argument is added that takes a tensor, with a default that becomes one": (
        OF_X, by(lambda x, y=2.0, *, z=ONE: x * y + z, NUMBER, NUMBER, z=NUMBER), "additive",
        "took (x), and takes (x, y=2.0, *, z=float32 1.0)",
    ),
    "an argument is added that takes a tensor, with a default that becomes none": (
        OF_X, by(lambda x, y=None: x, NUMBER, NUMBER), "breaking", NO_MORE,
    ),
    "a nest is longer": (
        by(lambda x, o=(1,): x, NUMBER), by(lambda x, o=(1, 2): x, NUMBER), "breaking",
        "took (x, o=(1,)), and takes (x, o=(1, 2))",
    ),
    "arguments swap places": (
        by(lambda x, y: x - y, NUMBER, NUMBER), by(lambda y, x: x - y, NUMBER, NUMBER), "breaking",
        "took (x, y), and takes (y, x)",
    ),
    "an argument is added before another": (
        OF_X, by(lambda y=1.0, x=2.0: x, 1.0, NUMBER), "breaking", "took (x), and takes (y=1.0, x=2.0)",
    ),
    "a default is gone": (
        by(lambda x=1.0: x, 1.0), by(lambda x: x, 1.0), "breaking", "took (x=1.0), and takes (x)",
    ),
    "a default is another": (
        by(lambda x, y="a": x, NUMBER, "a"), by(lambda x, y="b": x, NUMBER, "a"), "breaking",
        "took (x, y='a'), and takes (x, y='b')",
    ),
    "a tensor that is a default is another": (
        by(lambda x, y=ONE: x, NUMBER), by(lambda x, y=TWO: x, NUMBER), "breaking",
        "took (x, y=float32 1.0), and takes (x, y=float32 2.0)",
    ),
    "an argument has a default now": (
        by(lambda x: x, 1.0), by(lambda x=1.0: x, 1.0), "additive", "took (x), and takes (x=1.0)",
    ),
    "an argument can be given by its name alone": (
        by(lambda x, y: x, NUMBER, NUMBER), by(lambda x, *, y: x, NUMBER, y=NUMBER), "breaking",
        "took (x, y), and takes (x, *, y)",
    ),
    "an argument can be given by its place as well": (
        by(lambda x, *, y, z: x, NUMBER, y=NUMBER, z=NUMBER), by(lambda x, z, *, y: x, NUMBER, NUMBER, y=NUMBER),
        "additive", "took (x, *, y, z), and takes (x, z, *, y)",
    ),
    "arguments that are given by their names swap places": (
        by(lambda x, *, y, z: x, NUMBER, y=NUMBER, z=NUMBER), by(lambda x, *, z, y: x, NUMBER, y=NUMBER, z=NUMBER),
        "same", None,
    ),
    "an argument of any name has one of its own": (
        by(lambda x, **more: x, NUMBER, y=NUMBER), by(lambda x, *, y: x, NUMBER, y=NUMBER), "additive",
        "took (x), and takes (x, *, y)",
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
    "a named tuple has another name": (by(lambda x: Pair(x, x), NUMBER), by(lambda x: Couple(x, x), NUMBER), "same", None),
    "an argument takes a list for a tuple": (
        by(lambda x: x[0], (NUMBER, NUMBER)), by(lambda x: x[0], [NUMBER, NUMBER]), "breaking",
        "can no longer be called as (x.0: float32 [], x.1: float32 []) -> float32 []",
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", FUNCTIONS)
def test_how_a_restored_function_takes_its_arguments_and_gives_its_results_is_told(tmp_path, row):
    before, after, verdict, first = FUNCTIONS[row]

    found = release_diffing.diff(a_function(tmp_path / "before", *before), a_function(tmp_path / "after", *after))

    assert (found.verdict, told(found)[:1]) == (verdict, [f"functions f: {first}"] if first else [])


DTYPES = ("bool", "int8", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "string")
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
def test_an_argument_that_takes_a_tensor_may_be_left_out_where_its_default_becomes_one(tmp_path, default, additive):
    net, plain = tf.Module(), tf.Module()
    for place, spec in SPECS.items():
        setattr(net, place, tf.function(lambda x, y=default: x))
        getattr(net, place).get_concrete_function(NUMBER, spec)
        setattr(plain, place, tf.function(lambda x: x))
        getattr(plain, place).get_concrete_function(NUMBER)

    found = release_diffing.diff(saved(tmp_path / "plain", plain), saved(tmp_path / "net", net))

    assert SPECS.keys() - {change.where for change in found.changes if change.verdict == "breaking"} == additive
    loaded = tf.saved_model.load(str(tmp_path / "net"))
    for place in additive:
        getattr(loaded, place)(ONE)


def a_net(**names):
    """Returns a module whose parts go by these names; what is no module is a function."""
    net = tf.Module()
    for name, part in names.items():
        setattr(net, name, part)
    return net


def saved(directory, net):
    tf.saved_model.save(net, str(directory), signatures={})
    return directory


def ask():
    return tf.function(lambda x: x, input_signature=[NUMBER])


def test_a_function_is_known_by_each_of_its_names(tmp_path):
    f, net = ask(), a_net(block=a_net(f=ask()))
    one = saved(tmp_path / "one", a_net(f=f, net=net))
    more = saved(tmp_path / "more", a_net(f=f, predict=f, net=net, a=net))

    gone, come = release_diffing.diff(more, one), release_diffing.diff(one, more)

    names = ("a.block.f", "predict")
    assert (gone.verdict, told(gone)) == (
        "breaking",
        [f"functions {name}: is gone from what tf.saved_model.load gives" for name in names],
    )
    assert (come.verdict, told(come)) == ("additive", [f"functions {name}: is new" for name in names])


def answering(function):
    """Returns a function as a signature, with as many inputs as it has arguments."""
    return tf.function(function, input_signature=[NUMBER] * function.__code__.co_argcount)


SUM = answering(lambda x, y: {"z": x + y})
OR_ONE = answering(lambda x, y=ONE: {"z": x + y})
YS = "signatures serving_default.inputs.y"
# Before, after, the verdict, and all that is told.
DEFAULTS = {
    "an input may be left out": (
        SUM, OR_ONE, ADDITIVE, f"{YS}: was float32 [], and is float32 [] (default 1.0)",
    ),
    "an input may be left out no longer": (
        OR_ONE, SUM, BREAKING, f"{YS}: was float32 [] (default 1.0), and is float32 []",
    ),
    "an input that is left out is another": (
        OR_ONE, answering(lambda x, y=TWO: {"z": x + y}), BREAKING,
        f"{YS}: was float32 [] (default 1.0), and is float32 [] (default 2.0)",
    ),
    "an input that may be left out is added": (
        answering(lambda x: {"z": x}), OR_ONE, ADDITIVE, f"{YS}: is new: float32 [] (default 1.0)",
    ),
    "an input that may be left out is gone": (OR_ONE, answering(lambda x: {"z": x}), BREAKING, f"{YS}: is gone"),
}  # fmt: skip


@pytest.mark.parametrize("row", DEFAULTS)
def test_what_an_input_is_where_it_is_left_out_is_told(tmp_path, row):
    before, after, (verdict, advice), line = DEFAULTS[row]
    for name, serve in (("before", before), ("after", after)):
        tf.saved_model.save(tf.Module(), str(tmp_path / name), signatures=serve)

    found = release_diffing.diff(tmp_path / "before", tmp_path / "after")

    assert (found.verdict, found.advice, told(found)) == (verdict, advice, [line])


def test_tags_that_a_server_finds_the_graph_by_are_told(tmp_path):
    # tf.saved_model.save knows one tag; the builder before it takes any.
    for name, tags in (("before", ["serve"]), ("after", ["serve", "gpu"])):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder(tf.float32, [None], "x")
            signature = tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"y": x + 1.0})
            builder = tf.compat.v1.saved_model.Builder(str(tmp_path / name))
            builder.add_meta_graph_and_variables(session, tags, {"serving_default": signature})
            builder.save()

    found = release_diffing.diff(tmp_path / "before", tmp_path / "after")

    assert ((found.verdict, found.advice), told(found)) == (BREAKING, ["tags: were serve, and are gpu, serve"])
