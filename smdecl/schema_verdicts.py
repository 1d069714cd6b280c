"""Decides whether a value conforms to a JSON Schema, in a tenth of the time that jsonschema takes.

jsonschema interprets a schema anew for each value. Here, each schema becomes a function once. It
only says yes or no; what is wrong with a value is left to jsonschema.

The functions cover the keywords that the schemas of smdecl use, and the types of JSON.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

Verdict: TypeAlias = Callable[[Any], bool]
"""Returns whether a value conforms to a schema, or to one keyword of it."""
Schema: TypeAlias = Mapping[str, Any]

_KINDS: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_ALL: frozenset[type] = frozenset(
    {dict, list, str, int, float, bool, type(None)}
)
_WITHOUT_EFFECT = frozenset(
    {"$schema", "$id", "$defs", "title", "description", "then", "else"}
)
_OWN = "x-"  # the prefix of keywords that jsonschema does not know either
_DEFINITION = "#/$defs/"


class UncoveredError(Exception):
    """A schema has a keyword, or a value has a type, that is not covered."""


def of(schema: Schema) -> Verdict:
    """Returns the function for a schema; it raises UncoveredError for types that JSON lacks.

    Raises:
        UncoveredError: If the schema has a keyword that is not covered.
    """
    return _Compiler(schema).compiled(schema)


class _Compiler:
    """Makes the functions for the parts of one schema."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._definitions: dict[str, Verdict] = {}

    def compiled(self, schema: Schema | bool) -> Verdict:
        """Returns the function for a part of the schema."""
        if isinstance(schema, bool):
            return _constant(schema)
        checks: dict[type, list[Verdict]] = defaultdict(list)
        allowed = set(_ALL)
        for keyword in schema:
            if keyword == "type":
                allowed &= _types(schema["type"])
            elif keyword not in _WITHOUT_EFFECT and keyword[:2] != _OWN:
                kinds, check = self._check(keyword, schema)
                for kind in kinds:
                    checks[kind].append(check)
        table = {kind: tuple(checks[kind]) for kind in allowed}
        return _by_type(table)

    def _check(
        self, keyword: str, schema: Schema
    ) -> tuple[Iterable[type], Verdict]:
        if keyword not in _KEYWORDS:
            raise UncoveredError(keyword)
        kinds, make = _KEYWORDS[keyword]
        return kinds, make(self, schema)

    def definition(self, reference: str) -> Verdict:
        """Returns the function for a definition, which may refer to itself."""
        known = self._definitions
        if reference not in known:
            name = reference.removeprefix(_DEFINITION)
            if name not in self._root.get("$defs", {}):
                raise UncoveredError(reference)

            def later(value: object) -> bool:
                return known[reference](value)

            known[reference] = later
            known[reference] = self.compiled(self._root["$defs"][name])
        return known[reference]


def _constant(verdict: bool) -> Verdict:
    return lambda _value: verdict


def _types(names: str | list[str]) -> set[type]:
    listed = [names] if isinstance(names, str) else names
    return {kind for name in listed for kind in _KINDS[name]}


def _by_type(checks: Mapping[type, tuple[Verdict, ...]]) -> Verdict:
    def verdict(value: object) -> bool:
        own = checks.get(type(value))
        if own is None:
            # A subclass, such as an enum of strings, may conform.
            if type(value) not in _ALL:
                raise UncoveredError(type(value))
            return False
        for check in own:  # noqa: SIM110 - `all` takes twice as long
            if not check(value):
                return False
        return True

    return verdict


def _ref(compiler: _Compiler, schema: Schema) -> Verdict:
    return compiler.definition(schema["$ref"])


def _is_scalar(value: object) -> bool:
    return not isinstance(value, (dict, list))


def _enum(_compiler: _Compiler, schema: Schema) -> Verdict:
    if not all(map(_is_scalar, schema["enum"])):
        raise UncoveredError("enum")
    # In Python, True is 1.
    allowed = {(isinstance(item, bool), item) for item in schema["enum"]}

    def verdict(value: object) -> bool:
        return (
            _is_scalar(value) and (isinstance(value, bool), value) in allowed
        )

    return verdict


def _const(compiler: _Compiler, schema: Schema) -> Verdict:
    return _enum(compiler, {"enum": [schema["const"]]})


