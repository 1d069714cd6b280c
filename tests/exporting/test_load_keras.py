"""A model in a .keras file is exported as it is."""

import hashlib
from pathlib import Path

import pytest
import tensorflow as tf
from smdecl.checks import check as checking
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, TrustError
from smdecl.release import manifest

from tests.exporting.keras_projects import served, write_ready


@pytest.fixture
def ready(project, tmp_path_factory):
    return write_ready(project, tmp_path_factory)


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
