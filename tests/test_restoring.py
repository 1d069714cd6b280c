"""Weights into a built object: every format, what does not match, and files that are broken."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import smdecl
from smdecl.checks import check
from smdecl.checks.weights_formats import FORMATS
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, ModelError
from smdecl.exporting import build, restore
from smdecl.isolation import processes
from smdecl.models import Scaler
from smdecl.release import manifest
from tests.conftest import run_script

NETS = """
import tensorflow as tf


class Net(tf.Module):
    def __init__(self, units=2, deep=False, fill=0.0):
        super().__init__()
        self.w = tf.Variable(tf.fill([3, units], fill), name="w")
        self.b = tf.Variable(tf.fill([2], fill), name="b")
        self.layers = [Sub(fill)] if deep else []

    @tf.function
    def __call__(self, x):
        return x @ self.w + tf.reduce_sum(self.b) + sum(layer.v for layer in self.layers)


class Sub(tf.Module):
    def __init__(self, fill):
        super().__init__()
        self.v = tf.Variable(fill, name="v")


class Table(tf.Module):
    def __init__(self, fill=0.0):
        super().__init__()
        self.w = tf.Variable(fill)
        self.again = self.w
        self.alone = tf.Variable([fill, fill], name="alone")

    def __call__(self, x):
        return x * self.w
"""

KERAS = """
import keras


def functional(units=2, middle=False, fill=0.0, name=None, width=4):
    start = keras.initializers.Constant(fill)
    x = inputs = keras.Input((3,), name="x")
    x = keras.layers.Dense(width, name="hidden", kernel_initializer=start, bias_initializer=start)(x)
    if middle:
        x = keras.layers.Dense(4, name="middle", kernel_initializer=start, bias_initializer=start)(x)
    x = keras.layers.Dropout(0.5)(x)
    x = keras.layers.Dense(units, name="out", kernel_initializer=start, bias_initializer=start)(x)
    return keras.Model(inputs, x, name=name)


class Block(keras.layers.Layer):
    def __init__(self, fill=0.0, **kwargs):
        super().__init__(**kwargs)
        self.fill = fill
        self.dense = keras.layers.Dense(2, name="dense", kernel_initializer=keras.initializers.Constant(fill))

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {**super().get_config(), "fill": self.fill}


class Custom(keras.Model):
    def __init__(self, fill=0.0, **kwargs):
        super().__init__(**kwargs)
        self.fill = fill
        self.block = Block(fill, name="block")

    def call(self, x):
        return self.block(x)

    def get_config(self):
        return {**super().get_config(), "fill": self.fill}


class Failing(Custom):
    def load_own_variables(self, store):
        raise RuntimeError("takes no weights")

    def build(self, shape):
        self.built = True

    @classmethod
    def from_config(cls, config):
        raise RuntimeError("is made of no config")


def with_lambda():
    return keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x * 2), keras.layers.Dense(2)])
"""

# Every file of weights that the tests read, each made as a training script makes it.
FILES = """
import keras
import tensorflow as tf
import mykeras, mynet

net = mynet.Net(fill=1.0)
tf.train.Checkpoint(net).write("net")
tf.train.Checkpoint(model=net, step=tf.Variable(7)).save("wrapped")
tf.train.Checkpoint(mynet.Net(deep=True, fill=1.0)).write("deep")
tf.train.Checkpoint(mynet.Net(units=5, fill=1.0)).write("wide")
tf.train.Checkpoint(other=tf.Variable(1.0)).write("other")
tf.train.Checkpoint(mynet.Table(fill=1.0)).write("table")
tf.compat.v1.train.Saver({"w": net.w, "b": net.b}).save(None, "by_name", write_meta_graph=False)
tf.saved_model.save(net, "saved", signatures=net.__call__.get_concrete_function(tf.TensorSpec([None, 3])))
tf.saved_model.save(tf.Module(), "empty")

