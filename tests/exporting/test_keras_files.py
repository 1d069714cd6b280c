"""State of Keras layers beside their variables is restored by every format that holds it, and otherwise refused."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf
from smdecl.checks import check as checking
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, ModelError, TrustError, VerificationError
from smdecl.pipeline import worker
from smdecl.pipeline.children import children
from smdecl.release import manifest

from tests.conftest import ROOT, run_script

NETS = """
import keras
import numpy as np


class Tagger(keras.Model):
    def __init__(self, vocabulary=None, **kwargs):
        super().__init__(**kwargs)
        self.ids = keras.layers.StringLookup(vocabulary=vocabulary, name="ids")
        self.emb = keras.layers.Embedding(10, 2, name="emb")

    def call(self, words):
        return {"ids": self.ids(words), "vec": self.emb(self.ids(words))}


class Coded(keras.Model):
    def __init__(self, max_tokens=None, **kwargs):
        super().__init__(**kwargs)
        self.ids = keras.layers.StringLookup(output_mode="one_hot", max_tokens=max_tokens, name="ids")
        self.out = keras.layers.Dense(1, use_bias=False, name="out")

    def call(self, words):
        return self.out(self.ids(words))


class Stack(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(2, name="first")
        self.blocks = [keras.layers.Dense(2, name="second")]

    def call(self, x):
        return self.blocks[0](self.first(x))


class Times(keras.layers.Layer):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


def text(vocabulary=None):
    inputs = keras.Input((1,), dtype="string", name="text")
    layer = keras.layers.TextVectorization(vocabulary=vocabulary, output_sequence_length=3, name="ids")
    ids = layer(inputs)
    return keras.Model(inputs, [ids, keras.layers.Embedding(10, 2, name="emb")(ids)])


def scaled(factor=2.0):
    inputs = keras.Input((1,), name="x")
    x = Times(factor, name="times")(keras.layers.Normalization(name="norm")(inputs))
    return keras.Model(inputs, x)
"""
TRAIN = """
import keras, numpy as np, tensorflow as tf
import nets

model = nets.scaled()
model.get_layer("norm").adapt(np.array([[10.0], [30.0]], np.float32))
model.save("scaled.keras")
model.save_weights("scaled.weights.h5")
plain = keras.Model(model.inputs, model.get_layer("norm").output)
plain.compile(optimizer="adam", loss="mse")
plain.save("plain.keras")

tagger = nets.Tagger()
tagger.ids.adapt(["A", "B", "C", "B"])
tagger(tf.constant(["A"]))
tagger.save_weights("tagger.weights.h5")
tf.train.Checkpoint(tagger).write("tagger")

coded = nets.Coded()
coded.ids.adapt(["A", "B", "C", "B"])
coded(tf.constant(["A"]))
coded.out.set_weights([np.array([[5.0], [6.0], [7.0], [8.0]])])
coded.save("coded.keras")

text = nets.text(["a", "b", "c"])
text.save("text.keras")
text.save_weights("text.weights.h5")

stack = nets.Stack()
stack(tf.ones([1, 2]))
tf.train.Checkpoint(stack).write("stack")
"""
WORDS = "+signatures.s={inputs: {words: {shape: [batch], dtype: string}}}"
ROWS = "+signatures.s={inputs: {x: {shape: [batch, 2], dtype: float32}}}"
LOOKUP_LACKS = (
    "has no value for ids/vocabulary: it is built without one; expected weights of format keras, or a vocabulary in its"
    " constructor"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A directory with the code of models and the files that a training script saved."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "nets.py").write_text(NETS)
    (directory / "train.py").write_text(TRAIN)
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture
def ready(project, trained):
    """A project with these files, by links."""
    for file in trained.iterdir():
        os.link(file, project.root / file.name)
    return project


def config(model, *overrides):
    return ["model=adder", f"model._target_=nets.{model}", "signatures=none", *overrides]


def restored(fmt, path, expect="full"):
    return f"+weights={{format: {fmt}, path: {path}, expect: {expect}}}"


def planned(project, *overrides):
    """Builds, restores and traces in a separate process, as an export does."""
    here = find_project(project.root)
    checked = checking.check(project.compose(*overrides), here)
    planned, _ = children.run(worker.plan, checked, here, failure=ModelError, doing="building")
    return planned


def refusals(project, *overrides, kind=ConfigError):
    with pytest.raises(kind) as error:
        planned(project, *overrides)
    assert type(error.value) is kind
    return [(problem.key, problem.message) for problem in error.value.problems]


def served(release, **inputs):
    function = tf.saved_model.load(str(release.path)).signatures["serving_default"]
    return {name: value.numpy().tolist() for name, value in function(**inputs).items()}


def test_a_whole_model_restores_what_a_layer_derives_and_its_vocabulary(ready):
    scaled = ready.export(*config("scaled", restored("keras", "scaled.keras"), "name=scaled"))
    text = ready.export(*config("text", restored("keras", "text.keras"), "name=text"))

    assert served(scaled, x=tf.constant([[30.0]])) == {"times": [[2.0]]}
    assert served(text, text=tf.constant([["c a zz"]]))["ids"] == [[4, 2, 1]]


def test_a_vocabulary_is_restored_before_the_first_call_that_needs_it(ready):
    whole = restored("keras", "coded.keras")

    release = ready.export(
        *config("Coded", WORDS.replace("signatures.s", "signatures.serving_default"), whole)
    )

    outputs = served(release, words=tf.constant(["B", "zz"]))
    assert outputs == {"output_0": [[6.0], [5.0]]}
    ((key, message),) = refusals(ready, *config("Coded", WORDS, whole, "+model.max_tokens=2"))
    assert key == "weights.path"
    assert message.startswith("cannot restore ids/vocabulary: ")


@pytest.mark.parametrize(
    ("fmt", "path"), [("keras_weights", "tagger.weights.h5"), ("checkpoint", "tagger")]
)
def test_weights_without_a_vocabulary_are_refused_with_the_layer_that_needs_one(ready, fmt, path):
    given = restored(fmt, path)

    assert refusals(ready, *config("Tagger", WORDS, given)) == [("weights.path", LOOKUP_LACKS)]
    record = planned(ready, *config("Tagger", WORDS, given, "+model.vocabulary=[A,B]")).obj
    assert record.restored == ("tagger/emb/embeddings",)


def test_a_partial_restore_without_a_vocabulary_is_refused(ready):
    found = refusals(
        ready,
        *config("Tagger", WORDS, restored("keras_weights", "tagger.weights.h5", "partial")),
        kind=ModelError,
    )

    ((key, message),) = found
    assert key == "model"
    assert message.startswith("ids/vocabulary has no value yet; expected ")


def test_a_lookup_layer_without_a_vocabulary_is_refused_without_weights(ready):
    ((key, message),) = refusals(ready, *config("Tagger", WORDS), kind=ModelError)

    assert key == "model"
    assert message.startswith("ids/vocabulary has no value yet; expected ")


def test_an_uninitialized_table_is_refused(project):
    project.write(
        "nets.py",
        """
        import tensorflow as tf


        class Never(tf.lookup.KeyValueTensorInitializer):
            def initialize(self, table):
                return tf.no_op()


        class Net(tf.Module):
            def __init__(self):
                super().__init__()
                self.table = tf.lookup.StaticHashTable(Never(["a"], [1]), 0)

            def __call__(self, words):
                return self.table.lookup(words)
        """.replace("\n        ", "\n"),
    )

    ((key, message),) = refusals(
        project, *config("Net", WORDS.replace("int64", "int32")), kind=ModelError
    )

    assert key == "model"
    assert "is never initialized" in message


def test_a_vocabulary_in_the_config_must_equal_that_of_a_whole_model(ready):
    other = config("text", "+model.vocabulary=[p, q, r]")

    assert refusals(ready, *other, restored("keras", "text.keras")) == [
        (
            "weights.path",
            "ids/vocabulary is ['p', 'q', 'r'] in the model and ['a', 'b', 'c'] in the weights; expected the same, or a"
            " model that is built without one",
        )
    ]
    same = planned(
        ready, *config("text", "+model.vocabulary=[a, b, c]"), restored("keras", "text.keras")
    ).obj
    assert same.restored == ("emb/embeddings", "ids/vocabulary")
    # A file of weights holds no vocabulary, so that of the config is kept.
    own = planned(ready, *other, restored("keras_weights", "text.weights.h5")).obj
    assert own.restored == ("emb/embeddings",)


def test_variables_that_a_checkpoint_does_not_track_are_reported(ready):
    expected = "TensorFlow does not track it; expected weights of format keras or keras_weights"
    hint = "++weights.expect=partial restores what matches and warns about the rest"

    assert refusals(ready, *config("Stack", ROWS, restored("checkpoint", "stack"))) == [
        ("weights.path", f"has no value for stack/second/{name}: {expected}; {hint}")
        for name in ("kernel [2, 2]", "bias [2]")
    ]


def test_an_object_that_differs_from_the_whole_model_is_refused(ready):
    with pytest.raises(VerificationError) as error:
        ready.export(*config("scaled", "+model.factor=3.0", restored("keras", "scaled.keras")))

    assert not (ready.root / "exports").exists()
    problem = error.value.problems[0]
    assert problem.key == "weights.path"
    assert problem.message.startswith(
        "the object differs from the model in 'scaled.keras': serving_default: example 0: times[0, 0] is "
    )


@pytest.mark.parametrize(
    ("signature", "key", "message"),
    [
        (
            "+signatures.s={inputs: {wrds: {shape: [2], dtype: string}}}",
            "inputs.wrds",
            "did you mean 'words'?",
        ),
        (
            "+signatures.s={method: cal, inputs: {words: {shape: [2], dtype: string}}}",
            "method",
            "unknown method 'cal'",
        ),
    ],
)
def test_a_misspelt_name_is_not_blamed_on_the_weights(ready, signature, key, message):
    found = refusals(
        ready, *config("Tagger", signature, restored("keras_weights", "tagger.weights.h5"))
    )

    assert f"signatures.s.{key}" in [key for key, _ in found]
    assert any(message in text for _, text in found)


def test_a_saved_model_of_keras_is_the_model(ready):
    given = [
        "model._target_=smdecl.models.load_keras",
        "+model.path=plain.keras",
        "signatures=none",
    ]
    digest = hashlib.sha256(Path("plain.keras").read_bytes()).hexdigest()

    release = ready.export(*given, f"+sha256={{plain.keras: {digest}}}", "name=plain")

    assert served(release, x=tf.constant([[30.0]])) == {"norm": [[1.0]]}
    assert manifest.read(release.path)["inputs"] == {"plain.keras": digest}
    assert not any(
        "adam" in name for name, _ in tf.train.list_variables(f"{release.path}/variables/variables")
    )


def check(project, *overrides):
    checking.check(project.compose(*overrides), find_project(project.root))


def test_the_file_of_a_saved_model_is_checked_as_weights_are(project, tmp_path):
    load = ["model._target_=smdecl.models.load_keras"]
    (tmp_path / "far.keras").write_bytes(b"PK")
    project.write("near.keras", "no archive")
    project.write("near.h5", "no archive")

    with pytest.raises(TrustError, match="outside the project"):
        check(project, *load, f"+model.path={tmp_path / 'far.keras'}")
    with pytest.raises(TrustError, match="no such file: 'none.keras'"):
        check(project, *load, "+model.path=none.keras")
    with pytest.raises(ConfigError, match="'near.keras' is damaged, or not a .keras file"):
        check(project, *load, "+model.path=near.keras")
    with pytest.raises(ConfigError, match=r"expected a .keras file of Keras 3, got 'near.h5'"):
        check(project, *load, "+model.path=near.h5")


@pytest.mark.slow
def test_a_saved_model_with_classes_of_the_project_is_the_model(ready):
    kinds = "+model.custom_objects=[{_target_: nets.Times, _partial_: true}]"
    given = ["model._target_=smdecl.models.load_keras", "+model.path=scaled.keras", kinds]

    release = ready.export(*given, "signatures=none")

    assert served(release, x=tf.constant([[30.0]])) == {"times": [[2.0]]}


EVERY = ("keras", "keras_weights", "checkpoint", "saved_model")
WHOLE, HOOKS = EVERY[:1], EVERY[:2]
# The formats that restore each model of restoring_matrix.py; the others are refused.
RESTORED = {
    "normalization": EVERY,
    "discretization": WHOLE,
    "bins_given": (),
    "constant_mean": (),
    "string_lookup": WHOLE,
    "integer_lookup": WHOLE,
    "vectorization": WHOLE,
    "vocabulary_given": (),
    "vocabulary_same": WHOLE,
    "idf": EVERY,
    "encoding": (),
    "hashing": (),
    "nested": HOOKS,
    "tagger": WHOLE,
    "coded": WHOLE,
    "inner": EVERY,
    "sequential": EVERY,
    "lstm": EVERY,
    "derived": EVERY,
    "offset": HOOKS,
    "assets": WHOLE,
}
# tf_keras keeps what bins derive from in a variable, and tracks layers in lists.
RESTORED_BY = {
    "keras": RESTORED,
    "tf_keras": {**RESTORED, "discretization": EVERY, "nested": EVERY},
}


@pytest.mark.slow
@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_every_format_restores_the_trained_model_or_is_refused(tmp_path, package):
    done = subprocess.run(
        [sys.executable, "-m", "tests.exporting.restoring_matrix", package],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [
        f"{key}: {verdict}" for key, verdict in found.items() if verdict.startswith("differs")
    ] == []
    expected = {
        f"{name} {fmt}" for name, formats in RESTORED_BY[package].items() for fmt in formats
    }
    assert {key for key, verdict in found.items() if verdict == "equal"} == expected
    assert len(found) == len(RESTORED) * len(EVERY)


def test_a_vocabulary_missing_from_the_weights_is_reported(project):
    project.write(
        "words.py",
        """
import keras

def make(vocabulary):
    i = keras.Input((1,), dtype="string", name="text")
    ids = keras.layers.StringLookup(vocabulary=vocabulary, name="ids")(i)
    return keras.Model(i, keras.layers.Embedding(10, 2, name="vectors")(ids))
""",
    )
    run_script("import words; words.make(['A', 'B', 'C']).save_weights('w.weights.h5')")
    overrides = [
        "model._target_=words.make", "+model.vocabulary=[p,q,r]", "signatures=none",
        "weights=keras_weights", "weights.path=w.weights.h5",
    ]  # fmt: skip

    release = project.export(*overrides)

    message = "has no value for ids/vocabulary, which keeps its initial value"
    assert [warning.message for warning in release.warnings] == [message]
    declared = "{serving_default: {inputs: {text: {shape: [b, 1], dtype: int64}}}}"
    with pytest.raises(ConfigError) as error:
        project.export(*overrides, f"+signatures={declared}", "verify=load")
    (problem,) = error.value.problems
    assert problem.key == "signatures.serving_default.inputs.text.dtype"
    assert problem.message == "expected string, the dtype of the Input 'text', got int64"
