"""Changes of a SavedModel are breaking or additive for its callers."""

import pytest
import tensorflow as tf
from smdecl.release import diffing

from tests.savedmodel.comparing import (
    ADDITIVE,
    BREAKING,
    NUMBER,
    ONE,
    ROW,
    ROWS,
    TWO,
    noticed,
    specs,
)

ANY, TEXT, IDS = ("float32", None), ("string", [None]), ("int64", [None])


def answers(**outputs):
    return specs({"x": ROWS}, outputs)


def a_tensor(dtype, shape):
    """Returns a tensor whose static shape is as given."""
    value = tf.zeros([size or 1 for size in shape or ()], dtype)
    return tf.raw_ops.PlaceholderWithDefault(input=value, shape=tf.TensorShape(shape))


def save(directory, signatures=None, functions=("ask",)):
    """Saves a model with signatures, and with functions that can be called after loading."""

    def traced(inputs, outputs):
        @tf.function
        def answer(**_):
            return {name: a_tensor(*spec) for name, spec in outputs.items()}

        return answer.get_concrete_function(
            **{name: tf.TensorSpec(s, d, name=name) for name, (d, s) in inputs.items()}
        )

    module = tf.Module()
    for name in functions:
        setattr(
            module, name, tf.function(lambda x: x, input_signature=[tf.TensorSpec([], tf.float32)])
        )
    signatures = {
        key: traced(*spec)
        for key, spec in (specs({"x": ROWS}) if signatures is None else signatures).items()
    }
    tf.saved_model.save(module, str(directory), signatures=signatures)
    return directory


