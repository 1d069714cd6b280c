"""Reads the keys that sign releases and check signatures.

The library comes with `smdecl[sign]`. Its import takes half a second, so it is imported late.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smdecl.errors import ConfigError, Problem, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_PRIVATE = "expected an unencrypted EC private key (P-256, P-384 or P-521) in PEM format"
_PUBLIC = "expected the EC public key of the key that signed, in PEM format"


def require_key(path: Path) -> None:
    """Checks that a release can be signed with the private key in a file.

    Raises:
        ConfigError: If the library or the file is missing, or the file is unreadable, encrypted or
            not such a key.
    """
    try:
        private_key(path)
    except ValueError as error:
        raise ConfigError(Problem(("publish", "sign"), str(error))) from error


def require_public_key(path: Path) -> None:
    """Checks that signatures can be verified with the public key in a file.

    Raises:
        UsageError: If the library or the file is missing, or the file is unreadable or not such a
            key.
    """
    try:
        public_key(path)
    except ValueError as error:
        raise UsageError(f"--key: {error}") from error


def _require_library() -> None:
    try:
        import model_signing.signing
        import model_signing.verifying  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"signatures need model-signing: {error}; pip install 'smdecl[sign]'"
        ) from error


def private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """Returns the private key in a file.

    Raises:
        ValueError: If a release cannot be signed with it; the message has the reason.
    """
    _require_library()
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
    )

    key: ec.EllipticCurvePrivateKey = _load(
        path, lambda data: load_pem_private_key(data, password=None), _PRIVATE
    )
    return key


def public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Returns the public key in a file.

    Raises:
        ValueError: If signatures cannot be verified with it; the message has the reason.
    """
    _require_library()
    from cryptography.hazmat.primitives.serialization import (
        load_pem_public_key,
    )

    key: ec.EllipticCurvePublicKey = _load(path, load_pem_public_key, _PUBLIC)
    return key


def _load(path: Path, parse: Callable[[bytes], Any], expected: str) -> Any:
    """Returns the EC key in a file.

    Raises:
        ValueError: If there is none. The message reveals nothing of the content.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    name = repr(str(path))
    try:
        data = path.read_bytes() if path.is_file() else None
    except OSError as error:
        reason = error.strerror
        raise ValueError(
            f"cannot read {name}: {reason}; {expected}"
        ) from error
    if data is None:
        raise ValueError(f"no such file: {name}; {expected}")
    try:
        key = parse(data)
    except TypeError as error:  # the key needs a password
        raise ValueError(f"{name} is encrypted; {expected}") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{name} has no such key; {expected}") from error
    kind = key.curve.name if hasattr(key, "curve") else type(key).__name__
    if kind not in _CURVES:
        raise ValueError(f"{name} has a key of type {kind}; {expected}")
    return key
