"""The API of smdecl.savedmodel alone reads a SavedModel that TensorFlow wrote, without TensorFlow or a config."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HALF_PLUS_TWO = Path(__file__).parents[1] / "saved_models/half_plus_two/00000123"

# Importing these names fails. TensorFlow's own __init__ begins with tensorflow.python.
WITHOUT_FRAMEWORKS = """
import json, sys
from pathlib import Path
for name in ("hydra", "omegaconf", "tensorflow.python"):
    sys.modules[name] = None
from smdecl import savedmodel
"""
INSPECT = """
message = savedmodel.read(Path(sys.argv[1]))
record = savedmodel.inspect(message)
inputs = record.signatures["serving_default"].inputs
print(json.dumps([record.tags, list(record.signatures), str(inputs["x"]), record.assets]))
"""
AUDIT = """
message = savedmodel.read(Path(sys.argv[1]))
findings = savedmodel.audit(message, json.loads(sys.argv[2]))
print(json.dumps([f"{finding.rule} {finding.where}" for finding in findings]))
"""
DIFF = """
before, after = map(Path, sys.argv[1:])
message = savedmodel.read(before)
del message.meta_graphs[0].signature_def["serving_default"]
(after / "saved_model.pb").write_bytes(message.SerializeToString())
difference = savedmodel.diff(before, after)
print(json.dumps([difference.verdict, difference.advice, list(map(str, difference.changes))]))
"""


def run(code, *arguments):
    """Runs code in a process that cannot import the frameworks; returns what it prints."""
    command = [sys.executable, "-c", WITHOUT_FRAMEWORKS + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("framework", ["hydra", "omegaconf", "tensorflow"])
def test_the_frameworks_cannot_be_imported(framework):
    code = f"""
try:
    import {framework}
except ImportError:
    print(json.dumps("failed"))
"""

    assert run(code) == "failed"


def test_a_saved_model_is_read_and_inspected():
    tags, signatures, x, assets = run(INSPECT, HALF_PLUS_TWO)

    assert tags == ["serve"]
    assert signatures == [
        "classify_x_to_y",
        "regress_x2_to_y3",
        "regress_x_to_y",
        "regress_x_to_y2",
        "serving_default",
    ]
    assert x == "float32 [?, 1]"
    assert assets == ["foo.txt"]


def test_a_saved_model_is_audited():
    """Rules without a level apply; each rule can be turned off."""
    savers = ["SaveV2", "MergeV2Checkpoints", "RestoreV2"]

    assert run(AUDIT, HALF_PLUS_TWO, "{}") == [f"io_ops save/{op}" for op in savers]
    assert run(AUDIT, HALF_PLUS_TWO, '{"random_ops": "error", "io_ops": "off"}') == []


def test_two_saved_models_are_compared(tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(HALF_PLUS_TWO, changed)
    (changed / "assets/foo.txt").write_text("different\n")

    verdict, advice, changes = run(DIFF, HALF_PLUS_TWO, changed)

    assert (verdict, advice) == ("breaking", "major")
    assert changes == [
        "signatures serving_default: was removed",
        "files assets/foo.txt: content differs",
        "files saved_model.pb: content differs",
    ]
