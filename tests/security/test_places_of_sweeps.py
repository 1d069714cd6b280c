"""An attacker's config tries to have a sweep write or overwrite files outside the project."""

import json
import os

import pytest
import smdecl
from smdecl.config.project import find_project
from smdecl.errors import ConfigError
from smdecl.pipeline.sweeping import variants
from smdecl.pipeline.sweeping.sweep import check
from smdecl.pipeline.sweeping.sweep_places import Places
from smdecl.pipeline.sweeping.variants import Request

VICTIM = "theirs: true\n"
FIXED = ["release=theirs", "model=adder", "seed=1,2", "signatures=scalar_float"]
UNFIT = "publish: {unknown: 1}"  # no variant is built


@pytest.fixture
def outside(tmp_path):
    """A directory that does not belong to the project, with a config that must not change."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "config.yaml").write_text(VICTIM)
    return directory


def sweep(project, text, *overrides):
    """Sweeps with a config that has these values."""
    project.write("conf/release/theirs.yaml", f"# @package _global_\n{text}\n")
    return smdecl.sweep([*FIXED, *overrides], config_dir=["conf"])


def refused_keys(project, text, *overrides):
    with pytest.raises(ConfigError) as error:
        sweep(project, text, *overrides)
    assert all("is outside the project" in problem.message for problem in error.value.problems)
    keys = [problem.key for problem in error.value.problems]
    assert checked_keys(project, *overrides) == keys
    return keys


def checked_keys(project, *overrides):
    """Returns the keys that a check refuses, of the config that was swept last."""
    request = Request([*FIXED, *overrides], ["conf"], "export")
    try:
        checked = list(check(request, find_project(project.root)))
    except ConfigError as error:
        return [problem.key for problem in error.problems]
    errors = [variant.error for variant in checked if variant.error is not None]
    problems = dict.fromkeys(problem.key for error in errors for problem in error.problems)
    return [key for key in problems if key.startswith("hydra.")]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("hydra: {sweep: {dir: OUTSIDE/new}}", "hydra.sweep.dir"),
        ("hydra: {sweep: {dir: ../outside/new}}", "hydra.sweep.dir"),
        ("up: ..\nhydra: {sweep: {dir: '${up}/outside/new'}}", "hydra.sweep.dir"),
        ("hydra: {sweep: {dir: link/new}}", "hydra.sweep.dir"),
        ("hydra: {sweep: {dir: in, subdir: OUTSIDE/new}}", "hydra.sweep.subdir"),
        ("hydra: {sweep: {dir: in, subdir: '../../${hydra.job.num}'}}", "hydra.sweep.subdir"),
        (
            "hydra: {sweep: {dir: in, subdir: 'x/${hydra.job.override_dirname}/../../outside'},"
            " job: {config: {override_dirname: {kv_sep: /../../../}}}}",
            "hydra.sweep.subdir",
        ),
        ("hydra: {sweep: {dir: in, subdir: deep/../../../y}}", "hydra.sweep.subdir"),
        # Hydra removes .. before it follows the link, which leads to in/a/b/c.
        (
            "hydra: {sweep: {dir: inner/../../../outside}, output_subdir: .}",
            "hydra.sweep.dir",
        ),
        ("hydra: {sweep: {dir: in}, output_subdir: OUTSIDE}", "hydra.output_subdir"),
        ("hydra: {sweep: {dir: in}, output_subdir: ../../../outside}", "hydra.output_subdir"),
        ("hydra: {sweep: {dir: in}, output_subdir: ../../saved}", "hydra.output_subdir"),
    ],
)
def test_a_config_does_not_have_a_sweep_write_outside_the_project(project, outside, text, key):
    (project.root / "link").symlink_to(outside)
    (project.root / "in/a/b/c").mkdir(parents=True)
    (project.root / "inner").symlink_to("in/a/b/c")
    project.write("saved/x", "")
    (project.root / "saved/config.yaml").symlink_to(outside / "config.yaml")

    assert refused_keys(project, text.replace("OUTSIDE", str(outside))) == [key]

    assert os.listdir(outside) == ["config.yaml"]
    assert (outside / "config.yaml").read_text() == VICTIM
    assert not list(project.root.rglob("sweep.json"))


def test_one_variant_outside_the_project_stops_the_others(project, outside):
    text = (
        f"model: {{'0': a, '1': '{outside}'}}\n"
        "hydra: {sweep: {dir: in, subdir: '${model.${hydra.job.id}}'}}"
    )

    assert refused_keys(project, text) == ["hydra.sweep.subdir"]
    assert not (project.root / "in").exists()


@pytest.mark.slow
def test_a_launcher_writes_where_the_check_expects_it(project):
    text = (
        "model: {'0': a, '1': b}\n"
        "hydra: {sweep: {dir: in, subdir: '${model.${hydra.job.id}}'}, output_subdir: .saved}"
    )

    sweep(project, text)

    saved = sorted(path.parent.parent.name for path in project.root.glob("in/*/.saved/config.yaml"))
    assert saved == ["a", "b"]


def test_an_override_with_an_interpolation_does_not_lead_elsewhere(project, outside):
    text = "hydra: {job: {config: {override_dirname: {kv_sep: /../../../../../}}}}"
    subdir = "hydra.sweep.subdir='${hydra.job.override_dirname}'"

    assert refused_keys(project, text, subdir) == ["hydra.sweep.subdir"]


def test_a_value_that_is_resolved_twice_has_the_checked_value(project, outside):
    text = "hydra: {sweep: {dir: 'in/\\${name}'}}\nname: x"

    with pytest.raises(ConfigError, match="expected a path without"):
        sweep(project, text)


@pytest.mark.parametrize(
    "override",
    [
        "hydra.sweep.dir={outside}/sweep",
        "hydra.sweep.dir='{outside}/${{hydra.runtime.choices.release}}'",
        "hydra.sweep={{dir: {outside}/sweep}}",
    ],
)
def test_the_command_line_names_other_places(project, outside, override):
    found = sweep(project, UNFIT, override.format(outside=outside))

    assert len(found) == 2
    assert list(outside.rglob("sweep.json"))


def test_a_project_names_other_places(project, outside):
    project.write("pyproject.toml", f"[tool.smdecl]\nwrites = ['{outside}']\n")

    sweep(project, f"{UNFIT}\nhydra: {{sweep: {{dir: {outside}/sweep}}}}")

    assert (outside / "sweep/sweep.json").is_file()


def test_a_home_directory_without_a_project_has_the_default_places(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    places = Places(find_project(tmp_path), [])

    places.require_dir(tmp_path / "sweeps/2026-01-01/00-00-00")
    with pytest.raises(ConfigError):
        places.require_dir(tmp_path / ".config")


def test_a_record_replaces_a_link_and_not_the_file_behind_it(project, outside):
    record = project.root / "sweep.json"
    record.symlink_to(outside / "config.yaml")

    variants.write(record, [])

    assert (outside / "config.yaml").read_text() == VICTIM
    assert json.loads(record.read_text()) == []
    assert not record.is_symlink()
