"""Models of the legacy tf_keras export as those of Keras 3 do."""

from importlib import metadata

import numpy as np
import pytest
import tensorflow as tf
from smdecl.errors import ConfigError, ContractError
from smdecl.release import manifest

from tests.conftest import run_script
from tests.serving import serve

SPEC = "{inputs: {x: {shape: [batch, 4], dtype: float32}}}"
NET = """
import tensorflow as tf
import tf_keras


def functional():
    x = tf_keras.layers.Input((4,), name="x")
    return tf_keras.Model(x, tf_keras.layers.Dense(5, name="out")(x))


def convolution():
    x = tf_keras.layers.Input((8, 8, 3), name="x")
    dropped = tf_keras.layers.Dropout(0.5)(x)
    return tf_keras.Model(x, tf_keras.layers.Conv2D(2, 3, kernel_initializer="ones", name="out")(dropped))


def recurrent():
    x = tf_keras.layers.Input((5, 4), name="x")
    return tf_keras.Model(x, tf_keras.layers.LSTM(2, name="out")(x))


class Asked(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.convolution = convolution()

    @tf.function
    def ask(self, x):
        return self.convolution(x)


class Subclass(tf_keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = tf_keras.layers.Dense(3, name="dense")

    def call(self, features, training=False):
        return {"logits": self.dense(features)}


class Composites(tf.Module):
    def __init__(self):
        super().__init__()
        self.functional = composites()
        self.sequential = tf_keras.Sequential(
            [
                tf_keras.layers.InputLayer((None,), ragged=True, dtype="int64", name="words"),
                tf_keras.layers.Lambda(total, name="total"),
            ]
        )


def total(words):
    return tf.reduce_sum(words, axis=1)


def composites():
    words = tf_keras.Input((None,), ragged=True, dtype="int64", name="words")
    bag = tf_keras.Input((3,), sparse=True, name="bag")
    spec = tf.RaggedTensorSpec([None, None, None], tf.float32, 2, tf.int32)
    pages = tf_keras.Input(type_spec=spec, name="pages")
    plain = tf_keras.Input(type_spec=tf.TensorSpec([None, 2], tf.float32), name="plain")
    outputs = {
        "words": tf_keras.layers.Lambda(total)(words),
        "bag": tf_keras.layers.Dense(1, kernel_initializer="ones")(bag),
        "pages": tf_keras.layers.Lambda(lambda pages: tf.reduce_sum(pages, axis=[1, 2]))(pages),
        "plain": plain,
    }
    return tf_keras.Model({"text": [words, pages], "rest": {"bag": bag, "plain": plain}}, outputs)


def unclear():
    clear = tf_keras.Input((2,), name="clear")
    uniform = tf_keras.Input((3,), ragged=True, name="uniform")
    unranked = tf_keras.Input(type_spec=tf.RaggedTensorSpec(None, tf.int64, 1), name="unranked")
    return tf_keras.Model([clear, uniform, unranked], [clear, uniform, unranked])


class Nested(tf_keras.Sequential):
    def __init__(self):
        words = tf_keras.Input((None,), ragged=True, name="words")
        inner = tf_keras.Model(words, tf_keras.layers.Lambda(total)(words), name="inner")
        super().__init__([inner, tf_keras.layers.Activation("linear", name="out")])
"""
CONVOLUTION = """
_target_: tf_keras.Sequential
layers:
  - {_target_: tf_keras.layers.Input, shape: [8, 8, 3], name: x}
  - {_target_: tf_keras.layers.Dropout, rate: 0.5}
  - {_target_: tf_keras.layers.Conv2D, filters: 2, kernel_size: 3, kernel_initializer: ones, name: out}
"""
SAVE = """
import sys, mynet
model = mynet.functional()
model.set_weights([weight * 0 + 2 for weight in model.get_weights()])
model.save(sys.argv[1]) if sys.argv[1].endswith(".keras") else model.save_weights(sys.argv[1])
"""


@pytest.fixture
def net(project):
    project.write("mynet.py", NET)
    return project


