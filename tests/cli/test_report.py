"""Reports to a person whose standard error cannot be written."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_an_unwritable_standard_error_leaves_the_exit_code(tmp_path):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "smdecl", "check", "model=nothing"]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=full,
            check=False,
        )

    assert (done.returncode, done.stdout) == (2, b"")
