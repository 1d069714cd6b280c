"""Each invalid config under tests/invalid/release beside the exact text that it is refused with."""

import sys
from pathlib import Path

import pytest
import smdecl
from smdecl.checks import check as checking
from smdecl.checks import signature_rules
from smdecl.config.project import find_project
from smdecl.config.settings import Spec, Value
from smdecl.errors import ConfigError, TrustError

from tests.conftest import ROOT

INVALID = ROOT / "tests/invalid"


@pytest.mark.parametrize("name", sorted(path.stem for path in (INVALID / "release").glob("*.yaml")))
def test_an_invalid_config_is_refused_with_all_that_is_wrong(name, golden, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError) as error:
        composition = smdecl.compose([f"release={name}"], config_dir=INVALID)
        checking.check(composition, find_project(Path.cwd()))

    assert error.value.exit_code == 2
    golden(INVALID / f"{name}.errors.txt", f"{error.value}\n".replace(f"{ROOT}", "ROOT"))


def check(*overrides):
    return checking.check(smdecl.compose(overrides), find_project(Path.cwd()))


@pytest.mark.parametrize(
    "more", [[], ["publish.version=v2"], ["+model.x={_target_: nomodule.Net}"]]
)
def test_what_is_refused_for_trust_says_so_by_its_type(more):
    with pytest.raises(TrustError):
        check("model._target_=os.system", *more)


def test_what_is_not_there_is_not_refused_for_trust():
    with pytest.raises(ConfigError) as error:
        check("model._target_=nomodule.Net")

    assert type(error.value) is ConfigError


@pytest.mark.parametrize(
    "options",
    [
        *(f"{group.name}={path.stem}" for group in sorted((ROOT / "conf").iterdir()) if group.is_dir()
          for path in sorted(group.glob("*.yaml")) if group.name not in ("weights", "hydra")),
        "signatures=[scalar_float,vector_float]",
        "~weights",
    ],
)  # fmt: skip
def test_every_built_in_option_passes(options):
    config = check(options)

    assert config.name == options.removeprefix("model=") or config.name == "adder"


def test_the_config_becomes_records():
    config = check(
        "+signatures.nest={method: add, inputs: {x: [{shape: [n, null], dtype: int8, name: a}, {value: 3}]}}"
    )

    signature = config.signatures["nest"]
    assert signature.method == "add"
    assert signature.inputs == {
        "x": (Spec(("n", None), "int8", "a"), Value(3)),
    }
    assert config.signatures["serving_default"].outputs == {"output_0": Spec((), "float32")}


@pytest.mark.parametrize(
    "name", ["x", "X", "x.y", "x-y", "x/y", "1x", "x_", "inputs", "training", ".x", "9"]
)
def test_names_that_tensorflow_keeps_are_taken(name):
    check(f"signatures.serving_default.inputs.x.name='{name}'")


def test_a_base_path_within_a_saved_model_is_refused(project):
    project.write("exports/adder/1/saved_model.pb", "")

    with pytest.raises(ConfigError) as error:
        check("name=adder/1")
    assert str(error.value).endswith(
        "export_dir: 'exports/adder/1' is inside the SavedModel 'exports/adder/1'; set a different path"
    )
    check("name=adder/1", "publish=in_place", "publish.replace=true")


@pytest.mark.parametrize("version", ["next", "0", "1", "9223372036854775807", "null"])
def test_versions_that_a_server_parses_are_taken(version):
    check(f"publish.version={version}")


@pytest.mark.parametrize(
    "device",
    [
        "/CPU:0",
        "/device:CPU:0",
        "CPU:0",
        "/GPU:1",
        "/job:worker/replica:0/task:1/device:GPU:0",
        "/job:w",
    ],
)
def test_device_strings_are_taken_as_tensorflow_takes_them(device):
    check(f"devices.build={device}", f"options.experimental_io_device={device}")


def told(project, *overrides):
    with pytest.raises(ConfigError) as error:
        checking.check(project.compose(*overrides), find_project(Path.cwd()))
    return str(error.value).splitlines()


def test_a_key_similar_to_the_missing_one_is_suggested(project):
    project.write("conf/model/net.yaml", "_target: net.make\n")

    assert told(project, "model=net") == [
        "conf/model/net.yaml:1: model._target_: is missing; expected a module and a name (such as mynet.Net)"
        " (found '_target' instead)"
    ]


def test_a_primary_config_without_the_defaults_is_told_how_it_gets_them(project):
    project.write("conf/model/net.yaml", "_target_: smdecl.models.Adder\nname: x\n")
    project.write("conf/options/mine.yaml", "extra_tags: gpu\n")
    own = "  - model: net\n  - options: mine\n  - override hydra/{0}_logging: none\n  - override hydra/{1}_logging: none\n"
    own = f"defaults:\n{own.format('hydra', 'job')}"
    project.write("conf/mine.yaml", f"{own}  - _self_\nseed: x\n")
    project.write(
        "conf/based.yaml", "defaults:\n  - export\n  - override /model: net\n  - _self_\nseed: 1\n"
    )

    with pytest.raises(ConfigError) as error:
        checking.check(
            smdecl.compose(config_dir="conf", config_name="mine"), find_project(project.root)
        )

    assert str(error.value).splitlines() == [
        "the primary config lacks audit, devices, export_dir, name, publish, sha256, signatures, verify, weights; begin"
        " its defaults list with '- export', which has them",
        'conf/options/mine.yaml:1: options.extra_tags: expected a list or null, got the string "gpu"',
        'conf/mine.yaml:7: seed: expected an integer, got the string "x"',
    ]
    based = checking.check(
        smdecl.compose(config_dir="conf", config_name="based"), find_project(project.root)
    )
    assert (based.seed, based.name) == (1, "net")