def test_a_functional_model_has_the_documented_inputs_and_outputs(net):
    release = net.export("model._target_=mynet.functional", "signatures=none")

    assert serve(release.path, "serving_default", x=np.ones([2, 4], np.float32))["out"].shape == (
        2,
        5,
    )
    loaded = tf.saved_model.load(str(release.path)).signatures["serving_default"]
    assert loaded(x=tf.ones([1, 4]))["out"].shape == (1, 5)
    assert release.warnings == ()
    assert manifest.read(release.path)["environment"]["tf_keras"] == metadata.version("tf_keras")


def test_ragged_and_sparse_inputs_are_saved_by_their_parts(net):
    keys = ("functional", "sequential")
    own = [f"+signatures.{key}={{method: {key}.__call__, inputs: null}}" for key in keys]
    release = net.export("model._target_=mynet.Composites", "signatures=none", *own)

    inputs = release.signatures["functional"].inputs
    assert {name: str(tensor) for name, tensor in inputs.items()} == {
        "bag": "int64 [?, 2]",
        "bag_1": "float32 [?]",
        "bag_2": "int64 [2]",
        "pages": "float32 [?]",
        "pages_1": "int32 [?]",
        "pages_2": "int32 [?]",
        "plain": "float32 [?, 2]",
        "words": "int64 [?]",
        "words_1": "int64 [?]",
    }
    words = {"words": np.array([5, 6, 7]), "words_1": np.array([0, 1, 3])}
    found = serve(
        release.path,
        "functional",
        **words,
        bag=np.array([[0, 1], [1, 0], [1, 2]]),
        bag_1=np.array([2, 3, 4], np.float32),
        bag_2=np.array([2, 3]),
        pages=np.ones([5], np.float32),
        pages_1=np.array([0, 2, 3], np.int32),
        pages_2=np.array([0, 1, 1, 5], np.int32),
        plain=np.ones([2, 2], np.float32),
    )
    assert {name: value.tolist() for name, value in found.items()} == {
        "words": [5, 13],
        "bag": [[2], [7]],
        "pages": [1, 4],
        "plain": [[1, 1], [1, 1]],
    }
    assert serve(release.path, "sequential", **words)["total"].tolist() == [5, 13]


def test_a_ragged_input_of_which_keras_knows_too_little_must_be_declared(net):
    with pytest.raises(ConfigError) as error:
        net.export("model._target_=mynet.unclear", "signatures=none")

    inputs = "signatures.serving_default.inputs"
    found = {problem.key: problem.message for problem in error.value.problems}
    assert found == {
        f"{inputs}.uniform": "expected a ragged_rank of at least 1, got 0; declare what clients"
        " send, such as {kind: ragged, shape: [null, 3], dtype: float32}",
        f"{inputs}.unranked": "the rank of this ragged tensor is unknown; declare what clients send,"
        " such as {kind: ragged, shape: [null, null], dtype: int64}",
    }


@pytest.mark.slow
def test_a_ragged_input_of_the_model_inside_a_sequential_must_be_declared(net):
    model = ["model._target_=mynet.Nested", "signatures=none"]
    with pytest.raises(ConfigError) as error:
        net.export(*model)

    spec = "{kind: ragged, shape: [null, null], dtype: float32}"
    assert str(error.value).endswith(
        "signatures.serving_default.inputs.inner_input: the first layer expects ragged float32"
        f" [?, ?], but Keras has a dense Input before it; declare what clients send, such as {spec}"
    )

    release = net.export(*model, f"+signatures.s.inputs={{inner_input: {spec}}}")
    rows = {"inner_input": np.array([5, 6, 7], np.float32), "inner_input_1": np.array([0, 1, 3])}
    assert serve(release.path, "s", **rows)["out"].tolist() == [5, 13]


KERAS3 = """
import keras
import tensorflow as tf


class Drawing(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.drop = keras.layers.Dense(3, name="dense"), keras.layers.Dropout(0.5)

    def call(self, x):
        return tf.cast(self.drop(self.dense(x), training=True) > 100.0, x.dtype)


class Held(tf.Module):
    def __init__(self):
        super().__init__()
        self.net = functional()

    def ask(self, x):
        return self.net(x)


def functional():
    x = keras.layers.Input((4,), name="x")
    return keras.Model(x, keras.layers.Dense(5, name="out")(x))
"""


