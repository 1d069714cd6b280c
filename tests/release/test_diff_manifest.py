"""The manifests of two releases are compared by what they were made from."""

from smdecl.release import diff_manifest

NOTHING = {"inputs": {}, "environment": {}, "source": None}


def changes(old, new):
    manifests = ({**NOTHING, "config": {"x": value}} for value in (old, new))
    return [change.message for change in diff_manifest.changes(*manifests)]


def test_long_values_are_cut_where_they_differ():
    numbers = list(range(100))
    other = [*numbers[:60], -1, *numbers[61:]]

    (longer,) = changes("a" * 90, "a" * 91)
    (inner,) = changes(numbers, other)

    assert longer == f'changed from ...{"a" * 20}" to ...{"a" * 21}"'
    was, now = inner.removeprefix("changed from ").split(" to ")
    assert "59, 60, 61" in was
    assert "59, -1, 61" in now
    assert max(len(was), len(now)) <= 83


def test_values_that_differ_at_the_beginning_are_cut_at_the_end():
    (message,) = changes(["a", *"x" * 99], ["b", *"x" * 99])

    assert message.startswith('changed from ["a", "x", ')
    assert ' to ["b", "x", ' in message
