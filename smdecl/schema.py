"""Validates records against the JSON Schemas (2020-12) under `schemas/`."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

import jsonschema
from jsonschema.exceptions import ValidationError

from smdecl import resources, schema_wording
from smdecl.errors import InternalError, KeyPath, Problem
from smdecl.schema_wording import Violation

Schema: TypeAlias = dict[str, Any]


@functools.cache
def load(name: str) -> Schema:
    """Returns the schema `schemas/<name>.schema.json`."""
    path = resources.schema_dir() / f"{name}.schema.json"
    schema: Schema = json.loads(path.read_text(encoding="utf-8"))
    return schema


def _is_integer(_checker: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# JSON has a single number type, so JSON Schema accepts 1.0 as an integer. TensorFlow does not.
_Validator: Any = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", _is_integer
    ),
)


@functools.cache
def _validator(name: str) -> Any:
    return _Validator(load(name))


def violations(name: str, value: object) -> Iterator[Violation]:
    """Yields every violation of the schema `name` in `value`.

    A violation of `oneOf` or `anyOf` is replaced by the violations of its alternatives, except
    those that expect null: an alternative here is either null or the only real form.
    """
    for error in _leaves(_validator(name).iter_errors(value)):
        yield Violation.of(error)


def _leaves(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    for error in errors:
        if error.context and error.validator in ("oneOf", "anyOf"):
            alternatives = [
                each for each in error.context if not _expects_null(each)
            ]
            yield from _leaves(alternatives)
        else:
            yield error


def _expects_null(error: ValidationError) -> bool:
    expected = cast(Any, error.validator_value)
    return error.validator == "type" and "null" in expected


def problems(name: str, value: object) -> list[Problem]:
    """Returns a Problem for each violation of the schema `name` in `value`, sorted by key."""
    root = load(name)
    found: dict[Problem, None] = {}
    for violation in violations(name, value):
        found.update(dict.fromkeys(schema_wording.problems(violation, root)))
    return sorted(
        found, key=lambda problem: [str(part) for part in problem.path]
    )


def fits(name: str, value: object) -> bool:
    """Returns whether `value` conforms to the schema `name`; cheaper than `problems`."""
    return bool(_validator(name).is_valid(value))


def require(name: str, value: object) -> None:
    """Checks a record that smdecl itself made.

    Raises:
        InternalError: If the record breaks the schema `name`; lists every violation.
    """
    digest = hashlib.sha256(repr(value).encode()).digest()
    if _conforming.get(name) == digest:
        return
    found = problems(name, value)
    if found:
        raise InternalError(
            [
                Problem(problem.path, f"{problem.message} ({name} schema)")
                for problem in found
            ]
        )
    _conforming[name] = digest


# Each schema to the digest of the last record that conformed to it. Most records of a variant are
# the same as those of the variant before it.
_conforming: dict[str, bytes] = {}


class Rejection(NamedTuple):
    """Why the config schema rejects a key path.

    Attributes:
        depth: How many parts of the path lead to the mapping that rejects the next part.
        known: The keys that this mapping accepts; empty if the value there can hold no keys.
    """

    depth: int
    known: list[str]


_ANY_VALUE = object()


def refusal(
    values: Mapping[str, Any], path: KeyPath, value: object = _ANY_VALUE
) -> Rejection | None:
    """Returns why the config schema rejects a key path; None if it accepts the path.

    Args:
        values: A config. Its other keys matter: they can decide which keys are accepted.
        path: Need not exist in the config.
        value: The value to set there; if it is given, its type must fit too.
    """
    trial: Any = copy.deepcopy(dict(values))
    node = trial
    for part in path[:-1]:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    node[path[-1]] = value
    has_value = value is not _ANY_VALUE
    for violation in violations("config", trial):
        place = violation.path
        if place != path[: len(place)]:
            continue
        if place == path and not has_value:
            continue
        if violation.keyword == "type":
            return Rejection(len(place), [])
        if place == path or violation.keyword != "additionalProperties":
            continue
        known = sorted(violation.schema.get("properties", {}))
        if path[len(place)] not in known:
            return Rejection(len(place), known)
    return None


def wrong_containers(name: str, value: object) -> list[Problem]:
    """Returns a Problem for each list or mapping where the schema `name` expects something else."""
    root = load(name)
    found: list[Problem] = []
    for violation in violations(name, value):
        is_nested = isinstance(violation.instance, (list, dict))
        if violation.keyword == "type" and is_nested:
            found += schema_wording.problems(violation, root)
    return found
