"""Whether a release is still as it was published, by its sizes or its digests."""

import shutil

import pytest
from smdecl.errors import SmdeclError
from smdecl.release import manifest, presence

from tests.conftest import forge_manifest
from tests.release.stores import memory_store


@pytest.fixture
def digest(release):
    return manifest.read(release)["digest"]


def _remove(release):
    shutil.rmtree(release)


def _shorten(release):
    (release / "saved_model.pb").write_bytes(b"short")


def _remove_a_file(release):
    (release / "fingerprint.pb").unlink()


def _add_a_file(release):
    (release / "assets" / "more").touch()


def _forge(release):
    forge_manifest(release, files={})


def _edit(release):
    with (release / manifest.FILE).open("a") as file:
        file.write(" ")


def test_a_release_is_there_until_it_is_changed(release, digest):
    assert presence.refuse(release, digest) is None


def test_a_flipped_bit_is_found_only_by_hashing(release, digest):
    path = release / "saved_model.pb"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    assert presence.refuse(release, digest) is None
    found = presence.find_refusal(release, digest, is_hashed=True)
    assert found.is_damage
    assert found.reason.startswith(f"{path}: content differs from the manifest")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_remove, "{}: no such release"),
        (_shorten, "{}/saved_model.pb: content differs from the manifest: expected "),
        (_remove_a_file, "{}/fingerprint.pb: no such file"),
        (_add_a_file, "{}/assets/more: not listed in the manifest"),
        (_forge, "{}: has the digest e3b0c44298fc1c14"),
        (_edit, "{}/assets.extra/smdecl/manifest.json: changed since the release was made"),
    ],
)
def test_a_changed_release_is_refused_with_the_reason(release, digest, change, reason):
    (release / "assets").mkdir(exist_ok=True)
    change(release)

    found = presence.find_refusal(release, digest)

    assert found.reason.startswith(reason.format(release))
    # What is not there, or is a different release, is not damaged.
    assert found.is_damage == (change not in (_remove, _forge))


def test_a_release_in_a_store_is_compared_in_place(release, digest):
    with memory_store() as store:
        assert presence.refuse("memory://base/7", digest) == "memory://base/7: no such release"
        store.put(str(release), "/base/7", recursive=True)
        assert presence.refuse("memory://base/7", digest) is None
        assert presence.refuse("memory://base/7", "0" * 64).startswith(
            "memory://base/7: has the digest"
        )
        store.pipe("/base/7/saved_model.pb", bytes((release / "saved_model.pb").stat().st_size))
        assert presence.refuse("memory://base/7", digest) is None
        assert (
            presence.refuse("memory://base/7", digest, is_hashed=True)
            == "memory://base/7/saved_model.pb: content differs from the manifest"
        )
        store.pipe("/base/7/saved_model.pb", b"short")
        assert presence.refuse("memory://base/7", digest).startswith(
            "memory://base/7/saved_model.pb: expected "
        )
        store.rm("/base/7/saved_model.pb")
        assert (
            presence.refuse("memory://base/7", digest)
            == "memory://base/7/saved_model.pb: no such file"
        )


def test_the_key_that_a_signature_names_is_compared(release, keys):
    def found(place):
        names = ("release.pem", "other.pem")
        signed = [presence.is_signed_with(place, keys / name) for name in names]
        return [*signed, presence.is_signed_with(place, None)]

    with memory_store() as store:
        store.put(str(release), "/base/7", recursive=True)
        assert found(release) == found("memory://base/7") == [True, False, False]
    (release / "assets.extra/smdecl/model.sig").unlink()
    assert found(release) == [False, False, True]


def test_an_unknown_store_is_an_error_or_a_reason(digest):
    assert "nostore" in presence.refuse("nostore://base/7", digest)
    with pytest.raises(SmdeclError):
        presence.is_signed_with("nostore://base/7", None)
