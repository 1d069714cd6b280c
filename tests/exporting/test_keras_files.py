"""State of Keras layers beside their variables is restored by every format that holds it, and otherwise refused."""

import pytest
import tensorflow as tf
from smdecl.errors import ConfigError, ModelError, VerificationError

from tests.conftest import run_script
from tests.exporting.keras_projects import config, planned, refusals, restored, served, write_ready

WORDS = "+signatures.s={inputs: {words: {shape: [batch], dtype: string}}}"
ROWS = "+signatures.s={inputs: {x: {shape: [batch, 2], dtype: float32}}}"
LOOKUP_LACKS = (
    "has no value for ids/vocabulary: it is built without one; expected weights of format keras, or a vocabulary in its"
    " constructor"
)


@pytest.fixture
def ready(project, tmp_path_factory):
    return write_ready(project, tmp_path_factory)


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

    assert refusals(ready, *config("Stack", ROWS, restored("checkpoint", "stack"))) == [
        ("weights.path", f"has no value for stack/second/{name}: {expected}")
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


ASSETS = """
import pathlib

import keras


@keras.saving.register_keras_serializable()
class Words(keras.layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.words = []

    def save_assets(self, directory):
        print("saves")
        pathlib.Path(directory, "words.txt").write_text("\\n".join(self.words))

    def load_assets(self, directory):
        print("loads")
        self.words += pathlib.Path(directory, "words.txt").read_text().split()

    def call(self, x):
        return x * len(self.words)


@keras.saving.register_keras_serializable()
class Net(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.words = Words(name="words")
        self.out = keras.layers.Dense(1, kernel_initializer="ones", name="out")

    def call(self, x, y):  # Keras cannot call it to build it
        return self.out(self.words(x * y))
"""


@pytest.mark.slow
def test_the_hooks_of_assets_run_once_for_a_model_that_keras_cannot_build(project):
    project.write("assets.py", ASSETS)
    run_script(
        "import assets, tensorflow as tf\n"
        "net = assets.Net(name='net')\n"
        "net.words.words = ['a', 'b']\n"
        "net(tf.ones([1, 2]), tf.ones([]))\n"
        "net.save('net.keras')\n"
    )
    spec = "{x: {shape: [batch, 2], dtype: float32}, y: {shape: [], dtype: float32}}"

    done = project.run(
        "model._target_=assets.Net",
        "signatures=none",
        f"+signatures.serving_default.inputs={spec}",
        "weights=keras",
        "weights.path=net.keras",
        "name=net",
    )

    assert done.stdout == "exports/net/1\n", done.stderr
    # Keras loads them into the model of the file, and smdecl copies them.
    assert [line for line in done.stderr.split() if line in ("saves", "loads")] == [
        "loads",
        "saves",
        "loads",
    ]
    loaded = tf.saved_model.load(str(project.root / "exports/net/1"))
    assert loaded.serve(tf.ones([1, 2]), tf.constant(3.0)).numpy().tolist() == [[12.0]]
