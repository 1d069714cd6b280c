"""Which changes of a SavedModel break those who call it, and which only add to what can be called."""

import pytest
import tensorflow as tf

from smdecl import diffing

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
        [f"{X}: was float32 of unknown rank, and is float32 [?, 3]"],
    ),
    "an input takes any size": (
        specs({"x": ROW}), specs({"x": ROWS}), ADDITIVE,
        [f"{X}: was float32 [1, 3], and is float32 [?, 3]"],
    ),
    "an input takes any rank": (
        specs({"x": ROWS}), specs({"x": ANY}), ADDITIVE,
        [f"{X}: was float32 [?, 3], and is float32 of unknown rank"],
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
        [f"{Y}: was float32 [?, 3], and is float32 of unknown rank"],
    ),
    "an input is widened, and the output with it": (
        {"serving_default": ({"x": ROW}, {"y": ROW})}, {"serving_default": ({"x": ROWS}, {"y": ROWS})}, ADDITIVE,
        [f"{X}: was float32 [1, 3], and is float32 [?, 3]", f"{Y}: was float32 [1, 3], and is float32 [?, 3]"],
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

    found = diffing.diff(save(tmp_path / "before", before), save(tmp_path / "after", after))

    assert (found.verdict, found.advice, told(found)) == (verdict, advice, lines)


def test_the_same_signatures_are_the_same_whatever_the_order_that_they_were_made_in(tmp_path):
    before = {"a": ({"x": ROWS, "y": IDS}, {"p": ROWS, "q": IDS}), "b": ({"x": TEXT}, {"y": IDS})}
    after = {"b": before["b"], "a": tuple(dict(reversed(side.items())) for side in before["a"])}

    found = diffing.diff(save(tmp_path / "before", before), save(tmp_path / "after", after))

    assert (found.verdict, told(found)) == ("same", [])


def test_a_function_that_can_be_called_after_loading_is_told(tmp_path):
    before = save(tmp_path / "before", functions=["ask", "embed"])
    after = save(tmp_path / "after", functions=["ask", "rank"])

    found = diffing.diff(before, after)

    assert (found.verdict, found.advice) == BREAKING
    assert told(found) == [
        "functions embed: is gone from what tf.saved_model.load gives",
        "functions rank: is new",
    ]
    found = diffing.diff(save(tmp_path / "less", functions=["ask"]), after)
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
    found = diffing.diff(module("some", some), module("any", any_))
    assert (found.verdict, told(found)) == (
        "additive",
        ["functions ask: can be called as (x: float32 [?], training: value False) -> y: float32 [?] now"],
    )
    found = diffing.diff(tmp_path / "any", tmp_path / "some")
    assert (found.verdict, told(found)) == (
        "breaking",
        ["functions ask: can no longer be called as (x: float32 [?], training: value False) -> y: float32 [?]"],
    )
    found = diffing.diff(module("one", some), module("two", some, whole))
    assert (found.verdict, told(found)) == (
        "additive",
        ["functions ask: can be called as (x: int64 [3], training: value False) -> y: int64 [3] now"],
    )
    found = diffing.diff(tmp_path / "two", tmp_path / "one")
    assert (found.verdict, told(found)) == (
        "breaking",
        ["functions ask: can no longer be called as (x: int64 [3], training: value False) -> y: int64 [3]"],
    )
    found = diffing.diff(module("eval", some, training=True), tmp_path / "one")
    assert (found.verdict, told(found)) == (
        "breaking",
        [
            "functions ask: can no longer be called as (x: float32 [3], training: value True) -> y: float32 [3]",
            "functions ask: can be called as (x: float32 [3], training: value False) -> y: float32 [3] now",
        ],
    )


def test_tags_that_a_server_finds_the_graph_by_are_told(tmp_path):
    # tf.saved_model.save knows one tag; the builder before it takes any.
    for name, tags in (("before", ["serve"]), ("after", ["serve", "gpu"])):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder(tf.float32, [None], "x")
            signature = tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"y": x + 1.0})
            builder = tf.compat.v1.saved_model.Builder(str(tmp_path / name))
            builder.add_meta_graph_and_variables(session, tags, {"serving_default": signature})
            builder.save()

    found = diffing.diff(tmp_path / "before", tmp_path / "after")

    assert ((found.verdict, found.advice), told(found)) == (BREAKING, ["tags: were serve, and are gpu, serve"])
