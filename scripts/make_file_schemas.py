"""Writes schemas/files/, with which editors check config files, from schemas/config.schema.json.

Run it after that schema changes; a test fails if a file is out of date. A config file contains only
part of the config, so these schemas do not require keys that a different file may set. They accept
what Hydra and OmegaConf replace: `defaults`, `${...}` and `???`. They use draft 7, which all
editors support.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SCHEMAS = Path(__file__).parents[1] / "schemas"
Schema = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
_DEFINITIONS = "definitions.json"
# Below lists, which are replaced and never merged.
_WHOLE = ("content", "example_value")
_VERBATIM = ("if", "propertyNames")
_COPIED = (
    *("type", "enum", "const", "pattern", "minLength", "minimum", "maximum"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "uniqueItems"),
)
_MADE = (
    "$ref",
    "properties",
    "additionalProperties",
    "items",
    "then",
    "else",
    "oneOf",
    "anyOf",
)
_LEFT_OUT = ("$schema", "$id", "$defs", "title", "description", "required")
_KNOWN = {*_COPIED, *_VERBATIM, *_MADE, *_LEFT_OUT}
_INTERPOLATION: Schema = {
    "type": "string",
    "pattern": r"\$\{|^\?\?\?$",
    "description": "an interpolation, or ??? for a value that must be given",
}
_OPTION = {"type": ["string", "null", "array"], "items": {"type": "string"}}
_DEFAULTS: Schema = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "string"},
            {"type": "object", "additionalProperties": _OPTION},
        ]
    },
    "description": "Hydra's defaults list: the configs that this one is merged onto",
}
_HYDRA: Schema = {"type": "object", "description": "Hydra's own settings"}


def main() -> None:
    """Writes the schemas."""
    directory = SCHEMAS / "files"
    directory.mkdir(exist_ok=True)
    for name, text in texts().items():
        (directory / name).write_text(text, encoding="utf-8")


def texts() -> dict[str, str]:
    """Returns file name to text of each schema."""
    config = json.loads(
        (SCHEMAS / "config.schema.json").read_text(encoding="utf-8")
    )
    made = {
        _DEFINITIONS: {
            "$schema": _DRAFT,
            "definitions": dict(sorted(_definitions(config))),
        }
    }
    for group in config["x-groups"]:
        if group != "release":
            schema = _resolved(config, config["properties"][group])
            made[f"{group}.schema.json"] = _of_group(group, schema)
    made["release.schema.json"] = _of_config(
        config, "A file with the first line '# @package _global_'"
    )
    made["export.schema.json"] = _of_config(config, "A primary config")
    return {
        name: json.dumps(schema, indent=2) + "\n"
        for name, schema in sorted(made.items())
    }


def _definitions(config: Schema) -> Iterator[tuple[str, Schema]]:
    yield "interpolation", _INTERPOLATION
    yield "defaults", _DEFAULTS
    for name, schema in config["$defs"].items():
        yield name, _value(schema, whole=name in _WHOLE)
    for name, schema in config["properties"].items():
        if name in config["x-groups"]:
            yield f"group.{name}", _body(schema, whole=False)
            yield (
                f"key.{name}",
                _or_interpolation({"$ref": f"#/definitions/group.{name}"}),
            )
        else:
            yield f"key.{name}", _value(schema, whole=False)


def _value(schema: Any, *, whole: bool) -> Any:
    """Returns the schema of a value that a config file may also write as an interpolation.

    Args:
        schema: The schema of the composed value.
        whole: Whether the file must have all required keys, because no other file can add them.
    """
    if isinstance(schema, bool) or "$ref" in schema:
        return _body(schema, whole=whole)
    body = _body(schema, whole=whole)
    types = schema.get("type", [])
    is_any_text = "string" in ([types] if isinstance(types, str) else types)
    if is_any_text and not {"pattern", "enum"} & set(schema):
        return body
    return _or_interpolation(body)


def _or_interpolation(body: Schema) -> Schema:
    described = (
        {"description": body.pop("description")}
        if "description" in body
        else {}
    )
    return {
        **described,
        "anyOf": [body, {"$ref": "#/definitions/interpolation"}],
    }


def _body(schema: Any, *, whole: bool) -> Any:
    if isinstance(schema, bool):
        return schema
    unknown = [
        key for key in schema if key not in _KNOWN and not key.startswith("x-")
    ]
    if unknown:
        raise NotImplementedError(
            f"{', '.join(unknown)} in schemas/config.schema.json"
        )
    if "$ref" in schema:
        return {"$ref": schema["$ref"].replace("#/$defs/", "#/definitions/")}
    made: Schema = {
        key: schema[key] for key in (*_COPIED, *_VERBATIM) if key in schema
    }
    described = schema.get("description") or schema.get("x-expected")
    if described:
        made["description"] = described
    if whole and "required" in schema:
        made["required"] = schema["required"]
    if "properties" in schema:
        properties = schema["properties"].items()
        made["properties"] = {
            key: _value(each, whole=whole) for key, each in properties
        }
    if "additionalProperties" in schema:
        made["additionalProperties"] = _value(
            schema["additionalProperties"], whole=whole
        )
    if "items" in schema:
        made["items"] = _value(schema["items"], whole=True)
    for key in ("then", "else"):
        if key in schema:
            made[key] = _body(schema[key], whole=whole)
    alternatives = schema.get("oneOf", schema.get("anyOf"))
    if alternatives is not None:
        made["anyOf"] = [_body(each, whole=whole) for each in alternatives]
    return made


def _resolved(config: Schema, schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = config["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _of_group(group: str, schema: Schema) -> Schema:
    """Returns the schema of an option file of a group."""
    made = _file(f"An option of the group {group}")
    # The definition of model is a reference to that of a target, which has the keys.
    inner = f"{_DEFINITIONS}#/definitions/group.{group}"
    if group == "model":
        inner = f"{_DEFINITIONS}#/definitions/target/anyOf/0"
    keys = schema.get("properties", {})
    made["properties"] |= {
        key: {"$ref": f"{inner}/properties/{key}"} for key in keys
    }
    below = schema.get("additionalProperties", True)
    if isinstance(below, Mapping):
        below = {"$ref": f"{inner}/additionalProperties"}
    made["additionalProperties"] = below
    if group in ("model", "weights"):  # these have no defaults
        made["if"] = {"type": "object", "not": {"required": ["defaults"]}}
        made["then"] = {"required": schema["required"]}
    return made


def _of_config(config: Schema, title: str) -> Schema:
    made = _file(title)
    made["properties"] |= {
        "hydra": _HYDRA,
        **{
            key: {"$ref": f"{_DEFINITIONS}#/definitions/key.{key}"}
            for key in config["properties"]
        },
    }
    made["additionalProperties"] = False
    return made


def _file(title: str) -> Schema:
    return {
        "$schema": _DRAFT,
        "title": title,
        "type": ["object", "null"],
        "properties": {
            "defaults": {"$ref": f"{_DEFINITIONS}#/definitions/defaults"}
        },
    }


if __name__ == "__main__":
    main()
