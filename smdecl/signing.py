"""Signs a release with a local key, and tells whether a signature is one over all that stands there.

The signature is OpenSSF's, by the library model-signing, whose own command line checks it too. The library comes with
`smdecl[sign]` and is imported where it is needed and not before: that takes half a second.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smdecl import files
from smdecl.errors import ConfigError, Problem, UsageError, VerificationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

FILE = "assets.extra/smdecl/model.sig"
_LARGEST = 1 << 24  # bytes
_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_PRIVATE = "takes an EC private key (P-256, P-384 or P-521) as PEM that is not encrypted"
_PUBLIC = "takes the EC public key as PEM that belongs to the private key that signed"


def require_key(path: Path) -> None:
    """Raises where a release cannot be signed with the private key of a file.

    Raises:
        ConfigError: Where the library is missing, or the file is missing, unreadable, encrypted or another key.
    """
    try:
        _private_key(path)
    except ValueError as error:
        raise ConfigError(Problem(("publish", "sign"), str(error))) from error


def require_public_key(path: Path) -> None:
    """Raises where no signature can be checked with the public key of a file.

    Raises:
        UsageError: Where the library is missing, or the file is missing, unreadable or another key.
    """
    try:
        _public_key(path)
    except ValueError as error:
        raise UsageError(f"--key: {error}") from error


def sign(directory: Path, key: Path) -> None:
    """Writes a signature over all files of a release into it.

    Args:
        directory: Of the release; all its other files are there.
        key: Of the private key.

    Raises:
        ConfigError: Where the key cannot be taken.
        OSError: Where the file system refuses.
    """
    require_key(key)
    from model_signing import signing

    signer = signing.Config().use_elliptic_key_signer(private_key=key).set_hashing_config(_hashing())
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
    require_public_key(key)
    path = directory / FILE
    hint, signed = _read(path)
    if hint != _hint(_public_key(key)):
        raise VerificationError(f"{path}: was made with another key than that of {str(key)!r}")
    from cryptography.exceptions import InvalidSignature
    from model_signing import verifying

    verifier = verifying.Config().use_elliptic_key_verifier(public_key=key).set_hashing_config(_hashing())
    refusal: Exception | None = None
    try:
        verifier.verify(directory, path)
    except InvalidSignature as error:
        raise VerificationError(f"{path}: was changed since the release was signed: it is no signature") from error
    except Exception as error:  # the library has no errors of its own; whatever it is, nothing was shown
        refusal = error
    # A signature may itself say what it leaves out, and the library believes it.
    problems = list(_unsigned(directory, signed))
    if refusal is not None:
        problems += changed(directory, signed)
        problems = problems or [Problem((), f"{path}: does not hold: {' '.join(str(refusal).split())}")]
    if problems:
        raise VerificationError(problems) from refusal


def _unsigned(directory: Path, signed: Mapping[str, str]) -> Iterator[Problem]:
    try:
        for name, entry in files.walk(directory):
            if not entry.is_dir(follow_symlinks=False) and name not in signed and name != FILE:
                yield Problem((), f"{directory / name}: is not signed")
    except OSError as error:
        yield Problem((), f"{error.filename}: cannot be read: {error.strerror}")


def changed(directory: Path, signed: Mapping[str, str]) -> Iterator[Problem]:
    """Yields the files of a release that differ from what was signed, by name and digest."""
    try:
        found = dict(files.walk(directory))  # a signature may name files elsewhere, which are not to be read
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
        signed = {str(entry["name"]): str(entry["digest"]) for entry in statement["predicate"]["resources"]}
        return str(bundle["verificationMaterial"]["publicKey"]["hint"]), signed
    except FileNotFoundError as error:
        raise VerificationError(f"{path}: is missing: the release is not signed; publish.sign signs one") from error
    except OSError as error:
        raise VerificationError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise VerificationError(f"{path}: was changed since the release was signed: it is no signature") from error


def _decode(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("it ends in bits that decoding drops")
    return data


def _hint(public: ec.EllipticCurvePublicKey) -> str:
    """Returns what the library names a key by."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _require_library() -> None:
    try:
        import model_signing.signing
        import model_signing.verifying  # noqa: F401
    except ImportError as error:
        raise ValueError(f"signatures need model-signing: {error}; pip install 'smdecl[sign]'") from error


def _private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    _require_library()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: ec.EllipticCurvePrivateKey = _load(path, lambda data: load_pem_private_key(data, password=None), _PRIVATE)
    return key


def _public_key(path: Path) -> ec.EllipticCurvePublicKey:
    _require_library()
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key: ec.EllipticCurvePublicKey = _load(path, load_pem_public_key, _PUBLIC)
    return key


def _load(path: Path, parse: Callable[[bytes], Any], takes: str) -> Any:
    """Returns the EC key of a file; a ValueError says why there is none, and tells nothing that the file holds."""
    from cryptography.exceptions import UnsupportedAlgorithm

    shown = repr(str(path))
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise ValueError(f"{shown} cannot be read: {error.strerror}; {takes}") from error
    if data is None:
        raise ValueError(f"no file {shown}; {takes}")
    try:
        key = parse(data)
    except TypeError as error:  # a password was not given
        raise ValueError(f"{shown} is encrypted; {takes}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{shown} holds no such key; {takes}") from error
    kind = key.curve.name if hasattr(key, "curve") else type(key).__name__
    if kind not in _CURVES:
        raise ValueError(f"{shown} holds a key of another kind, {kind}; {takes}")
    return key
