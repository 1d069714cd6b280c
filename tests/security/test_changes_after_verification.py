"""A process changes a release in its stage, after it was hashed, verified or signed."""

import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fsspec.implementations.memory import MemoryFileSystem
from smdecl import files
from smdecl.errors import SmdeclError, VerificationError
from smdecl.release import manifest, seals, signing
from smdecl.release.publish_local import LocalPublisher
from smdecl.release.publish_remote import RemotePublisher
from smdecl.release.seals import Seal

from tests.release.signatures import write_key
from tests.security import hostile
from tests.waiting import wait_for

EXPORT = ["model=adder", "verify.generate=1", "publish.compatible=true"]


def append(path):
    with path.open("ab") as file:
        file.write(b"changed")


@pytest.fixture
def changed_after_verification(monkeypatch):
    """Has a file changed once a release is verified: when its compatibility is compared, which is next."""

    def newest(_publisher, stage):
        append(stage / "moved" / "saved_model.pb")

    monkeypatch.setattr(LocalPublisher, "newest", newest)
    monkeypatch.setattr(RemotePublisher, "newest", newest)


def test_what_changes_after_verification_is_not_published(project, changed_after_verification):
    with pytest.raises(
        VerificationError, match=r"^saved_model.pb: content differs from the manifest: expected"
    ) as error:
        project.export(*EXPORT)

    assert "the release has changed since it was verified" in str(error.value)
    assert not (project.root / "exports").exists()


def test_what_changes_after_verification_is_not_uploaded(project, changed_after_verification):
    with pytest.raises(
        VerificationError, match=r"^saved_model.pb: content differs from the manifest"
    ):
        project.export(*EXPORT, "export_dir=memory://changed")

    assert not MemoryFileSystem().exists("/changed")


def test_what_changes_after_verification_is_not_signed(
    project, changed_after_verification, monkeypatch, tmp_path
):
    signed = []
    monkeypatch.setattr(signing, "sign", lambda directory, *_: signed.append(directory))
    key = write_key(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))

    with pytest.raises(
        VerificationError, match=r"^saved_model.pb: content differs from the manifest"
    ):
        project.export(*EXPORT, f"publish.sign={key}")
    assert signed == []


@pytest.fixture
def release(tmp_path):
    return hostile.release(tmp_path / "release", variables={"v": b"\0\0\0\0"})


@pytest.fixture
def seal(release):
    """A seal of files that are old enough for their times to tell."""
    for path in release.rglob("*"):
        os.utime(path, (0, 0))
    everything = seals.identities(release)
    wait_for(lambda: seals.snapshot(release) == everything)
    return Seal(release, manifest.read(release), seals.snapshot(release))


def test_nothing_is_hashed_again_where_nothing_has_changed(seal, monkeypatch):
    monkeypatch.setattr(files, "sha256", lambda path: pytest.fail(f"{path} is hashed"))

    seal.require()


@pytest.mark.parametrize("kept_times", [False, True])
def test_a_change_of_content_shows_though_size_and_mtime_are_kept(seal, release, kept_times):
    path = release / "saved_model.pb"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    if kept_times:
        os.utime(path, (0, 0))

    with pytest.raises(
        VerificationError,
        match=r"^saved_model.pb: content differs from the manifest: expected sha256",
    ):
        seal.require()


def replace_by_a_link(release):
    path = release / "saved_model.pb"
    path.rename(release.parent / "elsewhere")
    path.symlink_to(release.parent / "elsewhere")


CHANGED = {
    "a file is added": (
        lambda release: (release / "new").write_text(""),
        "new: not listed in the manifest",
    ),
    "a directory is added": (
        lambda release: (release / "new").mkdir(),
        "new: not listed in the manifest",
    ),
    "a file is removed": (
        lambda release: (release / "saved_model.pb").unlink(),
        "saved_model.pb: no such file",
    ),
    "a file becomes a link": (replace_by_a_link, "saved_model.pb: not a regular file"),
    "the manifest fits another file": (
        lambda release: hostile.release(release, variables={"v": b"\1\0\0\0"}),
        "manifest.json: changed since",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_every_change_of_a_stage_shows(seal, release, name):
    change, message = CHANGED[name]
    change(release)

    with pytest.raises(SmdeclError, match=message):
        seal.require()


def test_reading_a_file_is_not_a_change(seal, release):
    os.link(release / "saved_model.pb", release.parent / "link")
    (release.parent / "link").unlink()

    seal.require()


def test_times_of_a_recent_file_are_not_believed(release, monkeypatch):
    now = max(path.stat().st_ctime_ns for path in release.rglob("*"))
    monkeypatch.setattr(seals, "file_clock", lambda _directory: now)

    recent = seals.identities(release).keys() - seals.snapshot(release).keys()

    assert {name for name in recent if (release / name).stat().st_ctime_ns == now} == recent
    assert recent
