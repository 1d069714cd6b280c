"""The surroundings of smdecl make it fail after publishing, or end with a traceback."""

import os
import signal
import subprocess
import sys

import pytest
from smdecl.errors import VerificationError
from smdecl.pipeline.children import children

from tests.conftest import ROOT, server_pid

SMDECL = f"{sys.executable} -m smdecl"


def shell(command, cwd):
    return subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&- >&- 2>&-", pytest.param(">&-", marks=pytest.mark.slow)])
def test_without_standard_streams_and_rights_an_export_succeeds_once(tmp_path, closed):
    done = shell(f"umask 0777; {SMDECL} model=adder verify.generate=1 {closed}", tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert os.listdir(tmp_path / "exports" / "adder") == ["1"]
    # The mask leaves the owner his rights.
    assert (tmp_path / "exports/adder/1/saved_model.pb").stat().st_mode & 0o777 == 0o600


def test_too_few_open_files_are_an_error_with_a_way_out(tmp_path):
    done = shell(f"ulimit -n 12; {SMDECL} model=adder", tmp_path)

    assert done.returncode == 2
    assert done.stderr.startswith("smdecl: error: too many open files")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "exports").exists()


def test_a_killed_server_process_is_not_reported_as_a_bug():
    server = children.run(server_pid, failure=VerificationError, doing="loading")
    os.kill(server, signal.SIGKILL)

    try:
        children.run(server_pid, failure=VerificationError, doing="loading")
    except VerificationError as error:  # it was killed so lately that it could still be asked
        assert "the process that" in str(error)
    assert children.run(server_pid, failure=VerificationError, doing="loading") != server
