"""The models.config of TensorFlow Serving: which models a server is to serve, and from where.

It is a text proto that people write as well. Only the entry of one model is changed in it: comments,
order and fields that smdecl does not know stay as they are, byte for byte.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smdecl.errors import Problem, PublishError
from smdecl.files import locked, read_regular
from smdecl.release import text_proto
from smdecl.release.text_proto import Field

_LARGEST = 1 << 24  # bytes
_KEY = ("publish", "models_config")
_LIST, _ENTRY = "model_config_list", "config"
_READABLE = 0o644  # a server is often another user
_EXPECTED = "expected a ModelServerConfig of TensorFlow Serving, as text"
_POSITION = re.compile(r"^(\d+):\d+ : ")


@dataclass(frozen=True)
class _Entry:
    name: str
    base_path: str
    field: Field


def add(path: Path, name: str, base_path: Path | str) -> None:
    """Sets the base path of a model in a models.config; adds the model if it has no entry there.

    Raises:
        PublishError: If the file is no models.config, or the model cannot be added to it.
        OSError: If the file system refuses.
    """
    place = base_path if isinstance(base_path, str) else str(base_path.resolve())
    path.parent.mkdir(parents=True, exist_ok=True)
    # What another process adds between reading and replacing would be lost.
    with locked(path.parent):
        text = _read(path)
        changed = _with_model(path, text or "", name, place)
        if changed != text:
            _replace(path, changed)


def require_valid(path: Path) -> None:
    """Raises if a file exists that no model can be added to.

    Raises:
        PublishError: With its line, and what is wrong with it.
    """
    _entries(path, _read(path) or "")


def _replace(path: Path, text: str) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else _READABLE
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".smdecl-")
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


def _read(path: Path) -> str | None:
    try:
        return read_regular(path, _LARGEST).decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise PublishError(
            Problem(_KEY, f"{str(path)!r} cannot be read: {error}")
        ) from error


def _with_model(path: Path, text: str, name: str, base_path: str) -> str:
    """Returns the text with the base path of a model, and everything else as it is."""
    listed, entries = _entries(path, text)
    newline = "\r\n" if "\r\n" in text else "\n"
    value = _quoted(base_path)
    for entry in entries:
        if entry.name == name:
            return _with_base_path(text, entry, base_path, newline)
    if listed is None:
        begin = text if not text or text.endswith("\n") else f"{text}{newline}"
        lines = [f"{_LIST} {{", *_new_entry("  ", name, value), "}", ""]
        return begin + newline.join(lines)
    close = listed.end - 1
    outer = _indent(text, listed.start) or ""
    last = _indent(text, entries[-1].field.start) if entries else None
    lines = _new_entry(last or f"{outer}  ", name, value)
    line = text.rfind("\n", 0, close) + 1
    if text[line:close].strip():  # something else is in the line of the closing bracket
        return text[:close] + newline.join(["", *lines, ""]) + text[close:]
    return text[:line] + newline.join([*lines, ""]) + text[line:]


def _new_entry(indent: str, name: str, base_path: str) -> list[str]:
    return [
        f"{indent}{_ENTRY} {{",
        f"{indent}  name: {_quoted(name)}",
        f"{indent}  base_path: {base_path}",
        f'{indent}  model_platform: "tensorflow"',
        f"{indent}}}",
    ]


def _with_base_path(text: str, entry: _Entry, base_path: str, newline: str) -> str:
    if entry.base_path == base_path:
        return text
    own = {field.name: field for field in entry.field.fields or ()}
    if "base_path" in own:
        return (
            text[: own["base_path"].begin]
            + _quoted(base_path)
            + text[own["base_path"].end :]
        )
    after = own["name"]
    indent = _indent(text, after.start)
    between = " " if indent is None else f"{newline}{indent}"
    return f"{text[: after.end]}{between}base_path: {_quoted(base_path)}{text[after.end :]}"


def _indent(text: str, start: int) -> str | None:
    """Returns what is before a place in its line; None if that is more than spaces."""
    before = text[text.rfind("\n", 0, start) + 1 : start]
    return None if before.strip() else before


def _entries(path: Path, text: str) -> tuple[Field | None, list[_Entry]]:
    """Returns the list of models in a models.config, None if there is none, and its entries.

    Raises:
        PublishError: If the text is no models.config, or a server would refuse it.
    """
    message, known = _parsed(path, text)
    listed = next((field for field in known if field.name == _LIST), None)
    custom = next(
        (field for field in known if field.name == "custom_model_config"), None
    )
    if custom is not None:
        reason = (
            "has a custom_model_config, beside which a server reads no list of models"
        )
        raise _refusal(path, _line(text, custom.start), f"{reason}; expected a {_LIST}")
    fields = [
        field
        for field in (listed.fields or () if listed else ())
        if field.name == _ENTRY
    ]
    pairs = zip(message.model_config_list.config, fields, strict=True)
    entries = [_Entry(model.name, model.base_path, field) for model, field in pairs]
    twice = [
        name
        for name, count in Counter(entry.name for entry in entries).items()
        if count > 1
    ]
    if twice:
        line = [
            _line(text, entry.field.start)
            for entry in entries
            if entry.name == twice[0]
        ][1]
        raise _refusal(
            path, line, f"lists the model {twice[0]!r} again; expected each name once"
        )
    return listed, entries


def _parsed(path: Path, text: str) -> tuple[Any, tuple[Field, ...]]:
    """Returns the message that a text is, and the places of its fields."""
    from google.protobuf import text_format

    message = _model_server_config()
    try:
        text_format.Parse(text, message, allow_unknown_field=True)
        return message, text_proto.fields(text)
    except text_format.ParseError as error:
        raise _refusal(path, *_told(text, error)) from error
    except RecursionError as error:
        raise _refusal(path, None, f"is nested too deep; {_EXPECTED}") from error


def _told(text: str, error: Exception) -> tuple[int | None, str]:
    """Returns the line that a parser's error is about, if it knows one, and what is wrong there."""
    reason = str(error)
    position = _POSITION.match(reason)
    if position is None:
        return None, f"{reason}; {_EXPECTED}"
    line = int(position[1])
    reason = reason[position.end() :].rstrip(".")
    for content in (
        text.split("\n")[line - 1],
        "",
    ):  # the parser quotes the whole line, or the end
        reason = reason.removeprefix(f"'{content}': ")
    return line, f"{reason}; {_EXPECTED}"


def _refusal(path: Path, line: int | None, reason: str) -> PublishError:
    place = f"{str(path)!r}, line {line}:" if line is not None else f"{str(path)!r}"
    return PublishError(Problem(_KEY, f"{place} {reason}"))


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def _model_server_config() -> Any:
    """Returns an empty ModelServerConfig, with the fields that smdecl reads.

    The classes of tensorflow-serving-api are not worth a dependency for these.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="models_config.proto", package="smdecl"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    once = {"type": kinds.TYPE_STRING, "label": kinds.LABEL_OPTIONAL}
    model = file.message_type.add(name="Model")
    model.field.add(name="name", number=1, **once)
    model.field.add(name="base_path", number=2, **once)
    models = file.message_type.add(name="Models")
    entry = models.field.add(name=_ENTRY, number=1, type_name=".smdecl.Model")
    entry.type, entry.label = kinds.TYPE_MESSAGE, kinds.LABEL_REPEATED
    server = file.message_type.add(name="Server")
    listed = server.field.add(name=_LIST, number=1, type_name=".smdecl.Models")
    listed.type, listed.label = kinds.TYPE_MESSAGE, kinds.LABEL_OPTIONAL
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("smdecl.Server")
    return message_factory.GetMessageClass(found)()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
