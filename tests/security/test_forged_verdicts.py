"""An attacker wants smdecl to accept a changed release as intact, signed or equal."""

import os
import shutil
import subprocess
import sys

import pytest
import smdecl
from smdecl.config.project import find_project
from smdecl.errors import VerificationError
from smdecl.pipeline import reproduce, verify
from smdecl.release import manifest

from tests.conftest import ROOT, forge_file, forge_manifest


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    base = tmp_path_factory.mktemp("made")
    return smdecl.export(smdecl.compose(["model=adder", f"export_dir={base}"])).path


@pytest.fixture
def release(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy" / "1")


def tamper(release):
    """Changes a file and its entry in the manifest, and keeps the digest of the release that was."""
    digest = manifest.read(release)["digest"]
    file = release / "fingerprint.pb"
    file.write_bytes(file.read_bytes() + b"\0")
    forge_file(release, file.name)
    forge_manifest(release, digest=digest)


def refusals(call):
    with pytest.raises(VerificationError) as error:
        call()
    return [str(problem) for problem in error.value.problems]


def test_a_tampered_release_that_keeps_its_digest_is_not_verified(release):
    tamper(release)

    (found,) = refusals(lambda: verify.verify(release))
    assert found.startswith(
        f"{release / manifest.FILE}: changed since the release was made: the files it lists have the digest"
    )


def test_a_tampered_release_that_keeps_its_digest_is_not_reproduced(release):
    tamper(release)

    (found,) = refusals(lambda: reproduce.reproduce(release, find_project(ROOT)))
    assert "the files it lists have the digest" in found


def test_an_empty_directory_that_was_added_is_found(release):
    (release / "variables" / "deep").mkdir()
    (release / "more" / "and more").mkdir(parents=True)

    assert refusals(lambda: verify.verify(release)) == [
        f"{release / 'more/and more'}: not listed in the manifest",
        f"{release / 'variables/deep'}: not listed in the manifest",
    ]


VERIFY = """
import os, sys
from pathlib import Path
from smdecl.release import comparison, manifest
release = Path(sys.argv[1])
listed = manifest.read(release)
if os.geteuid() == 0:
    os.seteuid(65534)
print(*comparison.compare(release, listed), sep="\\n")
"""


def test_files_in_a_directory_that_cannot_be_read_are_not_passed_over(made, tmp_path):
    """Root reads everything, so another user looks here."""
    for parent in (tmp_path, *tmp_path.parents[:3]):  # pytest makes them for its user alone
        parent.chmod(0o755)
    release = shutil.copytree(made, tmp_path / "1")
    hidden = release / "hidden"
    hidden.mkdir()
    (hidden / "payload").write_text("")
    hidden.chmod(0)

    done = subprocess.run(
        [sys.executable, "-c", VERIFY, release],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    hidden.chmod(0o755)
    assert done.stdout == f"cannot read {hidden}: Permission denied\n", done.stderr