@pytest.mark.parametrize(
    ("config", "shape"),
    [
        pytest.param(
            ["model._target_=mynet.Drawing", "signatures=none", f"+signatures.s={SPEC}"],
            (2, 3),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [
                "model._target_=mynet.Held",
                "signatures=none",
                f"+signatures.s={SPEC[:-1]}, method: ask}}",
            ],
            (2, 5),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            ["model._target_=mynet.functional", "signatures=none"], (2, 5), marks=pytest.mark.soak
        ),
        pytest.param(["model=dense", "signatures=none"], (2, 5), marks=pytest.mark.soak),
    ],
)
def test_a_keras_3_model_exports_unchanged_if_tf_keras_is_the_legacy_one(project, config, shape):
    project.write("mynet.py", KERAS3)
    plain = project.export(*config)
    key = next(iter(plain.signatures))

    done = project.spawn(*config, "publish=next", env={"TF_USE_LEGACY_KERAS": "1"})

    assert done.returncode == 0, done.stderr
    other = project.root / done.stdout.strip()
    assert manifest.read(other)["digest"] == plain.digest
    (output,) = serve(other, key, x=np.ones([2, 4], np.float32)).values()
    assert output.shape == shape


def test_functions_inside_its_layers_are_not_findings(project, monkeypatch):
    project.write("conf/model/convolution.yaml", CONVOLUTION)
    project.write("home/.keras/keras.json", "{}")  # which a process that is confined may not read
    monkeypatch.setenv("HOME", str(project.root / "home"))

    release = project.export("model=convolution", "signatures=none", "audit=strict")

    served = serve(release.path, "serving_default", x=np.ones([1, 8, 8, 3], np.float32))
    assert np.unique(served["out"]).tolist() == [27]
    assert release.warnings == ()


@pytest.mark.slow
def test_devices_pinned_by_recurrent_layers_are_one_warning_with_a_count(net):
    release = net.export("model._target_=mynet.recurrent", "signatures=none", "audit=strict")

    assert [warning.key for warning in release.warnings] == ["audit.baked_devices"]
    assert "is pinned to a CPU" in release.warnings[0].message
    assert "more like it" in release.warnings[0].message


def test_an_untraced_function_of_the_user_is_refused_unless_the_config_allows_it(net):
    config = ["model._target_=mynet.Asked", "signatures=none"]

    with pytest.raises(ContractError) as error:
        net.export(*config)
    assert [str(problem.message).partition(":")[0] for problem in error.value.problems] == ["ask"]
    assert "more like it" not in error.value.problems[0].message

    messages = [
        warning.message for warning in net.export(*config, "audit.untraced_functions=warn").warnings
    ]
    assert any(message.startswith("ask: was never traced") for message in messages)


@pytest.mark.slow
def test_a_model_of_tf_keras_under_its_name_in_tensorflow_exports(project):
    project.write(
        "mynet.py", NET.replace("import tf_keras", "from tensorflow import keras as tf_keras")
    )
    config = ["model._target_=mynet.functional", "signatures=none"]

    done = project.spawn(*config, env={"TF_USE_LEGACY_KERAS": "1"})

    assert done.returncode == 0, done.stderr
    assert serve(
        project.root / done.stdout.strip(), "serving_default", x=np.ones([2, 4], np.float32)
    )
    assert "tf_keras" in manifest.read(project.root / done.stdout.strip())["environment"]


def test_a_subclass_is_built_by_the_declared_specs(net):
    signature = "{inputs: {features: {shape: [batch, 4], dtype: float32}}, outputs: {logits: {shape: [batch, 3], dtype: float32}}}"
    release = net.export(
        "model._target_=mynet.Subclass", "signatures=none", f"+signatures.s={signature}"
    )

    assert serve(release.path, "s", features=np.ones([2, 4], np.float32))["logits"].shape == (2, 3)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("net.keras", "keras"),
        pytest.param("net.weights.h5", "keras_weights", marks=pytest.mark.slow),
    ],
)
def test_weights_are_restored(net, file, kind):
    run_script(SAVE, file)

    release = net.export(
        "model._target_=mynet.functional",
        "signatures=none",
        f"+weights={{format: {kind}, path: {file}, expect: full}}",
    )

    assert serve(release.path, "serving_default", x=np.ones([1, 4], np.float32))[
        "out"
    ].tolist() == [[10] * 5]
