"""Variables that a model creates on its first call get their trained values."""

import shutil

import pytest
import tensorflow as tf
from smdecl.errors import ConfigError

from tests.conftest import run_script
from tests.serving import serve

NET = """
import keras
import tensorflow as tf

SPEC = tf.TensorSpec([None, 2], tf.float32)


class Lazy(keras.Model):
    def __init__(self):
        super().__init__()
        self.scale = self.add_weight(shape=(), name="scale", initializer="ones")
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x) * self.scale

    @tf.function(input_signature=[SPEC])
    def go(self, x):
        return {"y": self(x)}


class Wrapped(tf.Module):
    def __init__(self):
        super().__init__()
        self.net = Lazy()

    def go(self, x):
        return {"y": self.net(x)}


class Bare(tf.Module):
    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(1.0)
        self.dense = keras.layers.Dense(1)

    def go(self, x):
        return {"y": self.dense(x) * self.scale}


class Seeded(keras.Model):
    def __init__(self):
        super().__init__()
        self.stack = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(1)])

    def call(self, x):
        return self.stack(x)
"""
TRAIN = """
import tensorflow as tf
import mynet

for net in (mynet.Lazy(), mynet.Wrapped()):
    net.go(tf.ones([1, 2]))
    lazy = getattr(net, "net", net)
    lazy.scale.assign(3.0)
    lazy.dense.kernel.assign([[1.0], [1.0]])
    tf.train.Checkpoint(net).write(type(net).__name__)
    if net is lazy:
        net.save_weights("Lazy.weights.h5")
bare = mynet.Bare()
tf.train.Checkpoint(bare).write("Bare")
"""
X = [[1.0, 1.0]]
DECLARED = (
    "signatures={serving_default: {method: go, inputs: {x: {shape: [b, 2], dtype: float32}}}}"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with the trained weights."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "mynet.py").write_text(NET)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        run_script(TRAIN)
    return directory


@pytest.fixture
def net(project, trained):
    shutil.copytree(trained, project.root, dirs_exist_ok=True)
    return project


def exported(net, name, fmt, path, *signatures):
    given = [f"+weights={{format: {fmt}, path: {path}}}"]
    return net.export(
        "~model", f"+model={{_target_: mynet.{name}}}", "name=net", *given, *signatures
    )


@pytest.mark.parametrize(
    ("name", "fmt", "path", "signatures"),
    [
        pytest.param(
            *("Lazy", "keras_weights", "Lazy.weights.h5", ["signatures=none"]),
            marks=pytest.mark.slow,
        ),
        pytest.param(*("Lazy", "checkpoint", "Lazy", ["signatures=none"]), marks=pytest.mark.slow),
        ("Wrapped", "checkpoint", "Wrapped", ["~signatures", f"+{DECLARED}"]),
    ],
)
def test_weights_are_restored_into_variables_that_a_trace_creates(net, name, fmt, path, signatures):
    release = exported(net, name, fmt, path, *signatures)

    served = serve(release.path, "serving_default", x=tf.constant(X).numpy())
    assert served["y"].tolist() == [[6.0]]


def test_a_variable_that_a_trace_creates_needs_a_value_too(net):
    with pytest.raises(ConfigError) as error:
        exported(net, "Bare", "checkpoint", "Bare", "~signatures", f"+{DECLARED}")

    messages = [problem.message for problem in error.value.problems]
    assert [message.partition(";")[0] for message in messages] == [
        "has no value for dense/kernel [2, 1]",
        "has no value for dense/bias [1]",
    ]


def test_a_model_that_only_has_a_seed_is_reported_as_unbuilt(net):
    with pytest.raises(ConfigError, match="Seeded is not built and has only 1 variable"):
        exported(net, "Seeded", "keras_weights", "Lazy.weights.h5", "signatures=none")
