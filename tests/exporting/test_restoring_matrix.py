"""Every format restores a trained model of every kind, or is refused."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

EVERY = ("keras", "keras_weights", "checkpoint", "saved_model")


WHOLE, HOOKS = EVERY[:1], EVERY[:2]


# The formats that restore each model of restoring_matrix.py; the others are refused.
RESTORED = {
    "normalization": EVERY,
    "discretization": WHOLE,
    "bins_given": (),
    "constant_mean": (),
    "string_lookup": WHOLE,
    "integer_lookup": WHOLE,
    "vectorization": WHOLE,
    "vocabulary_given": (),
    "vocabulary_same": WHOLE,
    "idf": EVERY,
    "encoding": (),
    "hashing": (),
    "nested": HOOKS,
    "tagger": WHOLE,
    "coded": WHOLE,
    "inner": EVERY,
    "sequential": EVERY,
    "lstm": EVERY,
    "derived": EVERY,
    "offset": HOOKS,
    "assets": WHOLE,
}


# tf_keras keeps what bins derive from in a variable, and tracks layers in lists.
RESTORED_BY = {
    "keras": RESTORED,
    "tf_keras": {**RESTORED, "discretization": EVERY, "nested": EVERY},
}


@pytest.mark.slow
@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_every_format_restores_the_trained_model_or_is_refused(tmp_path, package):
    done = subprocess.run(
        [sys.executable, "-m", "tests.exporting.restoring_matrix", package],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [
        f"{key}: {verdict}" for key, verdict in found.items() if verdict.startswith("differs")
    ] == []
    expected = {
        f"{name} {fmt}" for name, formats in RESTORED_BY[package].items() for fmt in formats
    }
    assert {key for key, verdict in found.items() if verdict == "equal"} == expected
    assert len(found) == len(RESTORED) * len(EVERY)
