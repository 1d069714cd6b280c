"""A signature tells of everything that was changed, added or removed since, and of what is none."""

import hashlib
import json
import random
import re
import shutil
import string

import pytest
from smdecl.errors import VerificationError
from smdecl.pipeline import export
from smdecl.release import manifest, provenance, signing

from tests.conftest import forge_file, tree
from tests.release.signatures import both, compare, keys_of, problems, signed_release


@pytest.fixture
def keys(tmp_path_factory):
    return keys_of(tmp_path_factory)


@pytest.fixture
def release(tmp_path_factory, tmp_path):
    return shutil.copytree(signed_release(tmp_path_factory), tmp_path / "copy" / "7")


@pytest.fixture
def public(keys):
    return keys / "release.pub"


def forge(release):
    """Changes a release, and makes all that needs no key fit: what only a signature can tell."""
    (release / "fingerprint.pb").write_bytes(b"forged")
    forge_file(release, "fingerprint.pb")
    manifest.attest(release, manifest.read(release))


def test_a_flipped_bit_anywhere_in_any_file_is_told_by_the_signature(release, public):
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


def test_a_flipped_bit_that_decoding_drops_is_told(release, keys, public):
    path = release / signing.FILE
    while '=","keyid"' not in (text := path.read_text()):
        signing.sign(release, keys / "release.pem")  # the length of a signature varies
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    last = re.search(r'.(?==+","keyid")', text)
    path.write_text(
        text[: last.start()] + letters[letters.index(last.group()) ^ 1] + text[last.end() :]
    )

    assert both(release, public)[1] == [
        f"{path}: was changed since the release was signed: it is no signature"
    ]


def test_a_removed_file_is_told(release, public):
    for name, content in tree(release).items():
        (release / name).unlink()
        by_manifest, by_signature = both(release, public)
        assert [text[: text.index("is missing")] for text in by_manifest] == [f"{release / name}: "]
        assert [text[: text.index("is missing")] for text in by_signature] == [
            f"{release / name}: "
        ]
        (release / name).write_bytes(content)


@pytest.mark.parametrize(
    "name", ["added", ".gitignore", ".git/config", "variables/more", "assets.extra/smdecl/x.sig"]
)
def test_an_added_file_is_told(release, public, name):
    path = release / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")

    assert both(release, public) == [[f"{path}: was added"], [f"{path}: is not signed"]]


def test_what_was_changed_with_all_that_needs_no_key_is_told_by_the_signature(release, public):
    before = {name: hashlib.sha256(data).hexdigest() for name, data in tree(release).items()}
    forge(release)
    after = {name: hashlib.sha256(data).hexdigest() for name, data in tree(release).items()}

    found = [
        f"{release / name}: is not what was signed: its sha256 is {after[name]}, and was {before[name]}"
        for name in (manifest.FILE, provenance.FILE, "fingerprint.pb")
    ]
    assert both(release, public) == [[], found]
    with pytest.raises(VerificationError) as error:
        export.verify(release, public)
    assert [problem.message for problem in error.value.problems] == found


def test_another_key_is_told(release, keys):
    assert both(release, keys / "other.pub") == [
        [],
        [
            f"{release / signing.FILE}: was made with another key than that of '{keys / 'other.pub'}'"
        ],
    ]


def test_the_signature_of_another_release_is_told(project, release, keys, public):
    other = project.export(f"publish.sign={keys / 'release.pem'}")
    signing.verify(other.path, public)
    shutil.copy(other.path / signing.FILE, release / signing.FILE)

    assert problems(compare, release) == []
    assert f"{release / 'saved_model.pb'}: is not what was signed" in "".join(
        problems(signing.verify, release, public)
    )


def test_a_signature_that_names_the_key_and_is_not_by_it_is_told(release, keys, public):
    forge(release)
    mine = json.loads((release / signing.FILE).read_text())["verificationMaterial"]
    signing.sign(release, keys / "other.pem")
    bundle = json.loads((release / signing.FILE).read_text())
    (release / signing.FILE).write_text(json.dumps({**bundle, "verificationMaterial": mine}))

    assert both(release, public) == [
        [],
        [f"{release / signing.FILE}: was changed since the release was signed: it is no signature"],
    ]


def test_what_a_signature_says_that_it_leaves_out_is_told(release, keys, public):
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
            f"{release / name}: is not signed"
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
def test_what_is_no_signature_is_told(release, public, text):
    (release / signing.FILE).write_bytes(text)

    assert both(release, public) == [
        [],
        [f"{release / signing.FILE}: was changed since the release was signed: it is no signature"],
    ]


def test_what_the_library_refuses_is_told_in_its_words(release, public):
    bundle = json.loads((release / signing.FILE).read_text())
    media_type = "application/vnd.dev.sigstore.bundle+json;version=0.2"
    (release / signing.FILE).write_text(json.dumps({**bundle, "mediaType": media_type}))

    assert both(release, public)[1] == [
        f"{release / signing.FILE}: does not hold: Invalid sigstore bundle, got media type {media_type} but expected"
        " application/vnd.dev.sigstore.bundle.v0.3+json"
    ]


def test_what_a_signed_release_has_beside_its_manifest_is_compared(release):
    path, signature = release / provenance.FILE, release / signing.FILE
    content = path.read_bytes()

    path.write_bytes(content + b"\n")
    assert problems(compare, release) == [f"{path}: was changed: it is not what the manifest gives"]
    path.unlink()
    assert problems(compare, release) == [
        f"{path}: is missing, and {signing.FILE} is there; a signed release has both"
    ]
    path.write_bytes(content)
    signature.rename(release.parent / "elsewhere.sig")
    assert problems(compare, release) == [
        f"{signature}: is missing, and {provenance.FILE} is there; a signed release has both"
    ]
    signature.symlink_to(release.parent / "elsewhere.sig")
    assert problems(compare, release) == [f"{signature}: is no longer a regular file"]
    signature.unlink()
    path.unlink()
    assert problems(compare, release) == []  # a release that is not signed


def test_a_release_that_is_not_signed_is_told(project, public):
    release = project.export()

    with pytest.raises(VerificationError) as error:
        export.verify(release.path, public)

    assert str(error.value) == (
        f"{release.path / signing.FILE}: is missing: the release is not signed; publish.sign signs one"
    )
