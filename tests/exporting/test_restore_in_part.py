"""Weights that do not fit the object are reported, and a partial restore skips only these."""

import pytest
import smdecl
import tensorflow as tf
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ConfigError
from smdecl.release import manifest

from tests.conftest import run_script
from tests.weights_projects import output, overrides, problems, restored, write_ready

ARGUMENTS = (
    "; the arguments of the model (model.*) may differ from those that the weights were saved with"
)


@pytest.fixture
def ready(project, tmp_path_factory):
    return write_ready(project, tmp_path_factory)


def test_variables_missing_from_a_checkpoint_are_reported(ready):
    assert problems(ready, "mynet.Net", "checkpoint", "net", deep="true", fill="0.5") == [
        (
            "weights.path",
            "has no value for v []; ++weights.expect=partial restores what matches and warns about the rest",
        )
    ]


def test_a_partial_checkpoint_restores_its_variables_and_reports_the_rest(ready):
    given = {"expect": "partial", "deep": "true", "fill": "0.5"}

    assert restored(ready, "mynet.Net", "checkpoint", "net", **given) == (
        ["b", "w"],
        ["v"],
    )
    assert output(ready.export(*overrides("mynet.Net", "checkpoint", "net", **given))) == [
        [5.5, 5.5]
    ]


def test_a_variable_of_a_different_shape_is_reported_with_both_shapes(ready):
    assert problems(ready, "mynet.Net", "checkpoint", "wide") == [
        (
            "weights.path",
            "w is [3, 2] in the model and [3, 5] in the weights; the arguments of the model (model.*) may differ from those that the"
            " weights were saved with",
        )
    ]


def test_a_partial_checkpoint_restores_the_variables_whose_shapes_match(ready):
    assert restored(ready, "mynet.Net", "checkpoint", "wide", expect="partial") == (["b"], ["w"])
    release = ready.export(*overrides("mynet.Net", "checkpoint", "wide", expect="partial"))
    assert output(release) == [[2, 2]]


@pytest.mark.parametrize("expect", ["full", "partial"])
def test_a_checkpoint_without_any_match_is_refused_even_if_partial(ready, expect):
    found = problems(ready, "mynet.Net", "checkpoint", "other", expect=expect)

    assert {key for key, _ in found} == {"weights.path"}
    assert all("has no value for" in message or "nothing in" in message for _, message in found)


def test_a_name_based_checkpoint_is_refused(ready):
    assert problems(ready, "mynet.Net", "checkpoint", "by_name") == [
        (
            "weights.path",
            "'by_name' is not an object-based checkpoint; expected one written by tf.train.Checkpoint",
        )
    ]


@pytest.mark.parametrize(
    ("fmt", "path"),
    [
        ("checkpoint", "model_wide"),
        ("keras_weights", "model_wide.weights.h5"),
        pytest.param("keras", "model_wide.keras", marks=pytest.mark.slow),
    ],
)
def test_a_keras_layer_of_a_different_size_is_reported_and_skipped_by_a_partial_restore(
    ready, fmt, path
):
    found = problems(ready, "mykeras.functional", fmt, path)

    assert sorted(found) == [
        ("weights.path", "out/bias is [2] in the model and [5] in the weights"),
        ("weights.path", f"out/kernel is [4, 2] in the model and [4, 5] in the weights{ARGUMENTS}"),
    ]
    names, missing = restored(ready, "mykeras.functional", fmt, path, expect="partial")
    assert missing == ["out/bias", "out/kernel"]
    assert {"hidden/bias", "hidden/kernel"} <= {*names}
    # Of the ones in the file, hidden makes 4 apiece; out is fresh, and makes 0.25 of each.
    release = ready.export(
        *overrides("mykeras.functional", fmt, path, expect="partial", fill="0.25"), "audit=off"
    )
    assert output(release, "inputs") == [[4.25, 4.25]]
    assert sorted(str(warning) for warning in release.warnings if "out/" in str(warning)) == [
        f"override 'weights.path={path}': weights.path: {shapes}; it keeps its initial value"
        for shapes in (
            "out/bias is [2] in the model and [5] in the weights",
            "out/kernel is [4, 2] in the model and [4, 5] in the weights",
        )
    ]


