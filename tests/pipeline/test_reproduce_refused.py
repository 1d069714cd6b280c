"""Releases that cannot be reproduced: untrusted code, other projects, invalid configs."""

import os
import shutil
import sys

import pytest
import smdecl
import tensorflow as tf
from smdecl.config.project import find_project
from smdecl.errors import ModelError, SmdeclError, TrustError, VerificationError
from smdecl.pipeline import reproduce, verify
from smdecl.release import manifest

from tests.conftest import forge_manifest
from tests.pipeline.reproducible import NET, copy_release, write_net


@pytest.fixture
def net(project):
    return write_net(project)


@pytest.fixture
def release(net, tmp_path_factory):
    return copy_release(tmp_path_factory, net)


def test_untrusted_code_in_a_manifest_does_not_run(net, release):
    net.write("elsewhere/outside.py", NET)
    shutil.copytree(release.path, net.root / "elsewhere" / "release")
    other = net.root / "elsewhere"
    (other / "pyproject.toml").write_text("")

    with pytest.raises(TrustError) as error:
        reproduce.reproduce(other / "release", find_project(other))
    assert (error.value.exit_code, [str(problem) for problem in error.value.problems]) == (
        2,
        [
            f"{other}/release: {elsewhere(other)}",
            f"model._target_: 'mynet' is not defined in the project {other}; to trust it, pass --trust mynet or add it"
            " to trust under [tool.smdecl] in the project's pyproject.toml",
        ],
    )


def elsewhere(root, more=""):
    hint = "run it in the project that the release was made in, or in a different checkout of it"
    return f"was made from mynet.py{more}, but the project {root} has no such file; {hint}"


def test_outside_of_its_project_a_release_is_refused_with_a_hint(net, tmp_path, monkeypatch):
    net.write("other.py", "")
    release = net.export("model._target_=mynet.Net", "+model.scale=3.0").path
    net.write("mynet.py", f"import other{NET}")
    more = net.export("model._target_=mynet.Net").path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(net.root)])
    sys.modules.pop("mynet", None)

    for path, others in ((release, ""), (more, " and 1 more")):
        with pytest.raises(VerificationError) as error:
            reproduce.reproduce(net.root / path, find_project(tmp_path))
        assert [str(problem) for problem in error.value.problems] == [
            f"{net.root / path}: {elsewhere(tmp_path, others)}",
            "model._target_: no module 'mynet' in the current directory or on sys.path"
            "; project/mynet.py exists: run smdecl in project",
        ]


def test_an_environment_variable_is_reported_by_its_name(net):
    net.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["SMDECL_TEST_TOKEN"]\n')
    net.write("mynet.py", NET.replace("scale=2.0", "scale=2.0, token=None"))
    override = "+model.token=${oc.env:SMDECL_TEST_TOKEN}"
    os.environ["SMDECL_TEST_TOKEN"] = "hunter2secret"
    try:
        release = net.export("model._target_=mynet.Net", override)
        net.write(
            "mynet.py",
            NET.replace("scale=2.0", "scale=2.0, token=None").replace(
                "super().__init__()", "raise OSError(token)"
            ),
        )
        with pytest.raises(ModelError) as error:
            reproduce.reproduce(release.path, find_project(net.root))
    finally:
        del os.environ["SMDECL_TEST_TOKEN"]

    assert "hunter2secret" not in str(error.value) + error.value.traceback_text
    assert "${oc.env:SMDECL_TEST_TOKEN}" in str(error.value)


@pytest.mark.parametrize(
    "arguments", [["seed=5"], ["--config-name", "other"], ["--config-dir", "conf"]]
)
def test_environment_accepts_no_config(net, arguments):
    done = net.run("reproduce", "exports/adder/1", "--environment", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "smdecl: error: smdecl reproduce: --environment compares with the manifest; expected no config\n"
    )


def test_a_different_primary_config_is_used(net, release):
    done = net.run("reproduce", str(release.path), "--config-name", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere" in done.stderr


@pytest.mark.parametrize(
    "changed",
    [{}, {"signatures": {"x": 5}, "verify": []}, {"signatures": {}, "verify": 1}, {"name": "${"}],
)
def test_an_invalid_config_in_a_manifest_is_reported(net, release, changed):
    config = manifest.read(release.path)["config"]
    forge_manifest(release.path, config={**config, **changed} if "name" in changed else changed)

    with pytest.raises(SmdeclError) as error:
        reproduce.reproduce(release.path, find_project(net.root))
    assert error.value.exit_code in (2, 4)
    if "name" not in changed:
        with pytest.raises(VerificationError, match="its config cannot be verified by: "):
            verify.verify(release.path)


def test_an_audit_rule_of_a_newer_smdecl_is_named(net, release):
    released = manifest.read(release.path)
    rules = dict(sorted({**released["config"]["audit"], "clock_ops": "warn"}.items()))
    forge_manifest(
        release.path,
        config={**released["config"], "audit": rules},
        environment={**released["environment"], "smdecl": "99.0"},
    )

    message = (
        f"{release.path}: was made by smdecl 99.0, whose audit.clock_ops is unknown to smdecl"
        f" {smdecl.__version__}; expected smdecl 99.0"
    )
    assert refused(net, release) == [message]


def test_missing_and_changed_inputs_of_a_release_are_verification_errors(net):
    net.write("mynet.py", NET)
    write_factor([1.0, 2.0, 3.0])
    config = ["model._target_=mynet.Net", "weights=checkpoint", "weights.path=factor"]
    release = net.export(*config)

    for gone in ("mynet.py", "factor.index"):
        (net.root / gone).rename(net.root / "gone")
        found = refused(net, release)
        assert gone.partition(".")[0] in found[0]
        with pytest.raises(SmdeclError) as error:
            reproduce.reproduce(release.path, find_project(net.root), net.compose(*config))
        assert error.value.exit_code == 2
        (net.root / "gone").rename(net.root / gone)
    write_factor([1.0, 2.0])
    *changed, consequence = refused(net, release)
    assert [text.rpartition(" changed from ")[0] for text in changed] == [
        f"{release.path}: inputs factor.{name}:" for name in ("data-00000-of-00001", "index")
    ]
    assert consequence == "weights.path: kernel is [3] in the model and [2] in the weights"


def write_factor(values):
    tf.train.Checkpoint(kernel=tf.Variable(values)).write("factor")


def refused(net, release):
    with pytest.raises(VerificationError) as error:
        reproduce.reproduce(release.path, find_project(net.root))
    assert error.value.exit_code == 4
    return [str(problem) for problem in error.value.problems]
