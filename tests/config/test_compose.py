"""Hydra composes; smdecl puts the user's files first, explains errors and locates values."""

import copy
import dataclasses
import functools
import os
import re

import pytest
import smdecl
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from smdecl import resources, schema
from smdecl.checks.weights.weights_formats import FORMATS
from smdecl.errors import ConfigError, UsageError

DIGEST = "0" * 64
COMMA = "expected a value before and after each comma"
SYNTAX = (
    "expected key=value without spaces around =; quote a value that contains"
    " $ { } [ ] ( ) , : = or spaces, such as 'key=\"a value\"'"
)


def test_the_result_is_what_hydra_itself_composes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    overrides = [
        "model=scaler",
        "+model.name=s",
        "signatures=[scalar_float,vector_float]",
        "~weights",
        "seed=7",
    ]

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


def test_a_user_primary_config_is_used(project):
    project.write("conf/mine.yaml", "defaults:\n  - model: scaler\n  - _self_\nseed: 5\n")

    values = smdecl.compose(["seed=6"], config_dir="conf", config_name="mine").values

    assert values == {"model": {"_target_": "smdecl.models.Scaler", "factor": 3.0}, "seed": 6}


def test_a_release_file_as_the_primary_config_gets_a_hint_to_choose_it(project):
    project.write(
        "conf/release/r.yaml", "# @package _global_\ndefaults:\n  - override /model: scaler\n"
    )

    with pytest.raises(ConfigError) as error:
        smdecl.compose(config_dir="conf", config_name="release/r")

    assert str(error.value) == (
        "conf/release/r.yaml:3: model: no config before this one chooses an option of 'model';"
        " choose this file with release=r instead of --config-name, or begin the defaults list of"
        " the primary config with '- export'"
    )


PARTIAL = {
    "audit": ("consumer: {tensorflow: '2.15'}\n", ("consumer", "tensorflow"), "2.15"),
    "devices": ("build: /CPU:0\n", ("build",), "/CPU:0"),
    "options": ("extra_tags: [gpu]\n", ("extra_tags",), ["gpu"]),
    "publish": ("keep: 2\n", ("keep",), 2),
    "verify": ("generate: 1\n", ("generate",), 1),
}


def test_an_option_without_some_keys_has_the_defaults_of_its_group(project):
    for group, (text, _, _) in PARTIAL.items():
        project.write(f"conf/{group}/mine.yaml", text)
    project.write("conf/audit/default.yaml", "strategy: off\n")
    chosen = [f"{group}=mine" for group in PARTIAL]
    defaults = smdecl.compose().values

    composition = project.compose(*chosen, "options.save_debug_info=true")

    assert schema.problems("config", composition.values) == []
    assert composition.recorded == composition.values
    expected = {group: copy.deepcopy(defaults[group]) for group in PARTIAL}
    expected["options"]["save_debug_info"] = True
    for group, (_, path, value) in PARTIAL.items():
        *parents, last = path
        functools.reduce(dict.__getitem__, parents, expected[group])[last] = value
        assert str(composition.locate((group, *path))) == f"conf/{group}/mine.yaml:1"
    assert {group: composition.values[group] for group in PARTIAL} == expected
    assert re.search(r"conf/export.yaml:\d+$", str(composition.locate(("audit", "io_ops"))))
    own_default = project.compose().values["audit"]
    assert own_default == {**defaults["audit"], "strategy": False}


def test_weights_expect_everything_by_default(project):
    project.write("conf/weights/mine.yaml", "format: checkpoint\npath: ckpt\n")

    assert project.compose("weights=mine").recorded["weights"]["expect"] == "full"