@pytest.mark.parametrize(
    ("fmt", "path"), [("keras_weights", "model_{}.weights.h5"), ("keras", "model_{}.keras")]
)
@pytest.mark.parametrize("expect", ["full", "partial"])
def test_if_no_layer_fits_the_shapes_are_reported_with_one_hint_at_the_arguments(
    ready, fmt, path, expect
):
    # The seed state of Dropout does match, which is not enough to release the model.
    messages = [
        message
        for _, message in problems(
            ready, "mykeras.functional", fmt, path.format("other"), expect=expect
        )
    ]

    assert messages == [
        f"{name} is {own} in the model and {found} in the weights{hint}"
        for name, own, found, hint in [
            ("hidden/kernel", [3, 4], [3, 6], ARGUMENTS),
            ("hidden/bias", [4], [6], ""),
            ("out/kernel", [4, 2], [6, 5], ""),
            ("out/bias", [2], [5], ""),
        ]
    ]


def test_variables_that_keras_skips_with_their_layer_are_reported(ready):
    messages = [
        m
        for _, m in problems(
            ready, "mykeras.functional", "keras_weights", "model_narrow.weights.h5"
        )
    ]

    assert messages == [
        f"hidden/kernel is [3, 4] in the model and [3, 3] in the weights{ARGUMENTS}",
        "hidden/bias is [4] in the model and [3] in the weights",
        "out/kernel is [4, 2] in the model and [3, 2] in the weights",
        "does not restore out/bias [2]: Keras skips its whole layer",
    ]


def test_a_keras_file_with_an_extra_layer_does_not_shift_weights(ready):
    # hidden, middle and out of the file; by position alone, middle's bias would go to a different layer.
    found = problems(ready, "mykeras.functional", "keras", "model_middle.keras")
    assert [message for _, message in found] == [
        "middle/kernel [4, 4] is not in the model; ++weights.expect=partial restores what matches and warns"
        " about the rest",
        "middle/bias [4] is not in the model",
    ]

    given = overrides("mykeras.functional", "keras", "model_middle.keras", expect="partial")
    assert output(ready.export(*given, "audit=off"), "inputs") == [[17, 17]]


def test_a_keras_file_without_a_layer_leaves_it_unrestored(ready):
    given = {"expect": "partial", "middle": "true", "fill": "0.5"}

    names, missing = restored(ready, "mykeras.functional", "keras", "model.keras", **given)

    assert missing == ["middle/bias", "middle/kernel"]
    assert len(names) == 5
    release = ready.export(
        *overrides("mykeras.functional", "keras", "model.keras", **given), "audit=off"
    )
    assert output(release, "inputs") == [
        [35, 35]
    ]  # 4 of hidden; 4 * 0.5 * 4 + 0.5 of middle; 4 * 8.5 + 1 of out


def test_a_checkpoint_of_two_equally_fitting_objects_is_refused(project):
    project.write(
        "mynet.py",
        """
import tensorflow as tf

class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.w = tf.Variable(0.0)

    @tf.function(input_signature=[tf.TensorSpec([], name="x")])
    def __call__(self, x):
        return {"y": self.w * x}
""",
    )
    project.write(
        "train.py",
        """
import tensorflow as tf
from mynet import Net

ema, model = Net(), Net()
ema.w.assign(1.0)
model.w.assign(2.0)
tf.train.Checkpoint(ema=ema, model=model).write("two")
tf.train.Checkpoint(model=model, step=tf.Variable(3)).write("one")
""",
    )
    run_script((project.root / "train.py").read_text())
    overrides = ["model._target_=mynet.Net", "signatures=none"]

    with pytest.raises(
        ConfigError, match="holds 'ema' and 'model', which fit the model equally well"
    ):
        smdecl.plan(project.compose(*overrides, "weights=checkpoint", "weights.path=two"))
    assert smdecl.plan(
        project.compose(*overrides, "weights=checkpoint", "weights.path=one")
    ).obj.restored
    release = project.export(
        *overrides, "weights=checkpoint", "weights.path=two", "weights.root=model"
    )
    assert tf.saved_model.load(str(release.path))(tf.constant(3.0))["y"].numpy() == 6
    assert manifest.read(release.path)["config"]["weights"]["root"] == "model"
    with pytest.raises(
        ConfigError, match=r"weights.root: expected null for the format keras, got 'model'"
    ):
        check.check(
            project.compose("weights=keras", "weights.path=x.keras", "++weights.root=model"),
            find_project(project.root),
        )
