"""The table of op sets agrees with the released TensorFlow."""

import importlib.util
import re

import pytest
import tensorflow as tf
from smdecl.savedmodel.audits import op_sets

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location(
        "make_op_sets", ROOT / "scripts" / "make_op_sets.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def installed():
    return re.match(r"\d+\.\d+", tf.__version__).group()


def test_the_table_describes_the_installed_release(script):
    libraries = [f"{tf.sysconfig.get_lib()}/{name.partition('/')[2]}" for name in script.LIBRARIES]

    assert script.registered(libraries) == script.read_table()[installed()]


def test_writing_the_table_again_changes_nothing(script, tmp_path, monkeypatch):
    sets, before = script.read_table(), script.TABLE.read_bytes()
    monkeypatch.setattr(script, "TABLE", tmp_path / "op_sets.json")

    script.write_table(sets)

    assert script.TABLE.read_bytes() == before


def test_the_table_covers_2_12_to_the_installed_release():
    known = op_sets.releases()

    assert known == tuple(f"2.{minor}" for minor in range(12, 12 + len(known)))
    assert installed() in known


@pytest.mark.parametrize(
    ("release", "op", "attributes", "expected"),
    [
        ("2.12", "Add", {"T"}, None),
        ("2.15", "DatasetFingerprint", set(), "DatasetFingerprint, which exists since 2.16"),
        ("2.16", "DatasetFingerprint", set(), None),
        (
            "2.19",
            "TfLiteSubgraphExecute",
            set(),
            "TfLiteSubgraphExecute, which exists from 2.12 to 2.18",
        ),
        (
            "2.17",
            "MapDataset",
            {"f", "force_synchronous"},
            "MapDataset's attribute force_synchronous, which exists since 2.18",
        ),
        ("2.21", "SentencepieceOp", set(), "SentencepieceOp, which no release has"),
        ("2.21", "Add", {"speed"}, "Add's attribute speed, which no release has"),
    ],
)
def test_an_op_or_attribute_that_a_release_lacks_is_described(release, op, attributes, expected):
    assert op_sets.lacks(release, op, frozenset(attributes)) == expected
