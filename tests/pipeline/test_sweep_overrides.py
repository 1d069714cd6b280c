"""The overrides of each variant of a sweep."""

from smdecl.pipeline import sweep_overrides


def test_a_deletion_stays_as_it_was_written(project):
    overrides = ["release=r", "~weights", "~model.units=3", "seed=0,1"]

    found = sweep_overrides.expand(overrides)

    assert found == [[*overrides[:3], "seed=0"], [*overrides[:3], "seed=1"]]
