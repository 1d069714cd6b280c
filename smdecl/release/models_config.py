"""The models.config of TensorFlow Serving: which models a server is to serve, and from where."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from smdecl.errors import Problem, PublishError
from smdecl.files import locked, read_regular

_LARGEST = 1 << 24  # bytes
_KEY = ("publish", "models_config")
_STRING = r'"(?:[^"\\]|\\.)*"'
_ENTRY = re.compile(
    rf'  config \{{\n    name: ({_STRING})\n    base_path: {_STRING}\n    model_platform: "tensorflow"\n  \}}\n'
)
_HEAD, _TAIL = "model_config_list {\n", "}\n"


def add(path: Path, name: str, base_path: Path | str) -> None:
    """Writes a model into a models.config, in the place of the one that had its name; the others stay.

    Raises:
        PublishError: Where the file holds what smdecl did not write.
        OSError: Where the file system refuses.
    """
    place = base_path if isinstance(base_path, str) else str(base_path.resolve())
    entry = (
        f"  config {{\n    name: {_quoted(name)}\n    base_path: {_quoted(place)}\n"
        '    model_platform: "tensorflow"\n  }\n'
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):  # what another one adds between reading and replacing would be lost
        _replace(path, {**_read(path), name: entry})


def _replace(path: Path, entries: Mapping[str, str]) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".smdecl-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(_HEAD + "".join(entry for _, entry in sorted(entries.items())) + _TAIL)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # a server is often another user
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def require_ours(path: Path) -> None:
    """Raises where a file is there that could not be added to.

    Raises:
        PublishError: Where it holds what smdecl did not write.
    """
    _read(path)


def _read(path: Path) -> dict[str, str]:
    try:
        text = read_regular(path, _LARGEST).decode()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise PublishError(Problem(_KEY, f"{str(path)!r} cannot be read: {error}")) from error
    entries = {json.loads(match.group(1)): match.group(0) for match in _ENTRY.finditer(text)}
    if text != _HEAD + "".join(match.group(0) for match in _ENTRY.finditer(text)) + _TAIL:
        message = f"{str(path)!r} holds more than smdecl writes, which would be lost; takes a file of its own"
        raise PublishError(Problem(_KEY, message))
    return entries


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
