"""Reads the keys that sign releases and check signatures.

The library comes with `smdecl[sign]` and is imported only where it is needed: that takes half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smdecl.errors import ConfigError, Problem, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_PRIVATE = (
    "takes an EC private key (P-256, P-384 or P-521) as PEM that is not encrypted"
)
_PUBLIC = "takes the EC public key as PEM that belongs to the private key that signed"


def require_key(path: Path) -> None:
    """Raises where a release cannot be signed with the private key of a file.

    Raises:
        ConfigError: Where the library is missing, or the file is missing, unreadable, encrypted or another key.
    """
    try:
        private_key(path)
    except ValueError as error:
        raise ConfigError(Problem(("publish", "sign"), str(error))) from error


def require_public_key(path: Path) -> None:
    """Raises where no signature can be checked with the public key of a file.

    Raises:
        UsageError: Where the library is missing, or the file is missing, unreadable or another key.
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
    """Returns the private key of a file.

    Raises:
        ValueError: If a release cannot be signed with it; says why.
    """
    _require_library()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: ec.EllipticCurvePrivateKey = _load(
        path, lambda data: load_pem_private_key(data, password=None), _PRIVATE
    )
    return key


def public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Returns the public key of a file.

    Raises:
        ValueError: If a signature cannot be checked with it; says why.
    """
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
        raise ValueError(
            f"{shown} cannot be read: {error.strerror}; {takes}"
        ) from error
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
