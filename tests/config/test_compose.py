"""Hydra composes; smdecl puts the user's files first, words the errors, and knows where each value came from."""

import copy
import functools
import os
import re

import pytest
import smdecl
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from smdecl import resources, schema
from smdecl.checks.weights_formats import FORMATS
from smdecl.errors import ConfigError, UsageError
from smdecl.savedmodel.auditing import RULES

DIGEST = "0" * 64
TAKES = (
    "takes key=value without spaces around =, and in quotes a value that holds $ { } [ ] ( ) , : = or spaces, such as"
    " 'key=\"a value\"'"
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


def test_a_primary_config_of_ones_own_is_taken(project):
    project.write("conf/mine.yaml", "defaults:\n  - model: scaler\n  - _self_\nseed: 5\n")

    values = smdecl.compose(["seed=6"], config_dir="conf", config_name="mine").values

    assert values == {"model": {"_target_": "smdecl.models.Scaler", "factor": 3.0}, "seed": 6}


PARTIAL = {
    "audit": ("consumer: {tensorflow: '2.15'}\n", ("consumer", "tensorflow"), "2.15"),
    "devices": ("build: /CPU:0\n", ("build",), "/CPU:0"),
    "options": ("extra_tags: [gpu]\n", ("extra_tags",), ["gpu"]),
    "publish": ("keep: 2\n", ("keep",), 2),
    "verify": ("generate: 1\n", ("generate",), 1),
}


def test_what_an_option_of_a_group_leaves_out_has_the_groups_defaults(project):
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


def test_weights_that_do_not_say_what_they_expect_expect_all(project):
    project.write("conf/weights/mine.yaml", "format: checkpoint\npath: ckpt\n")

    assert project.compose("weights=mine").recorded["weights"]["expect"] == "full"


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
            ["override 'model=addr': model: 'addr' is no option of model; takes adder, concat, dense, scaler, typed_adder, typed_concat (did you mean 'adder'?)"],
        ),
        (
            ["modle=adder", "model.factr=1", "model=scaler"],
            [
                "override 'modle=adder': modle: 'modle' is no key of the config; takes audit, devices, export_dir,"
                " functions, model, name, options, publish, release, seed, sha256, signatures, verify, weights (did you mean 'model'?)",
                "override 'model.factr=1': model.factr: 'factr' is no key of model; takes _target_, factor (did you"
                " mean 'factor'?) (to add it, write '+model.factr=...')",
            ],
        ),
        (["model=adder,scaler"], ["override 'model=adder,scaler': model: is a sweep over several values; add -m to run"
                                  " it as one"]),
        (["x={"], ["override 'x={': is no override: no viable alternative at input '{'; " + TAKES]),
        (["seed = 1"], ["override 'seed = 1': is no override: " + TAKES]),
        (["relese=mine"], ["override 'relese=mine': relese: 'relese' is no key of the config; takes audit, devices,"
                           " export_dir, functions, model, name, options, publish, release, seed, sha256, signatures, verify,"
                           " weights (did you mean 'release'?)"]),
        (["~model=scaler"], ["override '~model=scaler': model: Could not delete 'model=scaler'. No match in the defaults"
                             " list"]),
        (["+weights=keras"], ["override '+weights=keras': weights: has an option already; to choose another, write"
                              " 'weights=keras'"]),
        (["signatures=[scalar_float,none_]"], ["override 'signatures=[scalar_float,none_]': signatures: 'none_' is no"
                                               " option of signatures; takes none, scalar_float, string_scalar,"
                                               " vector_float (did you mean 'none'?)"]),
        (["seed=" + "9" * 4301], ["override 'seed=" + "9" * 992 + "...': holds an integer of more than 4300 digits;"
                                  " takes fewer"]),
        (["hydra.job.env_copy=[SMDECL_NOT_SET]"], ["override 'hydra.job.env_copy=[SMDECL_NOT_SET]': hydra.job.env_copy:"
                                                   " names an environment variable that is not set, 'SMDECL_NOT_SET';"
                                                   " takes none"]),
        (["model=1"], ["override 'model=1': model: got 1; takes names of options"]),
        (["weights=[1]", "model=[adder,null]"], [
            "override 'weights=[1]': weights: got [1]; takes names of options",
            "override 'model=[adder,null]': model: got ['adder', None]; takes names of options",
        ]),
        (["hydra.job='${seed}'"], ["override \"hydra.job='${seed}'\": hydra.job: Hydra cannot take what this leads to:"
                                   " 'int' object has no attribute 'env_copy'; takes no interpolation"]),
        (["hydra.job.env_copy='${seed}'"], ["override \"hydra.job.env_copy='${seed}'\": hydra.job.env_copy: Hydra"
                                            " cannot take what this leads to: 'int' object is not iterable; takes no"
                                            " interpolation"]),
        (["weights=null"], ["override 'weights=null': weights: null is no option; write '~weights' to choose none"]),
        (["weights=none"], ["override 'weights=none': weights: 'none' is no option of weights; takes {}; write"
                            " '~weights' to choose none".format(", ".join(sorted(FORMATS)))]),
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

    found = str(error.value).replace("built-in conf/weights/checkpoint.yaml:4: ", "")
    assert sorted(found.splitlines()) == sorted(expected)


