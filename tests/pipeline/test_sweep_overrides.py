"""The overrides of each variant of a sweep."""

import pytest
from smdecl.errors import ConfigError
from smdecl.pipeline.sweeping import sweep_overrides


def test_a_deletion_stays_as_it_was_written(project):
    overrides = ["release=r", "~weights", "~model.units=3", "seed=0,1"]

    found = sweep_overrides.expand(overrides)

    assert found == [[*overrides[:3], "seed=0"], [*overrides[:3], "seed=1"]]


def test_every_override_that_cannot_be_parsed_is_explained(project):
    with pytest.raises(ConfigError) as caught:
        sweep_overrides.expand(["seed=1,", "model=adder", "model=,scaler"])

    assert [str(problem) for problem in caught.value.problems] == [
        f"override {override!r}: invalid override: expected a value before and after each comma"
        for override in ("seed=1,", "model=,scaler")
    ]


def test_a_value_that_an_override_repeats_is_refused(project):
    overrides = [
        "model.factor=1,2, 1",
        "name=choice([a,b],[a, 'b'])",
        "seed=1,01,'1',1.0",
        """export_dir="a",b,a,{k: 'v'},{k: "v"}""",
    ]

    with pytest.raises(ConfigError) as refusal:
        sweep_overrides.expand(overrides)

    assert [str(problem) for problem in refusal.value.problems] == [
        "override 'model.factor=1,2, 1': repeats 1; expected each value once",
        f"override {overrides[1]!r}: repeats [a,b]; expected each value once",
        f"override {overrides[3]!r}: repeats \"a\", {{k:'v'}}; expected each value once",
    ]


def test_an_integer_that_no_parser_reads_is_explained_beside_other_errors(project):
    digits = "7" * 5000

    with pytest.raises(ConfigError) as caught:
        sweep_overrides.expand(["model=adder,,scaler", f"seed={digits}"])

    assert [problem.origin.override for problem in caught.value.problems] == [
        "model=adder,,scaler",
        f"seed={digits}",
    ]
