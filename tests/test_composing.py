"""Hydra composes; smdecl puts the user's files first, words the errors, and knows where each value came from."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

import smdecl
from smdecl import resources
from smdecl.errors import ConfigError, UsageError


def test_the_result_is_what_hydra_itself_composes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    overrides = ["model=scaler", "+model.name=s", "signatures=[scalar_float,vector_float]", "~weights", "seed=7"]

    ours = smdecl.compose(overrides).values

    with initialize_config_dir(str(resources.conf_dir()), version_base="1.3"):
        theirs = compose("export", [*overrides, "name=scaler"])
    assert ours == OmegaConf.to_container(theirs, resolve=True)


def test_the_users_files_win_over_built_in_ones_of_the_same_name(project):
    project.write("conf/model/adder.yaml", "_target_: mynet.Mine\n")
    project.write("conf/model/other.yaml", "_target_: mynet.Other\n")

    assert project.compose().values["model"] == {"_target_": "mynet.Mine"}
    assert project.compose("model=other").values["model"] == {"_target_": "mynet.Other"}
    assert project.compose("model=scaler").values["model"]["_target_"] == "smdecl.models.Scaler"


def test_a_primary_config_of_ones_own_is_taken(project):
    project.write("conf/mine.yaml", "defaults:\n  - model: scaler\n  - _self_\nseed: 5\n")

    values = smdecl.compose(["seed=6"], config_dir="conf", config_name="mine").values

    assert values == {"model": {"_target_": "smdecl.models.Scaler", "factor": 3.0}, "seed": 6}


@pytest.mark.parametrize(
    ("path", "origin"),
    [
        (("model", "factor"), "override 'model.factor=2'"),
        (("model", "_target_"), "conf/model/mine.yaml:3"),
        (("model", "layers", 1, "units"), "conf/model/mine.yaml:6"),
        (("signatures", "pinned", "inputs"), "conf/release/r.yaml:7"),
        (("signatures", "pinned", "inputs", "x"), "conf/release/r.yaml:7"),
        (("seed",), "conf/release/r.yaml:4"),
        (("publish", "nothing"), None),
    ],
)
def test_every_value_has_the_line_or_the_override_that_it_came_from(project, path, origin):
    project.write(
        "conf/model/mine.yaml",
        "# A comment.\n\n_target_: mynet.Mine\nlayers:\n  - units: 1\n  - units: 2\nfactor: 1\n",
    )
    project.write(
        "conf/release/r.yaml",
        "# @package _global_\ndefaults:\n  - override /model: mine\nseed: 3\n"
        "signatures:\n  pinned:\n    inputs: {x: {shape: [], dtype: int32}}\n",
    )
    composition = project.compose("release=r", "model.factor=2")

    found = composition.locate(path)

    if origin is None:
        assert str(found).endswith("conf/publish/next.yaml:1")
    else:
        assert str(found) == origin


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["model=addr"],
            ["override 'model=addr': model: 'addr' is no option of model; takes adder, concat, dense, scaler, typed_adder, typed_concat; did you mean 'adder'?"],
        ),
        (
            ["modle=adder", "model.factr=1", "model=scaler"],
            [
                "override 'modle=adder': modle: 'modle' is no key of the config; takes audit, devices, export_dir,"
                " model, name, options, publish, seed, sha256, signatures, verify, weights; did you mean 'model'?",
                "override 'model.factr=1': model.factr: 'factr' is no key of model; takes _target_, factor; did you"
                " mean 'factor'? (to add it, write '+model.factr=...')",
            ],
        ),
        (["model=adder,scaler"], ["override 'model=adder,scaler': model: is a sweep over several values; add -m to run"
                                  " it as one"]),
        (["x={"], ["override 'x={': is no override: no viable alternative at input '{'"]),
        (["weights=null"], ["override 'weights=null': weights: null is no option; write '~weights' to choose none"]),
        (["seed=${nothing}"], ["override 'seed=${nothing}': seed: Interpolation key 'nothing' not found"]),
        (
            ["weights=checkpoint", "seed=${oc.env:SMDECL_NOT_SET}"],
            [
                "override 'seed=${oc.env:SMDECL_NOT_SET}': seed: Environment variable 'SMDECL_NOT_SET' not found",
                "weights.path: must be given: write weights.path=...",
            ],
        ),
        (
            ["+seed=4"],
            ["override '+seed=4': seed: Could not append to config. An item is already at 'seed'. Either remove +"
             " prefix: 'seed=4' Or add a second + to add or override 'seed': '++seed=4'"],
        ),
    ],
)  # fmt: skip
def test_all_that_hydra_cannot_take_is_told_at_once(overrides, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        smdecl.compose(overrides)

    found = str(error.value).replace("built-in conf/weights/checkpoint.yaml:3: ", "")
    assert sorted(found.splitlines()) == sorted(expected)


def test_a_config_directory_that_is_not_there_is_told():
    with pytest.raises(UsageError, match="--config-dir: no directory '.*nowhere'"):
        smdecl.compose(config_dir="nowhere")


def test_a_caller_that_is_a_hydra_app_keeps_its_own_state(tmp_path):
    with initialize_config_dir(str(resources.conf_dir()), version_base="1.3"):
        smdecl.compose(["model=scaler"])
        assert compose("export", ["name=n"]).seed == 0


def test_what_is_read_from_the_environment_stays_unresolved_in_what_is_written_down(monkeypatch):
    monkeypatch.setenv("SECRET", "s3cr3t")
    composition = smdecl.compose(["name=n", "+model.token=${oc.env:SECRET}", "+model.url='http://${model.token}@x'"])

    assert composition.values["model"]["url"] == "http://s3cr3t@x"
    assert "s3cr3t" not in str(composition.recorded)
    assert composition.recorded["model"]["token"] == "${oc.env:SECRET}"


def test_an_item_of_a_list_that_an_override_gives_is_the_overrides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "signatures").mkdir(parents=True)
    (tmp_path / "conf" / "signatures" / "mine.yaml").write_text(
        "s:\n  inputs:\n    x: {shape: [batch, 2], dtype: float32}\n"
    )
    shape = "signatures.s.inputs.x.shape=[batch,-1]"
    composition = smdecl.compose(["signatures=mine", "verify.loaders=[python,cp]", shape], config_dir="conf")

    assert str(composition.locate(("verify", "loaders", 1))) == "override 'verify.loaders=[python,cp]'"
    assert str(composition.locate(("signatures", "s", "inputs", "x", "shape", 1))) == f"override {shape!r}"
    assert str(composition.locate(("signatures", "s", "inputs", "x", "dtype"))) == "conf/signatures/mine.yaml:3"
