"""Names in smdecl.models and their arguments are checked without TensorFlow."""

import inspect
from pathlib import Path

import pytest
import smdecl
from smdecl import models
from smdecl.checks import check as checking
from smdecl.config.project import find_project
from smdecl.errors import ConfigError


def refused(node):
    composition = smdecl.compose(["name=x", "signatures=none", "~model", f"+model={node}"])
    with pytest.raises(ConfigError) as error:
        checking.check(composition, find_project(Path.cwd()))
    return {problem.key: problem.message for problem in error.value.problems}


def test_unknown_and_missing_arguments_are_refused():
    assert refused("{_target_: smdecl.models.load_keras, pth: net.keras}") == {
        "model.pth": "unknown argument 'pth' of load_keras; expected one of path, custom_objects,"
        " compile (did you mean 'path'?)",
        "model.path": "missing required argument 'path' of load_keras",
    }


def test_an_unknown_name_is_refused():
    assert refused("{_target_: smdecl.models.load_kera}") == {
        "model._target_": "'smdecl.models' has no attribute 'load_kera' (did you mean 'load_keras'?)"
    }


def test_too_many_positional_arguments_are_refused():
    assert refused("{_target_: smdecl.models.Scaler, _args_: [1.0, 2.0]}") == {
        "model._args_": "Scaler accepts at most 1 positional arguments, got 2"
    }


@pytest.mark.parametrize("name", ["Scaler", "dense", "load_keras"])
def test_the_parameters_are_those_of_the_imported_module(name):
    parameters = inspect.signature(getattr(models, name)).parameters

    found = refused(f"{{_target_: smdecl.models.{name}, zz: 1}}")

    message = f"unknown argument 'zz' of {name}; expected one of {', '.join(parameters)}"
    assert found["model.zz"] == message
