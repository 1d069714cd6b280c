"""Uploads that other publishers disturb, or the store itself: it lacks, loses or breaks off what it was given."""

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
    """Releases of two publishers, one of which has a file more."""
    return made(tmp_path / "first", "first"), made(
        tmp_path / "second", "second", (*FILES, "assets/more")
    )


@pytest.mark.parametrize("failing", range(5))
def test_what_a_store_breaks_off_is_removed_and_the_next_upload_stands(
    store, monkeypatch, two, failing
):
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
    """Acts just before a call of put_file: where the one who puts has looked, and has not put."""
    put, calls = type(store).put_file, []

    def patched(self, source, target, **keywords):
        calls.append(target)
        if len(calls) == number:
            with monkeypatch.context() as undisturbed:
                undisturbed.setattr(type(store), "put_file", put)
                act(target)
        return put(self, source, target, **keywords)

    monkeypatch.setattr(type(store), "put_file", patched)


def taking(store, monkeypatch, first, times):
    """Has another publisher take the version that was found free, so many times; returns which it has taken."""
    find, taken = publish_remote._target, []

    def slow(files, base, options):
        target, version = find(files, base, options)
        if len(taken) < times:
            store.put(f"{first}/", f"{target}/", recursive=True)
            taken.append(version)
        return target, version

    monkeypatch.setattr(publish_remote, "_target", slow)
    return taken


def test_where_others_take_the_next_version_meanwhile_the_one_after_it_is_next(
    store, monkeypatch, two
):
    first, second = two
    taken = taking(store, monkeypatch, first, times=3)

    assert upload(second) == ("memory:///models/4", 4)

    assert taken == [1, 2, 3]
    expected = {
        f"{version}/{name}": data for version in taken for name, data in tree(first).items()
    }
    assert uploaded(store) == expected | {f"4/{name}": data for name, data in tree(second).items()}


@pytest.mark.parametrize("options", [Publish(version=1, replace=False), NEXT])
def test_a_version_that_was_taken_meanwhile_is_left_as_it_is(store, monkeypatch, two, options):
    first, second = two
    taken = taking(store, monkeypatch, first, times=100)

    with pytest.raises(PublishError) as error:
        RemotePublisher("memory://models", options).publish(second)

    assert len(taken) == (1 if options.version == 1 else 11)
    assert (error.value.exit_code, str(error.value)) == (
        5,
        f"publish.version: '/models/{taken[-1]}' was taken meanwhile: another has put"
        " 'assets.extra/smdecl/manifest.json' there; takes another version",
    )
    expected = {
        f"{version}/{name}": data for version in taken for name, data in tree(first).items()
    }
    assert uploaded(store) == expected


@pytest.mark.parametrize("number", range(1, 7))
def test_what_another_publisher_has_completed_is_never_removed(store, monkeypatch, two, number):
    """Whenever it comes, and though the upload that it comes into breaks off."""
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


def test_a_saved_model_that_came_meanwhile_is_not_put_over(store, monkeypatch, two):
    before_put(
        store, monkeypatch, 4, lambda _: store.pipe_file("/models/1/saved_model.pb", b"another's")
    )

    with pytest.raises(PublishError, match="'/models/1' was taken meanwhile: .*'saved_model.pb'"):
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
def test_what_a_store_has_lost_a_part_of_is_removed(store, monkeypatch, two, lossy):
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


def test_what_is_whole_though_the_store_broke_off_stays(store, monkeypatch, two):
    # It may be that of another publisher of the same release.
    def break_off(target):
        store.put_file(str(two[0] / "saved_model.pb"), target)
        raise OSError("broken off")

    before_put(store, monkeypatch, 5, break_off)
    with pytest.raises(PublishError, match="OSError: broken off"):
        upload(two[0])

    assert uploaded(store) == {f"1/{name}": data for name, data in tree(two[0]).items()}


def test_a_release_that_another_has_taken_from_is_withdrawn(store, monkeypatch, two):
    before_put(store, monkeypatch, 5, lambda _: store.rm_file("/models/1/assets/words"))

    with pytest.raises(PublishError, match="/models/1/assets/words"):
        upload(two[0])

    assert uploaded(store) == {}


@pytest.mark.parametrize("lost", ["assets/words", "assets.extra/smdecl/manifest.json"])
def test_saved_model_pb_is_not_put_where_another_has_removed_what_was_uploaded(
    store, monkeypatch, two, lost
):
    before_put(store, monkeypatch, 4, lambda _: store.rm_file(f"/models/1/{lost}"))
    put = []
    before_put(store, monkeypatch, 5, put.append)

    with pytest.raises(PublishError, match=f"/models/1/{lost}"):
        upload(two[0])

    assert put == []
    assert uploaded(store) == {}


def test_directories_that_were_there_stay(project, two):
    base = project.root / "store" / "1"
    base.mkdir(parents=True)
    (two[0] / "variables" / "index").symlink_to("/proc/self/mem")  # a file that cannot be read

    with pytest.raises(PublishError):
        RemotePublisher(f"file://{base}", Publish(version=None, replace=False)).publish(two[0])

    assert list(base.iterdir()) == []


def test_a_store_that_cannot_be_asked_is_not_taken_for_an_empty_one(store, monkeypatch, two):
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
def test_a_name_beyond_int64_is_no_version(store, two, name):
    store.pipe_file(f"/models/{name}/saved_model.pb", b"")

    assert upload(two[0])[1] == 1


def test_there_is_no_version_after_the_highest(store, two):
    store.pipe_file(f"/models/{2**63 - 1}/saved_model.pb", b"")
    before = uploaded(store)

    message = "publish.version: no version follows 9223372036854775807"
    with pytest.raises(PublishError, match=message):
        RemotePublisher("memory://models", NEXT).refuse_early()
    with pytest.raises(PublishError, match=message):
        upload(two[0])
    assert uploaded(store) == before
