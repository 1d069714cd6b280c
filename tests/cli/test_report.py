"""What a person is told, and what becomes of it where it cannot be written."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_where_standard_error_cannot_be_written_the_exit_code_says_all(tmp_path):
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
