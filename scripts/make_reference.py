"""Writes docs/reference/, with all keys of configs and records, from their JSON Schemas.

Run it after a schema or a default in conf/export.yaml changes. A test fails if a page is out of
date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
Schema = dict[str, Any]

_NOTE = "<!-- Written by scripts/make_reference.py. -->"
_CONFIG = "All keys of a config. `conf/export.yaml` sets the defaults."
_PLAIN = "Keys outside of groups"
# Definition to the title and introduction of its section.
_SECTIONS = {
    "signature": ("A signature", "The keys of each entry of `signatures`."),
    "nest": ("An argument", ""),
    "spec": ("A spec", "One tensor of a signature."),
    "dim": ("A dim", ""),
    "target": (
        "A target",
        "Any other key is an argument of the class or factory.",
    ),
    "example_value": ("An example value", ""),
    "content": ("Contents of a file", ""),
}
_RECORDS = {
    "manifest": "Every release has one, as `assets.extra/smdecl/manifest.json`.",
    "description": "What `smdecl inspect --format json` prints.",
    "diff": "What `smdecl diff --format json` prints.",
    "run_record": "A line of the file that `publish.run_record` names.",
    "sweep": "An entry of the list in `sweep.json`, which every sweep writes.",
}


class Row(NamedTuple):
    """A key of a table."""

    key: str
    type: str
    default: str
    meaning: str


def main() -> None:
    """Writes the pages."""
    directory = ROOT / "docs" / "reference"
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (directory / name).write_text(text, encoding="utf-8")


def texts() -> dict[str, str]:
    """Returns file name to text of each page."""
    return {"config.md": _config_page(), "records.md": _records_page()}


def config_rows() -> list[Row]:
    """Returns a row for every key of a config."""
    config, defaults = _load("config"), _defaults()
    properties = config["properties"].items()
    return [
        row
        for key, schema in properties
        for row in _rows(key, schema, defaults.get(key, _NONE))
    ]


_NONE = object()


def _config_page() -> str:
    config, defaults = _load("config"), _defaults()
    groups = [key for key in config["x-groups"] if key in config["properties"]]
    lines = ["# Config", "", _NOTE, "", _CONFIG, "", f"## {_PLAIN}", ""]
    plain = [key for key in config["properties"] if key not in groups]
    rows = [
        row
        for key in plain
        for row in _rows(
            key, config["properties"][key], defaults.get(key, _NONE)
        )
    ]
    lines += [*_table(rows), ""]
    for key in groups:
        schema = config["properties"][key]
        lines += [f"## {key}", "", _sentence(schema["description"]), ""]
        if rows := list(_below("", schema, defaults.get(key, _NONE))):
            lines += [*_table(rows), ""]
        elif "additionalProperties" in schema:
            lines += [
                f"Each value is {_type(schema['additionalProperties'])}.",
                "",
            ]
        else:
            lines += [f"It is {_type(schema)}.", ""]
    for name, (title, about) in _SECTIONS.items():
        lines += _section(config["$defs"][name], title, about)
    return "\n".join(lines).rstrip() + "\n"


def _section(schema: Schema, title: str, about: str) -> Iterator[str]:
    yield from (f"## {title}", "")
    for text in (about, schema.get("description", "")):
        if text:
            yield from (_sentence(text), "")
    if rows := list(_below("", schema, _NONE)):
        yield from (*_table(rows, has_defaults=False), "")


def _records_page() -> str:
    lines = [
        "# Records",
        "",
        _NOTE,
        "",
        "The records that smdecl writes. Each has a JSON Schema in `schemas/`.",
        "",
    ]
    for name, about in _RECORDS.items():
        schema = _load(name)
        lines += [
            f"## {schema['title']}",
            "",
            about,
            f"Its schema is `schemas/{name}.schema.json`.",
            "",
        ]
        lines += [
            *_table(list(_below("", schema, _NONE)), has_defaults=False),
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def _load(name: str) -> Schema:
    schema: Schema = json.loads(
        (ROOT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    )
    return schema


def _defaults() -> dict[str, Any]:
    """Returns the default of each key; for a group without defaults, its default option."""
    text = (ROOT / "conf" / "export.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)
    chosen = [
        entry for entry in config["defaults"] if isinstance(entry, Mapping)
    ]
    options = {
        group: option for entry in chosen for group, option in entry.items()
    }
    return {
        **options,
        **{key: value for key, value in config.items() if key != "defaults"},
    }


def _rows(key: str, schema: Schema, default: object) -> Iterator[Row]:
    """Yields the rows of a key and of the keys below it."""
    yield Row(key, _type(schema), _default(schema, default), _meaning(schema))
    yield from _below(f"{key}.", schema, default)


def _below(key: str, schema: Schema, default: object) -> Iterator[Row]:
    prefix = f"{key.rstrip('.')}." if key else ""
    for name, item in schema.get("properties", {}).items():
        below = (
            default.get(name, _NONE) if isinstance(default, Mapping) else _NONE
        )
        yield from _rows(
            f"{prefix}{name}", item if isinstance(item, dict) else {}, below
        )
    item = schema.get("items")
    if isinstance(item, dict) and "properties" in item:
        yield from _below(f"{key.rstrip('.')}[]", item, _NONE)
    each = schema.get("additionalProperties")
    if isinstance(each, dict) and {
        "properties",
        "items",
        "additionalProperties",
    } & set(each):
        yield from _below(f"{prefix}*", each, _NONE)


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return _reference(schema["$ref"].rpartition("/")[2])
    if "oneOf" in schema:
        return " or ".join(map(_type, schema["oneOf"]))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(
            f"`{_text(value)}`" for value in values if value is not False
        )
    names = schema.get("type", "any")
    found = " or ".join([names] if isinstance(names, str) else names)
    expected = schema.get("x-expected")
    is_plain = found in ("object", "array") or not expected
    return found if is_plain else f"{found}: {expected}"


def _reference(name: str) -> str:
    if name in _SECTIONS:
        title = _SECTIONS[name][0]
        return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"
    return {
        "device": "string or null",
        "shape": "a list of [dims](#a-dim), or null",
    }.get(name, "object")


def _default(schema: Schema, value: object) -> str:
    is_group = isinstance(value, Mapping) and schema.get("properties")
    return "" if value is _NONE or is_group else f"`{_text(value)}`"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _meaning(schema: Schema) -> str:
    own = schema.get("description")
    if own is None and "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        own = _load("config")["$defs"].get(name, {}).get("description")
    return str(own or "")


def _sentence(text: str) -> str:
    return _escaped(f"{text[:1].upper()}{text[1:].removesuffix('.')}.")


def _table(rows: list[Row], *, has_defaults: bool = True) -> Iterator[str]:
    titles = (
        "Key",
        "Type",
        *(("Default",) if has_defaults else ()),
        "Meaning",
    )
    yield _line(titles)
    yield _line(["---"] * len(titles))
    for row in rows:
        defaults = (row.default,) if has_defaults else ()
        yield _line([f"`{row.key}`", row.type, *defaults, row.meaning])


def _line(cells: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(cell: str) -> str:
    # Outside of code, Markdown reads underscores around a word as emphasis.
    return _UNDERSCORED.sub(r"`\1`", cell).replace("|", "\\|")


_UNDERSCORED = re.compile(r"(?<![`\w])(_\w+_)(?![`\w])")


if __name__ == "__main__":
    main()
