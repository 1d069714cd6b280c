"""Publishing retires old versions."""

import os
from pathlib import Path

from smdecl.config.settings import Publish
from smdecl.release import staging

from tests.conftest import tree
from tests.release.local_releases import NEXT, release


def versions(base):
    return sorted(int(path.name) for path in base.iterdir())


def test_old_versions_are_retired(tmp_path):
    for version in range(1, 7):
        release(tmp_path, Publish(version="next", replace=False, keep=3))
        assert versions(tmp_path) == list(range(max(1, version - 2), version + 1))


def test_the_new_version_and_other_directories_are_not_retired(tmp_path):
    for version in (5, 6, 7):
        release(tmp_path, Publish(version=version, replace=False))
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "notes.txt").write_text("mine")
    release(tmp_path, Publish(version=1, replace=False, keep=2))

    assert versions(tmp_path) == [1, 3, 6, 7]
    assert (tmp_path / "3" / "notes.txt").read_text() == "mine"


def test_a_version_that_a_killed_publisher_was_retiring_is_swept(tmp_path):
    release(tmp_path, NEXT)
    (tmp_path / "1").rename(tmp_path / f"{staging.PREFIX}1-abcd")
    release(tmp_path, NEXT)

    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_a_linked_version_is_retired_and_its_target_kept(tmp_path):
    elsewhere, base = tmp_path / "elsewhere", tmp_path / "base"
    release(elsewhere)
    before = tree(elsewhere)
    base.mkdir()
    (base / "5").symlink_to(elsewhere / "1")

    release(base, Publish(version="next", replace=False, keep=1))

    assert os.listdir(base) == ["6"]
    assert tree(elsewhere) == before


def test_a_link_that_a_killed_publisher_was_retiring_is_swept(tmp_path):
    elsewhere, base = tmp_path / "elsewhere", tmp_path / "base"
    release(elsewhere)
    before = tree(elsewhere)
    base.mkdir()
    for number, target in enumerate([elsewhere / "1", tmp_path / "nowhere", Path("loop")]):
        (base / f"{staging.PREFIX}{number}-abcd").symlink_to(target)
    (base / "loop").symlink_to("loop")

    release(base)

    assert sorted(os.listdir(base)) == ["1", "loop"]
    assert tree(elsewhere) == before
