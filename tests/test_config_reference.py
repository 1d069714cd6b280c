"""The config reference in the docs is current and describes every key."""

import importlib.util

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(
        "make_reference", ROOT / "scripts" / "make_reference.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_current(script):
    directory = ROOT / "docs" / "reference"
    written = {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir()}

    assert script.texts() == written, "run: python scripts/make_reference.py"


def test_every_key_of_a_config_has_a_type_and_a_meaning(script):
    rows = script.config_rows()

    assert {"seed", "audit.consumer.level", "publish.sign", "verify.examples.*[].inputs"} <= {
        row.key for row in rows
    }
    assert [row.key for row in rows if not (row.type and row.meaning)] == []
    assert [
        row.key for row in rows if row.key.startswith(("audit.", "publish.")) and not row.default
    ] == ["audit.consumer"]