KEYS = (
    "audit, devices, export_dir, functions, model, name, options, publish, release, seed, sha256,"
    " signatures, verify, weights"
)
MODELS = "adder, concat, dense, scaler, typed_adder, typed_concat"
# Overrides, and the errors without "override 'OVERRIDE': ".
REFUSED = [
    (
        ["signatures.serving_default.inputs=[a]", "+model.sizes=[1]", "model={sizes: {a: 1}}"],
        [
            'signatures.serving_default.inputs: expected a mapping or null, got ["a"]',
            'model.sizes: expected a list, as in the config that it changes, got {"a": 1}',
        ],
    ),
    (
        ["signatures.serving_default.inputs.x.shape={a: 1}"],
        [
            "signatures.serving_default.inputs.x.shape: expected a list in brackets (such as"
            ' [batch, 3]) or null, got {"a": 1}'
        ],
    ),
    (
        ["++signatures.serving_default.inputs.x.shape.a=1"],
        [
            "signatures.serving_default.inputs.x.shape.a: expected the index of an item in a list,"
            " got 'a'"
        ],
    ),
    (
        ["model=addr"],
        [
            f"model: unknown option 'addr' for model; expected one of {MODELS} (did you mean 'adder'?)"
        ],
    ),
    (
        ["modle=adder", "model.factr=1", "model=scaler"],
        [
            f"modle: unknown key 'modle'; expected one of {KEYS} (did you mean 'model'?)",
            "model.factr: unknown key 'factr' in model; expected one of _target_, factor"
            " (did you mean 'factor'?); to add it, write '+model.factr=...'",
        ],
    ),
    (
        ["model=adder,scaler"],
        ["model: has several values; add -m to run a sweep over them"],
    ),
    (["x={"], [f"invalid override: no viable alternative at input '{{'; {SYNTAX}"]),
    (["seed=1,"], [f"invalid override: {COMMA}"]),
    (["+x=[1,,2]"], [f"invalid override: {COMMA}"]),
    (["+x=[',]"], [f"invalid override: {SYNTAX}"]),
    (["seed = 1"], [f"invalid override: {SYNTAX}"]),
    (
        ["relese=mine"],
        [f"relese: unknown key 'relese'; expected one of {KEYS} (did you mean 'release'?)"],
    ),
    (
        ["~seed", "~export_dir", "~name", "~model"],
        [
            f"{key}: is required; an override cannot delete it"
            for key in ("seed", "export_dir", "name", "model")
        ],
    ),
    (
        ["+model.units=${name}", "~model.units"],
        [
            "model.units: its value refers to settings of Hydra, which cannot be deleted;"
            " expected a new value"
        ],
    ),
    (
        ["~model=scaler"],
        ["model: Could not delete 'model=scaler'. No match in the defaults list"],
    ),
    (
        ["+weights=keras"],
        ["weights: already has an option; to choose a different one, write 'weights=keras'"],
    ),
    (
        ["signatures=[scalar_float,none_]"],
        [
            "signatures: unknown option 'none_' for signatures; expected one of none,"
            " scalar_float, string_scalar, vector_float (did you mean 'none'?)"
        ],
    ),
    (["seed=" + "9" * 4301], ["an integer has more than 4300 digits; expected fewer"]),
    (
        ["hydra.job.env_copy=[SMDECL_NOT_SET]"],
        [
            "hydra.job.env_copy: environment variable 'SMDECL_NOT_SET' is not set;"
            " expected no variables here"
        ],
    ),
    (["model=1"], ["model: expected names of options, got 1"]),
    (
        ["weights=[1]", "model=[adder,null]"],
        [
            "weights: expected names of options, got [1]",
            "model: expected names of options, got ['adder', None]",
        ],
    ),
    (
        ["hydra.job='${seed}'"],
        [
            "hydra.job: Hydra cannot use what this resolves to: 'int' object has no attribute"
            " 'env_copy'; expected a plain value"
        ],
    ),
    (
        ["hydra.job.env_copy='${seed}'"],
        [
            "hydra.job.env_copy: Hydra cannot use what this resolves to: 'int' object is not"
            " iterable; expected a plain value"
        ],
    ),
    (["weights=null"], ["weights: invalid option null; write '~weights' to choose none"]),
    (
        ["weights=none"],
        [
            f"weights: unknown option 'none' for weights; expected one of"
            f" {', '.join(sorted(FORMATS))}; write '~weights' to choose none"
        ],
    ),
    (["seed=${nothing}"], ["seed: Interpolation key 'nothing' not found"]),
    # export_dir refers to the name, and cannot be resolved either.
    (
        ["name=x${publish.verion}"],
        ["name: Interpolation key 'publish.verion' not found (did you mean 'publish.version'?)"],
    ),
    (
        ["export_dir=exports/${nme}"],
        ["export_dir: Interpolation key 'nme' not found (did you mean 'name'?)"],
    ),
    (["name=${modl}"], ["name: Interpolation key 'modl' not found (did you mean 'model'?)"]),
    (
        ["name=${oc.evn:HOME}"],
        ["name: Unsupported interpolation type oc.evn (did you mean 'oc.env'?)"],
    ),
    (
        ["weights=checkpoint", "seed=${oc.env:SMDECL_NOT_SET}"],
        [
            "seed: Environment variable 'SMDECL_NOT_SET' not found",
            "weights.path: missing value; write weights.path=...",
        ],
    ),
    (
        ["+seed=4"],
        [
            "seed: Could not append to config. An item is already at 'seed'. Either remove +"
            " prefix: 'seed=4' Or add a second + to add or override 'seed': '++seed=4'"
        ],
    ),
]