def _if(compiler: _Compiler, schema: Schema) -> Verdict:
    condition = compiler.compiled(schema["if"])
    positive = compiler.compiled(schema.get("then", True))
    negative = compiler.compiled(schema.get("else", True))

    def verdict(value: object) -> bool:
        return positive(value) if condition(value) else negative(value)

    return verdict


def _one_of(compiler: _Compiler, schema: Schema) -> Verdict:
    parts = [compiler.compiled(part) for part in schema["oneOf"]]
    return lambda value: sum(part(value) for part in parts) == 1


def _any_of(compiler: _Compiler, schema: Schema) -> Verdict:
    parts = [compiler.compiled(part) for part in schema["anyOf"]]
    return lambda value: any(part(value) for part in parts)


def _required(_compiler: _Compiler, schema: Schema) -> Verdict:
    names = frozenset(schema["required"])
    return lambda value: names <= value.keys()


def _properties(compiler: _Compiler, schema: Schema) -> Verdict:
    verdicts = {
        name: compiler.compiled(part)
        for name, part in schema["properties"].items()
    }

    def verdict(value: dict[object, object]) -> bool:
        for name, item in value.items():
            own = verdicts.get(name)
            if own is not None and not own(item):
                return False
        return True

    return verdict


def _additional_properties(compiler: _Compiler, schema: Schema) -> Verdict:
    known = frozenset(schema.get("properties", ()))
    if schema["additionalProperties"] is False:
        return lambda value: value.keys() <= known
    other = compiler.compiled(schema["additionalProperties"])

    def verdict(value: dict[object, object]) -> bool:
        return all(other(value[name]) for name in value if name not in known)

    return verdict


def _property_names(compiler: _Compiler, schema: Schema) -> Verdict:
    name = compiler.compiled(schema["propertyNames"])
    return lambda value: all(map(name, value))


def _items(compiler: _Compiler, schema: Schema) -> Verdict:
    item = compiler.compiled(schema["items"])
    return lambda value: all(map(item, value))


def _unique_items(_compiler: _Compiler, schema: Schema) -> Verdict:
    if not schema["uniqueItems"]:
        return _constant(True)

    def verdict(value: list[object]) -> bool:
        if not all(type(item) is str for item in value):
            raise UncoveredError("uniqueItems")
        return len(set(value)) == len(value)

    return verdict


def _longest(keyword: str) -> Callable[[_Compiler, Schema], Verdict]:
    def make(_compiler: _Compiler, schema: Schema) -> Verdict:
        most = schema[keyword]
        return lambda value: len(value) <= most

    return make


def _shortest(keyword: str) -> Callable[[_Compiler, Schema], Verdict]:
    def make(_compiler: _Compiler, schema: Schema) -> Verdict:
        least = schema[keyword]
        return lambda value: len(value) >= least

    return make


def _pattern(_compiler: _Compiler, schema: Schema) -> Verdict:
    search = re.compile(schema["pattern"]).search
    return lambda value: search(value) is not None


def _minimum(_compiler: _Compiler, schema: Schema) -> Verdict:
    least = schema["minimum"]
    return lambda value: not value < least  # as NaN is for jsonschema


def _maximum(_compiler: _Compiler, schema: Schema) -> Verdict:
    most = schema["maximum"]
    return lambda value: not value > most


_Make: TypeAlias = Callable[[_Compiler, Schema], Verdict]
# Each keyword with the types of the values that it restricts.
_KEYWORDS: Mapping[str, tuple[Iterable[type], _Make]] = {
    "$ref": (_ALL, _ref),
    "enum": (_ALL, _enum),
    "const": (_ALL, _const),
    "if": (_ALL, _if),
    "oneOf": (_ALL, _one_of),
    "anyOf": (_ALL, _any_of),
    "required": ((dict,), _required),
    "properties": ((dict,), _properties),
    "additionalProperties": ((dict,), _additional_properties),
    "propertyNames": ((dict,), _property_names),
    "maxProperties": ((dict,), _longest("maxProperties")),
    "items": ((list,), _items),
    "uniqueItems": ((list,), _unique_items),
    "minItems": ((list,), _shortest("minItems")),
    "maxItems": ((list,), _longest("maxItems")),
    "minLength": ((str,), _shortest("minLength")),
    "pattern": ((str,), _pattern),
    "minimum": ((int, float), _minimum),
    "maximum": ((int, float), _maximum),
}