MISSING = (
    "conf/model/net.yaml:1: model._target_: no module {} in the current directory or on sys.path{}"
)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("nte", " (did you mean 'net'?)"), ("laers", " (did you mean 'layers'?)"), ("conff", "")],
)
def test_a_misspelt_module_is_told_with_the_one_of_the_project(project, name, hint):
    project.write("net.py", "")
    project.write("layers/__init__.py", "")
    project.write("conf/model/net.yaml", f"_target_: {name}.make\n")

    assert told(project, "model=net") == [MISSING.format(repr(name), hint)]


def test_a_module_of_the_root_is_told_where_smdecl_runs_below_it(project, monkeypatch):
    project.write("net_of_root.py", "")
    project.write("conf/model/net.yaml", "_target_: net_of_root.make\n")
    monkeypatch.chdir(project.root / "conf")
    monkeypatch.setattr("sys.path", [path for path in sys.path if path != str(project.root)])

    assert told(project, "model=net") == [
        MISSING.format(
            "'net_of_root'", f"; it is in {project.root}: run smdecl from there"
        ).removeprefix("conf/")
    ]


@pytest.mark.parametrize("module", ["shopmodels/__init__.py", "shopmodels/net.py", "shopmodels.py"])
def test_a_package_below_src_is_told_with_how_it_is_installed(project, module, monkeypatch):
    project.write(f"src/{module}", "")
    project.write("conf/model/net.yaml", "_target_: shopmodels.make\n")

    found = f"src/{module.partition('/')[0]}"
    hint = f"; {found} exists: run pip install -e ."
    assert told(project, "model=net") == [MISSING.format("'shopmodels'", hint)]
    monkeypatch.chdir(project.root / "conf")
    hint = f"; ../{found} exists: run pip install -e .."
    assert told(project, "model=net") == [
        MISSING.format("'shopmodels'", hint).removeprefix("conf/")
    ]


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("keras_weights", "of/net.weihgts.h5", [
            "'of/net.weihgts.h5' is not of the format keras_weights; expected a name that ends in .weights.h5",
            "no such file: 'of/net.weihgts.h5'; expected a .weights.h5 file of Model.save_weights (did you mean 'of/net.weights.h5'?)",
        ]),
        ("keras_weights", "of/net.h5", [
            "'of/net.h5' is not of the format keras_weights; expected a name that ends in .weights.h5 (did you mean 'of/net.weights.h5'?)",
            "'of/net.h5' is empty",
        ]),
        ("checkpoint", "of/ckpt", [
            "no such file: 'of/ckpt.index'; expected the prefix of a tf.train.Checkpoint, such as ckpt/model-5 (did you mean 'of/ckpt-1'?)",
        ]),
        ("saved_model", "of/savd", [
            "no such file: 'of/savd/saved_model.pb'; expected the directory of a SavedModel (did you mean 'of/saved'?)",
        ]),
        ("keras", "nowhere/net.keras", ["no such file: 'nowhere/net.keras'; expected a .keras file, loaded in safe mode (HDF5 for tf_keras)"]),
    ],
)  # fmt: skip
def test_weights_that_are_not_there_are_told_with_the_nearest_file(project, kind, path, expected):
    for name in (
        "net.weights.h5",
        "net.h5",
        "ckpt-1.index",
        "ckpt-1.data-00000-of-00001",
        "saved/saved_model.pb",
    ):
        project.write(f"of/{name}", "")
    where = f"override 'weights.path={path}': weights.path: "

    assert told(project, f"weights={kind}", f"weights.path={path}") == [
        f"{where}{line}" for line in expected
    ]


@pytest.mark.parametrize(
    ("keys", "meant"),
    [
        (["score", "serving_defualt"], ["serving_defualt"]),
        (["serving-default"], ["serving-default"]),
        (["serving_default", "serving_defualt"], []),
        (["serving_default_v2"], []),
        (["serve", "default", "serving_bytes"], []),
        ([], []),
    ],
)
def test_a_key_that_is_nearly_serving_default_is_found_where_that_is_missing(keys, meant):
    assert [problem.path for problem in signature_rules.misspelt_default(keys)] == [
        ("signatures", key) for key in meant
    ]


@pytest.mark.parametrize("path", ["a" * 300, "a" * 250, "a" * 300 + "/a"])
@pytest.mark.parametrize("option", ["checkpoint", "saved_model"])
def test_a_path_of_weights_that_no_file_can_have_is_told(option, path):
    with pytest.raises(ConfigError) as error:
        check(f"weights={option}", f"weights.path={path}", f"+sha256={{{path}: {'0' * 64}}}")

    assert "weights.path" in {problem.key for problem in error.value.problems}
