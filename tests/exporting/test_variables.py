"""All tracked variables are saved, each once, and a checkpoint reads them back."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from smdecl.savedmodel import inspection

from tests.exporting.objects import answers, export, signature

MODULES = """
import keras
import tensorflow as tf

class Inner(tf.Module):
    def __init__(self):
        self.v = tf.Variable([1.0, 2.0])

class Net(tf.Module):
    def __init__(self):
        super().__init__(name="net")
        self.inner = Inner()
        self.listed = [tf.Variable(1.0), (tf.Variable(2.0), tf.Variable(3.0))]
        self.named = {"a": tf.Variable(4.0), "b": Inner()}
        self.fixed = tf.Variable(5, trainable=False)
        self.flag = tf.Variable(True)
        self.text = tf.Variable("kept")
        self.half = tf.Variable(0.5, dtype=tf.bfloat16)
        self.empty = tf.Variable(tf.zeros([0, 3]))
        self.loose = tf.Variable(tf.ones([2]), shape=[None])
        self.never_read = tf.Variable(tf.ones([2, 2]))

    def add(self, x):
        return x + self.inner.v[0] + self.listed[1][0] + self.named["b"].v[1]

class Shared(tf.Module):
    def __init__(self):
        self.first = tf.Variable([1.0, 2.0])
        self.second = self.first
        self.inner = Inner()
        self.inner.v = self.first
        self.layers = [keras.layers.Dense(2, use_bias=False, kernel_initializer="ones")]
        self.again = self.layers[0]

    def add(self, x):
        return self.again(self.layers[0](x)) + self.first + self.second + self.inner.v

class Count(tf.Module):
    def __init__(self):
        self.count = tf.Variable(10.0)

    def add(self, x):
        return {"count": self.count.assign_add(1.0) + x}

class Trainer(tf.Module):
    def __init__(self, optimizer):
        self.w = tf.Variable([1.0, 1.0])
        self.optimizer = optimizer
        train(optimizer, [self.w])

    def predict(self, x):
        return x * self.w

def train(optimizer, variables):
    optimizer.build(variables)
    for step in (1.0, 2.0):
        optimizer.apply([tf.ones_like(v) * step for v in variables], variables)

def make_model():
    x = keras.layers.Input((3,), name="x")
    return keras.Model(x, keras.layers.Dense(2, name="out")(x))

def checkpoint(optimizer):
    model = make_model()
    train(optimizer, model.trainable_variables)
    return tf.train.Checkpoint(model=model, optimizer=optimizer, step=tf.Variable(7, dtype=tf.int64))

def compiled():
    model = make_model()
    model.compile("adam", "mse")
    model.fit(tf.ones([4, 3]), tf.ones([4, 2]), epochs=2, verbose=0)
    return model

def norm():
    x = keras.layers.Input((2,), name="x")
    return keras.Model(x, keras.layers.BatchNormalization(epsilon=0.0, name="norm")(x))

def augmented():
    x = keras.layers.Input((2, 2, 1), name="x")
    return keras.Model(x, keras.layers.Flatten(name="flat")(keras.layers.RandomFlip()(x)))

def dropped():
    x = keras.layers.Input((2,), name="x")
    return keras.Model(x, keras.layers.Dropout(0.5, name="drop")(x))

class Noisy(keras.Model):
    def __init__(self):
        super().__init__()
        self.noise = keras.Sequential([keras.layers.GaussianNoise(1.0)])

    def call(self, x, training=None):
        return self.noise(x, training=training)

def load(path):
    return tf.saved_model.load(path)
