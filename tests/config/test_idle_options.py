"""An override that chooses an option has an effect, or is refused."""

import pytest
from smdecl.errors import ConfigError

INLINE = "# @package _global_\nweights: {format: keras_weights, path: net.weights.h5}\n"


@pytest.mark.parametrize(
    ("text", "overrides", "expected"),
    [
        (INLINE, ["weights=checkpoint", "weights.path=ckpt"], "2 sets weights.format"),
        ("# @package _global_\nweights: null\n", ["weights=keras"], "2 sets weights"),
        (
            "# @package _global_\n\npublish:\n  version: 3\n",
            ["publish=next"],
            "4 sets publish.version",
        ),
    ],
)
def test_an_option_of_which_a_file_replaces_every_key_is_refused(
    project, text, overrides, expected
):
    project.write("conf/release/r.yaml", text)

    with pytest.raises(ConfigError) as error:
        project.compose("release=r", *overrides)

    group, _, option = overrides[0].partition("=")
    message = (
        f"the option {option!r} has no effect, because conf/release/r.yaml:{expected}; override"
    )
    [line] = [line for line in str(error.value).splitlines() if "no effect" in line]
    assert line.startswith(f"override '{overrides[0]}': {group}: {message}")


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (INLINE, ["weights=keras_weights"]),
        (INLINE, ["weights=checkpoint", "weights.format=checkpoint"]),
        ("# @package _global_\nweights: {path: ckpt}\n", ["weights=checkpoint"]),
        ("# @package _global_\naudit: {random_ops: warn}\n", ["audit=strict"]),
        ("# @package _global_\ndefaults: [override /audit: 'off']\n", ["audit=strict"]),
        ("# @package _global_\nseed: 1\n", ["model=adder", "audit=default"]),
        ("# @package _global_\n", [f"+model={{note: {'a' * 300}}}"]),
    ],
)
def test_an_option_that_has_an_effect_is_accepted(project, text, overrides):
    project.write("conf/release/r.yaml", text)

    project.compose("release=r", *overrides)