@pytest.mark.parametrize(
    ("overrides", "expected"), REFUSED, ids=[" ".join(o)[:60] for o, _ in REFUSED]
)
def test_every_error_of_hydra_is_reported_at_once(overrides, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigError) as error:
        smdecl.compose(overrides)

    problems = error.value.problems
    found = [str(dataclasses.replace(problem, origin=None)) for problem in problems]
    assert sorted(found) == sorted(expected)
    for problem in problems:
        if problem.origin.override is None:
            assert str(problem.origin) == "built-in conf/weights/checkpoint.yaml:4"
        else:
            assert problem.origin.override in overrides
            assert len(str(problem.origin)) <= 1020


def test_an_option_in_a_file_that_hydra_does_not_read_is_reported(project):
    project.write("conf/model/mine.yaml", "_target_: mynet.Net\n")
    project.write("conf/model/other.yml", "_target_: mynet.Net\n")

    with pytest.raises(ConfigError) as error:
        smdecl.compose(["model=mine"])
    assert str(error.value) == (
        "override 'model=mine': model: unknown option 'mine' for model; expected one of"
        f" {MODELS}; to read conf/model/mine.yaml, pass --config-dir conf"
    )
    with pytest.raises(ConfigError) as error:
        project.compose("model=other")
    assert str(error.value).endswith("; rename conf/model/other.yml to end in .yaml")


def test_a_name_too_long_for_a_file_is_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "a" * 300
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(ConfigError) as error:
        smdecl.compose([f"model={name}"])
    assert str(error.value) == (
        f"override 'model={name}': model: unknown option {name!r} for model;"
        f" expected one of {MODELS}"
    )
    with pytest.raises(ConfigError) as error:
        smdecl.compose(config_name=name)
    assert re.fullmatch(
        rf".*/{name}.yaml: cannot read the file: File name too long", str(error.value)
    )
    for directory in (name, "loop"):
        with pytest.raises(UsageError) as error:
            smdecl.compose(config_dir=directory)
        assert str(error.value) == f"--config-dir: no such directory: '{tmp_path / directory}'"


def test_only_regular_files_of_a_config_directory_are_read(project):
    project.write("conf/model/broken.yaml", "_target_: mynet.Net\nx: ${b\n")
    (project.root / "conf" / "model" / "a.yaml").mkdir()
    os.mkfifo(project.root / "conf" / "model" / "b.yaml")

    with pytest.raises(ConfigError) as error:
        project.compose("model=broken")
    assert str(error.value).startswith("conf/model/broken.yaml:2: invalid interpolation: ")
    for name in "ab":
        with pytest.raises(ConfigError, match=f"unknown option '{name}' for model"):
            project.compose(f"model={name}")


def test_an_absent_config_directory_is_reported():
    with pytest.raises(UsageError, match="--config-dir: no such directory: '.*nowhere'"):
        smdecl.compose(config_dir="nowhere")


def test_a_caller_that_is_a_hydra_app_keeps_its_own_state(tmp_path):
    with initialize_config_dir(str(resources.conf_dir()), version_base="1.3"):
        smdecl.compose(["model=scaler"])
        assert compose("export", ["name=n"]).seed == 0


def test_recorded_values_keep_reads_of_the_environment_unresolved(monkeypatch):
    monkeypatch.setenv("SECRET", "s3cr3t")
    composition = smdecl.compose(
        ["name=n", "+model.token=${oc.env:SECRET}", "+model.url='http://${model.token}@x'"]
    )

    assert composition.values["model"]["url"] == "http://s3cr3t@x"
    assert "s3cr3t" not in str(composition.recorded)
    assert composition.recorded["model"]["token"] == "${oc.env:SECRET}"
