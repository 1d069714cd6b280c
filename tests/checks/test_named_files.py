"""The files that a release is made from are pinned by digest in the config, and listed in the manifest."""

import hashlib
import os
import shutil
import warnings
from pathlib import Path

import keras
import pytest
import tensorflow as tf
import yaml
from smdecl.checks import check
from smdecl.checks.targets import argument_files
from smdecl.checks.weights import named_files
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, VerificationError
from smdecl.models import Scaler, dense
from smdecl.pipeline import reproduce
from smdecl.release import manifest

TABLE = """
import pathlib

import tensorflow as tf


class Table(tf.Module):
    def __init__(self, vocabulary):
        super().__init__()
        pathlib.Path("built").touch()
        self.words = tf.Variable(pathlib.Path(vocabulary).read_text().splitlines())

    def find(self, x):
        return tf.gather(self.words, x)
"""
SIGNATURE = """
serving_default:
  method: find
  inputs: {x: {shape: [n], dtype: int64}}
"""
WEIGHTS = {
    "keras": ("model.keras", {"model.keras"}),
    "keras_weights": ("model.weights.h5", {"model.weights.h5"}),
    "checkpoint": (
        "checkpoints/one",
        {"checkpoints/one.index", *(f"checkpoints/one.data-0000{n}-of-00002" for n in range(2))},
    ),
    "saved_model": (
        "saved", {"saved/variables/variables.index", "saved/variables/variables.data-00000-of-00001"},
    ),
}  # fmt: skip


