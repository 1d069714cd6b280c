"""Verifying a signature reports every changed, added or removed file, and invalid signatures."""

import hashlib
import json
import random
import re
import shutil
import string

import pytest
from smdecl.errors import VerificationError
from smdecl.pipeline import verify
from smdecl.release import manifest, provenance, signing

from tests.conftest import forge_file, tree
from tests.release.signatures import both, compare, problems


def forge(release):
    """Changes a release and everything that needs no key, so that only the signature shows it."""
    (release / "fingerprint.pb").write_bytes(b"forged")
    forge_file(release, "fingerprint.pb")
    manifest.attest(release, manifest.read(release))


def test_a_flipped_bit_in_any_file_invalidates_the_signature(release, public):
    rng = random.Random(0)
    files = tree(release)
    flips = [
        (name, rng.randrange(len(files[name])), rng.randrange(8))
        for name in files
        for _ in range(40)
    ]
    start, end = (files[signing.FILE].index(word) for word in (b'"payload"', b'"payloadType"'))
    flips += [
        (signing.FILE, offset, rng.randrange(8))
        for offset in (*range(start), *range(end, len(files[signing.FILE])))
    ]
    for name, offset, bit in flips:
        content = bytearray(files[name])
        content[offset] ^= 1 << bit
        (release / name).write_bytes(content)

        assert problems(signing.verify, release, public), (name, offset, bit)
        if name != signing.FILE:
            assert problems(compare, release), (name, offset, bit)
        (release / name).write_bytes(files[name])
    assert both(release, public) == [[], []]


def test_a_flipped_bit_that_base64_ignores_is_reported(release, keys, public):
    path = release / signing.FILE
    while '=","keyid"' not in (text := path.read_text()):
        signing.sign(release, keys / "release.pem")  # the length of a signature varies
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    last = re.search(r'.(?==+","keyid")', text)
    path.write_text(
        text[: last.start()] + letters[letters.index(last.group()) ^ 1] + text[last.end() :]
    )

    assert both(release, public)[1] == [
        f"{path}: not a valid signature; it changed after the release was signed"
    ]


def test_a_removed_file_is_reported(release, public):
    for name, content in tree(release).items():
        (release / name).unlink()
        by_manifest, by_signature = both(release, public)
        assert [text[: text.index("no such file")] for text in by_manifest] == [
            f"{release / name}: "
        ]
        assert [text[: text.index("no such file")] for text in by_signature] == [
            f"{release / name}: "
        ]
        (release / name).write_bytes(content)


@pytest.mark.parametrize(
    "name", ["added", ".gitignore", ".git/config", "variables/more", "assets.extra/smdecl/x.sig"]
)
def test_an_added_file_is_reported(release, public, name):
    path = release / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")

    assert both(release, public) == [
        [f"{path}: not listed in the manifest"],
        [f"{path}: not signed"],
    ]


def test_the_signature_shows_a_change_with_a_matching_manifest_and_provenance(release, public):
    before = {name: hashlib.sha256(data).hexdigest() for name, data in tree(release).items()}
    forge(release)
    after = {name: hashlib.sha256(data).hexdigest() for name, data in tree(release).items()}

    found = [
        f"{release / name}: content differs from what was signed: expected sha256 {before[name]}, got {after[name]}"
        for name in (manifest.FILE, provenance.FILE, "fingerprint.pb")
    ]
    assert both(release, public) == [[], found]
    with pytest.raises(VerificationError) as error:
        verify.verify(release, public)
    assert [problem.message for problem in error.value.problems] == found


def test_a_signature_by_a_different_key_is_reported(release, keys):
    assert both(release, keys / "other.pub") == [
        [],
        [
            f"{release / signing.FILE}: signed with a different key; expected that of '{keys / 'other.pub'}'"
        ],
    ]


def test_the_signature_of_a_different_release_is_reported(project, release, keys, public):
    other = project.export(f"publish.sign={keys / 'release.pem'}")
    signing.verify(other.path, public)
    shutil.copy(other.path / signing.FILE, release / signing.FILE)

    assert problems(compare, release) == []
    assert f"{release / 'saved_model.pb'}: content differs from what was signed" in "".join(
        problems(signing.verify, release, public)
    )


def test_a_signature_that_falsely_names_the_key_is_reported(release, keys, public):
    forge(release)
    mine = json.loads((release / signing.FILE).read_text())["verificationMaterial"]
    signing.sign(release, keys / "other.pem")
    bundle = json.loads((release / signing.FILE).read_text())
    (release / signing.FILE).write_text(json.dumps({**bundle, "verificationMaterial": mine}))

    assert both(release, public) == [
        [],
        [
            f"{release / signing.FILE}: not a valid signature; it changed after the release was signed"
        ],
    ]


def test_files_that_a_signature_leaves_out_are_reported(release, keys, public):
    from model_signing import hashing
    from model_signing import signing as library

    partly = hashing.Config().set_ignored_paths(paths=[signing.FILE, "saved_model.pb", "variables"])
    signer = (
        library.Config()
        .use_elliptic_key_signer(private_key=keys / "release.pem")
        .set_hashing_config(partly)
    )
    signer.sign(release, release / signing.FILE)

    assert both(release, public) == [
        [],
        [
            f"{release / name}: not signed"
            for name in (
                "saved_model.pb",
                "variables/variables.data-00000-of-00001",
                "variables/variables.index",
            )
        ],
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"3",
        b'{"dsseEnvelope": {"signatures": [{"sig": "QQ=="}]}}',
        b"[" * 100_000,
    ],
)
def test_an_invalid_signature_file_is_reported(release, public, text):
    (release / signing.FILE).write_bytes(text)

    assert both(release, public) == [
        [],
        [
            f"{release / signing.FILE}: not a valid signature; it changed after the release was signed"
        ],
    ]


def test_the_reason_of_the_library_is_reported(release, public):
    bundle = json.loads((release / signing.FILE).read_text())
    media_type = "application/vnd.dev.sigstore.bundle+json;version=0.2"
    (release / signing.FILE).write_text(json.dumps({**bundle, "mediaType": media_type}))

    assert both(release, public)[1] == [
        f"{release / signing.FILE}: verification failed: Invalid sigstore bundle, got media type {media_type} but expected"
        " application/vnd.dev.sigstore.bundle.v0.3+json"
    ]


def test_provenance_and_signature_are_compared(release):
    path, signature = release / provenance.FILE, release / signing.FILE
    content = path.read_bytes()

    path.write_bytes(content + b"\n")
    assert problems(compare, release) == [f"{path}: content differs from the manifest"]
    path.unlink()
    assert problems(compare, release) == [
        f"{path}: no such file, although {signing.FILE} exists; a signed release has both"
    ]
    path.write_bytes(content)
    signature.rename(release.parent / "elsewhere.sig")
    assert problems(compare, release) == [
        f"{signature}: no such file, although {provenance.FILE} exists; a signed release has both"
    ]
    signature.symlink_to(release.parent / "elsewhere.sig")
    assert problems(compare, release) == [f"{signature}: not a regular file"]
    signature.unlink()
    path.unlink()
    assert problems(compare, release) == []  # a release that is not signed


def test_a_missing_signature_is_reported(project, public):
    release = project.export()

    with pytest.raises(VerificationError) as error:
        verify.verify(release.path, public)

    assert str(error.value) == (
        f"{release.path / signing.FILE}: no such file; the release is not signed (publish.sign signs one)"
    )
