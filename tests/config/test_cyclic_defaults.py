"""A config whose defaults list leads back to itself is reported with its line and what to do."""

import pytest
import smdecl
from smdecl.errors import ConfigError

RENAME = (
    "to extend the built-in {name!r}, whose place this file takes, rename this file, such as to"
    " my_{name}.yaml, and choose it with {choice}"
)
EXPORT = RENAME.format(name="export", choice="--config-name my_export")
AUDIT = RENAME.format(name="default", choice="audit=my_default")


@pytest.mark.parametrize(
    ("files", "name", "expected"),
    [
        (
            {"export": "defaults:\n  - /team: x\n  - export\n", "team/x": "{}\n"},
            "export",
            f"conf/export.yaml:3: chooses itself; {EXPORT}",
        ),
        (
            {"all": "defaults: [export]\n", "export": "defaults:\n  - all\n"},
            "all",
            f"conf/export.yaml:2: chooses all, which chooses export; {EXPORT}",
        ),
        (
            {"audit/default": "defaults: [default]\nstrategy: error\n"},
            "export",
            f"conf/audit/default.yaml:1: chooses itself; {AUDIT}",
        ),
        (
            {"all": "defaults:\n  - export\n  - team: [y, x]\n", "team/x": "defaults:\n  - y\n",
             "team/y": "defaults:\n  - optional /team: x\n"},
            "all",
            "conf/team/x.yaml:2: chooses team/y, which chooses team/x; expected a defaults list"
            " that does not lead back to its file",
        ),
    ],
)  # fmt: skip
def test_defaults_lists_that_lead_back_are_reported(project, files, name, expected):
    for path, text in files.items():
        project.write(f"conf/{path}.yaml", text)

    with pytest.raises(ConfigError) as error:
        smdecl.compose(config_dir="conf", config_name=name)

    assert str(error.value) == expected
