"""A models.config is edited so that the classes of TensorFlow Serving parse it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import text_format
from smdecl.config.project import find_project
from smdecl.config.settings import Publish
from smdecl.errors import ConfigError, PublishError
from smdecl.pipeline import export
from smdecl.release import models_config
from tensorflow_serving.config import model_server_config_pb2

from tests.conftest import ROOT
from tests.release.local_releases import release


def served(path):
    return served_text(path.read_text())


def served_text(text):
    """Returns model to base path, as a server reads them."""
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    return {model.name: model.base_path for model in config.model_config_list.config}


def test_every_exported_model_has_one_entry(project):
    option = "publish.models_config=serving/models.config"
    project.export(option)
    project.export("model=scaler", option)
    project.export("model=scaler", option, "export_dir=elsewhere")

    path = project.root / "serving" / "models.config"
    assert served(path) == {
        "adder": str(project.root / "exports/adder"),
        "scaler": str(project.root / "elsewhere"),
    }
    assert [file.name for file in path.parent.iterdir()] == ["models.config"]


def test_names_and_places_of_any_kind_are_kept(tmp_path):
    path = tmp_path / "models.config"
    for name in ('a "b"', "grüß", "back\\slash", "}", "x\n  config {"):
        models_config.add(path, name, tmp_path / name.replace("\n", ""))
    models_config.add(path, "grüß", tmp_path)

    assert sorted(served(path)) == sorted(['a "b"', "grüß", "back\\slash", "}", "x\n  config {"])
    assert served(path)["grüß"] == str(tmp_path)


HAND_WRITTEN = """\
# The models of the shop. "config {" in a comment is none.
model_config_list: {
  # First, because it is asked most.
  config: {
    name: 'ranker'   # single quotes
    base_path: "/models/" 'ranker'
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 3, versions: 5 } }
    version_labels { key: "stable" value: 3 };
  }
    config <
      base_path: "/models/old"  name: "\\x61dder",
      model_platform: "tensorflow" logging_config { log_collector_config { type: "}" } }
    >
  config { name: "a \\"b\\" { config {", model_platform: 'tensorflow' }
}
"""
PLATFORM = 'model_platform: "tensorflow"'


def added(path, text, name, base="/new"):
    """Writes a models.config, adds a model, and returns the new text."""
    path.write_bytes(text.encode())
    models_config.add(path, name, base)
    served(path)
    return path.read_bytes().decode()


def test_only_the_entry_of_the_model_changes_in_a_hand_written_file(tmp_path):
    path = tmp_path / "models.config"

    assert added(path, HAND_WRITTEN, "ranker") == HAND_WRITTEN.replace(
        "\"/models/\" 'ranker'", '"/new"'
    )
    assert added(path, HAND_WRITTEN, "adder") == HAND_WRITTEN.replace("/models/old", "/new")
    assert added(path, HAND_WRITTEN, 'a "b" { config {') == HAND_WRITTEN.replace(
        '{ config {"', '{ config {" base_path: "/new"'
    )
    assert added(path, HAND_WRITTEN, "ranker", "/models/ranker") == HAND_WRITTEN
    new = f'  config {{\n    name: "new"\n    base_path: "/new"\n    {PLATFORM}\n  }}\n'
    assert added(path, HAND_WRITTEN, "new") == f"{HAND_WRITTEN[:-2]}{new}}}\n"
    assert served(path) == {
        "ranker": "/models/ranker", "adder": "/models/old", 'a "b" { config {': "", "new": "/new",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# mine",
        "model_config_list {}",
        "model_config_list {\r\n}\r\n",
        "model_config_list: < config: [ { name: 'a' }, { name: 'b' } ] >",
        "model_config_list { config { name: 'a' } } # the end",
        "  model_config_list {\n\tconfig { name: 'a' }\n  }",
    ],
)
def test_a_model_is_added_to_a_list_of_any_form(tmp_path, text):
    path = tmp_path / "models.config"
    before = served_text(text)

    after = added(path, text, "new")

    assert served(path) == {**before, "new": "/new"}
    assert all(line in after for line in text.splitlines() if "}" not in line)
    assert after.count("\r\n") == (after.count("\n") if "\r\n" in text else 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\0", "'models.config', line 1: Expected identifier or number"),
        ("model_config_list {\n  config {\n", "'models.config', line 2: Expected \"}\""),
        (
            "model_config_list {\n  config { name: 3 }\n}\n",
            "line 2: Expected string but found: '3'; expected a ModelServer",
        ),
        ("\nmodel_config_list { config { name: 'a }\n}", "line 2: String missing ending quote"),
        (
            "model_config_list {}\nmodel_config_list {}",
            'line 2: .* should not have multiple "model_config_list" fields',
        ),
        (
            "model_config_list {\n config { name: 'a' }\n config { name: 'a' }\n}",
            "line 3: lists the model 'a' again",
        ),
        (
            "custom_model_config { }",
            "line 1: has a custom_model_config, with which a server ignores the list of models",
        ),
        (
            "# TensorFlow's object detection\nmodel {\n  ssd { num_classes: 3 }\n}\n",
            "line 2: unknown field 'model'; expected a ModelServerConfig of TensorFlow Serving",
        ),
        ("a {" * 5000, "'models.config' is nested too deep"),
        ("\ud800", "cannot read 'models.config': .*utf-8"),
        (
            "\n" + "a: 1 " * 14_000,
            "line 2: has 70000 characters; expected at most 65536",
        ),
        ("#\n" * (1 << 19) + "#", "cannot read 'models.config': .*1048576"),
    ],
    ids=[
        "nul",
        "cut off",
        "number",
        "quote",
        "two lists",
        "twice",
        "custom",
        "different kind",
        "deep",
        "bytes",
        "a long line",
        "large",
    ],
)
def test_a_broken_file_is_reported_with_its_line_and_left_alone(
    tmp_path, monkeypatch, text, expected
):
    monkeypatch.chdir(tmp_path)
    path = Path("models.config")
    path.write_bytes(text.encode(errors="surrogatepass"))

    with pytest.raises(PublishError, match=expected):
        models_config.require_valid(path)
    with pytest.raises(PublishError, match=expected):
        models_config.add(path, "new", "/new")

    assert path.read_bytes() == text.encode(errors="surrogatepass")
    assert os.listdir() == ["models.config"]


def test_a_broken_file_is_reported_before_anything_is_built(project):
    project.write("models.config", "mine")

    with pytest.raises(PublishError) as error:
        project.export("publish.models_config=models.config")

    assert str(error.value) == (
        "override 'publish.models_config=models.config': publish.models_config: 'models.config', line 1: Expected \"{\";"
        " expected a ModelServerConfig of TensorFlow Serving, as text"
    )
    assert not (project.root / "exports").exists()


def test_the_mode_of_a_file_is_kept(tmp_path):
    path = tmp_path / "models.config"
    path.write_text("")
    path.chmod(0o640)

    models_config.add(path, "a", "/a")

    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_breaks_during_the_export_is_reported_and_the_release_is_published(project):
    project.write(
        "mynet.py",
        """