X, Y = "signatures serving_default.inputs.x", "signatures serving_default.outputs.y"
# Before, after, the verdict, and all changes.
TABLE = {
    "an input is added": (
        specs({"x": ROWS}), specs({"x": ROWS, "weight": ("float64", [])}), BREAKING,
        ["signatures serving_default.inputs.weight: was added: float64 []"],
    ),
    "an input is removed": (
        specs({"x": ROWS, "ids": IDS}), specs({"x": ROWS}), BREAKING, ["signatures serving_default.inputs.ids: was removed"],
    ),
    "an input is renamed": (specs({"x": ROWS}), specs({"rows": ROWS}), BREAKING, [f"{X}: was renamed to 'rows'"]),
    "two inputs alike are renamed": (
        specs({"x": ROWS, "y": ROWS}), specs({"left": ROWS, "right": ROWS}), BREAKING,
        [
            f"{X}: was removed",
            "signatures serving_default.inputs.y: was removed",
            "signatures serving_default.inputs.left: was added: float32 [?, 3]",
            "signatures serving_default.inputs.right: was added: float32 [?, 3]",
        ],
    ),
    "the dtype of an input changes": (
        specs({"x": IDS}), specs({"x": ("int32", [None])}), BREAKING, [f"{X}: changed from int64 [?] to int32 [?]"],
    ),
    "two inputs swap their dtypes": (
        specs({"x": IDS, "words": TEXT}), specs({"x": TEXT, "words": IDS}), BREAKING,
        [
            "signatures serving_default.inputs.words: changed from string [?] to int64 [?]",
            f"{X}: changed from int64 [?] to string [?]",
        ],
    ),
    "an input accepts only one size": (
        specs({"x": ROWS}), specs({"x": ROW}), BREAKING,
        [f"{X}: changed from float32 [?, 3] to float32 [1, 3]"],
    ),
    "an input accepts only one rank": (
        specs({"x": ANY}), specs({"x": ROWS}), BREAKING,
        [f"{X}: changed from float32 (unknown rank) to float32 [?, 3]"],
    ),
    "an input accepts any size": (
        specs({"x": ROW}), specs({"x": ROWS}), ADDITIVE,
        [f"{X}: changed from float32 [1, 3] to float32 [?, 3]"],
    ),
    "an input accepts any rank": (
        specs({"x": ROWS}), specs({"x": ANY}), ADDITIVE,
        [f"{X}: changed from float32 [?, 3] to float32 (unknown rank)"],
    ),
    "the rank of an input changes": (
        specs({"x": ROWS}), specs({"x": ("float32", [None, 3, 1])}), BREAKING,
        [f"{X}: changed from float32 [?, 3] to float32 [?, 3, 1]"],
    ),
    "the size of an input changes": (
        specs({"x": ROWS}), specs({"x": ("float32", [None, 4])}), BREAKING,
        [f"{X}: changed from float32 [?, 3] to float32 [?, 4]"],
    ),
    "an input is wider in one place and narrower in another": (
        specs({"x": ("float32", [None, 3])}), specs({"x": ("float32", [1, None])}), BREAKING,
        [f"{X}: changed from float32 [?, 3] to float32 [1, ?]"],
    ),
    "a third output is added": (
        answers(y=ROWS, ids=IDS), answers(y=ROWS, ids=IDS, label=TEXT), ADDITIVE,
        ["signatures serving_default.outputs.label: was added: string [?]"],
    ),
    # TensorFlow Serving's REST API names outputs if there are several.
    "a second output is added": (
        answers(y=ROWS), answers(y=ROWS, label=TEXT), BREAKING,
        [
            "signatures serving_default.outputs.label: was added: string [?]; until now, REST responses did"
            " not name the only output 'y'"
        ],
    ),
    "an output is removed": (
        answers(y=ROWS, ids=IDS), answers(ids=IDS), BREAKING, [f"{Y}: was removed"],
    ),
    "an output is renamed": (answers(y=ROWS), answers(logits=ROWS), BREAKING, [f"{Y}: was renamed to 'logits'"]),
    "the dtype of an output changes": (
        answers(y=ROWS), answers(y=("float16", [None, 3])), BREAKING,
        [f"{Y}: changed from float32 [?, 3] to float16 [?, 3]"],
    ),
    "an output may be of any size": (
        answers(y=ROW), answers(y=ROWS), BREAKING, [f"{Y}: changed from float32 [1, 3] to float32 [?, 3]"],
    ),
    "an output is of one size": (
        answers(y=ROWS), answers(y=ROW), ADDITIVE, [f"{Y}: changed from float32 [?, 3] to float32 [1, 3]"],
    ),
    "an output may be of any rank": (
        answers(y=ROWS), answers(y=ANY), BREAKING,
        [f"{Y}: changed from float32 [?, 3] to float32 (unknown rank)"],
    ),
    "an input is widened, and the output with it": (
        {"serving_default": ({"x": ROW}, {"y": ROW})}, {"serving_default": ({"x": ROWS}, {"y": ROWS})}, ADDITIVE,
        [f"{X}: changed from float32 [1, 3] to float32 [?, 3]", f"{Y}: changed from float32 [1, 3] to float32 [?, 3]"],
    ),
    # From an input of more rows follow outputs of more rows, and not of more columns.
    "an input is widened, and the output beyond it": (
        specs({"x": ROW}, {"y": ("float32", [1, 4])}), specs({"x": ROWS}, {"y": ("float32", [None, None])}), BREAKING,
        [f"{Y}: changed from float32 [1, 4] to float32 [?, ?]", f"{X}: changed from float32 [1, 3] to float32 [?, 3]"],
    ),
    "an input is widened, and the output is of more rows and of columns that are known": (
        specs({"x": ROW}, {"y": ("float32", [1, None])}), specs({"x": ROWS}, {"y": ("float32", [None, 4])}), ADDITIVE,
        [f"{X}: changed from float32 [1, 3] to float32 [?, 3]", f"{Y}: changed from float32 [1, ?] to float32 [?, 4]"],
    ),
    "an input is of any rank, and the output with it": (
        specs({"x": ROW}, {"y": ROW}), specs({"x": ANY}, {"y": ANY}), ADDITIVE,
        [f"{X}: changed from float32 [1, 3] to float32 (unknown rank)", f"{Y}: changed from float32 [1, 3] to float32 (unknown rank)"],
    ),
    "an input is of any rank, and the output beyond it": (
        specs({"x": ROW}, {"y": ("float32", [1, 4])}), specs({"x": ANY}, {"y": ANY}), BREAKING,
        [f"{Y}: changed from float32 [1, 4] to float32 (unknown rank)", f"{X}: changed from float32 [1, 3] to float32 (unknown rank)"],
    ),
    "an input is of any size, and the output of any rank": (
        specs({"x": ROW}, {"y": ("float32", [1])}), specs({"x": ROWS}, {"y": ANY}), BREAKING,
        [f"{Y}: changed from float32 [1] to float32 (unknown rank)", f"{X}: changed from float32 [1, 3] to float32 [?, 3]"],
    ),
    "a signature is added": (
        specs({"x": ROWS}), {**specs({"x": ROWS}), "embed": ({"x": TEXT}, {"y": ROWS})}, ADDITIVE,
        ["signatures embed: was added"],
    ),
    "a signature is removed": (
        {**specs({"x": ROWS}), "embed": ({"x": TEXT}, {"y": ROWS})}, specs({"x": ROWS}), BREAKING,
        ["signatures embed: was removed"],
    ),
    "a signature is renamed": (
        specs({"x": ROWS}), {"predict": ({"x": ROWS}, {"y": ROWS})}, BREAKING,
        ["signatures serving_default: was renamed to 'predict'"],
    ),
    "breaking changes come before additive ones": (
        {**answers(y=ROWS), "embed": ({"x": TEXT}, {"y": ROWS})}, {"more": ({"x": IDS}, {"y": IDS}), **answers(y=IDS)},
        BREAKING,
        [
            "signatures embed: was removed",
            f"{Y}: changed from float32 [?, 3] to int64 [?]",
            "signatures more: was added",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", TABLE)
def test_a_change_of_signatures_is_reported_with_a_verdict(tmp_path, row):
    before, after, (verdict, advice), lines = TABLE[row]

    found = diffing.diff(save(tmp_path / "before", before), save(tmp_path / "after", after))

    assert (found.verdict, found.advice, noticed(found)) == (verdict, advice, lines)


def test_the_order_of_signatures_does_not_matter(tmp_path):
    before = {"a": ({"x": ROWS, "y": IDS}, {"p": ROWS, "q": IDS}), "b": ({"x": TEXT}, {"y": IDS})}
    after = {"b": before["b"], "a": tuple(dict(reversed(side.items())) for side in before["a"])}

    found = diffing.diff(save(tmp_path / "before", before), save(tmp_path / "after", after))

    assert (found.verdict, noticed(found)) == ("same", [])


def test_changes_of_restored_functions_are_reported(tmp_path):
    before = save(tmp_path / "before", functions=["ask", "embed"])
    after = save(tmp_path / "after", functions=["ask", "rank"])

    found = diffing.diff(before, after)

    assert (found.verdict, found.advice) == BREAKING
    assert noticed(found) == [
        "functions embed: was removed; tf.saved_model.load no longer restores it",
        "functions rank: was added",
    ]
    found = diffing.diff(save(tmp_path / "less", functions=["ask"]), after)
    assert ((found.verdict, found.advice), noticed(found)) == (
        ADDITIVE,
        ["functions rank: was added"],
    )


def answering(function):
    """Returns a function as a signature, with an input for each argument."""
    return tf.function(function, input_signature=[NUMBER] * function.__code__.co_argcount)


SUM = answering(lambda x, y: {"z": x + y})
OR_ONE = answering(lambda x, y=ONE: {"z": x + y})
YS = "signatures serving_default.inputs.y"
# Before, after, the verdict, and all changes.
DEFAULTS = {
    "an input may be left out": (
        SUM, OR_ONE, ADDITIVE, f"{YS}: changed from float32 [] to float32 [] (default 1.0)",
    ),
    "an input may be left out no longer": (
        OR_ONE, SUM, BREAKING, f"{YS}: changed from float32 [] (default 1.0) to float32 []",
    ),
    "the default of an input changes": (
        OR_ONE, answering(lambda x, y=TWO: {"z": x + y}), BREAKING,
        f"{YS}: changed from float32 [] (default 1.0) to float32 [] (default 2.0)",
    ),
    "an input that may be left out is added": (
        answering(lambda x: {"z": x}), OR_ONE, ADDITIVE, f"{YS}: was added: float32 [] (default 1.0)",
    ),
    "an optional input is removed": (OR_ONE, answering(lambda x: {"z": x}), BREAKING, f"{YS}: was removed"),
}  # fmt: skip


@pytest.mark.parametrize("row", DEFAULTS)
def test_changes_of_the_default_of_an_input_are_reported(tmp_path, row):
    before, after, (verdict, advice), line = DEFAULTS[row]
    for name, serve in (("before", before), ("after", after)):
        tf.saved_model.save(tf.Module(), str(tmp_path / name), signatures=serve)

    found = diffing.diff(tmp_path / "before", tmp_path / "after")

    assert (found.verdict, found.advice, noticed(found)) == (verdict, advice, [line])


def test_changed_tags_are_reported(tmp_path):
    # tf.saved_model.save sets one tag; its predecessor, the builder, accepts any.
    for name, tags in (("before", ["serve"]), ("after", ["serve", "gpu"])):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            x = tf.compat.v1.placeholder(tf.float32, [None], "x")
            signature = tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"y": x + 1.0})
            builder = tf.compat.v1.saved_model.Builder(str(tmp_path / name))
            builder.add_meta_graph_and_variables(session, tags, {"serving_default": signature})
            builder.save()

    found = diffing.diff(tmp_path / "before", tmp_path / "after")

    assert ((found.verdict, found.advice), noticed(found)) == (
        BREAKING,
        ["tags: changed from serve to gpu, serve"],
    )
