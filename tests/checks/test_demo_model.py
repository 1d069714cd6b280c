"""A project that selects no model is told that the built-in one is exported."""

import pytest
import smdecl


def warnings(overrides=(), config_dir="conf"):
    composition = smdecl.compose(overrides, config_dir=config_dir)
    return [str(problem) for problem in smdecl.check(composition).warnings]


@pytest.fixture
def wine(project):
    project.write("conf/release/wine.yaml", "# @package _global_\ndefaults:\n  - /model: mine\n")
    project.write("conf/model/mine.yaml", "_target_: smdecl.models.Scaler\nfactor: 2\n")
    return project


@pytest.mark.parametrize(
    ("config_dir", "flag"), [("conf", ""), (None, "--config-dir conf and ")], ids=["named", "found"]
)
@pytest.mark.usefixtures("wine")
def test_the_warning_names_the_options_that_exist(config_dir, flag):
    (warning,) = warnings(["seed=1"], config_dir)

    assert warning.endswith(
        "model: no release or model is selected, so the built-in 'adder' is exported;"
        f" expected {flag}one of release=wine, model=mine"
    )


@pytest.mark.parametrize(
    "override", ["model=mine", "model=adder", "model._target_=smdecl.models.Adder"]
)
@pytest.mark.usefixtures("wine")
def test_a_selected_model_gives_no_warning(override):
    assert warnings([override]) == []


def test_a_config_that_selects_or_replaces_the_model_gives_no_warning(wine):
    wine.write("conf/model/adder.yaml", "_target_: smdecl.models.Scaler\nfactor: 2\n")

    assert warnings() == []


def test_a_directory_without_models_and_no_directory_give_no_warning(project):
    project.write("conf/audit/mine.yaml", "strategy: off\n")

    assert warnings(["audit=mine"]) == []
    assert warnings(config_dir=None) == []
