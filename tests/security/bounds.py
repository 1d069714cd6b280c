"""Calls a limited process, and checks its answer; shared by the tests of bounds."""

GIBIBYTES = 1 << 35  # far more than any machine of ours has
RULES = "assets.extra/smdecl/"


def done(outcome):
    assert outcome.exit_code == 0, outcome.text[:500]
    return outcome.text


def refused(outcome):
    assert outcome.exit_code == 4, outcome.text[:500]
    assert len(outcome.text) < 2000
    return outcome.text
