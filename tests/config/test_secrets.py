"""A secret from the environment never appears in a release, the output or a file."""

import contextlib
import json

import pytest
import smdecl
from smdecl.errors import ConfigError, SmdeclError

SECRET = "s3cr3t-9f41"
TAKES = """
from smdecl.models import Scaler
def make(token, size=1, url=None):
    return Scaler(float(size))
def fail(token, size=1):
    raise ValueError(f"{token} is refused by the server")
"""


@pytest.fixture
def secretive(project, monkeypatch):
    """A project whose configs may read a secret from the environment."""
    project.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["SECRET", "LIST", "WHICH"]\n')
    project.write("mynet.py", TAKES)
    project.write(
        "conf/model/make.yaml",
        "_target_: mynet.make\nsize: 1\ntoken: ${oc.env:SECRET}\nurl: null\n",
    )
    for name, value in {"SECRET": SECRET, "LIST": f"{{a: {SECRET}}}", "WHICH": "SECRET"}.items():
        monkeypatch.setenv(name, value)
    return project


def leaks(project, *streams):
    """Returns the outputs, file names and files that contain the secret."""
    text = [stream for stream in streams if SECRET in stream]
    files = [path for path in project.root.rglob("*") if SECRET in path.name]
    written = [
        path
        for path in project.root.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes()
    ]
    return [*text, *files, *written]


URL = "model.url='http://${model.token}@x'"
WAYS_TO_READ = [
    [],
    [URL],
    ["model.token='${oc.env:${oc.env:WHICH}}'", URL],
    ["model.token='${oc.${model.url}:SECRET}'", "model.url=env"],
    ["model.token='${oc.decode:${oc.env:LIST}}'"],
    ["model.token='${oc.create:{a:${oc.env:SECRET}}}'", "model.url='${model.token.a}'"],
]


@pytest.mark.parametrize("overrides", WAYS_TO_READ)
def test_a_secret_is_in_no_file_of_a_release(secretive, overrides):
    with contextlib.suppress(ConfigError):  # refusing to read it is fine too
        release = secretive.export("model=make", *overrides)
        manifest = json.loads((release.path / "assets.extra/smdecl/manifest.json").read_text())
        assert "${" in str(manifest["config"]["model"])
    assert leaks(secretive) == []


ERRORS = [
    ["seed=${oc.env:SECRET}"],
    ["seed='${oc.${name}:SECRET}'", "name=env"],
    ["publish.version=${oc.env:SECRET}", "name='${oc.env:SECRET}/..'"],
    ["model._target_=${oc.env:SECRET}", "weights=checkpoint", "weights.path=${oc.env:SECRET}"],
    ["model._target_=mynet.make", "+model._convert_=${oc.env:SECRET}", "+model.token=1"],
    ["model._target_=mynet.make", "+model.token=1", "+model.size=${oc.env:SECRET}"],
    ["model._target_=mynet.fail", "+model.token=${oc.env:SECRET}"],
    ["signatures.serving_default.method='x ${oc.env:SECRET}'", "devices.build=${oc.env:SECRET}"],
]


@pytest.mark.parametrize("overrides", ERRORS)
def test_a_secret_is_in_no_error(secretive, overrides):
    with pytest.raises(SmdeclError) as error:
        secretive.export(*overrides)

    assert leaks(secretive, str(error.value), error.value.traceback_text) == []


QUOTED_DIFFERENTLY = [
    'hunter"2\\secret',
    "hunter'2secret",
    "hunter2\nsecret\n",
    "grüß hunter2 secret",
    "hunter2secret" * 30,
]


@pytest.mark.parametrize("secret", QUOTED_DIFFERENTLY)
def test_a_secret_is_in_no_error_however_it_is_quoted_there(secretive, monkeypatch, secret):
    monkeypatch.setenv("SECRET", secret)

    with pytest.raises(SmdeclError) as error:
        secretive.export(
            "seed=${oc.env:SECRET}",
            "export_dir=${oc.env:SECRET}/\\\\*",
            "name=[x,${oc.env:SECRET}]",
        )

    assert "hunter" not in str(error.value)
    assert "secret" not in str(error.value).replace("SECRET", "")


def test_a_defaults_list_and_hydras_own_settings_do_not_read_the_environment(secretive):
    secretive.write(
        "conf/release/read.yaml",
        "# @package _global_\ndefaults:\n  - override /model: ${oc.env:SECRET}\n",
    )
    with pytest.raises(ConfigError) as error:
        smdecl.compose(["release=read"], config_dir="conf")
    assert str(error.value).startswith(
        "conf/release/read.yaml:3: model: unknown option '${oc.env:SECRET}' for model"
    )

    done = secretive.run("-m", "model=adder,scaler", "hydra.sweep.dir='sweeps/${oc.env:SECRET}'")
    assert (done.returncode, done.stdout) == (2, "")
    assert "hydra.sweep: reads the environment" in done.stderr
    shown = secretive.run("--cfg", "job", "--resolve", "--config-dir", "conf", "model=make")
    assert "token: ${oc.env:SECRET}" in shown.stdout
    assert leaks(secretive, done.stderr, shown.stdout, shown.stderr) == []


TOKENS = [
    pytest.param([], marks=pytest.mark.slow),
    pytest.param(["model.token=${oc.env:SECRET}"], marks=pytest.mark.soak),
    ["model.token=${oc.env:SECRET},${model.size}"],
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_secret_is_in_nothing_that_a_sweep_prints_or_writes(secretive, token):
    arguments = [
        "-m",
        "--config-dir",
        "conf",
        "model=make",
        "model.size=1,word",
        "hydra.output_subdir=.hydra",
    ]
    done = secretive.spawn(*arguments, *token)

    assert done.returncode == 3, done.stderr
    assert len(done.stdout.splitlines()) == (2 if "," in str(token) else 1)
    assert leaks(secretive, done.stdout, done.stderr) == []
