"""An attacker's config tries to read configs outside the directories that the user names."""

import pytest
import smdecl
from smdecl.errors import ConfigError


@pytest.fixture
def elsewhere(project, tmp_path):
    """A directory outside of the project that has an option."""
    (tmp_path / "elsewhere" / "model").mkdir(parents=True)
    (tmp_path / "elsewhere" / "model" / "far.yaml").write_text("_target_: smdecl.models.Scaler\n")
    return tmp_path / "elsewhere"


@pytest.mark.parametrize(
    "place", ["file://{}", "{}", "file://../elsewhere", "../elsewhere", "conf/more"]
)
def test_a_config_adds_no_directory_of_configs(project, elsewhere, place):
    path = place.format(elsewhere)
    project.write("conf/more/model/far.yaml", "_target_: smdecl.models.Scaler\n")
    project.write(
        "conf/mine.yaml", f"defaults: [export, _self_]\nhydra: {{searchpath: ['{path}']}}\n"
    )

    with pytest.raises(ConfigError) as error:
        smdecl.compose(["model=far"], config_dir="conf", config_name="mine")

    message = (
        f"'hydra.searchpath' adds the directory {path!r}; expected none: pass it as --config-dir"
    )
    assert str(error.value) == f"conf/mine.yaml: hydra.searchpath: {message}"
    assert error.value.exit_code == 2


def test_an_override_adds_no_directory_of_configs(project, elsewhere):
    override = f"hydra.searchpath=[file://{elsewhere}]"

    with pytest.raises(ConfigError, match="adds the directory") as error:
        smdecl.compose([override, "model=far"])

    assert error.value.problems[0].origin.override == override


def test_a_person_names_a_directory_anywhere(elsewhere):
    assert smdecl.compose(["model=far"], config_dir=elsewhere).values["name"] == "far"


@pytest.mark.parametrize("link", ["model", "model/far.yaml"])
def test_a_link_among_the_configs_leads_to_none_outside_of_the_project(project, elsewhere, link):
    (project.root / "conf" / link).parent.mkdir(parents=True)
    (project.root / "conf" / link).symlink_to(elsewhere / link)

    with pytest.raises(ConfigError) as error:
        project.compose("model=far")

    message = f"'model/far' is a symbolic link to {str(elsewhere / 'model/far.yaml')!r}, which is outside the project"
    assert message in str(error.value)


def test_a_link_among_the_configs_may_lead_elsewhere_in_the_project(project):
    project.write("shared/model/ours.yaml", "_target_: smdecl.models.Scaler\n")
    (project.root / "conf").mkdir()
    (project.root / "conf" / "model").symlink_to("../shared/model")

    assert project.compose("model=ours").values["name"] == "ours"