model = mykeras.functional(fill=1.0)
model.compile(optimizer="adam", loss="mse")
model.fit(tf.ones([1, 3]), model(tf.ones([1, 3])), verbose=0)
for variable in model.trainable_variables:
    variable.assign(tf.ones_like(variable))
model.save("model.keras")
model.save_weights("model.weights.h5")
tf.train.Checkpoint(model).write("model")
tf.train.Checkpoint(model=model, optimizer=model.optimizer).save("model_wrapped")
model.export("model_saved", verbose=False)
variants = {"wide": {"units": 5}, "narrow": {"width": 3}, "other": {"units": 5, "width": 6}, "middle": {"middle": True}}
for name, options in variants.items():
    other = mykeras.functional(fill=1.0, **options)
    other.save(f"model_{name}.keras")
    other.save_weights(f"model_{name}.weights.h5")
    tf.train.Checkpoint(other).write(f"model_{name}")
custom = mykeras.Custom(fill=1.0)
custom(tf.ones([1, 3]))
custom.save("custom.keras")
custom.save_weights("custom.weights.h5")
failing = mykeras.Failing()
failing(tf.ones([1, 3]))
failing.save("failing.keras")
tf.train.Checkpoint(custom).write("custom")
mykeras.with_lambda().save("lambda.keras")
"""

ROWS = "signatures=rows"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A directory with the files of weights, made by a process of its own."""
    directory = tmp_path_factory.mktemp("files")
    for name, text in {"mynet.py": NETS, "mykeras.py": KERAS}.items():
        (directory / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        run_script(FILES)
    return directory


@pytest.fixture
def ready(project, files):
    """A project with the code of the models and a copy of the files of weights."""
    shutil.copytree(files, project.root, dirs_exist_ok=True)
    project.write("conf/signatures/rows.yaml", "serving_default: {inputs: {x: {shape: [batch, 3], dtype: float32}}}\n")
    project.write(
        "conf/signatures/custom.yaml", "serving_default: {inputs: {x: {shape: [batch, 3], dtype: float32}}}\n"
    )
    project.write(
        "conf/signatures/keras.yaml", "serving_default: {inputs: {inputs: {shape: [batch, 3], dtype: float32}}}\n"
    )
    return project


def overrides(model, fmt, path, expect="full", **arguments):
    signature = "keras" if model.startswith("mykeras.functional") else "rows"
    return [
        "model=adder",
        f"model._target_={model}",
        *[f"+model.{name}={value}" for name, value in arguments.items()],
        f"weights={fmt}",
        f"weights.path={path}",
        f"weights.expect={expect}",
        f"signatures={signature}",
        "verify=load",
    ]


def described(project, *given):
    """Returns the description of what a config builds and restores, in a process of its own as an export does it."""
    here = find_project(project.root)
    config = check.check(project.compose(*given), here)
    return processes.run(_record, config, here, failure=ModelError, doing="building")


def _record(config, project):
    return build.build(config, project).record


def restored(project, *args, **options):
    record = described(project, *overrides(*args, **options))
    return sorted(record.restored), sorted(record.not_restored)


def problems(project, *args, kind=ConfigError, **options):
    with pytest.raises(kind) as error:
        project.export(*overrides(*args, **options))
    assert type(error.value) is kind
    assert not (project.root / "exports").exists()
    return [(problem.key, problem.message) for problem in error.value.problems]


def output(release, argument="x"):
    """Serves a row of ones: 0 by fresh weights, and something that the weights decide."""
    function = tf.saved_model.load(str(release.path)).signatures["serving_default"]
    (value,) = function(**{argument: tf.ones([1, 3])}).values()
    return value.numpy().tolist()


@pytest.mark.parametrize(
    ("fmt", "path"), [("checkpoint", "net"), ("checkpoint", "wrapped-1"), ("saved_model", "saved")]
)
def test_a_module_is_restored_and_computes_with_its_weights(ready, fmt, path):
    assert output(ready.export(*overrides("mynet.Net", fmt, path))) == [[5, 5]]
    assert restored(ready, "mynet.Net", fmt, path) == (["b", "w"], [])


@pytest.mark.parametrize(
    ("fmt", "path"),
    [
        ("checkpoint", "model"),
        ("checkpoint", "model_wrapped-1"),
        ("keras_weights", "model.weights.h5"),
        ("keras", "model.keras"),
    ],
)
def test_a_functional_keras_model_is_restored_and_computes_with_its_weights(ready, fmt, path):
    given = overrides("mykeras.functional", fmt, path)

    assert output(ready.export(*given, "audit=off"), "inputs") == [[17, 17]]
    names, missing = restored(ready, "mykeras.functional", fmt, path)
    assert [name for name in names if "seed" not in name] == [
        "hidden/bias",
        "hidden/kernel",
        "out/bias",
        "out/kernel",
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("fmt", "path"),
    [("checkpoint", "custom"), ("keras_weights", "custom.weights.h5"), ("keras", "custom.keras")],
)
def test_a_keras_model_of_custom_classes_is_restored_once_the_specs_have_built_it(ready, fmt, path):
    given = overrides("mykeras.Custom", fmt, path)

    assert output(ready.export(*given)) == [[3, 3]]
    assert restored(ready, "mykeras.Custom", fmt, path) == (
        ["custom/block/dense/bias", "custom/block/dense/kernel"],
        [],
    )


def test_the_weights_of_an_export_of_a_keras_model_are_restored_into_the_next(ready):
    first = ready.export(*overrides("mykeras.functional", "keras", "model.keras"), "name=first")

    again = ready.export(*overrides("mykeras.functional", "saved_model", first.path), "name=again")

    assert output(again, "inputs") == [[17, 17]]


def test_more_in_a_checkpoint_than_the_object_has_does_not_matter(ready):
    # A training script's checkpoint holds the optimizer's state, the step, and the parts that serve no purpose here.
    assert restored(ready, "mynet.Net", "checkpoint", "deep") == (["b", "w"], [])


def test_a_variable_under_two_names_is_restored_once(ready):
    assert restored(ready, "mynet.Table", "checkpoint", "table") == (["alone", "w"], [])


def test_variables_that_a_checkpoint_does_not_have_are_told(ready):
    assert problems(ready, "mynet.Net", "checkpoint", "net", deep="true", fill="0.5") == [
        (
            "weights.path",
            "has no value for layers.0.v []; ++weights.expect=partial restores what matches and warns of the rest",
        )
    ]


def test_a_partial_checkpoint_restores_what_it_has_and_tells_what_it_has_not(ready):
    given = {"expect": "partial", "deep": "true", "fill": "0.5"}

    assert restored(ready, "mynet.Net", "checkpoint", "net", **given) == (["b", "w"], ["layers.0.v"])
    assert output(ready.export(*overrides("mynet.Net", "checkpoint", "net", **given))) == [[5.5, 5.5]]


def test_a_variable_of_another_shape_is_told_with_both_shapes(ready):
    assert problems(ready, "mynet.Net", "checkpoint", "wide") == [
        (
            "weights.path",
            "w is [3, 2] in the model and [3, 5] in the weights; ++weights.expect=partial restores what matches and warns of the rest",
        )
    ]


def test_a_partial_checkpoint_restores_the_variables_whose_shapes_do_match(ready):
    assert restored(ready, "mynet.Net", "checkpoint", "wide", expect="partial") == (["b"], ["w"])
    release = ready.export(*overrides("mynet.Net", "checkpoint", "wide", expect="partial"))
    assert output(release) == [[2, 2]]


@pytest.mark.parametrize("expect", ["full", "partial"])
def test_a_checkpoint_of_something_else_is_refused_however_little_is_expected(ready, expect):
    found = problems(ready, "mynet.Net", "checkpoint", "other", expect=expect)

    assert {key for key, _ in found} == {"weights.path"}
    assert all("has no value for" in message or "nothing in" in message for _, message in found)


def test_a_checkpoint_by_variable_names_is_told_apart(ready):
    assert problems(ready, "mynet.Net", "checkpoint", "by_name") == [
        ("weights.path", "'by_name' is no object-based checkpoint; takes one of tf.train.Checkpoint")
    ]


@pytest.mark.parametrize(
    ("fmt", "path"),
    [
        ("checkpoint", "model_wide"),
        ("keras_weights", "model_wide.weights.h5"),
        ("keras", "model_wide.keras"),
    ],
)
def test_a_keras_layer_of_another_size_is_told_and_left_out_of_a_partial_restore(ready, fmt, path):
    found = problems(ready, "mykeras.functional", fmt, path)

    hint = "; ++weights.expect=partial restores what matches and warns of the rest"
    assert sorted(found) == [
        ("weights.path", f"out/bias is [2] in the model and [5] in the weights{hint}"),
        ("weights.path", f"out/kernel is [4, 2] in the model and [4, 5] in the weights{hint}"),
    ]
    names, missing = restored(ready, "mykeras.functional", fmt, path, expect="partial")
    assert missing == ["out/bias", "out/kernel"]
    assert {"hidden/bias", "hidden/kernel"} <= {*names}
    # Of the ones in the file, hidden makes 4 apiece; out is fresh, and makes 0.25 of each.
    release = ready.export(*overrides("mykeras.functional", fmt, path, expect="partial", fill="0.25"), "audit=off")
    assert output(release, "inputs") == [[4.25, 4.25]]


@pytest.mark.parametrize(("fmt", "path"), [("keras_weights", "model_{}.weights.h5"), ("keras", "model_{}.keras")])
@pytest.mark.parametrize("expect", ["full", "partial"])
def test_where_no_layer_fits_the_shapes_are_told_and_nothing_that_would_not_help(ready, fmt, path, expect):
    # The state that Dropout draws by does match, and is no reason to release the model.
    told = [message for _, message in problems(ready, "mykeras.functional", fmt, path.format("other"), expect=expect)]

    assert told == [
        f"{name} is {own} in the model and {found} in the weights"
        for name, own, found in [
            ("hidden/kernel", [3, 4], [3, 6]),
            ("hidden/bias", [4], [6]),
            ("out/kernel", [4, 2], [6, 5]),
            ("out/bias", [2], [5]),
        ]
    ]


def test_what_keras_leaves_out_with_its_layer_is_told(ready):
    told = [m for _, m in problems(ready, "mykeras.functional", "keras_weights", "model_narrow.weights.h5")]

    assert told == [
        "hidden/kernel is [3, 4] in the model and [3, 3] in the weights",
        "hidden/bias is [4] in the model and [3] in the weights",
        "out/kernel is [4, 2] in the model and [3, 2] in the weights",
        "does not restore out/bias [2]: Keras takes a layer whole",
    ]


def test_a_keras_file_with_a_layer_more_shifts_no_weights_into_the_wrong_layers(ready):
    # hidden, middle and out of the file; by position alone middle's bias would become that of another layer.
    found = problems(ready, "mykeras.functional", "keras", "model_middle.keras")
    assert [message.partition(";")[0] for _, message in found] == [
        "middle/kernel [4, 4] is not in the model",
        "middle/bias [4] is not in the model",
    ]

    given = overrides("mykeras.functional", "keras", "model_middle.keras", expect="partial")
    assert output(ready.export(*given, "audit=off"), "inputs") == [[17, 17]]


def test_a_keras_file_without_a_layer_leaves_that_layer_fresh(ready):
    given = {"expect": "partial", "middle": "true", "fill": "0.5"}

    names, missing = restored(ready, "mykeras.functional", "keras", "model.keras", **given)

    assert missing == ["middle/bias", "middle/kernel"]
    assert len(names) == 5
    release = ready.export(*overrides("mykeras.functional", "keras", "model.keras", **given), "audit=off")
    assert output(release, "inputs") == [[35, 35]]  # 4 of hidden; 4 * 0.5 * 4 + 0.5 of middle; 4 * 8.5 + 1 of out


@pytest.mark.parametrize(("fmt", "path"), [("keras", "model.keras"), ("keras_weights", "model.weights.h5")])
def test_formats_of_keras_are_for_keras_models(ready, fmt, path):
    assert problems(ready, "mynet.Net", fmt, path) == [
        ("weights.format", f"{fmt} is for Keras models, and this is a Net; expected checkpoint or saved_model")
    ]


@pytest.mark.parametrize(
    ("fmt", "path"),
    [("keras", "custom.keras"), ("keras_weights", "custom.weights.h5"), ("checkpoint", "custom")],
)
def test_a_keras_model_that_no_signature_builds_is_told(ready, fmt, path):
    given = [word.replace(ROWS, "signatures=none") for word in overrides("mykeras.Custom", fmt, path)]

    with pytest.raises(ConfigError) as error:
        described(ready, *given)

    assert [(problem.key, problem.message) for problem in error.value.problems] == [
        (
            "model._target_",
            "Custom has no variables yet to restore into; declare the inputs of a signature, by which it is built, or"
            " let its constructor or a factory build it: by self.build(input_shape), or by calling it once",
        )
    ]


def test_code_of_the_model_that_fails_on_its_weights_is_told_as_such(ready):
    with pytest.raises(ModelError) as error:
        described(ready, *overrides("mykeras.Failing", "keras", "failing.keras"))

    assert str(error.value).startswith("weights.path: restoring 'failing.keras' failed: ")
    assert "is made of no config" in str(error.value)
    assert "mykeras.py" in error.value.traceback_text


def test_a_keras_file_with_code_in_it_is_refused(ready):
    ((key, message),) = problems(ready, "mykeras.functional", "keras", "lambda.keras")

    assert key == "weights.path"
    assert message.startswith("'lambda.keras' cannot be read: ")
    assert "lambda" in message.lower()


def test_a_keras_file_of_other_classes_is_refused(ready):
    ((key, message),) = problems(ready, "mykeras.functional", "keras", "custom.keras")

    assert key == "weights.path"
    assert "Could not locate class 'Custom'" in message


def test_a_saved_model_without_variables_is_told(ready):
    for expect in ("full", "partial"):
        with pytest.raises((ConfigError, ModelError)) as error:
            ready.export(*overrides("mynet.Net", "saved_model", "empty", expect=expect))
        assert {problem.key for problem in error.value.problems} == {"weights.path"}


def truncate(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


BROKEN = [
    ("mynet.Net", "checkpoint", "net", "net.index"),
    ("mynet.Net", "checkpoint", "net", "net.data-00000-of-00001"),
    ("mynet.Net", "saved_model", "saved", "saved/variables/variables.index"),
    ("mynet.Net", "saved_model", "saved", "saved/variables/variables.data-00000-of-00001"),
    ("mykeras.functional", "keras_weights", "model.weights.h5", "model.weights.h5"),
]


@pytest.mark.parametrize(("model", "fmt", "path", "file"), BROKEN)
def test_a_file_that_was_cut_off_is_an_error_of_its_key(ready, model, fmt, path, file):
    truncate(ready.root / file)

    ((key, message),) = problems(ready, model, fmt, path)

    assert key == "weights.path"
    assert "cannot be read: " in message


@pytest.mark.parametrize(
    ("fmt", "path", "content", "message"),
    [
        ("keras", "x.keras", b"", "is empty"),
        ("keras", "x.keras", b"PK\x03\x04 and no more", "is no zip archive, as a .keras file is, or is cut off"),
        ("keras_weights", "x.weights.h5", b"", "is empty"),
        ("keras_weights", "x.weights.h5", b"these are no weights", "is no HDF5 file, as a .weights.h5 file is"),
    ],
)
def test_a_file_of_keras_that_is_none_is_told_before_anything_is_built(project, fmt, path, content, message):
    (project.root / path).write_bytes(content)
    project.write("conf/weights/mine.yaml", f"format: {fmt}\nexpect: full\npath: {path}\n")

    with pytest.raises(ConfigError) as error:
        check.check(project.compose("weights=mine"), find_project(project.root))

    assert str(error.value) == f"conf/weights/mine.yaml:3: weights.path: '{path}' {message}"


def test_hdf5_by_the_name_of_keras_3_is_told(ready):
    (ready.root / "model.keras").write_bytes((ready.root / "model.weights.h5").read_bytes())

    assert problems(ready, "mykeras.functional", "keras", "model.keras") == [
        (
            "weights.path",
            "'model.keras' is HDF5, which is read under that name for models of the legacy tf_keras alone; takes a"
            " .keras file of Keras 3",
        )
    ]


@pytest.mark.parametrize("file", ["net.data-00000-of-00001", "saved/variables/variables.data-00000-of-00001"])
def test_a_checkpoint_without_its_data_is_an_error_of_its_key(ready, file):
    (ready.root / file).unlink()
    fmt, path = ("checkpoint", "net") if file.startswith("net") else ("saved_model", "saved")

    ((key, message),) = problems(ready, "mynet.Net", fmt, path)

    assert key == "weights.path"
    assert "cannot be read: " in message


@pytest.mark.parametrize(("model", "fmt", "path", "file"), BROKEN[:-1])
def test_a_file_of_something_else_is_an_error_of_its_key(ready, model, fmt, path, file):
    (ready.root / file).write_text("these are no weights\n" * 100)

    ((key, message),) = problems(ready, model, fmt, path)

    assert key == "weights.path"
    assert "cannot be read: " in message


def test_a_changed_byte_in_the_weights_is_found(ready):
    data = bytearray((ready.root / "net.data-00000-of-00001").read_bytes())
    data[2] ^= 0xFF
    (ready.root / "net.data-00000-of-00001").write_bytes(data)

    ((key, message),) = problems(ready, "mynet.Net", "checkpoint", "net")

    assert key == "weights.path"
    assert "Checksum" in message or "cannot be read: " in message


def test_without_weights_the_model_keeps_its_own_and_nothing_is_said_to_be_restored(ready):
    given = ["model._target_=mynet.Net", ROWS, "verify=load"]

    record = described(ready, *given)

    assert (record.restored, record.not_restored) == ((), ())
    assert output(ready.export(*given)) == [[0, 0]]


def test_a_restored_value_is_what_the_model_answers_eagerly_and_served(ready):
    tf.train.Checkpoint(Scaler(12.5)).write("scaler")

    release = ready.export("model=scaler", "weights=checkpoint", "weights.path=scaler")

    loaded = tf.saved_model.load(str(release.path))
    assert loaded.signatures["serving_default"](x=tf.constant(2.0))["output_0"].numpy() == np.float32(25)
    assert loaded.factor.numpy() == np.float32(12.5)


def test_a_checkpoint_of_two_objects_that_fit_alike_is_not_guessed_from(project):
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

    with pytest.raises(ConfigError, match="holds 'ema' and 'model', which fit the model alike"):
        smdecl.plan(project.compose(*overrides, "weights=checkpoint", "weights.path=two"))
    assert smdecl.plan(project.compose(*overrides, "weights=checkpoint", "weights.path=one")).obj.restored
    release = project.export(*overrides, "weights=checkpoint", "weights.path=two", "weights.root=model")
    assert tf.saved_model.load(str(release.path))(tf.constant(3.0))["y"].numpy() == 6
    assert manifest.read(release.path)["config"]["weights"]["root"] == "model"
    with pytest.raises(ConfigError, match=r"weights.root: got 'model' beside the format keras; expected null"):
        check.check(
            project.compose("weights=keras", "weights.path=x.keras", "++weights.root=model"), find_project(project.root)
        )


def test_every_format_can_be_restored():
    assert restore.RESTORERS.keys() == FORMATS.keys()
