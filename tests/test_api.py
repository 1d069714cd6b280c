"""The Python API: what the command line does, as two functions."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

import smdecl
from smdecl.errors import UsageError
from tests.conftest import ROOT


def test_an_export_returns_what_was_published(project):
    release = smdecl.export(smdecl.compose(["model=scaler"]))

    assert str(release.path) == "exports/scaler/1"
    assert len(release.digest) == 64
    assert release.signatures["serving_default"].inputs["x"].dtype == "float32"
    assert release.warnings == ()
    with pytest.raises(AttributeError):
        release.version = 2


def test_within_a_tf_function_it_says_so(project):
    composition = smdecl.compose()

    @tf.function
    def body():
        smdecl.export(composition)

    # AutoGraph wraps what is raised in a body into an error of its own, with the text kept.
    with pytest.raises(Exception, match="UsageError: .*called from within the body of a tf.function; call it outside"):
        body()


def test_in_graph_mode_it_says_so(project):
    composition = smdecl.compose()
    with tf.Graph().as_default(), pytest.raises(UsageError, match="called in graph mode"):
        smdecl.export(composition)


def test_a_class_of_the_calling_script_is_told_to_move(tmp_path):
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
        "'__main__.Net' is in the script that is running, which no other process can import; put it into a module"
        in done.stdout
    )


def test_another_package_is_trusted_by_name(project, monkeypatch):
    outside = project.root.parent / "outside"
    outside.mkdir()
    (outside / "othernet.py").write_text(
        "import tensorflow as tf\nclass Net(tf.Module):\n    def add(self, x): return x\n"
    )
    monkeypatch.syspath_prepend(outside)

    with pytest.raises(smdecl.errors.TrustError, match="--trust othernet"):
        project.export("model._target_=othernet.Net")
    assert project.export("model._target_=othernet.Net", trust_packages=["othernet"]).version == 1
