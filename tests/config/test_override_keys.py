"""Errors about an override of a mapping explain how to extend and how to replace it; both work."""

import re
import shlex
from pathlib import Path

import pytest
import smdecl
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ConfigError

SPEC = "signatures.serving_default.inputs.x"


def refusal(*overrides):
    with pytest.raises(ConfigError) as error:
        smdecl.compose(overrides)
    (problem,) = error.value.problems
    return problem


def works(hint):
    """Composes and checks a config with the overrides that a hint names."""
    named = [word for word in shlex.split(hint) if word[0] in "~+" or word.startswith("name=")]
    config = smdecl.compose([word.replace("name=...", "name=mine") for word in named])
    check.check(config, find_project(Path.cwd()))
    return config.values


def test_a_value_instead_of_a_spec_replaces_the_mapping():
    problem = refusal(f"{SPEC}={{value: 3}}")

    hint = f"write '~{SPEC}' '+{SPEC}={{value: 3}}'"
    assert problem.message == (
        "key 'value' is not set, and Hydra merges the mapping into the existing one;"
        f" to replace that, {hint}"
    )
    values = works(hint)
    assert values["signatures"]["serving_default"]["inputs"]["x"] == {"value": 3}


def test_a_model_with_a_different_target_replaces_the_mapping():
    override = "model={_target_: smdecl.models.Scaler, factor: 2.0}"
    problem = refusal(override)

    hint = f"to replace that, write '~model' '+{override}' name=..."
    assert problem.message.endswith(hint)
    assert works(hint)["model"] == {"_target_": "smdecl.models.Scaler", "factor": 2.0}


def test_both_ways_are_reported_if_both_fit():
    override = "signatures={other: {method: add, inputs: {x: {shape: [], dtype: float32}}}}"
    problem = refusal(override)

    added = f"to add it, write '+{override}'"
    replaced = f"to replace the existing mapping, write '~signatures' '+{override}'"
    assert problem.message == f"key 'other' is not set; {added}; {replaced}"
    assert set(works(added)["signatures"]) == {"other", "serving_default"}
    assert set(works(replaced)["signatures"]) == {"other"}


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        (
            "audit={random_opps: off}",
            "audit.random_opps",
            "unknown key 'random_opps' in audit; expected one of .*mean 'random_ops'\\?\\)",
        ),
        (
            f"{SPEC}={{shape: [], foo: 1}}",
            f"{SPEC}.foo",
            f"unknown key 'foo' in {SPEC}; expected one of dtype, .*",
        ),
        (
            "verify.tolerances={a: 1}",
            "verify.tolerances.a",
            "expected rtol and atol by signature and output .*, got the integer 1",
        ),
    ],
)
def test_no_error_advises_to_add_what_the_schema_refuses(override, key, message):
    problem = refusal(override)

    assert problem.key == key
    assert re.match(message, problem.message)
    assert "'+" not in problem.message
    assert str(problem.origin) == f"override {override!r}"


def test_a_dotted_key_with_an_invalid_value_is_reported():
    problem = refusal("signatures.my.sig={foo: 1}")

    assert problem.message == (
        "unknown key 'my.sig' in signatures; expected one of serving_default;"
        " to add it, write '+signatures={my.sig: ...}'"
    )


def test_a_mapping_of_hydras_settings_is_refused_without_the_schema_of_configs():
    override = "hydra.job.env_set={A: b}"

    assert refusal(override).message == f"key 'A' is not set; to add it, write '+{override}'"
