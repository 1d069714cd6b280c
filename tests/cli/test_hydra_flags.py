"""The flags of Hydra: help, the composed config, completion."""

import os

import pytest
import smdecl
import yaml

from tests.conftest import run_cli, spawn_cli


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--help"], "model: adder, concat, dense, scaler, typed_adder, typed_concat"),
        (["--help"], "exit codes: 0 done, 2 usage or config"),
        (["--info"], "Config search path"),
        (["--info", "defaults-tree"], "signatures: scalar_float"),
        (["--cfg", "job"], "name: ${hydra:runtime.choices.model}"),
        (["--cfg", "job", "--resolve", "model=scaler"], "export_dir: exports/scaler"),
        (["--cfg", "job", "--package", "publish"], "version: next"),
        (["--version"], f"smdecl {smdecl.__version__}"),
        (["--shell-completion", "install=bash"], "hydra_bash_completion"),
    ],
)
def test_hydras_flags_print_what_they_print_in_hydra(tmp_path, arguments, found):
    done = run_cli(*arguments, cwd=tmp_path)

    assert found in done.stdout
    assert (done.stderr, done.returncode) == ("", 0)
    assert os.listdir(tmp_path) == []


def test_the_config_is_shown_as_an_export_has_it(project):
    # The release file sets below `weights` what `~weights` has to remove too.
    release = "# @package _global_\nweights: {format: keras, path: net.keras}\n"
    project.write("conf/release/r.yaml", release)
    arguments = ["--config-dir", "conf", "release=r"]

    for overrides in ([], ["~weights"]):
        shown = project.run("--cfg", "job", *arguments, *overrides).stdout
        composed = project.compose("release=r", *overrides)
        assert yaml.safe_load(shown)["weights"] == composed.values["weights"]


def test_hydras_own_help_is_shown(tmp_path):
    done = spawn_cli("--hydra-help", cwd=tmp_path)

    assert "Hydra" in done.stdout
    assert (done.stderr, done.returncode) == ("", 0)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("override", "expected"),
    [("model=addr", "unknown option 'addr' for model"), ("model=[1]", "expected names of options")],
)
def test_a_flag_of_hydras_with_a_bad_config_is_exit_code_2(tmp_path, override, expected):
    done = run_cli("--cfg", "job", override, cwd=tmp_path)

    assert expected in done.stderr
    assert (done.stdout, done.returncode) == ("", 2)


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("smdecl model=ad", ["model=adder"]),
        ("smdecl check seed=1 model=sc", ["model=scaler"]),
        (
            "smdecl --config-dir conf model=",
            [
                "model=adder",
                "model=concat",
                "model=dense",
                "model=mine",
                "model=scaler",
                "model=typed_adder",
                "model=typed_concat",
            ],
        ),
        ("smdecl plan -cd conf model=m", ["model=mine"]),
        ("smdecl -m --jobs 2 --verbose --resume=a/sweep.json -j auto model=ad", ["model=adder"]),
        ("smdecl -m --resume a/sw", []),
    ],
)
def test_completion_knows_groups_and_options(project, line, completions):
    project.write("conf/model/mine.yaml", "_target_: mynet.Net\n")
    done = project.run("-sc", "query=bash", env={"COMP_LINE": line, "COMP_POINT": str(len(line))})

    assert sorted(done.stdout.split()) == completions