def save_keras(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras's own, of NumPy
        model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A directory with weights in each format, as a training script leaves them."""
    root = tmp_path_factory.mktemp("weights")
    keras.utils.set_random_seed(1)
    model = dense()
    for name in ("model.keras", "model.weights.h5"):
        save_keras(model, root / name)
    checkpoint = tf.train.Checkpoint(
        **{name: tf.Variable(tf.ones([8])) for name in ("factor", "more")}
    )
    policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=40)
    options = tf.train.CheckpointOptions(experimental_sharding_callback=policy)
    for name in ("one", "one.more", "one-2"):  # neighbours that it is not
        checkpoint.write(str(root / "checkpoints" / name), options=options)
    tf.saved_model.save(Scaler(5.0), str(root / "saved"))
    return root


@pytest.fixture
def ready(project, made):
    """A project with the weights, an example and a vocabulary."""
    shutil.copytree(made, project.root, dirs_exist_ok=True)
    project.write("vocabulary.txt", "a\nb\nc\n")
    project.write("x.json", "[1, 2, 0]")
    project.write("y.json", '["b", "c", "a"]')
    project.write("mynet.py", TABLE)
    project.write("conf/model/table.yaml", "_target_: mynet.Table\nvocabulary: vocabulary.txt\n")
    project.write("conf/signatures/table.yaml", SIGNATURE)
    return project


def pin(project, **wanted):
    """Writes the digests that a config asks for, as one file of a release."""
    lines = [f"  {name}: {value}\n" for name, value in wanted.items()]
    project.write("conf/release/pinned.yaml", "# @package _global_\nsha256:\n" + "".join(lines))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def inputs(project, *overrides):
    composition = project.compose(*overrides)
    here = find_project(project.root)
    found = named_files.inputs(check.check(composition, here), composition.recorded, here)
    return found.digests


@pytest.mark.parametrize("fmt", WEIGHTS)
def test_the_files_of_weights_are_listed(ready, fmt):
    path, files = WEIGHTS[fmt]

    found = inputs(ready, f"weights={fmt}", f"weights.path={path}")

    assert found == {name: sha256(ready.root / name) for name in files}


TABLE_RELEASE = ["model=table", "signatures=table", "release=pinned"]
EXAMPLE = "+verify.examples.serving_default=[{inputs: {x: {file: x.json}}, outputs: {output_0: {file: y.json}}}]"


def test_the_files_of_examples_and_pinned_files_are_in_the_manifest(ready):
    pin(ready, **{"vocabulary.txt": sha256(ready.root / "vocabulary.txt")})

    release = ready.export(*TABLE_RELEASE, EXAMPLE)

    text = manifest.read(release.path)
    assert text["inputs"] == {
        name: sha256(ready.root / name)
        for name in ("mynet.py", "vocabulary.txt", "x.json", "y.json")
    }
    assert text["config"]["sha256"] == {"vocabulary.txt": text["inputs"]["vocabulary.txt"]}
    assert reproduce.reproduce(release.path, find_project(ready.root))[0] == release.digest


def test_a_config_without_files_lists_none(project):
    assert inputs(project) == {}


def test_files_that_arguments_of_the_model_name_are_listed(ready):
    for name in ("README", "data/words", "data/.key.txt", "../outside.txt"):
        ready.write(name, "a word")
    given = {
        # A word, a hidden file, one outside of the project, a directory, no file, and no path.
        "names": ["README", "data/.key.txt", "../outside.txt", "data/", "no.txt", "x\0.txt", "a" * 5000],
        "nested": {"_target_": "mynet.Table", "vocabulary": "data/words", "_args_": ["x.json"]},
        "absolute": str(ready.root / "y.json"),
    }  # fmt: skip
    here = find_project(ready.root)

    found = dict(argument_files.find(given, here))

    assert found == {
        ("nested", "vocabulary"): "data/words",
        ("nested", "_args_", 0): "x.json",
        ("absolute",): given["absolute"],
    }
    model = ["model=table", "signatures=table"]
    digest = sha256(ready.root / "vocabulary.txt")
    absolute = f"model.vocabulary={ready.root}/vocabulary.txt"
    assert inputs(ready, *model) == inputs(ready, *model, absolute) == {"vocabulary.txt": digest}


def test_a_file_of_an_argument_that_the_models_code_writes_is_not_listed(ready):
    composition = ready.compose("model=table", "signatures=table")
    here = find_project(ready.root)
    found = named_files.inputs(check.check(composition, here), composition.recorded, here)
    assert set(found.require_unchanged()) == {"vocabulary.txt"}

    ready.write("vocabulary.txt", "another\n")

    assert found.require_unchanged() == {}


def test_a_file_that_differs_from_its_digest_is_refused_before_the_build(ready):
    wanted = sha256(ready.root / "vocabulary.txt")
    pin(ready, **{"vocabulary.txt": wanted})
    found = sha256(ready.write("vocabulary.txt", "a\nB\nc\n"))

    with pytest.raises(ConfigError) as error:
        ready.export(*TABLE_RELEASE)

    assert str(error.value) == (
        f"conf/release/pinned.yaml:3: sha256.vocabulary.txt: content of 'vocabulary.txt' differs from its digest: expected {wanted}, got {found}; if this content is meant, pin it with vocabulary.txt: {found}"
    )
    assert not (ready.root / "built").exists()
    assert not (ready.root / "exports").exists()

    pin(ready, **{"vocabulary.txt": sha256(ready.root / "vocabulary.txt")})
    ready.export(*TABLE_RELEASE)
    assert (ready.root / "built").exists()


def test_the_digest_of_a_file_is_shown_only_if_it_is_in_the_project(ready):
    for name in ("model.keras", "secret.txt"):
        (ready.root.parent / name).write_bytes((ready.root / "model.keras").read_bytes())
    found, wanted = sha256(ready.root / "model.keras"), "a" * 64
    pin(ready, **{"../model.keras": wanted, "../secret.txt": wanted, "model.keras": wanted})

    with pytest.raises(ConfigError) as error:
        given = ready.compose("release=pinned", "weights=keras", "weights.path=../model.keras")
        check.check(given, find_project(ready.root))

    assert [problem.message for problem in error.value.problems] == [
        f"content of '../model.keras' differs from its digest: expected {wanted}",
        f"content of '../secret.txt' differs from its digest: expected {wanted}",
        f"content of 'model.keras' differs from its digest: expected {wanted}, got {found};"
        f" if this content is meant, pin it with model.keras: {found}",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "nothing.txt",
            "no such file: 'nothing.txt'; paths are relative to the current directory HERE",
        ),
        ("conf", "no such file: 'conf'"),
        ("pipe", "no such file: 'pipe'"),
        (
            "/proc/self/mem",
            "cannot read '/proc/self/mem': Input/output error",
        ),  # by root neither
    ],
)
def test_a_file_that_cannot_be_hashed_is_refused(ready, name, message):
    os.mkfifo(ready.root / "pipe")
    pin(ready, **{name: "a" * 64})

    with pytest.raises(ConfigError) as error:
        check.check(ready.compose("release=pinned"), find_project(ready.root))

    (problem,) = error.value.problems
    message = message.replace("HERE", str(ready.root))
    assert (problem.path, problem.message) == (("sha256", name), message)


@pytest.mark.parametrize("value", ["abc", "0" * 63 + "G", "'" + "1" * 64 + " '", "12"])
def test_an_invalid_digest_is_refused(ready, value):
    pin(ready, **{"vocabulary.txt": value})

    with pytest.raises(ConfigError) as error:
        check.check(ready.compose("release=pinned"), find_project(ready.root))

    assert {problem.path for problem in error.value.problems} == {("sha256", "vocabulary.txt")}


def test_a_directory_among_the_files_of_weights_is_refused(ready):
    data = ready.root / "checkpoints" / "one.data-00001-of-00002"
    data.unlink()
    data.mkdir()

    with pytest.raises(ConfigError) as error:
        inputs(ready, "weights=checkpoint", "weights.path=checkpoints/one")

    assert str(error.value).startswith("cannot read 'checkpoints/one.data-00001-of-00002': ")


@pytest.mark.parametrize("fmt", ["keras_weights", "checkpoint"])
def test_weights_that_changed_since_are_reported_as_the_cause(ready, fmt):
    model, signatures, path = {
        "keras_weights": ("dense", "none", "model.weights.h5"),
        "checkpoint": ("scaler", "scalar_float", "factor"),
    }[fmt]
    save = {
        "keras_weights": lambda: save_keras(dense(), Path(path)),
        "checkpoint": lambda: tf.train.Checkpoint(factor=tf.Variable(tf.random.normal([]))).write(
            path
        ),
    }[fmt]
    keras.utils.set_random_seed(1)
    save()
    release = ready.export(
        f"model={model}", f"signatures={signatures}", f"weights={fmt}", f"weights.path={path}"
    ).path
    before = manifest.read(release)["inputs"]
    assert reproduce.reproduce(release, find_project(ready.root))
    save()

    with pytest.raises(VerificationError) as error:
        reproduce.reproduce(release, find_project(ready.root))

    messages = [problem.message.removeprefix(f"{release}: ") for problem in error.value.problems]
    changed = [name for name in before if sha256(ready.root / name) != before[name]]
    assert changed
    assert [line for line in messages if line.startswith("inputs ")] == [
        f"inputs {name}: changed from {before[name][:12]} to {sha256(ready.root / name)[:12]}"
        for name in changed
    ]
    assert any(line.startswith("the model differs in ") for line in messages)


def test_pins_must_cover_the_weights(ready):
    pin(ready, **{"vocabulary.txt": sha256(ready.root / "vocabulary.txt")})

    with pytest.raises(ConfigError) as error:
        ready.export("release=pinned", "weights=checkpoint", "weights.path=checkpoints/one")

    messages = [
        problem.message for problem in error.value.problems if problem.path == ("weights", "path")
    ]
    assert sorted(messages) == [
        f"'{name}' has no digest in sha256, but other files have; add {name}: {sha256(ready.root / name)}"
        for name in map(
            "checkpoints/one.{}".format, ("data-00000-of-00002", "data-00001-of-00002", "index")
        )
    ]


def test_the_line_that_pins_a_file_is_valid_yaml(ready):
    name = "a: b #1.txt"
    ready.write(name, "")
    pin(ready, **{f"'{name}'": "a" * 64})
    with pytest.raises(ConfigError) as error:
        check.check(ready.compose("release=pinned"), find_project(ready.root))

    line = error.value.problems[0].message.partition("pin it with ")[2]
    assert yaml.safe_load(line) == {name: sha256(ready.root / name)}


REPLACES = TABLE.replace(
    "    def find(self, x):\n",
    "    def find(self, x):\n        pathlib.Path('vocabulary.txt').write_text('d')\n",
)


def test_a_file_that_changes_during_the_export_is_an_error(ready):
    ready.write("mynet.py", REPLACES)
    before = sha256(ready.root / "vocabulary.txt")
    pin(ready, **{"vocabulary.txt": before})

    with pytest.raises(ConfigError) as error:
        ready.export("model=table", "signatures=table", "release=pinned", "verify.generate=1")

    (problem,) = error.value.problems
    after = sha256(ready.root / "vocabulary.txt")
    assert problem.message == (
        f"'vocabulary.txt' changed during the export: expected sha256 {before}, got {after}"
    )
    assert not (ready.root / "exports").exists()
