"""Uploads during which other publishers interfere, or the store fails or loses files."""

import pytest
from smdecl.config.settings import Publish
from smdecl.errors import PublishError
from smdecl.release import publish_remote
from smdecl.release.publish_remote import RemotePublisher

from tests.conftest import tree
from tests.release.stores import FILES, NEXT, made, memory_store, upload, uploaded


@pytest.fixture
def store(project):
    with memory_store() as files:
        yield files


@pytest.fixture
def two(tmp_path):
    """Releases of two publishers, the second with an additional file."""
    return made(tmp_path / "first", "first"), made(
        tmp_path / "second", "second", (*FILES, "assets/more")
    )


@pytest.mark.parametrize("failing", range(5))
def test_a_failed_upload_is_removed_and_the_next_one_succeeds(store, monkeypatch, two, failing):
    put, calls = type(store).put_file, []

    def refuse(self, source, target, **keywords):
        calls.append(target)
        if len(calls) == failing + 1:
            raise PermissionError("no")
        return put(self, source, target, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr(type(store), "put_file", refuse)
        with pytest.raises(PublishError, match="PermissionError: no"):
            upload(two[0])

    assert uploaded(store) == {}
    assert upload(two[0])[1] == 1
    assert uploaded(store) == {f"1/{name}": data for name, data in tree(two[0]).items()}


def before_put(store, monkeypatch, number, act):
    """Calls `act` right before a call of put_file, after the publisher checked the place."""
    put, calls = type(store).put_file, []

    def patched(self, source, target, **keywords):
        calls.append(target)
        if len(calls) == number:
            with monkeypatch.context() as undisturbed:
                undisturbed.setattr(type(store), "put_file", put)
                act(target)
        return put(self, source, target, **keywords)

    monkeypatch.setattr(type(store), "put_file", patched)


def taking(monkeypatch, first, times):
    """Lets a different publisher take the free version several times; returns those versions."""
    find, taken = publish_remote.find_target, []

    def slow(store, options):
        target, version = find(store, options)
        if len(taken) < times:
            store.files.put(f"{first}/", f"{target}/", recursive=True)
            taken.append(version)
        return target, version

    monkeypatch.setattr(publish_remote, "find_target", slow)
    return taken


def test_if_others_take_the_next_version_the_following_one_is_used(store, monkeypatch, two):
    first, second = two
    taken = taking(monkeypatch, first, times=3)

    assert upload(second) == ("memory:///models/4", 4)

    assert taken == [1, 2, 3]
    expected = {
        f"{version}/{name}": data for version in taken for name, data in tree(first).items()
    }
    assert uploaded(store) == expected | {f"4/{name}": data for name, data in tree(second).items()}


def test_a_release_that_another_publishes_meanwhile_is_not_uploaded_again(store, monkeypatch, two):
    publisher = RemotePublisher("memory://models", NEXT)
    taken = taking(monkeypatch, two[0], times=1)
    compared = []

    def find_same():
        compared.append(publisher.current())
        return compared[-1]

    assert publisher.publish(two[0], find_same=find_same) == publisher.current()

    assert taken == [1]
    assert len(compared) == 1  # after the version to take was known
    assert set(uploaded(store)) == {f"1/{name}" for name in FILES}


@pytest.mark.parametrize("options", [Publish(version=1, replace=False), NEXT])
def test_a_version_taken_during_the_upload_is_left_as_it_is(store, monkeypatch, two, options):
    first, second = two
    taken = taking(monkeypatch, first, times=100)

    with pytest.raises(PublishError) as error:
        RemotePublisher("memory://models", options).publish(second)

    assert len(taken) == (1 if options.version == 1 else 11)
    assert (error.value.exit_code, str(error.value)) == (
        5,
        f"publish.version: '/models/{taken[-1]}' was taken during the upload: a different publisher has put"
        " 'assets.extra/smdecl/manifest.json' there; expected a different version",
    )
    expected = {
        f"{version}/{name}": data for version in taken for name, data in tree(first).items()
    }
    assert uploaded(store) == expected


@pytest.mark.parametrize("number", range(1, 7))
def test_a_release_that_a_different_publisher_completed_is_not_removed(
    store, monkeypatch, two, number
):
    """At whatever file it appears, and although this upload fails."""
    first, second = two

    def complete(_target):
        for name, data in tree(first).items():
            store.pipe_file(f"/models/1/{name}", data)
        raise ConnectionError("broken off")

    before_put(store, monkeypatch, number, complete)
    with pytest.raises(PublishError, match="ConnectionError: broken off"):
        upload(second)

    assert {name: data for name, data in uploaded(store).items() if name != "1/assets/more"} == {
        f"1/{name}": data for name, data in tree(first).items()
    }


def test_a_saved_model_that_appears_during_the_upload_is_not_replaced(store, monkeypatch, two):
    before_put(
        store, monkeypatch, 4, lambda _: store.pipe_file("/models/1/saved_model.pb", b"another's")
    )

    with pytest.raises(
        PublishError, match="'/models/1' was taken during the upload: .*'saved_model.pb'"
    ):
        upload(two[0])

    assert uploaded(store)["1/saved_model.pb"] == b"another's"


@pytest.mark.parametrize("written", [0, 5, 14])
def test_a_part_of_its_own_saved_model_is_removed(store, monkeypatch, two, written):
    def break_off(target):
        store.pipe_file(target, (two[0] / "saved_model.pb").read_bytes()[:written])
        raise OSError("broken off")

    before_put(store, monkeypatch, 5, break_off)
    with pytest.raises(PublishError, match="OSError: broken off"):
        upload(two[0])

    assert uploaded(store) == {}


@pytest.mark.parametrize("lossy", ["variables/data", "saved_model.pb"])
def test_a_file_that_the_store_truncated_is_removed(store, monkeypatch, two, lossy):
    put = type(store).put_file

    def lose(self, source, target, **keywords):
        put(self, source, target, **keywords)
        if target.endswith(lossy):
            store.pipe_file(target, store.cat_file(target)[:5])

    monkeypatch.setattr(type(store), "put_file", lose)
    with pytest.raises(
        PublishError, match=f"OSError: /models/1/{lossy} has 5 bytes after the upload"
    ):
        upload(two[0])

    assert uploaded(store) == {}


def test_a_complete_release_stays_although_the_store_failed(store, monkeypatch, two):
    # It may be that of a different publisher of the same release.
    def break_off(target):
        store.put_file(str(two[0] / "saved_model.pb"), target)
        raise OSError("broken off")

    before_put(store, monkeypatch, 5, break_off)
    with pytest.raises(PublishError, match="OSError: broken off"):
        upload(two[0])

    assert uploaded(store) == {f"1/{name}": data for name, data in tree(two[0]).items()}


def test_a_release_that_lost_a_file_is_withdrawn(store, monkeypatch, two):
    before_put(store, monkeypatch, 5, lambda _: store.rm_file("/models/1/assets/words"))

    with pytest.raises(PublishError, match="/models/1/assets/words"):
        upload(two[0])

    assert uploaded(store) == {}


@pytest.mark.parametrize("lost", ["assets/words", "assets.extra/smdecl/manifest.json"])
def test_saved_model_pb_is_not_put_if_an_uploaded_file_is_gone(store, monkeypatch, two, lost):
    before_put(store, monkeypatch, 4, lambda _: store.rm_file(f"/models/1/{lost}"))
    put = []
    before_put(store, monkeypatch, 5, put.append)

    with pytest.raises(PublishError, match=f"/models/1/{lost}"):
        upload(two[0])

    assert put == []
    assert uploaded(store) == {}


def test_existing_directories_stay(project, two):
    base = project.root / "store" / "1"
    base.mkdir(parents=True)
    (two[0] / "variables" / "index").symlink_to("/proc/self/mem")  # a file that cannot be read

    with pytest.raises(PublishError):
        RemotePublisher(f"file://{base}", Publish(version=None, replace=False)).publish(two[0])

    assert list(base.iterdir()) == []


def test_a_store_that_fails_to_answer_does_not_count_as_empty(store, monkeypatch, two):
    upload(two[0])
    before = uploaded(store)

    def refuse(*_arguments, **_keywords):
        raise ConnectionError("no route")

    for question in ("info", "ls"):
        with monkeypatch.context() as patched:
            patched.setattr(type(store), question, refuse)
            with pytest.raises(PublishError, match="ConnectionError: no route"):
                upload(two[1])
    assert uploaded(store) == before


@pytest.mark.parametrize("name", ["99999999999999999999", str(2**63)])
def test_a_name_beyond_int64_is_not_a_version(store, two, name):
    store.pipe_file(f"/models/{name}/saved_model.pb", b"")

    assert upload(two[0])[1] == 1


def test_no_version_follows_the_highest(store, two):
    store.pipe_file(f"/models/{2**63 - 1}/saved_model.pb", b"")
    before = uploaded(store)

    message = "publish.version: no version follows 9223372036854775807"
    with pytest.raises(PublishError, match=message):
        RemotePublisher("memory://models", NEXT).refuse_early()
    with pytest.raises(PublishError, match=message):
        upload(two[0])
    assert uploaded(store) == before
