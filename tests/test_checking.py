"""Each invalid config under tests/invalid/release beside the exact text that it is refused with."""

from pathlib import Path

import pytest

import smdecl
from smdecl import checking, trust
from smdecl.errors import ConfigError, TrustError
from tests.conftest import ROOT

INVALID = Path(__file__).parent / "invalid"


@pytest.mark.parametrize("name", sorted(path.stem for path in (INVALID / "release").glob("*.yaml")))
def test_an_invalid_config_is_refused_with_all_that_is_wrong(name, golden, monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError) as error:
        composition = smdecl.compose([f"release={name}"], config_dir=INVALID)
        checking.check(composition, trust.find_project(Path.cwd()))

    assert error.value.exit_code == 2
    golden(INVALID / f"{name}.errors.txt", f"{error.value}\n".replace(f"{ROOT}", "ROOT"))


def check(*overrides):
    return checking.check(smdecl.compose(overrides), trust.find_project(Path.cwd()))


@pytest.mark.parametrize("more", [[], ["publish.version=v2"], ["+model.x={_target_: nomodule.Net}"]])
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
        "x": (smdecl.config.Spec(("n", None), "int8", "a"), smdecl.config.Value(3)),
    }
    assert config.signatures["serving_default"].outputs == {"output_0": smdecl.config.Spec((), "float32")}


@pytest.mark.parametrize("name", ["x", "X", "x.y", "x-y", "x/y", "1x", "x_", "inputs", "training", ".x", "9"])
def test_names_that_tensorflow_keeps_are_taken(name):
    check(f"signatures.serving_default.inputs.x.name='{name}'")


def test_a_base_path_within_a_saved_model_is_refused(project):
    project.write("exports/adder/1/saved_model.pb", "")

    with pytest.raises(ConfigError) as error:
        check("name=adder/1")
    assert str(error.value).endswith(
        "export_dir: 'exports/adder/1' lies in the SavedModel 'exports/adder/1'; takes another place"
    )
    check("name=adder/1", "publish=in_place", "publish.replace=true")


@pytest.mark.parametrize("version", ["next", "0", "1", "9223372036854775807", "null"])
def test_versions_that_a_server_parses_are_taken(version):
    check(f"publish.version={version}")


@pytest.mark.parametrize(
    "device", ["/CPU:0", "/device:CPU:0", "CPU:0", "/GPU:1", "/job:worker/replica:0/task:1/device:GPU:0", "/job:w"]
)
def test_device_strings_are_taken_as_tensorflow_takes_them(device):
    check(f"devices.build={device}", f"options.experimental_io_device={device}")


@pytest.mark.parametrize("path", ["a" * 300, "a" * 250, "a" * 300 + "/a"])
@pytest.mark.parametrize("option", ["checkpoint", "saved_model"])
def test_a_path_of_weights_that_no_file_can_have_is_told(option, path):
    with pytest.raises(ConfigError) as error:
        check(f"weights={option}", f"weights.path={path}", f"+sha256={{{path}: {'0' * 64}}}")

    assert "weights.path" in {problem.key for problem in error.value.problems}
