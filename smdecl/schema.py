"""Validates records against the JSON Schemas under `schemas/` (2020-12) and words what breaks them."""

from __future__ import annotations

import copy
import difflib
import functools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jsonschema

from smdecl import resources
from smdecl.errors import InternalError, KeyPath, Problem, dotted, nearest

_SHOWN = 80  # characters of a value
_WORDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


@functools.cache
def load(name: str) -> dict[str, Any]:
    """Returns the schema `schemas/<name>.schema.json`."""
    path = resources.schema_dir() / f"{name}.schema.json"
    schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return schema


def _is_integer(_checker: Any, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# JSON has one kind of number, so that its schema takes 1.0 for an integer; TensorFlow does not.
_Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", _is_integer
    ),
)


def problems(name: str, value: object) -> list[Problem]:
    """Returns everything in `value` that breaks the schema `name`, in the order of the keys."""
    validator = _Validator(load(name))
    found = [
        problem for error in validator.iter_errors(value) for problem in _word(error)
    ]
    return sorted(
        dict.fromkeys(found), key=lambda problem: [str(part) for part in problem.path]
    )


def fits(name: str, value: object) -> bool:
    """Returns whether nothing in `value` breaks the schema `name`; takes less than naming it all."""
    return bool(_Validator(load(name)).is_valid(value))


def require(name: str, value: object) -> None:
    """Raises InternalError where a record that smdecl itself made breaks its schema.

    Raises:
        InternalError: With every place that breaks it.
    """
    if found := problems(name, value):
        raise InternalError(
            [
                Problem(problem.path, f"{problem.message} ({name} schema)")
                for problem in found
            ]
        )


_ANY = object()


def refusal(
    values: Mapping[str, Any], path: KeyPath, value: object = _ANY
) -> tuple[int, list[str]] | None:
    """Returns how deep a key path of the config leads to a key that is not taken, and which keys are taken there.

    Args:
        values: A config, whose other keys tell what is taken beside them.
        path: Need not be in it.
        value: To be put there, if its type counts too.

    Returns:
        None where the path is taken. No keys are where the value there can hold none.
    """
    trial: Any = copy.deepcopy(dict(values))
    node = trial
    for part in path[:-1]:
        node[part] = node[part] if isinstance(node.get(part), dict) else {}
        node = node[part]
    node[path[-1]] = value
    for error in _innermost(_Validator(load("config")).iter_errors(trial)):
        place = tuple(error.absolute_path)
        if place == path[: len(place)] and (
            len(place) < len(path) or value is not _ANY
        ):
            known = sorted(error.schema.get("properties", {}))
            if error.validator == "type":
                return len(place), []
            if (
                error.validator == "additionalProperties"
                and path[len(place)] not in known
            ):
                return len(place), known
    return None


def _innermost(errors: Iterable[Any]) -> Iterator[Any]:
    for error in errors:
        if not error.context:
            yield error
        elif error.validator in ("oneOf", "anyOf"):
            yield from _innermost(
                inner for inner in error.context if not _is_null(inner)
            )


def _is_null(error: Any) -> bool:
    return error.validator == "type" and "null" in error.validator_value


def _word(error: Any) -> Iterator[Problem]:
    path: KeyPath = tuple(error.absolute_path)
    wording = _KEYWORDS.get(str(error.validator))
    if error.context and error.validator in ("oneOf", "anyOf"):
        yield from _word_alternatives(error)
    elif error.validator == "additionalProperties":
        yield from _unknown_keys(path, error)
    elif error.validator == "required":
        yield from _missing_keys(path, error)
    elif wording is not None:
        yield Problem(path, f"got {show(error.instance)}; takes {wording(error)}")
    else:
        yield Problem(path, error.message)


def _word_alternatives(error: Any) -> Iterator[Problem]:
    # Every alternative here is null or one real form: what breaks the real form is what the user wants to hear.
    for inner in error.context or []:
        if not _is_null(inner):
            yield from _word(inner)


