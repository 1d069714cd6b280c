"""All stages: a config becomes a release, or an error that leaves nothing behind."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from smdecl.cli.output import report
from smdecl.errors import (
    ConfigError,
    ContractError,
    ModelError,
    PublishError,
    TrustError,
    VerificationError,
)

from tests.conftest import tree
from tests.serving import serve


def test_a_release_config_pins_everything_and_its_release_is_served(project):
    release = project.export("release=adder_v1")

    assert str(release.path) == "exports/adder/1"
    assert release.version == 1
    assert list(release.signatures) == ["serving_default"]
    loaded = tf.saved_model.load(str(release.path)).signatures["serving_default"](
        x=tf.constant(21.0)
    )
    assert {name: value.numpy() for name, value in loaded.items()} == {"output_0": 42.0}
    assert serve(release.path, "serving_default", x=np.float32(21)) == {"output_0": 42.0}

    with pytest.raises(PublishError) as error:
        project.export("release=adder_v1")
    assert [problem.key for problem in error.value.problems] == ["publish.version"]


def test_the_same_config_makes_the_same_bytes_which_the_manifest_describes(project):
    first, second = (project.export("model=scaler", "model.factor=2") for _ in range(2))

    assert (first.version, second.version) == (1, 2)
    assert first.digest == second.digest
    assert tree(first.path) == tree(second.path)
    manifest = json.loads((first.path / "assets.extra/smdecl/manifest.json").read_text())
    assert manifest["digest"] == first.digest
    assert manifest["config"]["model"] == {"_target_": "smdecl.models.Scaler", "factor": 2}
    assert not {"export_dir", "publish"} & set(manifest["config"])
    assert set(manifest["files"]) == set(tree(first.path)) - {"assets.extra/smdecl/manifest.json"}
    assert manifest["environment"]["tensorflow"] == tf.__version__
    assert manifest["signatures"]["serving_default"]["inputs"] == {
        "x": {"dtype": "float32", "shape": []}
    }


def test_several_signature_files_compose(project):
    release = project.export("model=scaler", "signatures=[scalar_float,vector_float]")

    assert sorted(release.signatures) == ["serving_default", "vector"]
    assert serve(release.path, "vector", x=np.array([1, 2], np.float32))["output_0"].tolist() == [
        3,
        6,
    ]


def test_an_error_in_the_models_code_shows_its_own_lines_and_leaves_nothing(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    @tf.function\n"
        "    def add(self, x):\n"
        "        return x + self.missing\n",
    )

    with pytest.raises(ModelError) as error:
        project.export("model._target_=mynet.Net")

    assert error.value.exit_code == 3
    assert "AttributeError: 'Net' object has no attribute 'missing'" in str(error.value)
    assert 'mynet.py", line 5, in add' in error.value.traceback_text
    assert "smdecl" not in error.value.traceback_text
    assert not (project.root / "exports").exists()


def test_an_output_that_breaks_its_contract_is_reported_with_key_and_line(project):
    with pytest.raises(ContractError) as error:
        project.export("signatures.serving_default.outputs.output_0.dtype=int32")

    assert error.value.exit_code == 4
    assert str(error.value) == (
        "override 'signatures.serving_default.outputs.output_0.dtype=int32': signatures.serving_default.outputs"
        ".output_0: declared int32 [], got float32 []"
    )
    assert not (project.root / "exports").exists()


def test_a_py_function_is_refused(project):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    @tf.function\n"
        "    def add(self, x):\n"
        "        y = tf.py_function(lambda v: v * 2, [x], tf.float32)\n"
        "        return tf.reshape(y, [])\n",
    )

    with pytest.raises(ContractError, match=r"audit\.py_function: .*EagerPyFunc runs Python"):
        project.export("model._target_=mynet.Net")
    with pytest.raises(VerificationError) as error:
        project.export("model._target_=mynet.Net", "audit=off")

    assert error.value.exit_code == 4
    assert {problem.key for problem in error.value.problems} == {"signatures.serving_default"}
    assert not (project.root / "exports").exists()


def test_a_model_that_computes_differently_after_loading_is_refused(project):
    # Python state is baked into the trace: the graph multiplies by what the counter was when it was traced.
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    calls = 0\n"
        "    @tf.function\n"
        "    def add(self, x):\n"
        "        self.calls += 1\n"
        "        return x + self.calls\n",
    )

    with pytest.raises(VerificationError) as error:
        project.export("model._target_=mynet.Net")

    assert "example 0, python loader: output_0 is" in str(error.value)
    assert "within rtol 0.0001, atol 1e-05" in str(error.value)


def test_a_failing_example_is_reported_with_its_line_after_the_warnings(project, capsys):
    project.write(
        "mynet.py",
        "import tensorflow as tf\n"
        "class Net(tf.Module):\n"
        "    def add(self, x):\n"
        "        eager = 1.0 if tf.executing_eagerly() else 0.0\n"
        "        return x + eager * (x - 1) + 0.0 * tf.random.normal([])\n",
    )
    project.write(
        "conf/verify/mine.yaml",
        "defaults: [default]\n"
        "loaders: [python]\n"
        "examples:\n"
        "  serving_default:\n"
        "    - {inputs: {x: 1}}\n"
        "    - {inputs: {x: 2}}\n",
    )

    with pytest.raises(VerificationError) as error:
        project.export("model._target_=mynet.Net", "verify=mine")
    report.error(error.value)

    warning, error_line = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"smdecl: warning: built-in conf/export.yaml:\d+: audit.random_ops: \S+: RandomStandardNormal returns different"
        r" values on each call \(mynet.py:5\)",
        warning,
    )
    assert error_line == (
        "smdecl: error: conf/verify/mine.yaml:6: verify.examples.serving_default[1]: python loader: output_0 is 2.0,"
        " expected 3.0 within rtol 0.0001, atol 1e-05"
    )


ENDING = """
import ctypes
import os

