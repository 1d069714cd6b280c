"""The error about an entry of a defaults list says what to write instead, also for own groups."""

import pytest
import smdecl
from smdecl.errors import ConfigError

UNKNOWN = (
    "unknown group 'taem'; expected one of audit, devices, model, options, publish, release,"
    " signatures, team, verify, weights (did you mean 'team'?)"
)
SLASH = "a group needs a leading slash here; write '- /team: ...'"
OPTION = "unknown option 'defualt' for team; expected one of default (did you mean 'default'?)"


@pytest.fixture
def team(project):
    """A project with a group of its own."""
    project.write("conf/team/default.yaml", "# @package _global_\nseed: 7\n")
    return project


def refused(project, *overrides):
    with pytest.raises(ConfigError) as error:
        project.compose(*overrides)
    return str(error.value)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("/taem: default", f"taem: {UNKNOWN}"),
        ("override taem: default", f"taem: {UNKNOWN}"),
        ("team: default", f"team: {SLASH}"),
        ("override team: default", f"team: {SLASH}"),
        (
            "override /team: default",
            "team: no config before this one chooses an option of 'team'; to choose one, write"
            " '- /team: ...'",
        ),
        ("/team: defualt", f"team: {OPTION}"),
        ("/team/defualt", f"team: {OPTION}"),
        (
            "team/default",
            "no such config: 'release/team/default'; expected a leading slash: write"
            " '- /team/default'",
        ),
    ],
)
def test_an_entry_that_hydra_refuses_is_located_and_mended(team, entry, expected):
    before = "override /model: scaler" if "override" in entry else "/team@x: default"
    text = f"# @package _global_\ndefaults:\n  - {before}\n  - {entry}\n"
    team.write("conf/release/r.yaml", text)

    assert refused(team, "release=r") == f"conf/release/r.yaml:4: {expected}"


def test_a_group_of_ones_own_is_chosen_before_the_entries_that_override(team):
    after = "# @package _global_\ndefaults:\n  - override /model: scaler\n  - /team: default\n"
    team.write("conf/release/after.yaml", after)
    before = "# @package _global_\ndefaults:\n  - /team: default\n  - override /model: scaler\n"
    team.write("conf/release/before.yaml", before)

    assert refused(team, "release=after") == (
        "conf/release/after.yaml:4: team: comes after an entry with 'override';"
        " move it before these"
    )
    assert team.compose("release=before").values["seed"] == 7


def test_an_override_of_a_group_without_an_option_adds_one(team):
    assert refused(team, "team=default") == (
        "override 'team=default': team: the config chooses no option of 'team'; to add one, write"
        " '+team=default'"
    )
    assert team.compose("+team=default").values["seed"] == 7
    team.write("conf/bare.yaml", "seed: 1\n")
    with pytest.raises(ConfigError, match=r"write '\+model=adder'$"):
        smdecl.compose(["model=adder"], config_dir="conf", config_name="bare")
