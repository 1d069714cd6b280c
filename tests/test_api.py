"""The Python API: what the command line does, as two functions."""

import concurrent.futures
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


def test_threads_export_side_by_side_and_the_process_is_as_it_was(project):
    composition = smdecl.compose()
    before, main = dict(os.environ), sys.modules["__main__"]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        releases = list(pool.map(lambda _: smdecl.export(composition), range(4)))

    assert sorted(release.version for release in releases) == [1, 2, 3, 4]
    assert len({release.digest for release in releases}) == 1
    assert dict(os.environ) == before
    assert sys.modules["__main__"] is main


def test_the_models_code_sees_the_environment_of_the_call(project, monkeypatch):
    project.write(
        "mynet.py",
        "import os\nfrom smdecl.models import Scaler\ndef make(): return Scaler(float(os.environ['MY_FACTOR']))\n",
    )
    digests = set()
    for factor in ("2", "3", "2"):
        monkeypatch.setenv("MY_FACTOR", factor)
        digests.add(project.export("model._target_=mynet.make").digest)

    assert len(digests) == 2
