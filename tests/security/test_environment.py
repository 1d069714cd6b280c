"""Confined code searches the environment variables for secrets of the caller."""

import ctypes
import os
from pathlib import Path

import pytest
from smdecl.config.project import find_project
from smdecl.errors import ModelError
from smdecl.isolation import environment
from smdecl.isolation.confine import Confinement
from smdecl.pipeline.children import children

SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "DATABASE_URL",
    "HF_TOKEN",
    "TF_VAR_password",
    "TF_TOKEN_app_terraform_io",
)


@pytest.fixture
def secrets(monkeypatch):
    for name in SECRETS:
        monkeypatch.setenv(name, f"secret-{name}")


def look(names):
    """Returns what is found of some variables: in Python, in the C library, in /proc."""
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    started = Path("/proc/self/environ").read_text().split("\0")
    return {
        "python": {name for name in names if name in os.environ},
        "c": {name for name in names if getenv(name.encode()) is not None},
        "proc": {name for name in names if any(entry.startswith(f"{name}=") for entry in started)},
    }


def test_a_confined_process_finds_no_variable_that_it_has_no_need_of(secrets):
    # A server that was started before has none of the secrets in any case.
    with children.apart() as processes:
        found = processes.run(
            look,
            (*SECRETS, "PATH"),
            failure=ModelError,
            doing="testing",
            confinement=Confinement(),
        )

    assert found == {"python": {"PATH"}, "c": {"PATH"}, "proc": {"PATH"}}


def test_a_confined_process_finds_what_its_project_declares(secrets):
    declared = Confinement(environment=frozenset(["DATABASE_URL"]))

    found = children.run(look, SECRETS, failure=ModelError, doing="testing", confinement=declared)

    assert found["python"] == {"DATABASE_URL"}


def test_a_process_that_is_not_confined_has_the_environment_of_its_caller(secrets):
    found = children.run(look, SECRETS, failure=ModelError, doing="testing")

    assert found["python"] == set(SECRETS)
    assert found["proc"] == set()


READER = """
import os
import tensorflow as tf

class Net(tf.Module):
    def __init__(self):
        super().__init__()
        self.word = tf.Variable(os.environ["DATABASE_URL"])

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="x")])
    def __call__(self, x):
        return {"y": x + self.word}
"""


@pytest.mark.parametrize("declares", [True, False])
def test_code_of_a_project_that_confines_it_reads_the_variables_that_the_project_declares(
    project, secrets, declares
):
    project.write("reader.py", READER)
    names = ["DATABASE_URL"] if declares else []
    project.write("pyproject.toml", f"[tool.smdecl]\nconfine = true\nenvironment = {names}\n")
    assert find_project(project.root).environment == set(names)
    overrides = ["model._target_=reader.Net", "signatures=none", "verify.generate=1"]

    if declares:
        assert project.export(*overrides).version == 1
        return
    with pytest.raises(ModelError, match="KeyError: 'DATABASE_URL'"):
        project.export(*overrides)


def test_variables_are_chosen_by_their_names():
    kept = {
        "PATH": "a",
        "LC_ALL": "b",
        "TF_XLA_FLAGS": "c",
        "CUDA_VISIBLE_DEVICES": "d",
        "PYTHONPATH": "e",
    }
    left_out = dict.fromkeys(
        (*SECRETS, "PYTHON_TOKEN", "TF_CLI_ARGS", "PATHS", "SSH_AUTH_SOCK", "http_proxy"), ""
    )

    assert environment.reduced({**kept, **left_out}) == kept
    assert environment.reduced(left_out, ["HF_TOKEN"]) == {"HF_TOKEN": ""}
