"""The digests of files: of those that a release is made of, and of those that it consists of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from smdecl import files
from smdecl.config import ExportConfig, Weights
from smdecl.errors import ConfigError

_BLOCK = 1 << 20


def sha256(path: Path) -> str:
    """Returns the sha256 of a regular file, in hexadecimal digits as `sha256sum` prints it.

    Raises:
        OSError: Where it cannot be read.
    """
    digest = hashlib.sha256()
    with files.open_regular(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def inputs(config: ExportConfig) -> dict[str, str]:
    """Returns the sha256 of every file that a config names: its weights, its examples, and what it has a digest for.

    Raises:
        ConfigError: Where one of them cannot be read.
    """
    names = {str(path) for path in of_weights(config.weights)} | {*config.sha256}
    for cases in config.verify.examples.values():
        for case in cases:
            values = [*case["inputs"].values(), *case.get("outputs", {}).values()]
            names |= {value["file"] for value in values if isinstance(value, dict)}
    return {name: _of_input(name) for name in sorted(names)}


def _of_input(name: str) -> str:
    try:
        return sha256(Path(name))
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from error


def of_weights(weights: Weights | None) -> Iterator[Path]:
    """Yields the files that weights are read from."""
    if weights is None:
        return
    path = Path(weights.path)
    if weights.format in ("keras", "keras_weights"):
        yield path
        return
    prefix = path / "variables" / "variables" if weights.format == "saved_model" else path
    yield prefix.with_name(f"{prefix.name}.index")
    # Not by a pattern: a name may hold what a pattern is made of.
    there = prefix.parent.iterdir() if prefix.parent.is_dir() else ()
    yield from (file for file in there if file.name.startswith(f"{prefix.name}.data-"))
