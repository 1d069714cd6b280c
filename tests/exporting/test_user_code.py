"""The summary of an error is the line with its reason."""

import sys
from pathlib import Path

import pytest
import tensorflow as tf
from smdecl.errors import ModelError
from smdecl.exporting import user_code
from smdecl.exporting.saving import options
from smdecl.exporting.saving.cheaper_saving import cheaper_ops


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("loaded"))
    module = tf.Module()
    module.pick = tf.function(
        lambda i: tf.gather([1.0, 2.0], i), input_signature=[tf.TensorSpec([], tf.int32)]
    )
    tf.saved_model.save(module, directory)
    return tf.saved_model.load(directory)


def test_the_summary_of_a_graph_error_names_the_reason_and_the_node(loaded):
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        loaded.pick(7)

    summary = user_code.summary(error.value)
    assert summary.startswith("InvalidArgumentError: ")
    assert "7 is not in [0, 2)" in summary
    assert "GatherV2" in summary or "Gather" in summary


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (
            "Graph execution error:\n\nDetected at node 'a/b' defined at (most recent call last):\n"
            '  File "net.py", line 3, in call\n\n2 root error(s) found.\n  (0) INVALID_ARGUMENT:  must be positive\n'
            "\t [[{{node a/b}}]]\n\t [[c/_1]]\n  (1) INVALID_ARGUMENT:  must be positive\n\t [[{{node a/b}}]]\n",
            "ValueError: must be positive (node a/b)",
        ),
        (
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT: must be positive\n"
            "\t [[{{function_node f}}{{node a/b}}]]\n\t [[c/_1]]\n"
            "  (1) INVALID_ARGUMENT: must be positive\n\t [[{{function_node f}}{{node a/b}}]]\n"
            "0 successful operations.\n0 derived errors ignored.",
            "ValueError: must be positive",
        ),
        ("Graph execution error:", "ValueError: Graph execution error:"),
        ("no good\nat all", "ValueError: no good"),
        ("", "ValueError"),
    ],
)
def test_the_line_with_the_reason_is_the_summary(text, summary):
    assert user_code.summary(ValueError(text)) == summary


def test_a_traceback_has_all_frames_whatever_limit_the_model_sets(monkeypatch):
    def fail():
        monkeypatch.setattr(sys, "tracebacklimit", 0, raising=False)
        raise ValueError("wrong size")

    with pytest.raises(ValueError, match="wrong size") as error:
        fail()

    text = user_code.failure(("model",), "building Net", error.value).traceback_text
    assert f'File "{__file__}", line ' in text
    assert "in fail" in text


EXPORTING = str(Path(user_code.__file__).parent)


def unequal(x):
    tf.add(x, x)
    return tf.ones([2, 3]) @ tf.ones([2, 3])


def unshapeable(x):
    return tf.reshape(tf.range(tf.size(tf.concat([x, x], 0))), [7, 7])


@pytest.mark.parametrize("function", [unequal, unshapeable])
def test_an_error_that_the_models_code_catches_shows_no_frames_of_smdecl(function):
    with pytest.raises(Exception) as error:
        with cheaper_ops({"save_debug_info": False}):
            traced = tf.function(function).get_concrete_function(tf.TensorSpec([None]))
        traced(tf.constant([1.0]))

    assert EXPORTING not in str(error.value)
    assert f"in {function.__name__}" in str(error.value)


def test_the_text_of_an_error_has_no_frames_of_smdecl():
    frame = f'  File "{EXPORTING}/building_layers.py", line 3, in build\n    1 / 0\n'

    assert (
        user_code.traceback_text(ValueError(f"no:\n{frame}at all")) == "ValueError: no:\nat all\n"
    )


def test_a_frame_of_another_file_stays_in_the_text_of_an_error():
    text = 'no good:\n  File "net.py", line 3, in call\n    1 / 0\n\nat all'

    assert user_code.traceback_text(ValueError(text)) == f"ValueError: {text}\n"


def test_an_alias_of_a_function_that_fails_is_a_failure_of_the_model():
    module = tf.Module()
    specs = [tf.TensorSpec([3], tf.float32)]
    module.wrong = tf.function(lambda x: x @ x, input_signature=specs)

    with pytest.raises(ModelError, match=r"options\.function_aliases\.a: tracing wrong failed: "):
        options.save_options(module, {"function_aliases": {"a": "wrong"}})
