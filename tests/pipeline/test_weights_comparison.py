"""A release must compute what the SavedModel that its weights come from computes."""

import pytest
from smdecl.errors import VerificationError

from tests.conftest import run_script
from tests.shared import made_once
from tests.weights_projects import overrides, write_ready

NETS = """
import keras
import tensorflow as tf


def dense():
    layers = keras.layers
    return keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.Dense(2)])


def words(swapped=False):
    layers = keras.layers
    vocabulary = [f"word{number}" for number in range(500)]
    if swapped:
        vocabulary[200:202] = reversed(vocabulary[200:202])
    ids = layers.TextVectorization(vocabulary=vocabulary, name="tv")
    return keras.Sequential([keras.Input((1,), dtype="string"), ids, layers.Embedding(502, 2)])


class Holder(tf.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def __call__(self, x):
        return self.net(x)
"""
FILES = """
import keras
import tensorflow as tf
import nets

keras.Input((2,))  # counts, so that the name of the next input differs
net = nets.dense()
net.export("dense", verbose=False)
nets.words().export("words", verbose=False)
holder = nets.Holder(net)
tf.saved_model.save(holder, "holder", signatures=holder.__call__)
"""


def make_files(directory):
    (directory / "nets.py").write_text(NETS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(directory)
        run_script(FILES)


@pytest.fixture
def files(tmp_path_factory):
    return made_once(tmp_path_factory, "exported_weights", make_files)


def exported(project, files, model, saved, *more):
    project.write("nets.py", NETS)
    return project.export(
        f"model={{_target_: nets.{model}}}",
        "signatures=none",
        "weights=saved_model",
        f"weights.path={files / saved}",
        "verify.loaders=[cpp]",
        *more,
    )


def messages(problems):
    return [(problem.key, problem.message) for problem in problems]


def test_other_arguments_that_leave_the_variables_alike_are_refused(project, tmp_path_factory):
    write_ready(project, tmp_path_factory)
    *given, _ = overrides("mykeras.functional", "saved_model", "model_saved", act="relu")

    with pytest.raises(VerificationError) as error:
        project.export(*given, "verify.loaders=[cpp]")

    key, message = messages(error.value.problems)[0]
    assert key == "weights.path"
    start = "the object differs from the model in 'model_saved': serving_default: example "
    assert message.startswith(start)
    assert not (project.root / "exports").exists()


@pytest.mark.slow
def test_a_model_that_computes_the_same_is_exported_without_a_warning(project, files):
    assert exported(project, files, "dense", "dense").warnings == ()
    assert exported(project, files, "words", "words").warnings == ()


@pytest.mark.slow
def test_a_vocabulary_that_no_example_uses_is_compared_too(project, files):
    with pytest.raises(VerificationError) as error:
        exported(project, files, "words", "words", "+model.swapped=true")

    ((_, message),) = messages(error.value.problems)
    assert ": a table has the keys " in message
    assert all(f'"word{first}", "word{401 - first}"' in message for first in (200, 201))


@pytest.mark.slow
def test_what_cannot_be_compared_is_a_warning(project, files):
    signature = (
        "+signatures={predict: {inputs: {keras_tensor: {shape: [batch, 3], dtype: float32}}}}"
    )

    part = exported(project, files, "dense", "holder")
    unlike = exported(project, files, "dense", "dense", signature)

    for release, saved, reason in (
        (part, "holder", "the object is only a part of it, 'net'"),
        (unlike, "dense", "predict: it has no such signature"),
    ):
        message = (
            "the outputs of the object were not all compared with those of the model in"
            f" '{files / saved}': {reason}"
        )
        assert messages(release.warnings) == [("weights.path", message)]
