"""Publishers that share a base path neither replace nor repeat each other's versions."""

import fcntl
import threading

import pytest
from smdecl.config.settings import Publish
from smdecl.errors import PublishError
from smdecl.files import lock
from smdecl.names import OWN_FILES
from smdecl.release.publish_local import LocalPublisher

from tests.conftest import tree
from tests.release.local_releases import NEXT, release, release_if_changed


def test_racing_publishers_get_different_versions(tmp_path):
    found = []

    def race():
        for _ in range(10):
            found.append(release(tmp_path, content=threading.current_thread().name)[1])

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == list(range(1, 81))
    assert all(set(tree(tmp_path / str(n))) == {"saved_model.pb", "variables/data"} for n in found)


def test_a_version_that_may_be_the_same_release_is_compared_before_it_is_refused(tmp_path):
    options = Publish(version=7, replace=False, unchanged="skip")
    refused = pytest.raises(PublishError, match="publish.version: version 7 exists")
    release_if_changed(tmp_path, options, "old")
    with refused:  # it is that of a different program
        LocalPublisher(tmp_path, options).refuse_early()
    (tmp_path / "7" / OWN_FILES).mkdir(parents=True)

    LocalPublisher(tmp_path, options).refuse_early()
    assert not release_if_changed(tmp_path, options, "old").is_new
    with refused:
        release_if_changed(tmp_path, options, "new")


@pytest.mark.parametrize("version", [1, None])
def test_a_version_that_may_be_replaced_is_locked_while_it_is_compared(tmp_path, version):
    base = tmp_path / "base"
    options = Publish(version, replace=True, unchanged="skip")
    path = release_if_changed(base, options, "old").path
    held = []

    def is_held():
        with pytest.raises(BlockingIOError):
            lock(path, fcntl.LOCK_NB)
        held.append(path)

    publisher = LocalPublisher(base, options)
    with publisher.stage() as directory:
        (directory / "saved_model.pb").write_text("new")
        assert publisher.publish(directory, find_same=is_held).is_new
    assert held == [path]


@pytest.mark.parametrize("has_renameat2", [True, False])
@pytest.mark.parametrize(
    ("version", "replace"), [("next", False), (2, False), (1, True), (None, True)]
)
def test_of_racing_publishers_of_the_same_release_one_publishes_it(
    tmp_path, monkeypatch, version, replace, has_renameat2
):
    if not has_renameat2:
        monkeypatch.setattr("smdecl.release.renaming._renameat2", lambda *_: False)
    base = tmp_path / "base"
    options = Publish(version, replace, keep=None, unchanged="skip")
    release(base, options if version is None else NEXT, "old")
    racers = 8
    barrier = threading.Barrier(racers)
    found = []

    def race():
        barrier.wait()
        found.append(release_if_changed(base, options))

    threads = [threading.Thread(target=race) for _ in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [each.is_new for each in found].count(True) == 1
    (path,) = {each.path for each in found}
    assert path == (base if version is None else base / ("1" if replace else "2"))
    assert tree(path) == {"saved_model.pb": b"new"}
