"""Compares the errors of each config in tests/invalid/release with its golden file."""

import sys
from pathlib import Path

import pytest
import smdecl
from smdecl.checks import check as checking
from smdecl.checks.signatures import signature_rules
from smdecl.checks.weights.weights_formats import FORMATS
from smdecl.config.project import find_project
from smdecl.config.settings import Spec, Value
from smdecl.errors import ConfigError, TrustError

from tests.conftest import INVALID, ROOT


@pytest.mark.parametrize("name", sorted(path.stem for path in (INVALID / "release").glob("*.yaml")))
def test_an_invalid_config_is_refused_with_every_problem(name, golden, monkeypatch):
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
def test_untrusted_code_raises_a_trust_error(more):
    with pytest.raises(TrustError):
        check("model._target_=os.system", *more)


def test_a_missing_module_raises_no_trust_error():
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


def test_a_valid_config_becomes_records():
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
def test_names_that_tensorflow_keeps_are_accepted(name):
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
def test_versions_that_a_server_parses_are_accepted(version):
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
def test_device_strings_that_tensorflow_parses_are_accepted(device):
    check(f"devices.build={device}", f"options.experimental_io_device={device}")


def errors_of(project, *overrides):
    with pytest.raises(ConfigError) as error:
        checking.check(project.compose(*overrides), find_project(Path.cwd()))
    return str(error.value).splitlines()


def test_a_key_similar_to_the_missing_one_is_suggested(project):
    project.write("conf/model/net.yaml", "_target: net.make\n")

    assert errors_of(project, "model=net") == [
        "conf/model/net.yaml:1: model._target_: is missing; expected a module and a name (such as mynet.Net)"
        " (found '_target' instead)"
    ]


def test_a_primary_config_without_defaults_gets_a_hint_to_include_them(project):
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
def test_the_module_of_the_project_is_suggested_for_a_misspelt_one(project, name, hint):
    project.write("net.py", "")
    project.write("layers/__init__.py", "")
    project.write("conf/model/net.yaml", f"_target_: {name}.make\n")

    assert errors_of(project, "model=net") == [MISSING.format(repr(name), hint)]


def test_running_below_the_root_gives_a_hint_for_a_module_in_the_root(project, monkeypatch):
    project.write("net_of_root.py", "")
    project.write("conf/model/net.yaml", "_target_: net_of_root.make\n")
    monkeypatch.chdir(project.root / "conf")
    monkeypatch.setattr("sys.path", [path for path in sys.path if path != str(project.root)])

    assert errors_of(project, "model=net") == [
        MISSING.format(
            "'net_of_root'", f"; it is in {project.root}: run smdecl from there"
        ).removeprefix("conf/")
    ]


def test_a_module_above_a_directory_of_no_project_gives_a_hint(project, monkeypatch):
    project.write("net_above.py", "")
    project.write("conf/model/net.yaml", "_target_: net_above.make\n")
    (project.root / "pyproject.toml").unlink()
    monkeypatch.chdir(project.root / "conf")
    monkeypatch.setattr("sys.path", [path for path in sys.path if path != str(project.root)])

    hint = "; ../net_above.py exists: run smdecl in .."
    expected = MISSING.format("'net_above'", hint).removeprefix("conf/")
    assert errors_of(project, "model=net") == [expected]


@pytest.mark.parametrize("module", ["shopmodels/__init__.py", "shopmodels/net.py", "shopmodels.py"])
def test_a_package_in_src_gives_a_hint_to_install_it(project, module, monkeypatch):
    project.write(f"src/{module}", "")
    project.write("conf/model/net.yaml", "_target_: shopmodels.make\n")

    found = f"src/{module.partition('/')[0]}"
    hint = f"; {found} exists: run pip install -e ."
    assert errors_of(project, "model=net") == [MISSING.format("'shopmodels'", hint)]
    monkeypatch.chdir(project.root / "conf")
    hint = f"; ../{found} exists: run pip install -e .."
    assert errors_of(project, "model=net") == [
        MISSING.format("'shopmodels'", hint).removeprefix("conf/")
    ]


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("keras_weights", "of/net.weihgts.h5", [
            "no such file: 'of/net.weihgts.h5'; expected a .weights.h5 file of Model.save_weights (did you mean 'of/net.weights.h5'?)",
        ]),
        ("keras_weights", "of/net.h5", [
            "'of/net.h5' is not of the format keras_weights; expected a name that ends in .weights.h5 (did you mean 'of/net.weights.h5'?)",
        ]),
        ("checkpoint", "of/ckpt", [
            "no such file: 'of/ckpt.index'; expected the prefix of a tf.train.Checkpoint, such as ckpt/model-5 (did you mean 'of/ckpt-1'?)",
        ]),
        ("saved_model", "of/savd", [
            "no such file: 'of/savd/saved_model.pb'; expected the directory of a SavedModel (did you mean 'of/saved'?)",
        ]),
        ("keras", "nowhere/net.keras", ["no such file: 'nowhere/net.keras'; expected a .keras file, loaded in safe mode (HDF5 for tf_keras); paths are relative to the current directory HERE"]),
    ],
)  # fmt: skip
def test_similar_weights_are_suggested_for_missing_ones(project, kind, path, expected):
    for name in (
        "net.weights.h5",
        "net.h5",
        "ckpt-1.index",
        "ckpt-1.data-00000-of-00001",
        "saved/saved_model.pb",
    ):
        project.write(f"of/{name}", "")
    where = f"override 'weights.path={path}': weights.path: "

    assert errors_of(project, f"weights={kind}", f"weights.path={path}") == [
        f"{where}{line}".replace("HERE", str(project.root)) for line in expected
    ]


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ([], "00000-of-00001"),
        (["00000-of-00001"], None),
        (["00000-of-00003", "00002-of-00003"], "00001-of-00003"),
        (["00000-of-00001", "00000-of-00002"], None),  # the second may be an old one
    ],
)
def test_a_checkpoint_has_all_its_data_files(tmp_path, there, missing):
    for shard in there:
        (tmp_path / f"c.data-{shard}").touch()

    reason = FORMATS["checkpoint"].refuse(tmp_path / "c")

    if missing is None:
        assert reason is None
    else:
        assert reason.startswith(f"no such file: '{tmp_path}/c.data-{missing}'; expected all ")


@pytest.mark.parametrize(
    ("kind", "path", "prefix"),
    [("checkpoint", "of/c", "of/c"), ("saved_model", "of", "of/variables/variables")],
)
def test_a_checkpoint_without_its_data_is_an_error_of_its_key(project, kind, path, prefix):
    for name in ("of/saved_model.pb", f"{prefix}.index"):
        project.write(name, "")

    assert errors_of(project, f"weights={kind}", f"weights.path={path}") == [
        f"override 'weights.path={path}': weights.path: no such file: '{prefix}.data-00000-of-00001';"
        " expected all data files of the checkpoint beside its index"
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
def test_a_typo_of_serving_default_is_found_if_that_key_is_missing(keys, meant):
    assert [problem.path for problem in signature_rules.misspelt_default(keys)] == [
        ("signatures", key) for key in meant
    ]


@pytest.mark.parametrize("path", ["a" * 300, "a" * 250, "a" * 300 + "/a"])
@pytest.mark.parametrize("option", ["checkpoint", "saved_model"])
def test_a_path_that_no_file_can_have_is_refused_for_weights(option, path):
    with pytest.raises(ConfigError) as error:
        check(f"weights={option}", f"weights.path={path}", f"+sha256={{{path}: {'0' * 64}}}")

    assert "weights.path" in {problem.key for problem in error.value.problems}
