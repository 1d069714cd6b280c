"""Releases that older versions of smdecl made stay readable, and are made again."""

import shutil

import pytest
from smdecl.config.project import find_project
from smdecl.errors import VerificationError
from smdecl.pipeline import reproduce, verify
from smdecl.release import description, diffing
from smdecl.release.manifest_versions import CURRENT, config_of

from tests.conftest import ROOT

RELEASES = ROOT / "tests" / "releases"
NAMES = sorted(path.relative_to(RELEASES).as_posix() for path in RELEASES.glob("manifest_*/*"))


@pytest.fixture
def release(request, tmp_path):
    """A copy: git keeps no empty directories, which TensorFlow makes."""
    return shutil.copytree(RELEASES / request.param, tmp_path / "1")


def test_there_is_a_release_of_each_version():
    assert {name.partition("/")[0] for name in NAMES} == {
        f"manifest_{n + 1}" for n in range(CURRENT)
    }


@pytest.mark.parametrize("release", NAMES, indirect=True)
def test_a_release_of_an_older_version_is_described_compared_and_verified(release):
    described = description.describe(release)
    _, report = verify.verify(release)

    assert described.release is not None
    assert list(described.saved_model.signatures) == ["serving_default"]
    assert diffing.diff(release, release).changes == ()
    assert report.failures == ()


@pytest.mark.parametrize("release", NAMES, indirect=True)
def test_a_release_of_an_older_version_is_made_again(release):
    try:
        reproduce.compare_environment(release)
    except VerificationError as error:
        # A later smdecl has to make the same bytes; other versions of TensorFlow need not.
        others = [str(each) for each in error.problems if "environment smdecl:" not in each.message]
        if others:
            pytest.skip(f"it was made in a different environment: {others}")

    digest, _ = reproduce.reproduce(release, find_project(ROOT))

    assert digest == description.describe(release).release.digest


def test_a_key_that_a_version_did_not_have_is_what_its_releases_were_made_by():
    old = config_of({"manifest_version": 1, "config": {"seed": 0}})
    new = config_of({"manifest_version": CURRENT, "config": {"seed": 0}})

    assert old == {"functions": {"__call__": None, "serve": None}, "seed": 0}
    assert new == {"seed": 0}


def test_an_audit_rule_that_is_younger_than_a_release_did_not_apply_to_it():
    config = config_of({"manifest_version": CURRENT, "config": {"audit": {"strategy": "error"}}})

    assert config["audit"]["strategy"] == "error"
    assert config["audit"]["random_ops"] == "off"
