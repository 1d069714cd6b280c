"""Absolute paths in the project are recorded so that they are valid in other checkouts."""

import hashlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from smdecl.checks import check, portable_paths
from smdecl.config.project import find_project
from smdecl.models import Scaler
from smdecl.pipeline import reproduce
from smdecl.release import manifest


@pytest.fixture
def root(project):
    """A project with a file of each kind that a config names."""
    for name in ("net.weights.h5", "sub/net.weights.h5"):
        project.write(name, "")
        (project.root / name).write_bytes(b"\x89HDF\r\n\x1a\n")
    project.write("words.txt", "a\n")
    np.save(project.root / "x.npy", np.float32(1))
    return project.root


def recorded(project, *overrides):
    composition, here = project.compose(*overrides), find_project(project.root)
    return portable_paths.record(check.check(composition, here), composition.recorded, here)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_absolute_paths_in_the_project_are_recorded_relative_to_the_current_directory(
    project, root, monkeypatch
):
    given = [
        "weights=keras_weights", f"weights.path={root}/net.weights.h5",
        f"+verify.examples={{serving_default: [{{inputs: {{x: {{file: {root}/x.npy}}}}}}]}}",
        f"+sha256={{{root}/net.weights.h5: {digest(root / 'net.weights.h5')}}}",
        f"+model.layer={{_target_: keras.layers.StringLookup, vocabulary: {root}/words.txt}}",
    ]  # fmt: skip

    found = recorded(project, *given)

    assert found["weights"]["path"] == "net.weights.h5"
    assert found["verify"]["examples"]["serving_default"][0]["inputs"]["x"]["file"] == "x.npy"
    assert list(found["sha256"]) == ["net.weights.h5"]
    assert found["model"]["layer"]["vocabulary"] == "words.txt"
    monkeypatch.chdir(root / "sub")
    assert recorded(project, *given[:2])["weights"]["path"] == "../net.weights.h5"


def test_other_paths_are_recorded_as_they_are(project, root, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "net.weights.h5"
    shutil.copy(root / "net.weights.h5", outside)

    for path in (str(outside), "net.weights.h5", "sub/../net.weights.h5"):
        assert (
            recorded(project, "weights=keras_weights", f"weights.path={path}")["weights"]["path"]
            == path
        )


def test_a_release_with_an_absolute_path_is_reproduced_in_a_different_checkout(
    project, tmp_path_factory, monkeypatch
):
    tf.train.Checkpoint(Scaler(5.0)).write(str(project.root / "scaler"))
    project.write("pyproject.toml", "")
    release = project.export(
        "model=scaler", "weights=checkpoint", f"weights.path={project.root}/scaler"
    )
    found = manifest.read(release.path)
    other = tmp_path_factory.mktemp("other") / "checkout"
    shutil.copytree(project.root, other)
    shutil.rmtree(project.root)
    monkeypatch.chdir(other)

    digest_again, _ = reproduce.reproduce(release.path, find_project(other))

    assert digest_again == release.digest
    assert found["config"]["weights"]["path"] == "scaler"
    assert set(found["inputs"]) == {"scaler.index", "scaler.data-00000-of-00001"}
