"""Turns violations of a JSON Schema into Problems, in the words of a config file.

Five keywords of the schemas are for these texts alone:

- `x-expected` replaces what the schema would say of itself after "expected".
- `title` names a value that has no key, or whose key does not name it.
- `x-also` maps words that users write for an enum value to that value, for its hint.
- `x-more` says what else to write, or where a long list of values is, if there is no hint.
- `x-replace` maps parts of an invalid string to those that users mean, for its hint.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from jsonschema.exceptions import ValidationError

from smdecl.errors import (
    KeyPath,
    Problem,
    closest,
    did_you_mean,
    dotted,
    nearest,
)
from smdecl.printing import abbreviated, quoted

Schema: TypeAlias = Mapping[str, Any]

_TYPES = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}
_KINDS: Mapping[type, str] = {
    str: "the string",
    int: "the integer",
    float: "the number",
}


@dataclass(frozen=True)
class Violation:
    """One way in which a value breaks a JSON Schema.

    Attributes:
        path: The key path of the value.
        instance: The value.
        keyword: The keyword of the schema that the value breaks, such as `type`.
        limit: The value of that keyword.
        schema: The schema that has the keyword.
        schema_path: The path of the keyword in the whole schema.
        message: What jsonschema says about it.
    """

    path: KeyPath
    instance: Any
    keyword: str
    limit: Any
    schema: Schema
    schema_path: KeyPath
    message: str

    @classmethod
    def of(cls, error: ValidationError) -> Violation:
        """Returns the record of an error of jsonschema."""
        return cls(
            path=tuple(error.absolute_path),
            instance=error.instance,
            keyword=str(error.validator),
            limit=error.validator_value,
            schema=cast(Schema, error.schema),
            schema_path=tuple(error.absolute_schema_path),
            message=error.message,
        )


def problems(violation: Violation, root: Schema) -> Iterator[Problem]:
    """Yields a Problem for each key that a violation is about.

    Args:
        violation: The violation. It must have no alternatives (`oneOf`, `anyOf`).
        root: The whole schema, to which its `$ref`s refer.
    """
    path = violation.path
    match violation.keyword:
        case "additionalProperties":
            yield from _unknown_keys(path, violation)
        case "required":
            yield from _missing_keys(path, violation, root)
        case "type":
            yield Problem(path, _wrong_type(violation, root))
        case "enum" | "pattern":
            yield Problem(path, _invalid(violation))
        case keyword if keyword in _BOUNDS:
            expected = _BOUNDS[keyword](violation)
            got = abbreviated(violation.instance)
            more = violation.schema.get("x-more")
            hint = f"; {more}" if more else ""
            yield Problem(path, f"expected {expected}, got {got}{hint}")
        case _:
            yield Problem(path, violation.message)


def _unknown_keys(path: KeyPath, violation: Violation) -> Iterator[Problem]:
    groups = violation.schema.get("x-groups", ())
    own = violation.schema.get("properties", {})
    known = sorted({*own, *groups})
    for key in violation.instance:
        if key in groups and key not in own:
            yield Problem(
                (*path, key), _group_as_key(key, violation.instance[key])
            )
        elif key not in known:
            place = f" in {dotted(path)}" if path else ""
            hint = nearest(key, known) or _defaults_hint(path, key)
            expected = f"expected one of {', '.join(known)}{hint}"
            yield Problem(
                (*path, key), f"unknown key {key!r}{place}; {expected}"
            )


def _defaults_hint(path: KeyPath, key: str) -> str:
    """Returns the hint for a misspelt defaults list, which Hydra removes from a config."""
    if len(path) > 1:  # not the top level of a file
        return ""
    return did_you_mean(closest(key, ["defaults"], cutoff=0.8))


def _group_as_key(group: str, value: object) -> str:
    if isinstance(value, dict):
        hint = "its file lacks the first line '# @package _global_'"
    else:
        hint = f"choose an option with {group}=..., or in a defaults list"
    return f"{group!r} is a config group, not a key; {hint}"


def _missing_keys(
    path: KeyPath, violation: Violation, root: Schema
) -> Iterator[Problem]:
    for key in violation.limit:
        # jsonschema reports each missing key separately; the message names the key.
        is_named = violation.message.startswith(repr(key))
        if key in violation.instance or not is_named:
            continue
        known = violation.schema.get("properties", {})
        unknown = [
            str(other) for other in violation.instance if other not in known
        ]
        similar = closest(key, unknown, cutoff=0.75)
        hint = "" if similar is None else f" (found {similar!r} instead)"
        expected = _expected(known.get(key, {}), root)
        yield Problem((*path, key), f"is missing; expected {expected}{hint}")


def _wrong_type(violation: Violation, root: Schema) -> str:
    expected = violation.schema.get("x-expected")
    expected = expected or _type_names(violation.limit)
    message = f"expected {expected}, got {_described(violation.instance)}"
    path = violation.path
    is_option = len(path) == 1 and path[0] in root.get("x-groups", ())
    if not is_option or not isinstance(violation.instance, str):
        return message
    group, option = path[0], abbreviated(violation.instance)[1:-1]
    in_list = f"in a defaults list with '- override /{group}: {option}'"
    return f"{message}; choose an option with {group}={option}, or {in_list}"


def _invalid(violation: Violation) -> str:
    value = violation.instance
    got = f"invalid {_noun(violation)} {quoted(value)}"
    if violation.keyword == "pattern":
        default = f"a string of the form {violation.limit}"
        expected = violation.schema.get("x-expected", default)
        return f"{got}; expected {expected}{_replaced(violation)}"
    choices = violation.limit
    expected = violation.schema.get("x-expected") or _one_of(choices)
    meant = value
    if isinstance(value, str):
        also = violation.schema.get("x-also", {})
        meant = also.get(value.lower(), value)
    hint = nearest(value, _texts(choices))
    if meant != value:
        hint = did_you_mean(meant)
    more = violation.schema.get("x-more")
    if more is not None and not hint:
        hint = f"; {more}"
    return f"{got}; expected {expected}{hint}"


def _texts(choices: Sequence[object]) -> list[str]:
    return [choice for choice in choices if isinstance(choice, str)]


def _replaced(violation: Violation) -> str:
    """Returns the hint at what an invalid string becomes by `x-replace`."""
    meant = str(violation.instance)
    for part, instead in violation.schema.get("x-replace", {}).items():
        meant = meant.replace(part, instead)
    is_valid = re.search(violation.limit, meant) is not None
    return f"; write {meant}" if is_valid else ""


def _noun(violation: Violation) -> str:
    """Returns what to call a value: its title, or its key if the schema names the key."""
    title = violation.schema.get("title")
    if title is not None:
        return str(title)
    *_, parent, key, _keyword = ["", "", *violation.schema_path]
    return str(key) if parent == "properties" else "value"


def _expected(schema: Schema, root: Schema) -> str:
    """Returns what a schema expects, in words."""
    while "$ref" in schema:
        definition = schema["$ref"].rpartition("/")[2]
        schema = root["$defs"][definition]
    if "x-expected" in schema:
        return str(schema["x-expected"])
    if "enum" in schema:
        return _one_of(schema["enum"])
    if "type" in schema:
        return _type_names(schema["type"])
    return "a value"


def _type_names(names: str | Sequence[str]) -> str:
    if isinstance(names, str):
        return _TYPES[names]
    *others, last = [_TYPES[name] for name in names]
    return f"{', '.join(others)} or {last}" if others else last


def _one_of(values: Sequence[object]) -> str:
    names = ["null" if value is None else str(value) for value in values]
    return f"one of {', '.join(names)}"


def _described(value: object) -> str:
    """Returns a value with its type where YAML would leave doubt: `the string "4"`."""
    kind = _KINDS.get(type(value))
    text = abbreviated(value)
    return f"{kind} {text}" if kind else text


def _least_items(violation: Violation) -> str:
    least = violation.limit
    return f"at least {least} {'item' if least == 1 else 'items'}"


_BOUNDS: Mapping[str, Callable[[Violation], str]] = {
    "minimum": lambda violation: f"at least {violation.limit}",
    "maximum": lambda violation: f"at most {violation.limit}",
    "minLength": lambda _: "a non-empty string",
    "uniqueItems": lambda _: "a list without duplicates",
    "minItems": _least_items,
    "maxProperties": lambda violation: str(violation.schema["x-expected"]),
}