@pytest.mark.parametrize(
    ("override", "message", "works"),
    [
        (
            f"sha256.examples.npz={DIGEST}",
            "sha256.examples.npz: 'examples.npz' is no key of sha256, which is empty (to add it, write"
            " '+sha256={examples.npz: ...}')",
            f"+sha256={{examples.npz: {DIGEST}}}",
        ),
        (
            "signatures.my.sig.method=add",
            "signatures.my.sig.method: 'my.sig' is no key of signatures; takes serving_default (to add it, write"
            " '+signatures={my.sig: {method: ...}}')",
            "+signatures={my.sig: {method: add}}",
        ),
        (
            "model.name=n",
            "model.name: 'name' is no key of model; takes _target_ (to add it, write '+model.name=...')",
            "+model.name=n",
        ),
        (
            "signatures.serving_default.inputs.x.kind=dense",
            "signatures.serving_default.inputs.x.kind: 'kind' is not there yet; to add it, write"
            " '+signatures.serving_default.inputs.x.kind=...'",
            "+signatures.serving_default.inputs.x.kind=dense",
        ),
        (
            f"sha256={{a.b: {DIGEST}}}",
            f"sha256: 'a.b' is not there yet; to add it, write '+sha256={{a.b: {DIGEST}}}'",
            f"+sha256={{a.b: {DIGEST}}}",
        ),
        (
            "weights.path=p",
            "weights.path: 'path' is not there yet; to add it, write '+weights.path=...', or choose one of"
            f" {', '.join(f'weights={name}' for name in sorted(FORMATS))}",
            "+weights.path=p",
        ),
        ("weights.pth=p", "weights.pth: 'pth' is no key of weights; takes expect, format, path, root (did you mean 'path'?)", None),
        ("audit.random_opps=off", "audit.random_opps: 'random_opps' is no key of audit; takes"
         f" {', '.join(sorted(rule.name for rule in RULES))} (did you mean 'random_ops'?)", None),
        ("signatures.my.methd=add", "signatures.my.methd: 'methd' is no key of signatures.my; takes inputs, method,"
         " method_name, outputs (did you mean 'method'?)", None),
        ("~model.nme", "model.nme: 'nme' is no key of model; takes _target_", None),
        ("seed.x=1", "seed.x: seed holds no keys", None),
    ],
)  # fmt: skip
def test_how_a_key_is_added_is_told_where_the_schema_takes_it_and_works(override, message, works):
    with pytest.raises(ConfigError) as error:
        smdecl.compose([override])

    assert str(error.value) == f"override {override!r}: {message}"
    if works is not None:
        smdecl.compose([works])


def test_an_option_in_a_file_that_is_not_read_is_told(project):
    project.write("conf/model/mine.yaml", "_target_: mynet.Net\n")
    project.write("conf/model/other.yml", "_target_: mynet.Net\n")
    takes = "takes adder, concat, dense, scaler, typed_adder, typed_concat"

    with pytest.raises(ConfigError) as error:
        smdecl.compose(["model=mine"])
    assert str(error.value) == (
        f"override 'model=mine': model: 'mine' is no option of model; {takes}; conf/model/mine.yaml is read with"
        " --config-dir conf"
    )
    with pytest.raises(ConfigError) as error:
        project.compose("model=other")
    assert str(error.value).endswith("; conf/model/other.yml is read where its name ends in .yaml")


def test_a_name_that_no_file_can_have_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "a" * 300
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(ConfigError) as error:
        smdecl.compose([f"model={name}"])
    assert str(error.value) == (
        f"override 'model={name}': model: {name!r} is no option of model; takes adder, concat, dense, scaler,"
        " typed_adder, typed_concat"
    )
    with pytest.raises(ConfigError) as error:
        smdecl.compose(config_name=name)
    assert re.fullmatch(rf".*/{name}.yaml: cannot be read: File name too long", str(error.value))
    for directory in (name, "loop"):
        with pytest.raises(UsageError) as error:
            smdecl.compose(config_dir=directory)
        assert str(error.value) == f"--config-dir: no directory '{tmp_path / directory}'"


def test_what_is_no_file_in_a_config_directory_is_not_read(project):
    project.write("conf/model/broken.yaml", "_target_: mynet.Net\nx: ${b\n")
    (project.root / "conf" / "model" / "a.yaml").mkdir()
    os.mkfifo(project.root / "conf" / "model" / "b.yaml")

    with pytest.raises(ConfigError) as error:
        project.compose("model=broken")
    assert str(error.value).startswith("conf/model/broken.yaml:2: is no interpolation: ")
    for name in "ab":
        with pytest.raises(ConfigError, match=f"'{name}' is no option of model"):
            project.compose(f"model={name}")