import tensorflow as tf


class Part:
    def __init__(self, where):
        if where == "part":
            os._exit(7)


class Net(tf.Module):
    def __init__(self, where, part=None):
        super().__init__()
        self.where = where
        if where == "built":
            os.kill(os.getpid(), 9)

    @tf.function
    def add(self, x):
        if self.where == "traced":
            ctypes.string_at(0)
        if self.where == "called" and tf.executing_eagerly():
            os.abort()
        return x
"""


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            "built",
            r".*: model: .* was killed by SIGKILL while building ending.Net \(stage build\);"
            r" the system does that when memory runs out; it had used up to 0\.\d\d GB",
        ),
        (
            "traced",
            ".*: signatures.serving_default: .* was killed by SIGSEGV while tracing add with the"
            r" declared inputs \(stage trace\), by an invalid access to memory in native code",
        ),
        (
            "called",
            r".*verify.examples.serving_default\[0\]: .* was killed by SIGABRT while calling the"
            r" object in memory on this example, x float32 \[\] \(stage examples\); .*",
        ),
        pytest.param(
            "part",
            ".*: model.part: .* exited with status 7 while building ending.Part"
            r" \(stage build\) without a result; does the model's own code call os._exit\?",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "imported",
            ".*: model._target_: .* exited with status 0 while importing 'ending'"
            r" \(stage build\) without a result; .*",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_code_that_ends_its_process_is_named_with_its_key_and_stage(project, where, message):
    ends = "import os\nos._exit(0)\n" if where == "imported" else ""
    project.write("ending.py", ends + ENDING)
    part = f"+model.part={{_target_: ending.Part, where: {where}}}"

    with pytest.raises(ModelError) as error:
        project.export("model._target_=ending.Net", f"+model.where={where}", part)

    assert re.fullmatch(message, str(error.value))
    assert "the process that was building and saving ending.Net" in str(error.value)
    assert not (project.root / "exports").exists()


def test_values_from_the_environment_are_not_recorded(project, monkeypatch):
    monkeypatch.setenv("FACTOR", "4.5")

    project.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["FACTOR"]\n')
    release = project.export("model=scaler", "model.factor='${oc.decode:${oc.env:FACTOR}}'")

    assert serve(release.path, "serving_default", x=np.float32(2)) == {"output_0": 9.0}
    manifest = (release.path / "assets.extra/smdecl/manifest.json").read_text()
    assert "4.5" not in manifest
    assert "${oc.env:FACTOR}" in manifest


def test_a_missing_method_is_reported_with_the_existing_ones(project):
    with pytest.raises(ConfigError) as error:
        project.export("signatures.serving_default.method=ad")

    assert str(error.value) == (
        "override 'signatures.serving_default.method=ad': signatures.serving_default.method: unknown method 'ad' of Adder;"
        " expected one of add (did you mean 'add'?)"
    )


def test_only_declared_environment_variables_are_read(project, monkeypatch):
    monkeypatch.setenv("SECRET", "hidden")

    with pytest.raises(TrustError) as error:
        project.export(
            "model=scaler", "name='x${oc.env:SECRET}'", "seed='${oc.decode:${oc.env:NOT_THERE,3}}'"
        )

    add = f"which the project does not declare; add it to environment in [tool.smdecl] of {project.root}/pyproject.toml"
    assert [f"{problem.key}: {problem.message}" for problem in error.value.problems] == [
        f"name: reads the environment variable 'SECRET', {add}",
        f"seed: reads the environment variable 'NOT_THERE', {add}",
    ]
    assert "hidden" not in str(error.value)


REMOVING = """
import shutil

import tensorflow as tf


class Removing(tf.Module):
    @tf.function
    def add(self, x):
        self.remove()
        return x

    @tf.autograph.experimental.do_not_convert
    def remove(self):
        if tf.executing_eagerly():  # while an example runs
            shutil.rmtree("exports", ignore_errors=True)
"""


def test_an_export_dir_that_is_removed_meanwhile_is_not_blamed_on_the_model(project):
    project.write("removing.py", REMOVING)

    with pytest.raises(PublishError, match=r"/\.smdecl-\S+' was removed while the export"):
        project.export("model._target_=removing.Removing")
    assert not (project.root / "exports").exists()
