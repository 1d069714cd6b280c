"""The models.config of TensorFlow Serving: which models a server serves, and from where.

It is a text proto that people edit too, so only the entry of one model is changed.
Comments, order and fields of an entry that smdecl does not know stay as they are, byte for
byte. A file with other fields than a server's config is a text proto of a different kind.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

from smdecl.errors import Problem, PublishError
from smdecl.files import locked, read_regular
from smdecl.release import model_server_proto, text_proto
from smdecl.release.model_server_proto import ENTRY, LIST
from smdecl.release.text_proto import Field

_LARGEST = 1 << 20  # bytes; the parser takes seconds for so many
# The parser copies the line of a token several times, so a line costs the square of its length.
_LONGEST_LINE = 1 << 16  # characters
_KEY = ("publish", "models_config")
_CUSTOM = "custom_model_config"
_READABLE = 0o644  # servers often run as a different user
_EXPECTED = "expected a ModelServerConfig of TensorFlow Serving, as text"
_POSITION = re.compile(r"^(\d+):\d+ : ")


@dataclass(frozen=True)
class _Entry:
    """The entry of one model.

    Attributes:
        name: The name of the model.
        base_path: Its base path.
        versions: The versions that the entry tells a server to load or to label.
        field: Where the entry is in the text.
    """

    name: str
    base_path: str
    versions: frozenset[int]
    field: Field


class _Listed(NamedTuple):
    """The list of models, or None if there is none, and its entries."""

    field: Field | None
    entries: Sequence[_Entry]


def add(path: Path, name: str, base_path: Path | str) -> None:
    """Sets the base path of a model in a models.config, and adds the model if needed.

    Raises:
        PublishError: If the file is not a models.config, or the model cannot be added to it.
        OSError: If the file system refuses.
    """
    place = (
        base_path if isinstance(base_path, str) else str(base_path.resolve())
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Concurrent exports must not overwrite each other's entries.
    with locked(path.parent):
        text = _read(path)
        changed = _with_model(path, text or "", name, place)
        if changed != text:
            _replace(path, changed)


def pinned(path: Path, name: str) -> frozenset[int]:
    """Returns the versions of a model that a models.config names.

    Raises:
        PublishError: If the file is not a models.config.
    """
    for entry in _parse(path, _read(path) or "").entries:
        if entry.name == name:
            return entry.versions
    return frozenset()


def require_valid(path: Path) -> None:
    """Raises if a file exists to which no model can be added.

    Raises:
        PublishError: With the line, and what is wrong there.
    """
    _parse(path, _read(path) or "")


def _read(path: Path) -> str | None:
    try:
        return read_regular(path, _LARGEST).decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = f"cannot read {str(path)!r}: {error}"
        raise PublishError(Problem(_KEY, reason)) from error


def _replace(path: Path, text: str) -> None:
    """Replaces a file in one step, and keeps its mode."""
    mode = path.stat().st_mode & 0o777 if path.exists() else _READABLE
    descriptor, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=".smdecl-"
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


# Editing


def _with_model(path: Path, text: str, name: str, base_path: str) -> str:
    """Returns the text with the base path of a model set."""
    listed = _parse(path, text)
    newline = "\r\n" if "\r\n" in text else "\n"
    for entry in listed.entries:
        if entry.name == name:
            return _with_base_path(text, entry, base_path, newline)
    if listed.field is None:
        return _with_list(text, _new_entry("  ", name, base_path), newline)
    return _with_entry(
        text, listed.field, listed.entries, name, base_path, newline
    )


def _with_base_path(
    text: str, entry: _Entry, base_path: str, newline: str
) -> str:
    if entry.base_path == base_path:
        return text
    value = _quoted(base_path)
    inner = {field.name: field for field in entry.field.fields or ()}
    if "base_path" in inner:
        old = inner["base_path"]
        return text[: old.begin] + value + text[old.end :]
    name = inner["name"]
    indent = _indent(text, name.start)
    between = " " if indent is None else f"{newline}{indent}"
    return f"{text[: name.end]}{between}base_path: {value}{text[name.end :]}"


def _with_list(text: str, entry: Sequence[str], newline: str) -> str:
    """Appends a list with one entry to a text that has no list."""
    separator = newline if text and not text.endswith("\n") else ""
    lines = [f"{LIST} {{", *entry, "}", ""]
    return text + separator + newline.join(lines)


def _with_entry(
    text: str,
    listed: Field,
    entries: Sequence[_Entry],
    name: str,
    base_path: str,
    newline: str,
) -> str:
    """Appends an entry to the list of models, with the indentation of the last one."""
    list_indent = _indent(text, listed.start) or ""
    last_indent = _indent(text, entries[-1].field.start) if entries else None
    lines = _new_entry(last_indent or f"{list_indent}  ", name, base_path)
    bracket = listed.end - 1
    line_start = text.rfind("\n", 0, bracket) + 1
    if text[line_start:bracket].strip():  # the bracket shares its line
        added = newline.join(["", *lines, ""])
        return text[:bracket] + added + text[bracket:]
    added = newline.join([*lines, ""])
    return text[:line_start] + added + text[line_start:]


def _new_entry(indent: str, name: str, base_path: str) -> list[str]:
    return [
        f"{indent}{ENTRY} {{",
        f"{indent}  name: {_quoted(name)}",
        f"{indent}  base_path: {_quoted(base_path)}",
        f'{indent}  model_platform: "tensorflow"',
        f"{indent}}}",
    ]


def _indent(text: str, position: int) -> str | None:
    """Returns the white space before a position in its line; None if there is more."""
    line_start = text.rfind("\n", 0, position) + 1
    before = text[line_start:position]
    return None if before.strip() else before


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


# Parsing


def _parse(path: Path, text: str) -> _Listed:
    """Returns the list of models in a models.config.

    Raises:
        PublishError: If the text is not a models.config, or a server would reject it.
    """
    message, fields = _parse_message(path, text)
    by_name = {field.name: field for field in reversed(fields)}
    custom, listed = by_name.get(_CUSTOM), by_name.get(LIST)
    if custom is not None:
        reason = (
            f"has a {_CUSTOM}, with which a server ignores the list of models"
        )
        _refuse(
            path, _line(text, custom.start), f"{reason}; expected a {LIST}"
        )
    for field in fields:
        if field.name != LIST:
            reason = f"unknown field {field.name!r}; {_EXPECTED}"
            _refuse(path, _line(text, field.start), reason)
    inner = [] if listed is None else listed.fields or ()
    places = [field for field in inner if field.name == ENTRY]
    models = message.model_config_list.config
    entries = [
        _Entry(
            model.name,
            model.base_path,
            model_server_proto.named_versions(model),
            field,
        )
        for model, field in zip(models, places, strict=True)
    ]
    _require_unique_names(path, text, entries)
    return _Listed(listed, entries)


def _require_unique_names(
    path: Path, text: str, entries: Sequence[_Entry]
) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            reason = f"lists the model {entry.name!r} again; expected each name once"
            _refuse(path, _line(text, entry.field.start), reason)
        seen.add(entry.name)


def _parse_message(
    path: Path, text: str
) -> tuple[model_server_proto.ModelServerConfig, tuple[Field, ...]]:
    """Returns the message in a text, and the positions of its fields."""
    from google.protobuf import text_format

    _require_short_lines(path, text)
    message = model_server_proto.empty()
    try:
        text_format.Parse(text, message, allow_unknown_field=True)
        return message, text_proto.fields(text)
    except text_format.ParseError as error:
        line, reason = _explain(text, error)
        _refuse(path, line, f"{reason}; {_EXPECTED}", error)
    except RecursionError as error:
        _refuse(path, None, f"is nested too deep; {_EXPECTED}", error)


def _require_short_lines(path: Path, text: str) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > _LONGEST_LINE:
            reason = (
                f"has {len(line)} characters; expected at most {_LONGEST_LINE}"
            )
            _refuse(path, number, reason)


def _explain(text: str, error: Exception) -> tuple[int | None, str]:
    """Returns the line that a parser's error names, if any, and the reason."""
    reason = str(error)
    position = _POSITION.match(reason)
    if position is None:
        return None, reason
    line = int(position[1])
    reason = reason[position.end() :].rstrip(".")
    # The parser quotes the whole line, or an empty one at the end of the text.
    content = text.split("\n")[line - 1]
    return line, reason.removeprefix(f"'{content}': ").removeprefix("'': ")


def _refuse(
    path: Path, line: int | None, reason: str, cause: Exception | None = None
) -> NoReturn:
    place = repr(str(path)) if line is None else f"{str(path)!r}, line {line}:"
    raise PublishError(Problem(_KEY, f"{place} {reason}")) from cause


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1
