"""What the tests of bounds share: how a limited process is asked, and what it may answer."""

GIBIBYTES = 1 << 35  # far more than any machine of ours has
RULES = "assets.extra/smdecl/"


def done(outcome):
    assert outcome.exit_code == 0, outcome.text[:500]
    return outcome.text


def refused(outcome):
    assert outcome.exit_code == 4, outcome.text[:500]
    assert len(outcome.text) < 2000
    return outcome.text
