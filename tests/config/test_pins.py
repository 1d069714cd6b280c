"""Pins and weights of a release file: overrides remove the weights, and never the pins."""

import pytest
from smdecl.errors import ConfigError

DIGEST = "0" * 64


@pytest.mark.parametrize("weights", ["  - override /weights: checkpoint\n", ""])
def test_weights_of_a_release_file_can_be_removed(project, weights):
    project.write(
        "conf/release/r.yaml",
        f"# @package _global_\ndefaults:\n  - override /model: scaler\n{weights}weights:\n  path: p\n",
    )

    assert project.compose("release=r").values["weights"]["path"] == "p"
    assert project.compose("release=r", "~weights").values["weights"] is None
    taken = project.compose("release=r", "~weights", "+weights.format=keras").values["weights"]
    assert taken == {"format": "keras", "path": "p", "expect": "full"}


@pytest.mark.parametrize(
    ("overrides", "pins"),
    [
        (["~sha256"], "a, net.h5"),
        (["~sha256.a"], "a"),
        (["sha256={}"], "a, net.h5"),
        (["++sha256={}"], "a, net.h5"),
        (["sha256=null"], "a, net.h5"),
    ],
)
def test_an_override_cannot_drop_the_pins_of_a_release_file(project, overrides, pins):
    project.write(
        "conf/release/r.yaml",
        f"# @package _global_\nsha256:\n  a: {DIGEST!r}\n  net.h5: {DIGEST!r}\n",
    )

    with pytest.raises(ConfigError) as error:
        project.compose("release=r", *overrides)

    assert str(error.value) == (
        f"override '{overrides[0]}': sha256: an override cannot drop the pins of {pins}; change them in"
        " conf/release/r.yaml:3"
    )


def test_overrides_add_pins_and_remove_their_own(project):
    project.write("conf/release/r.yaml", f"# @package _global_\nsha256: {{a: {DIGEST!r}}}\n")

    more = project.compose("release=r", f"+sha256={{b: {DIGEST}}}").values["sha256"]

    assert list(more) == ["a", "b"]
    assert project.compose(f"+sha256={{b: {DIGEST}}}", "~sha256.b").values["sha256"] == {}
    assert project.compose("sha256={}").values["sha256"] == {}
