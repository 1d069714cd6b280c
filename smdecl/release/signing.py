"""Signs a release with a local key, and tells whether a signature is one over all that stands there.

The signature is OpenSSF's, by the library model-signing, whose own command line checks it too. The library comes with
`smdecl[sign]` and is imported where it is needed and not before: that takes half a second.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smdecl import files
from smdecl.checks import sign_key
from smdecl.errors import Problem, VerificationError
from smdecl.names import OWN_FILES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

FILE = f"{OWN_FILES}/model.sig"
_LARGEST = 1 << 24  # bytes


def sign(directory: Path, key: Path) -> None:
    """Writes a signature over all files of a release into it.

    Args:
        directory: Of the release; all its other files are there.
        key: Of the private key.

    Raises:
        ConfigError: Where the key cannot be taken.
        OSError: Where the file system refuses.
    """
    sign_key.require_key(key)
    from model_signing import signing

    signer = (
        signing.Config()
        .use_elliptic_key_signer(private_key=key)
        .set_hashing_config(_hashing())
    )
    signer.sign(directory, directory / FILE)


def is_signed(directory: Path) -> bool:
    """Tells whether there is a signature, whosever it is."""
    return (directory / FILE).is_file()


def verify(directory: Path, key: Path) -> None:
    """Checks that a release is signed, by a key, as it stands there: each file, and no other.

    Raises:
        UsageError: Where the public key cannot be taken.
        VerificationError: Where it is not.
    """
    sign_key.require_public_key(key)
    path = directory / FILE
    hint, signed = _read(path)
    if hint != _hint(sign_key.public_key(key)):
        raise VerificationError(
            f"{path}: was made with another key than that of {str(key)!r}"
        )
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    verifier = (
        verifying.Config()
        .use_elliptic_key_verifier(public_key=key)
        .set_hashing_config(_hashing())
    )
    refusal: Exception | None = None
    try:
        verifier.verify(directory, path)
    except InvalidSignature as error:
        raise VerificationError(
            f"{path}: was changed since the release was signed: it is no signature"
        ) from error
    except Exception as error:  # the library has no errors of its own; whatever it is, nothing was shown
        refusal = error
    # A signature may itself say what it leaves out, and the library believes it.
    problems = list(_unsigned(directory, signed))
    if refusal is not None:
        problems += changed(directory, signed)
        problems = problems or [
            Problem((), f"{path}: does not hold: {' '.join(str(refusal).split())}")
        ]
    if problems:
        raise VerificationError(problems) from refusal


def _unsigned(directory: Path, signed: Mapping[str, str]) -> Iterator[Problem]:
    try:
        for name, entry in files.walk(directory):
            if (
                not entry.is_dir(follow_symlinks=False)
                and name not in signed
                and name != FILE
            ):
                yield Problem((), f"{directory / name}: is not signed")
    except OSError as error:
        yield Problem((), f"{error.filename}: cannot be read: {error.strerror}")


def changed(directory: Path, signed: Mapping[str, str]) -> Iterator[Problem]:
    """Yields the files of a release that differ from what was signed, by name and digest."""
    try:
        found = dict(
            files.walk(directory)
        )  # a signature may name files elsewhere, which are not to be read
    except OSError:
        return  # told already
    for name, digest in sorted(signed.items()):
        path = directory / name
        if name not in found or not found[name].is_file(follow_symlinks=False):
            yield Problem((), f"{path}: is missing, and was signed")
        else:
            yield from _changed_file(path, digest)


def _changed_file(path: Path, digest: str) -> Iterator[Problem]:
    try:
        sha256 = files.sha256(path)
    except OSError as error:
        yield Problem((), f"{path}: cannot be read: {error.strerror}")
        return
    if sha256 != digest:
        message = f"is not what was signed: its sha256 is {sha256}, and was {digest}"
        yield Problem((), f"{path}: {message}")


def _hashing() -> Any:
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(paths=[FILE], ignore_git_paths=False)


def _read(path: Path) -> tuple[str, dict[str, str]]:
    """Returns which key a signature says that it is by, and name to digest of what it is over; neither is shown yet."""
    try:
        bundle = json.loads(files.read_regular(path, _LARGEST))
        (signature,) = bundle["dsseEnvelope"]["signatures"]
        _decode(signature["sig"])
        statement = json.loads(_decode(bundle["dsseEnvelope"]["payload"]))
        signed = {
            str(entry["name"]): str(entry["digest"])
            for entry in statement["predicate"]["resources"]
        }
        return str(bundle["verificationMaterial"]["publicKey"]["hint"]), signed
    except FileNotFoundError as error:
        raise VerificationError(
            f"{path}: is missing: the release is not signed; publish.sign signs one"
        ) from error
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise VerificationError(
            f"{path}: was changed since the release was signed: it is no signature"
        ) from error


def _decode(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("it ends in bits that decoding drops")
    return data


def _hint(public: ec.EllipticCurvePublicKey) -> str:
    """Returns what the library names a key by."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()