"""
ADAM = "+model.optimizer={_target_: keras.optimizers.Adam, learning_rate: 0.5}"
PAIR = "x: {shape: [2], dtype: float32}"
TWO = "x: {shape: [batch, 2], dtype: float32}"
THREE = "x: {shape: [batch, 3], dtype: float32}"


@pytest.fixture
def mine(project):
    project.write("modules.py", MODULES)
    return project


def saved(release):
    """Returns the names of the variables of an export, as its bytes have them."""
    return [
        variable.name for variable in inspection.inspect(inspection.read(release.path)).variables
    ]


def prefix(release):
    return str(release.path / "variables" / "variables")


def values(release):
    """Returns what the checkpoint of an export holds, but its own bookkeeping."""
    reader = tf.train.load_checkpoint(prefix(release))
    return {
        key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): reader.get_tensor(key)
        for key in reader.get_variable_to_shape_map()
        if key.endswith("/.ATTRIBUTES/VARIABLE_VALUE")
    }


def test_all_that_is_tracked_is_saved_whether_it_is_read_or_not(mine):
    release = export(mine, "modules.Net", signature("x: {shape: [], dtype: float32}", "add"))

    expected = {
        "inner/v": [1, 2], "listed/0": 1, "listed/1/0": 2, "listed/1/1": 3, "named/a": 4, "named/b/v": [1, 2],
        "fixed": 5, "flag": True, "text": b"kept", "half": 0.5, "empty": [], "loose": [1, 1],
        "never_read": [[1, 1], [1, 1]],
    }  # fmt: skip
    assert {name: np.asarray(value).tolist() for name, value in values(release).items()} == expected
    assert sorted(saved(release)) == sorted(expected)
    assert answers(release, x=np.float32(1))["output_0"] == 6
    loaded = tf.saved_model.load(str(release.path))
    assert (loaded.text.numpy(), loaded.fixed.trainable, loaded.half.dtype) == (
        b"kept",
        False,
        tf.bfloat16,
    )
    assert (loaded.empty.shape, loaded.loose.shape.as_list()) == ([0, 3], [None])
    assert loaded.listed[1][1].numpy() == 3


def test_a_variable_under_several_attributes_is_saved_once(mine):
    release = export(mine, "modules.Shared", signature(TWO, "add"))

    assert len(saved(release)) == 2
    assert sorted(value.shape for value in values(release).values()) == [(2,), (2, 2)]
    handles = [
        n.op
        for n in inspection.read(release.path).meta_graphs[0].graph_def.node
        if n.op == "VarHandleOp"
    ]
    assert len(handles) == 2
    assert answers(release, x=np.ones([1, 2], np.float32))["output_0"].tolist() == [[7, 10]]
    loaded = tf.saved_model.load(str(release.path))
    assert loaded.first is loaded.second is loaded.inner.v


def test_what_the_examples_change_is_not_saved(mine):
    release = export(
        mine,
        "modules.Count",
        signature("x: {shape: [], dtype: float32}", "add"),
        "verify.generate=3",
    )

    assert values(release) == {"count": 10}
    assert answers(release, x=np.float32(0)) == {"count": 11}


def test_the_state_of_an_optimizer_that_a_module_holds_is_saved(mine):
    release = export(mine, "modules.Trainer", ADAM, signature(PAIR, "predict"))

    weight = np.float32(values(release)["w"])
    assert (weight < 0.1).all()  # it was trained: two steps of about 0.5 each
    np.testing.assert_allclose(answers(release, x=np.ones(2, np.float32))["output_0"], weight)
    optimizer, fresh = keras.optimizers.Adam(), tf.Variable([0.0, 0.0])
    optimizer.build([fresh])
    tf.train.Checkpoint(w=fresh, optimizer=optimizer).read(
        prefix(release)
    ).assert_existing_objects_matched()
    found = {variable.path.rpartition("/")[2]: variable.numpy() for variable in optimizer.variables}
    assert (found["iteration"], found["learning_rate"]) == (2, 0.5)
    np.testing.assert_allclose(fresh.numpy(), weight)
    np.testing.assert_allclose(
        [v for name, v in found.items() if "momentum" in name], [[0.29, 0.29]], rtol=1e-5
    )
    np.testing.assert_allclose(
        [v for name, v in found.items() if "velocity" in name], [[0.004999] * 2], rtol=1e-5
    )


@pytest.mark.parametrize(
    "optimizer",
    [
        "Adam",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("SGD", "RMSprop", "Ftrl")),
    ],
)
def test_a_training_checkpoint_is_served_and_restored_into_fresh_objects(mine, optimizer):
    target = f"+model.optimizer={{_target_: keras.optimizers.{optimizer}, learning_rate: 0.25}}"
    release = export(mine, "modules.checkpoint", target, signature(THREE, "model.__call__"))

    x = keras.Input((3,))
    model, step = keras.Model(x, keras.layers.Dense(2)(x)), tf.Variable(0, dtype=tf.int64)
    fresh = getattr(keras.optimizers, optimizer)()
    fresh.build(model.trainable_variables)
    status = tf.train.Checkpoint(model=model, optimizer=fresh, step=step).read(prefix(release))
    status.assert_existing_objects_matched()
    assert (step.numpy(), int(fresh.iterations.numpy()), float(fresh.learning_rate)) == (7, 2, 0.25)
    rows = np.array([[1, 2, 3], [0, 0, 0]], np.float32)
    np.testing.assert_allclose(answers(release, x=rows)["out"], model(rows).numpy(), rtol=1e-5)
    # It goes on training where it was left.
    fresh.apply([tf.ones_like(v) for v in model.trainable_variables], model.trainable_variables)
    assert fresh.iterations.numpy() == 3


def test_a_checkpoint_of_nested_targets_is_restored(mine):
    mine.write(
        "conf/model/nested.yaml",
        "_target_: tensorflow.train.Checkpoint\n"
        "net: {_target_: modules.Inner}\n"
        "step: {_target_: tensorflow.Variable, initial_value: 7}\n",
    )
    release = mine.export("model=nested", "signatures=none")

    step, root = tf.Variable(0), tf.Module()
    root.v = tf.Variable([0.0, 0.0])
    tf.train.Checkpoint(net=root, step=step).read(prefix(release)).assert_existing_objects_matched()
    assert (step.numpy(), root.v.numpy().tolist()) == (7, [1, 2])
    assert sorted(saved(release)) == [
        "net/v",
        "save_counter",
        "step",
    ]  # the counter is the Checkpoint's own


def test_a_compiled_model_is_exported_with_the_state_of_its_optimizer(mine):
    release = export(mine, "modules.compiled")

    x = keras.Input((3,))
    model = keras.Model(x, keras.layers.Dense(2)(x))
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    tf.train.Checkpoint(model).read(prefix(release)).assert_existing_objects_matched()
    rows = np.array([[1, 2, 3]], np.float32)
    np.testing.assert_allclose(answers(release, x=rows)["out"], model(rows).numpy(), rtol=1e-5)
    assert model.optimizer.iterations.numpy() == 2


@pytest.fixture
def norm(mine):
    """An export of one model for training and for inference."""
    return export(
        mine,
        "modules.norm",
        signature(f"{TWO}, training: {{value: true}}", key="train"),
        signature(TWO),
    )


def test_a_signature_for_training_and_one_for_inference_share_their_variables(norm):
    # Each row is one deviation from the mean of its batch; the moving mean and variance begin at 0 and 1.
    batch = np.array([[1, 1], [3, 3]], np.float32)
    np.testing.assert_allclose(
        answers(norm, "train", x=batch)["norm"], [[-1, -1], [1, 1]], rtol=1e-5
    )
    np.testing.assert_allclose(answers(norm, x=batch)["norm"], batch, rtol=1e-5)
    assert len(saved(norm)) == 4
    assert [value.tolist() for name, value in values(norm).items() if name.endswith("mean")] == [
        [0, 0]
    ]


def test_a_saved_model_that_is_loaded_and_exported_again_keeps_its_variables(mine, norm):
    again = export(mine, "modules.load", f"+model.path={norm.path}", "name=again")

    assert sorted(saved(again)) == sorted(saved(norm))
    assert {name: value.tolist() for name, value in values(again).items()} == {
        name: value.tolist() for name, value in values(norm).items()
    }


@pytest.mark.parametrize(
    ("target", "spec"),
    [("augmented", "x: {shape: [b, 2, 2, 1], dtype: float32}"), ("dropped", TWO), ("Noisy", TWO)],
)
def test_the_seed_state_of_a_keras_layer_is_saved(mine, target, spec):
    # Documented: the layers of Keras track their variables. Keras does not tell TensorFlow of these.
    trained = signature(f"{spec}, training: {{value: true}}")
    release = export(mine, f"modules.{target}", trained, "verify=load")

    (inputs,) = release.signatures["serving_default"].inputs.values()
    x = np.ones([1, *inputs.shape[1:]], np.float32)
    assert len(saved(release)) == 1
    loaded = tf.saved_model.load(str(release.path))
    assert loaded.signatures["serving_default"](x=tf.constant(x))
    if target == "augmented":
        assert answers(release, x=x)["flat"].tolist() == [[1, 1, 1, 1]]
