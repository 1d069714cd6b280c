"""What is generated from tables is what the tables say."""

import importlib.util

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "scripts" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_files_are_current(script):
    stale = [
        name
        for name, text in script.texts().items()
        if (ROOT / name).read_text(encoding="utf-8") != text
    ]

    assert stale == [], "run: python scripts/generate.py"
