"""Keys that are a level too high or too low in an option file are reported once."""

from pathlib import Path

import pytest
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ConfigError

INPUTS = "inputs: {x: {shape: [], dtype: float32}}"


def errors_of(project, *overrides):
    with pytest.raises(ConfigError) as error:
        check.check(project.compose(*overrides), find_project(Path.cwd()))
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("text", "key", "parts"),
    [
        (f"{INPUTS}\n", "inputs", "inputs"),
        (f"{INPUTS}\nmethod: add\n", "method", "method, inputs"),
        ("inputs: null\n", "inputs", "inputs"),
    ],
)
def test_a_signature_without_its_key_is_reported_once(project, text, key, parts):
    project.write("conf/signatures/mine.yaml", text)

    (line,) = errors_of(project, "signatures=mine")

    expected = (
        f"got {parts} outside a signature; expected a signature key above, such as serving_default"
    )
    assert line.partition(": ")[2] == f"signatures.{key}: {expected}"


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ("signatures", f"signatures:\n  serving_default:\n    {INPUTS}\n"),
        ("verify", "verify:\n  generate: 4\n"),
        ("model", "model:\n  _target_: smdecl.models.Adder\n"),
        ("weights", "weights:\n  format: keras\n  path: x.keras\n"),
    ],
)
def test_a_key_that_repeats_its_folder_is_reported_once(project, group, text):
    project.write(f"conf/{group}/mine.yaml", text)

    message = f"'{group}' is repeated; expected the keys of {group} without it: the folder sets it"
    assert errors_of(project, f"{group}=mine") == [
        f"conf/{group}/mine.yaml:1: {group}.{group}: {message}"
    ]


def test_valid_keys_of_the_same_names_are_accepted(project):
    project.write(
        "conf/signatures/mine.yaml",
        f"inputs: {{method: add, {INPUTS}}}\nsignatures: {{method: add}}\n",
    )

    checked = check.check(project.compose("signatures=mine"), find_project(Path.cwd()))

    assert set(checked.signatures) == {"inputs", "signatures"}