def _unknown_keys(path: KeyPath, error: Any) -> Iterator[Problem]:
    groups = error.schema.get("x-groups", ())
    own = error.schema.get("properties", {})
    known = sorted({*own, *groups})
    for key in error.instance:
        if key in groups and key not in own:
            chosen = f"an option of it is chosen by {key}=..., or in a defaults list"
            missing = "the first line '# @package _global_' of its file is missing"
            why = missing if isinstance(error.instance[key], dict) else chosen
            yield Problem((*path, key), f"is a group, and no key; {why}")
        elif key not in known:
            place = f" of {dotted(path)}" if path else ""
            yield Problem(
                (*path, key),
                f"{key!r} is no key{place}; takes {', '.join(known)}{nearest(key, known)}",
            )


def _missing_keys(path: KeyPath, error: Any) -> Iterator[Problem]:
    for key in error.validator_value:
        # jsonschema reports each missing key as an error of its own; its message names the one it is about.
        if key not in error.instance and error.message.startswith(repr(key)):
            others = [
                other
                for other in error.instance
                if other not in error.schema.get("properties", {})
            ]
            near = difflib.get_close_matches(key, map(str, others), n=1, cutoff=0.75)
            instead = f"; {near[0]!r} stands there instead" if near else ""
            yield Problem(
                (*path, key), f"is missing; takes {_takes(error.schema, key)}{instead}"
            )


def _takes(schema: Mapping[str, Any], key: str) -> str:
    """Says in words what the property `key` of an object schema takes."""
    wanted = schema.get("properties", {}).get(key, {})
    while "$ref" in wanted:
        wanted = load("config")["$defs"][wanted["$ref"].rsplit("/", 1)[1]]
    if "x-takes" in wanted:
        return str(wanted["x-takes"])
    if "enum" in wanted:
        return _choices(wanted["enum"])
    if "type" in wanted:
        return _types(wanted["type"])
    return "a value"


def _types(names: str | Sequence[str]) -> str:
    words = [_WORDS[name] for name in ([names] if isinstance(names, str) else names)]
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _choices(values: Sequence[object]) -> str:
    return "one of " + ", ".join(
        "null" if value is None else str(value) for value in values
    )


def show(value: object) -> str:
    """Returns a config value as a person would write it, and of what kind it is."""
    return text(value) + (
        "" if isinstance(value, (dict, list)) or value is None else f" ({_kind(value)})"
    )


def text(value: object) -> str:
    """Returns a config value as a person would write it, cut to one line."""
    written = json.dumps(value, default=str, ensure_ascii=False)
    return written if len(written) <= _SHOWN else written[: _SHOWN - 3] + "..."


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    return {int: "an integer", float: "a number", str: "a string"}.get(
        type(value), type(value).__name__
    )


def _enum(error: Any) -> str:
    known, meant = error.validator_value, error.instance
    if isinstance(meant, str):
        meant = error.schema.get("x-also", {}).get(meant, meant)
    return str(error.schema.get("x-takes") or _choices(known)) + nearest(
        meant, [value for value in known if value is not None]
    )


def _type(error: Any) -> str:
    takes = str(error.schema.get("x-takes") or _types(error.validator_value))
    key, *below = error.absolute_path or [None]
    if (
        below
        or not isinstance(error.instance, str)
        or key not in load("config")["x-groups"]
    ):
        return takes
    option = f"{key}={text(error.instance)[1:-1]}"
    return f"{takes}; an option is chosen by {option}, or in a defaults list by '- override /{option.replace('=', ': ')}'"


def _items(least: int) -> str:
    return f"at least {least} item" if least == 1 else f"at least {least} items"


_KEYWORDS: dict[str, Any] = {
    "type": _type,
    "enum": _enum,
    "minimum": lambda error: f"at least {error.validator_value}",
    "maximum": lambda error: f"at most {error.validator_value}",
    "minLength": lambda _: "a text that is not empty",
    "pattern": lambda error: error.schema.get(
        "x-takes", f"a text of the form {error.validator_value}"
    ),
    "uniqueItems": lambda _: "each item once",
    "maxProperties": lambda error: error.schema["x-takes"],
    "minItems": lambda error: _items(error.validator_value),
}