@pytest.mark.parametrize("weights", ["  - override /weights: checkpoint\n", ""])
def test_weights_are_taken_away_from_a_release_file_too(project, weights):
    project.write(
        "conf/release/r.yaml",
        f"# @package _global_\ndefaults:\n  - override /model: scaler\n{weights}weights:\n  path: p\n",
    )

    assert project.compose("release=r").values["weights"]["path"] == "p"
    assert project.compose("release=r", "~weights").values["weights"] is None
    taken = project.compose("release=r", "~weights", "+weights.format=keras").values["weights"]
    assert taken == {"format": "keras", "path": "p", "expect": "full"}


@pytest.mark.parametrize(
    ("overrides", "pins"),
    [
        (["~sha256"], "a, net.h5"),
        (["~sha256.a"], "a"),
        (["sha256={}"], "a, net.h5"),
        (["++sha256={}"], "a, net.h5"),
        (["sha256=null"], "a, net.h5"),
    ],
)
def test_an_override_cannot_drop_what_a_release_file_pins(project, overrides, pins):
    project.write(
        "conf/release/r.yaml",
        f"# @package _global_\nsha256:\n  a: {DIGEST!r}\n  net.h5: {DIGEST!r}\n",
    )

    with pytest.raises(ConfigError) as error:
        project.compose("release=r", *overrides)

    assert str(error.value) == (
        f"override '{overrides[0]}': sha256: an override cannot drop the pins of {pins}; change them in"
        " conf/release/r.yaml:3"
    )


def test_pins_are_added_by_overrides_and_their_own_are_taken_away_again(project):
    project.write("conf/release/r.yaml", f"# @package _global_\nsha256: {{a: {DIGEST!r}}}\n")

    more = project.compose("release=r", f"+sha256={{b: {DIGEST}}}").values["sha256"]

    assert list(more) == ["a", "b"]
    assert project.compose(f"+sha256={{b: {DIGEST}}}", "~sha256.b").values["sha256"] == {}
    assert project.compose("sha256={}").values["sha256"] == {}


def test_a_config_directory_that_is_not_there_is_told():
    with pytest.raises(UsageError, match="--config-dir: no directory '.*nowhere'"):
        smdecl.compose(config_dir="nowhere")


def test_a_caller_that_is_a_hydra_app_keeps_its_own_state(tmp_path):
    with initialize_config_dir(str(resources.conf_dir()), version_base="1.3"):
        smdecl.compose(["model=scaler"])
        assert compose("export", ["name=n"]).seed == 0


def test_what_is_read_from_the_environment_stays_unresolved_in_what_is_written_down(monkeypatch):
    monkeypatch.setenv("SECRET", "s3cr3t")
    composition = smdecl.compose(
        ["name=n", "+model.token=${oc.env:SECRET}", "+model.url='http://${model.token}@x'"]
    )

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
    composition = smdecl.compose(
        ["signatures=mine", "verify.loaders=[python,cp]", shape], config_dir="conf"
    )

    assert (
        str(composition.locate(("verify", "loaders", 1))) == "override 'verify.loaders=[python,cp]'"
    )
    assert (
        str(composition.locate(("signatures", "s", "inputs", "x", "shape", 1)))
        == f"override {shape!r}"
    )
    assert (
        str(composition.locate(("signatures", "s", "inputs", "x", "dtype")))
        == "conf/signatures/mine.yaml:3"
    )


@pytest.mark.parametrize(
    "override",
    [
        "verify.ranges={serving_default: {x: [5, 1]}}",
        "++verify.ranges.serving_default={x: [5, 1]}",
        "verify={ranges: {serving_default: {x: [5, 1]}}}",
    ],
)
def test_a_mapping_of_an_override_is_the_origin_of_all_that_it_sets(project, override):
    project.write(
        "conf/verify/mine.yaml", "ranges:\n  serving_default:\n    x: [0, 1]\n    y: [2, 3]\n"
    )

    composition = project.compose("verify=mine", override)

    assert (
        str(composition.locate(("verify", "ranges", "serving_default", "x")))
        == f"override {override!r}"
    )
    assert (
        str(composition.locate(("verify", "ranges", "serving_default", "y")))
        == "conf/verify/mine.yaml:4"
    )


def test_what_an_override_removed_has_no_line(project):
    spec = "signatures.serving_default.inputs.x"
    composition = project.compose("signatures=scalar_float", f"~{spec}", f"+{spec}={{value: 3}}")

    assert (
        str(composition.locate((*spec.split("."), "dtype"))) == f"override '+{spec}={{value: 3}}'"
    )
