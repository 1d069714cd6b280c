"""Unusable keys are refused before the build, and no part of a key gets into a release."""

import base64
import shutil

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from smdecl.checks import sign_key
from smdecl.errors import ConfigError

from tests.conftest import tree
from tests.release.signatures import keys_of, signed_release, write_key

PRIVATE = "expected an unencrypted EC private key (P-256, P-384 or P-521) in PEM format"
PUBLIC = "expected the EC public key of the key that signed, in PEM format"


@pytest.fixture
def keys(tmp_path_factory):
    return keys_of(tmp_path_factory)


@pytest.fixture
def release(tmp_path_factory, tmp_path):
    return shutil.copytree(signed_release(tmp_path_factory), tmp_path / "copy" / "7")


def test_no_part_of_the_key_is_in_a_release(release, keys):
    lines = (keys / "release.pem").read_bytes().splitlines()[1:-1]

    for name, content in tree(release).items():
        for secret in (str(keys).encode(), b"release.pem", *lines):
            assert secret not in content, name
            assert base64.b64encode(secret)[3:-3] not in content, name


PRIVATE_FILES = {
    "nowhere.pem": ("no such file: 'nowhere.pem'", None),
    "folder": ("no such file: 'folder'", lambda path: path.mkdir()),
    "empty.pem": ("'empty.pem' has no such key", lambda path: path.touch()),
    "public.pem": (
        "'public.pem' has no such key",
        lambda path: (
            write_key(path, ec.generate_private_key(ec.SECP256R1()))
            .with_suffix(".pub")
            .rename(path)
        ),
    ),
    "rsa.pem": (
        "'rsa.pem' has a key of type RSAPrivateKey",
        lambda path: write_key(path, rsa.generate_private_key(65537, 2048)),
    ),
    "edwards.pem": (
        "'edwards.pem' has a key of type Ed25519PrivateKey",
        lambda path: write_key(path, ed25519.Ed25519PrivateKey.generate()),
    ),
    "curve.pem": (
        "'curve.pem' has a key of type secp256k1",
        lambda path: write_key(path, ec.generate_private_key(ec.SECP256K1())),
    ),
    "encrypted.pem": (
        "'encrypted.pem' is encrypted",
        lambda path: write_key(path, ec.generate_private_key(ec.SECP256R1()), b"password"),
    ),
}


@pytest.mark.parametrize("name", PRIVATE_FILES)
def test_an_unusable_private_key_is_refused_before_the_build(project, name):
    text, make = PRIVATE_FILES[name]
    if make:
        make(project.root / name)
    project.write("mynet.py", "raise RuntimeError('it was built')\n")

    with pytest.raises(ConfigError) as error:
        project.export(f"publish.sign={name}", "model._target_=mynet.Net")

    assert str(error.value) == f"override 'publish.sign={name}': publish.sign: {text}; {PRIVATE}"
    assert [problem.path for problem in error.value.problems] == [("publish", "sign")]
    assert error.value.exit_code == 2
    assert not (project.root / "exports").exists()


def test_an_unreadable_key_is_refused(project, monkeypatch):
    path = project.write("release.pem", "")

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(path), "read_bytes", refuse)  # root may read all that there is

    with pytest.raises(ConfigError) as error:
        sign_key.require_key(path)

    assert str(error.value) == f"publish.sign: cannot read '{path}': Permission denied; {PRIVATE}"


def test_a_key_that_vanishes_during_the_build_fails_the_export_without_leftovers(project, keys):
    shutil.copy(keys / "release.pem", "release.pem")
    project.write(
        "mynet.py",
        "import os\nfrom smdecl.models import Adder\ndef make():\n    os.unlink('release.pem')\n    return Adder()\n",
    )

    with pytest.raises(ConfigError) as error:
        project.export("publish.sign=release.pem", "model._target_=mynet.make")

    assert (
        str(error.value)
        == f"override 'publish.sign=release.pem': publish.sign: no such file: 'release.pem'; {PRIVATE}"
    )
    assert not (project.root / "exports").exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nowhere.pub", "no such file: 'nowhere.pub'"),
        ("release.pem", "'release.pem' has no such key"),
        ("rsa.pub", "'rsa.pub' has a key of type RSAPublicKey"),
    ],
)
def test_an_unusable_public_key_is_refused_before_anything_else(project, keys, name, text):
    shutil.copy(keys / "release.pem", "release.pem")
    write_key(project.root / "rsa.pem", rsa.generate_private_key(65537, 2048))

    done = project.run("verify", "nothing", "--key", name)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"smdecl: error: --key: {text}; {PUBLIC}\n"
