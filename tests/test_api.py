"""The Python API: the verbs of the command line as functions."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import smdecl
from omegaconf import OmegaConf
from smdecl.errors import UsageError, VerificationError

from tests.conftest import ROOT


def test_an_export_returns_what_was_published(project):
    release = smdecl.export(smdecl.compose(["model=scaler"]))

    assert str(release.path) == "exports/scaler/1"
    assert len(release.digest) == 64
    assert release.signatures["serving_default"].inputs["x"].dtype == "float32"
    assert release.warnings == ()
    assert 100 * 2**20 < release.peak_memory < 16 * 2**30  # TensorFlow is in it
    with pytest.raises(AttributeError):
        release.version = 2


VERBS = ["check", "compose", "diff", "export", "inspect", "plan", "reproduce", "sweep", "verify"]


def test_a_name_is_listed_has_a_docstring_and_is_what_type_checkers_see():
    assert set(VERBS) <= set(dir(smdecl))
    assert dir(smdecl) == sorted(smdecl.__all__, key=smdecl.__all__.index)
    for name in VERBS:
        assert inspect.getdoc(getattr(smdecl, name))
    for name in smdecl.__all__:
        assert getattr(smdecl, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'exprot'"):
        smdecl.exprot  # noqa: B018


def test_each_verb_returns_the_record_that_the_command_line_prints(project):
    config = smdecl.compose(["model=scaler"])

    checked = smdecl.check(config)
    planned = smdecl.plan(config)
    assert (checked.config.name, checked.warnings) == ("scaler", ())
    assert planned.signatures["serving_default"].inputs["x"].dtype == "float32"
    assert not Path("exports").exists()

    release = smdecl.export(config)
    verified = smdecl.verify(str(release.path))
    again = smdecl.reproduce(release.path)
    assert (verified.path, verified.digest, verified.examples) == (
        release.path,
        release.digest,
        {"serving_default": 3},
    )
    assert "saved_model.pb" in verified.files
    assert (verified.is_signed, verified.key) == (False, None)
    assert (again.path, again.digest, again.changes) == (release.path, release.digest, ())
    assert smdecl.inspect(release.path).release.digest == release.digest
    assert smdecl.diff(str(release.path), release.path).verdict == "same"

    with pytest.raises(VerificationError, match="model.factor"):
        smdecl.reproduce(release.path, {**MAPPING, "name": "scaler"})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: smdecl.compose("model=adder"),
            "overrides: expected a list of strings, got the string 'model=adder'",
        ),
        (
            lambda: smdecl.compose(["seed=1", 2]),
            "overrides: expected a list of strings, got int in it",
        ),
        (lambda: smdecl.compose(config_dir=["here", "nowhere"]), "no such directory: '.*nowhere'"),
        (lambda: smdecl.export("model=adder"), "config: expected .*, got the string 'model=adder'"),
        (lambda: smdecl.check(["model=adder"]), "config: expected .*, got list"),
        (
            lambda: smdecl.check(smdecl.compose(), trust_packages="net"),
            "trust_packages: expected a list of strings",
        ),
        (lambda: smdecl.sweep("model=adder,scaler"), "overrides: expected a list of strings"),
        (
            lambda: smdecl.sweep(["model=adder,scaler"], jobs=0),
            "jobs: expected an integer of at least 1, or 'auto', got 0",
        ),
        (
            lambda: smdecl.verify("exports", allow_ops="ReadFile"),
            "allow_ops: expected a list of strings",
        ),
        (
            lambda: smdecl.inspect("gs://models/1"),
            "'gs://models/1' is a URL; expected a local directory",
        ),
        (lambda: smdecl.diff("nowhere", Path("here")), "nowhere"),
        (lambda: smdecl.diff("here", None), "after: expected a path, got NoneType"),
        (lambda: smdecl.inspect(b"here"), "directory: expected a path, got bytes"),
        (lambda: smdecl.verify("here", key=3), "key: expected a path, got int"),
        (lambda: smdecl.compose(None), "overrides: expected a list of strings, got NoneType"),
        (lambda: smdecl.compose(config_dir=[None]), "config_dir: expected a path, got NoneType"),
        (lambda: smdecl.compose(config_dir=3), "config_dir: expected a path or a list of paths"),
        (lambda: smdecl.sweep(["seed=1,2"], resume=3), "resume: expected a path, got int"),
    ],
)
def test_an_invalid_argument_is_a_usage_error(project, call, message):
    Path("here").mkdir()
    with pytest.raises(UsageError, match=message):
        call()


def test_of_several_config_directories_the_first_wins(project):
    for name, seed in (("one", 1), ("two", 2)):
        project.write(f"{name}/release/mine.yaml", f"# @package _global_\nseed: {seed}\n")
    project.write("two/model/other.yaml", "_target_: smdecl.models.Adder\n")

    config = smdecl.compose(["release=mine", "model=other"], config_dir=["one", Path("two")])

    assert (config.values["seed"], config.values["name"]) == (1, "other")
    assert smdecl.compose(["release=mine"], config_dir=Path("two")).values["seed"] == 2


def test_a_sweep_returns_the_outcome_of_each_variant_and_prints_nothing(project, capfd):
    found = smdecl.sweep(["model=adder,scaler,addr"], jobs="auto")

    assert [variant.overrides for variant in found] == [
        ("model=adder",),
        ("model=scaler",),
        ("model=addr",),
    ]
    assert [variant.exit_code for variant in found] == [0, 0, 2]
    assert [variant.path for variant in found] == [
        "exports/adder/model=adder/1",
        "exports/scaler/model=scaler/1",
        None,
    ]
    assert smdecl.inspect(found[0].path).release.digest == found[0].digest
    assert "did you mean 'adder'" in found[2].errors[0]
    assert capfd.readouterr() == ("", "")


MAPPING = {
    "model": {"_target_": "smdecl.models.Scaler", "factor": 2.0},
    "signatures": {
        "serving_default": {"method": "add", "inputs": {"x": {"shape": (), "dtype": "float32"}}}
    },
}


def test_a_mapping_is_merged_into_the_defaults():
    config = smdecl.check(
        {**MAPPING, "audit": {"consumer": {"tensorflow": "2.16"}}, "export_dir": Path("out")}
    ).config

    assert (config.name, config.export_dir, config.seed) == ("Scaler", "out", 0)
    assert list(config.signatures) == ["serving_default"]
    assert config.signatures["serving_default"].inputs["x"].shape == ()
    assert (config.audit.consumer, config.audit.levels["consumer"]) == ("2.16", "error")
    assert smdecl.check({}).config == smdecl.check(smdecl.compose()).config
    assert (
        smdecl.check(OmegaConf.create({"name": "n", "export_dir": "to/${name}"})).config.export_dir
        == "to/n"
    )
    assert smdecl.check({"name": "n", "export_dir": "to/${name}"}).config.export_dir == "to/n"


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"modle": {}, "seed": "x"}, "modle.*did you mean 'model'"),
        (
            {"model": "adder"},
            r'^model: expected a mapping, got the string .adder.; smdecl.compose\(\["model=adder"\]\)',
        ),
        ({"seed": object()}, "^seed: expected text, a number, a list or a mapping, got object"),
        ({"hydra": {"run": {}}}, "^hydra: expected no settings of Hydra"),
        ({"name": "${nowhere}"}, "^name: Interpolation key 'nowhere' not found"),
        ({"model": {"_target_": "os.system", "command": "true"}}, "^model._target_: "),
        (OmegaConf.create({"name": "???"}), "Missing mandatory value: name"),
    ],
)
def test_an_invalid_mapping_is_reported_with_its_keys(mapping, message):
    with pytest.raises(smdecl.errors.ConfigError, match=message):
        smdecl.check(mapping)


def test_a_mapping_that_contains_itself_is_a_config_error():
    model = {"_target_": "smdecl.models.Scaler"}
    model["factor"] = model

    with pytest.raises(smdecl.errors.ConfigError, match="nested more than 64 levels deep"):
        smdecl.check({"model": model})


def test_a_class_of_the_calling_script_is_refused_with_a_hint(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import smdecl\nclass Net: pass\n"
        "try: smdecl.export(smdecl.compose(['model._target_=__main__.Net']))\n"
        "except smdecl.errors.ConfigError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert (
        "'__main__.Net' is defined in the running script, which other processes cannot import; move it to a module"
        in done.stdout
    )


def test_a_package_is_trusted_by_name(project, monkeypatch):
    outside = project.root.parent / "outside"
    outside.mkdir()
    (outside / "othernet.py").write_text(
        "import tensorflow as tf\nclass Net(tf.Module):\n    def add(self, x): return x\n"
    )
    monkeypatch.syspath_prepend(outside)

    with pytest.raises(smdecl.errors.TrustError, match="--trust othernet"):
        project.export("model._target_=othernet.Net")
    assert project.export("model._target_=othernet.Net", trust_packages=["othernet"]).version == 1
