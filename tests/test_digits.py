"""The example: a Keras classifier, trained, exported by its own config, and served with the accuracy that it had."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    directory = tmp_path_factory.mktemp("digits") / "digits"
    shutil.copytree(
        ROOT / "examples" / "digits",
        directory,
        ignore=shutil.ignore_patterns("__pycache__", "exports"),
    )
    return directory


def run(digits, *command):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=digits,
        capture_output=True,
        text=True,
        check=False,
        env=with_package(),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_package():
    return {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.mark.slow
def test_the_exported_classifier_is_as_accurate_as_the_trained_one_in_both_loaders(digits):
    trained = run(digits, "train.py")
    accuracy = re.search(r"held-out accuracy (\d\.\d{4})", trained).group(1)
    assert float(accuracy) > 0.9

    assert (
        run(digits, "-m", "smdecl", "--config-dir", "conf", "release=digits")
        == "exports/digits/1\n"
    )

    assert run(digits, "evaluate.py", "exports/digits/1").splitlines() == [
        f"tf.saved_model.load: accuracy {accuracy}",
        f"C++ session loader:  accuracy {accuracy}",
    ]