import pathlib
import tensorflow as tf

class Net(tf.Module):
    def __init__(self):
        super().__init__()
        pathlib.Path("models.config").write_text("mine")

    def add(self, x):
        return x + 1.0
""",
    )

    with pytest.raises(
        PublishError,
        match="publish.models_config: exports/adder/1 is published, but 'models.config'",
    ):
        project.export("model._target_=mynet.Net", "publish.models_config=models.config")

    assert (project.root / "models.config").read_text() == "mine"
    assert (project.root / "exports" / "adder" / "1" / "saved_model.pb").is_file()


PINNED = """
model_config_list {
  config { name: "other" base_path: "/other" version_labels { key: "stable" value: 2 } }
  config: {
    name: "net", base_path: "/models/net"
    model_version_policy { specific { versions: 1 versions: 5 } }
    version_labels: [{ key: "stable" value: 3 }]
  }
}
"""


@pytest.mark.parametrize(("text", "kept"), [(PINNED, "1356"), ("model_config_list {", "123456")])
def test_versions_that_a_server_is_told_to_load_are_kept(tmp_path, text, kept):
    file, base = tmp_path / "models.config", tmp_path / "net"
    for _ in range(5):
        release(base)
    file.write_text(text)

    release(base, Publish(version="next", replace=False, keep=2, models_config=str(file)))

    assert sorted(os.listdir(base)) == list(kept)  # all of them if the file cannot be read


def test_a_model_without_versions_cannot_be_added(project):
    with pytest.raises(
        ConfigError,
        match="expected null, got .*: publish.version is null, and servers look for versions",
    ):
        project.export("publish=in_place", "publish.models_config=models.config")


def test_concurrent_processes_lose_no_model(tmp_path):
    script = (
        "import sys; from pathlib import Path; from smdecl.release import models_config\n"
        "for number in range(20):\n"
        "    models_config.add(Path('serving/models.config'), f'{sys.argv[1]}{number}', Path('base'))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen([sys.executable, "-c", script, name], cwd=tmp_path, env=env)
        for name in "abc"
    ]

    assert [process.wait(300) for process in processes] == [0, 0, 0]
    assert sorted(served(tmp_path / "serving" / "models.config")) == sorted(
        f"{name}{number}" for name in "abc" for number in range(20)
    )
    assert os.listdir(tmp_path / "serving") == ["models.config"]


def test_a_pipe_is_rejected(project):
    os.mkfifo(project.root / "models.config")
    with pytest.raises(PublishError, match="cannot read 'models.config': .*not a regular file"):
        project.export("publish.models_config=models.config")


UNFIT = {
    "x" * 300: "has a NUL or a name of more than 255 bytes",
    "a/\0": "has a NUL or a name of more than 255 bytes",
    "file/models.config": "cannot create 'file/models.config': 'file' is not a directory",
    "link/deep/models.config": "cannot create 'link/deep/models.config': 'link' is not a directory",
    "directory": "got the directory 'directory'",
}


@pytest.mark.parametrize("key", ["models_config", "run_record"])
@pytest.mark.parametrize(
    "name", UNFIT, ids=["long", "nul", "below a file", "below a dangling link", "directory"]
)
def test_a_path_that_can_be_no_file_is_reported_before_anything_is_built(project, key, name):
    project.write("file", "")
    (project.root / "link").symlink_to("nowhere")
    (project.root / "directory").mkdir()

    with pytest.raises(ConfigError, match=UNFIT[name]) as error:
        project.export(f'publish.{key}="{name}"')

    assert error.value.exit_code == 2
    assert [problem.key for problem in error.value.problems] == [f"publish.{key}"]
    assert not (project.root / "exports").exists()


def test_variants_of_a_sweep_that_have_one_name_have_entries_of_their_own(project):
    option = "publish.models_config=serving/models.config"
    production = project.export(option).path.parent
    for variant in ("seed=1", "seed=2"):
        export.export(project.compose(option, variant), find_project(project.root), variant)

    assert served(project.root / "serving" / "models.config") == {
        "adder": str(production.absolute()),
        "adder-seed=1": str((production / "seed=1").absolute()),
        "adder-seed=2": str((production / "seed=2").absolute()),
    }
