"""Weights files that are broken, or of the wrong format, are errors of their key."""

from pathlib import Path

import pytest
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ConfigError, ModelError

from tests.weights_projects import ROWS, described, overrides, problems, write_ready


@pytest.fixture
def ready(project, tmp_path_factory):
    return write_ready(project, tmp_path_factory)


@pytest.mark.parametrize(
    ("fmt", "path"), [("keras", "model.keras"), ("keras_weights", "model.weights.h5")]
)
def test_formats_of_keras_are_for_keras_models(ready, fmt, path):
    assert problems(ready, "mynet.Net", fmt, path) == [
        (
            "weights.format",
            f"{fmt} requires a Keras model, got a Net; expected checkpoint or saved_model",
        )
    ]


@pytest.mark.parametrize(
    ("fmt", "path"),
    [("keras", "custom.keras"), ("keras_weights", "custom.weights.h5"), ("checkpoint", "custom")],
)
def test_a_keras_model_without_variables_is_refused(ready, fmt, path):
    given = [
        word.replace(ROWS, "signatures=none") for word in overrides("mykeras.Custom", fmt, path)
    ]

    with pytest.raises(ConfigError) as error:
        described(ready, *given)

    assert [(problem.key, problem.message) for problem in error.value.problems] == [
        (
            "model._target_",
            "Custom has no variables yet to restore into; declare the inputs of a signature, so that smdecl"
            " can build it, or build it in its constructor or a factory: by self.build(input_shape), or by"
            " calling it once",
        )
    ]


def test_failing_code_of_the_model_is_reported_as_such(ready):
    with pytest.raises(ModelError) as error:
        described(ready, *overrides("mykeras.Failing", "keras", "failing.keras"))

    assert str(error.value).startswith("weights.path: restoring 'failing.keras' failed: ")
    assert "is made of no config" in str(error.value)
    assert "mykeras.py" in error.value.traceback_text


def test_a_saved_model_without_variables_is_refused(ready):
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
def test_a_truncated_file_is_an_error_of_its_key(ready, model, fmt, path, file):
    truncate(ready.root / file)

    ((key, message),) = problems(ready, model, fmt, path)

    assert key == "weights.path"
    assert message.startswith("cannot read '")


@pytest.mark.parametrize(
    ("fmt", "path", "content", "message"),
    [
        ("keras", "x.keras", b"", "is empty"),
        (
            "keras",
            "x.keras",
            b"PK\x03\x04 and no more",
            "is damaged, or not a .keras file, which is a zip archive",
        ),
        ("keras_weights", "x.weights.h5", b"", "is empty"),
        (
            "keras_weights",
            "x.weights.h5",
            b"these are no weights",
            "is damaged, or not a .weights.h5 file, which is HDF5",
        ),
    ],
)
def test_an_invalid_keras_file_is_refused_before_anything_is_built(
    project, fmt, path, content, message
):
    (project.root / path).write_bytes(content)
    project.write("conf/weights/mine.yaml", f"format: {fmt}\nexpect: full\npath: {path}\n")

    with pytest.raises(ConfigError) as error:
        check.check(project.compose("weights=mine"), find_project(project.root))

    assert str(error.value) == f"conf/weights/mine.yaml:3: weights.path: '{path}' {message}"


def test_hdf5_with_the_suffix_of_keras_3_is_refused(ready):
    (ready.root / "model.keras").write_bytes((ready.root / "model.weights.h5").read_bytes())

    assert problems(ready, "mykeras.functional", "keras", "model.keras") == [
        (
            "weights.path",
            "'model.keras' is an HDF5 file, which only models of the legacy tf_keras can load; expected a"
            " .keras file of Keras 3",
        )
    ]


@pytest.mark.parametrize(("model", "fmt", "path", "file"), BROKEN[:-1])
def test_a_file_of_a_different_format_is_an_error_of_its_key(ready, model, fmt, path, file):
    (ready.root / file).write_text("these are no weights\n" * 100)

    ((key, message),) = problems(ready, model, fmt, path)

    assert key == "weights.path"
    assert message.startswith("cannot read '")


def test_a_changed_byte_in_the_weights_is_found(ready):
    data = bytearray((ready.root / "net.data-00000-of-00001").read_bytes())
    data[2] ^= 0xFF
    (ready.root / "net.data-00000-of-00001").write_bytes(data)

    ((key, message),) = problems(ready, "mynet.Net", "checkpoint", "net")

    assert key == "weights.path"
    assert "Checksum" in message or message.startswith("cannot read '")
