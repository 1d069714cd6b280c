"""A models.config that TensorFlow Serving reads: parsed by its own classes."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from smdecl import models_config
from smdecl.errors import ConfigError, PublishError


def served(path):
    config = text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    return {model.name: model.base_path for model in config.model_config_list.config}


def test_every_model_that_is_exported_is_in_it_once(project):
    option = "publish.models_config=serving/models.config"
    project.export(option)
    project.export("model=scaler", option)
    project.export("model=scaler", option, "export_dir=elsewhere")

    path = project.root / "serving" / "models.config"
    assert served(path) == {"adder": str(project.root / "exports/adder"), "scaler": str(project.root / "elsewhere")}
    assert [file.name for file in path.parent.iterdir()] == ["models.config"]


def test_names_and_places_of_any_kind_are_kept(tmp_path):
    path = tmp_path / "models.config"
    for name in ('a "b"', "grüß", "back\\slash", "}", "x\n  config {"):
        models_config.add(path, name, tmp_path / name.replace("\n", ""))
    models_config.add(path, "grüß", tmp_path)

    assert sorted(served(path)) == sorted(['a "b"', "grüß", "back\\slash", "}", "x\n  config {"])
    assert served(path)["grüß"] == str(tmp_path)


@pytest.mark.parametrize("text", ["", "model_config_list {}", "# mine\nmodel_config_list {\n}\n", "\0"])
def test_what_smdecl_did_not_write_is_left_alone(project, text):
    path = project.write("models.config", text)

    with pytest.raises(PublishError) as error:
        project.export("publish.models_config=models.config")

    assert str(error.value) == (
        "override 'publish.models_config=models.config': publish.models_config: 'models.config' holds more than smdecl"
        " writes, which would be lost; takes a file of its own"
    )
    assert path.read_text() == text
    assert not (project.root / "exports").exists()


def test_a_base_path_without_versions_is_no_model_of_a_server(project):
    with pytest.raises(ConfigError, match="takes null beside publish.version=null: a server looks for versions"):
        project.export("publish=in_place", "publish.models_config=models.config")
