"""Keys, a signed release and its checks, shared by the tests of signatures."""

import base64
import json

import smdecl
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from smdecl.errors import VerificationError
from smdecl.release import comparison, manifest, signing

from tests.shared import made_once

PEM = serialization.Encoding.PEM


def write_key(path, key, password=None):
    """Writes a private key, and its public key next to it; returns the path of the private key."""
    hidden = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    path.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, hidden))
    public = key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)
    return path


def make_keys(directory):
    for name in ("release", "other"):
        write_key(directory / f"{name}.pem", ec.generate_private_key(ec.SECP256R1()))


def keys_of(factory):
    """Returns a directory with the keys `release` and `other`."""
    return made_once(factory, "keys", make_keys)


def signed_release(factory):
    """Returns a signed release of the scaler."""

    def make(directory):
        key = keys_of(factory) / "release.pem"
        smdecl.export(
            smdecl.compose(["model=scaler", f"publish.sign={key}", f"export_dir={directory}"])
        )

    return made_once(factory, "signed", make) / "1"


def compare(release):
    if found := list(comparison.compare(release, manifest.read(release))):
        raise VerificationError(found)


def problems(check, *arguments):
    try:
        check(*arguments)
    except VerificationError as error:
        return [problem.message for problem in error.problems]
    return []


def both(release, key):
    """Returns the problems that the manifest shows, and those that the signature shows."""
    return [problems(compare, release), problems(signing.verify, release, key)]


def payload(release):
    envelope = json.loads((release / signing.FILE).read_text())["dsseEnvelope"]
    return json.loads(base64.b64decode(envelope["payload"]))
