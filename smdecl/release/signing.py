"""Signs a release with a local key, and checks that a signature covers all its files.

The signature has the format of OpenSSF model signing, and the command line of the library
model-signing can verify it too. The library comes with `smdecl[sign]` and is imported only
where it is used, because that takes half a second.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from smdecl import files
from smdecl.checks import sign_key
from smdecl.errors import Problem, VerificationError
from smdecl.names import OWN_FILES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec
    from model_signing.hashing import Config as HashingConfig

FILE = f"{OWN_FILES}/model.sig"
_LARGEST = 1 << 24  # bytes
_INVALID = "not a valid signature; it changed after the release was signed"


def sign(directory: Path, key: Path) -> None:
    """Writes a signature over all files of a release into it.

    Args:
        directory: Directory of the release; all its other files exist.
        key: File of the private key.

    Raises:
        ConfigError: If the key cannot be used.
        OSError: If the file system refuses.
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
    """Returns whether a release has a signature, by any key."""
    return (directory / FILE).is_file()


def names_key(directory: Path, key: Path) -> bool:
    """Returns whether a release has a signature that names a private key; does not verify it.

    Raises:
        ConfigError: If the key cannot be used.
    """
    sign_key.require_key(key)
    try:
        claim = _read(directory / FILE)
    except VerificationError:
        return False
    return claim.hint == _hint(sign_key.private_key(key).public_key())


def verify(directory: Path, key: Path) -> None:
    """Checks that a key has signed exactly the files that a release contains.

    Raises:
        UsageError: If the public key cannot be used.
        VerificationError: With every file that differs from what was signed, or with what is
            wrong with the signature.
    """
    sign_key.require_public_key(key)
    path = directory / FILE
    claim = _read(path)
    if claim.hint != _hint(sign_key.public_key(key)):
        raise VerificationError(
            f"{path}: signed with a different key; expected that of {str(key)!r}"
        )
    refusal = _library_refusal(directory, key)
    # The library accepts a signature that says itself which files it leaves out.
    problems = list(_unsigned(directory, claim.digests))
    if refusal is not None:
        problems += changed(directory, claim.digests)
    if refusal is not None and not problems:
        reason = " ".join(str(refusal).split())
        problems = [Problem((), f"{path}: verification failed: {reason}")]
    if problems:
        raise VerificationError(problems) from refusal


def _library_refusal(directory: Path, key: Path) -> Exception | None:
    """Returns the error with which the library rejects a release; None if it accepts it.

    Raises:
        VerificationError: If the signature itself is invalid.
    """
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    verifier = (
        verifying.Config()
        .use_elliptic_key_verifier(public_key=key)
        .set_hashing_config(_hashing())
    )
    try:
        verifier.verify(directory, directory / FILE)
    except InvalidSignature as error:
        raise VerificationError(f"{directory / FILE}: {_INVALID}") from error
    except Exception as error:  # the library has no error class for the rest
        return error
    return None


def _unsigned(directory: Path, signed: Mapping[str, str]) -> Iterator[Problem]:
    try:
        for name, entry in files.walk(directory):
            is_covered = name in signed or name == FILE
            if not is_covered and not entry.is_dir(follow_symlinks=False):
                yield Problem((), f"{directory / name}: not signed")
    except OSError as error:
        yield Problem((), f"cannot read {error.filename}: {error.strerror}")


def changed(directory: Path, signed: Mapping[str, str]) -> Iterator[Problem]:
    """Yields the files of a release that differ from what was signed.

    Args:
        directory: Directory of the release.
        signed: Name to sha256. It may name files outside the release, which are not read.
    """
    try:
        found = dict(files.walk(directory))
    except OSError:  # already reported by _unsigned
        return
    for name, digest in sorted(signed.items()):
        path = directory / name
        if name in found and found[name].is_file(follow_symlinks=False):
            yield from _changed_file(path, digest)
        else:
            yield Problem((), f"{path}: no such file, although it was signed")


def _changed_file(path: Path, digest: str) -> Iterator[Problem]:
    try:
        sha256 = files.sha256(path)
    except OSError as error:
        yield Problem((), f"cannot read {path}: {error.strerror}")
        return
    if sha256 != digest:
        message = f"content differs from what was signed: expected sha256 {digest}, got {sha256}"
        yield Problem((), f"{path}: {message}")


def _hashing() -> HashingConfig:
    from model_signing import hashing

    return hashing.Config().set_ignored_paths(
        paths=[FILE], ignore_git_paths=False
    )


class _Claim(NamedTuple):
    """What a signature says, before it is verified.

    Attributes:
        hint: Identifies the key.
        digests: Name to sha256 of the signed files.
    """

    hint: str
    digests: dict[str, str]


def _read(path: Path) -> _Claim:
    try:
        return _parse(files.read_regular(path, _LARGEST))
    except FileNotFoundError as error:
        raise VerificationError(
            f"{path}: no such file; the release is not signed (publish.sign signs one)"
        ) from error
    except OSError as error:
        raise VerificationError(
            f"cannot read {path}: {error.strerror}"
        ) from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise VerificationError(f"{path}: {_INVALID}") from error


def _parse(data: bytes) -> _Claim:
    """Parses a signature: a sigstore bundle with an in-toto statement.

    Raises:
        ValueError, LookupError, TypeError, RecursionError: If it is malformed.
    """
    bundle = json.loads(data)
    envelope = bundle["dsseEnvelope"]
    (signature,) = envelope["signatures"]
    _decode(signature["sig"])
    statement = json.loads(_decode(envelope["payload"]))
    digests = {}
    for entry in statement["predicate"]["resources"]:
        digests[str(entry["name"])] = str(entry["digest"])
    return _Claim(
        str(bundle["verificationMaterial"]["publicKey"]["hint"]), digests
    )


def _decode(text: str) -> bytes:
    """Decodes Base64 strictly, so that no bit of the text can change unnoticed."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("it ends in bits that decoding drops")
    return data


def _hint(public: ec.EllipticCurvePublicKey) -> str:
    """Returns the hint by which the library identifies a key."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
    )

    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()
