"""Writes all files that are generated from a table or a schema. Tests fail if one is out of date.

A table is a tuple or dict of rows in a module, such as `RULES` in
smdecl/savedmodel/audits/auditing.py. The script writes the rows into schemas/config.schema.json,
conf/ and docs/: whole files, or the text between two markers. So are the figures of
docs/benchmarks/benchmarks.json, which the benchmark writes. Then it generates the schemas of config
files and the reference.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import make_file_schemas  # noqa: E402
import make_reference  # noqa: E402

from smdecl.checks.weights.weights_formats import FORMATS, WeightsFormat  # noqa: E402
from smdecl.progress import STAGES  # noqa: E402
from smdecl.savedmodel.audits.auditing import RULES, Rule  # noqa: E402
from tests.benchmarks import documents  # noqa: E402

Schema = dict[str, Any]

_CONFIG = "schemas/config.schema.json"
_BENCHMARKS = "<!-- {} benchmarks -->"
_LEVELS = ["error", "warn", "off", False]
_HEAD = "# yaml-language-server: $schema=../../schemas/files/{}.schema.json\n# {}\n"
_BY_SIGNATURES = "error if no signature is declared, else warn"


def main() -> None:
    """Writes the files."""
    for name, text in texts().items():
        (ROOT / name).write_text(text, encoding="utf-8")
    make_file_schemas.main()
    make_reference.main()


def texts() -> dict[str, str]:
    """Returns path to text of each file that is generated from a table."""
    return {
        _CONFIG: json.dumps(_config_schema(), indent=2) + "\n",
        "conf/audit/strict.yaml": _all_at(
            "Every finding is an error.", "error"
        ),
        "conf/audit/off.yaml": _all_at("Turns every rule off.", "off"),
        "conf/export.yaml": _between(
            "conf/export.yaml", "  # {} audit rules", _defaults()
        ),
        "docs/audit.md": _between(
            "docs/audit.md", "<!-- {} audit rules -->", _rules_of_docs()
        ),
        "docs/weights.md": _between(
            "docs/weights.md", "<!-- {} formats -->", _formats_of_docs()
        ),
        "README.md": _between(
            "README.md", _BENCHMARKS, documents.readme(_benchmarks())
        ),
        "docs/performance.md": _performance(),
        **{
            f"conf/weights/{row.name}.yaml": _option_of_format(row)
            for row in FORMATS.values()
        },
    }


def _benchmarks() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(
        _read("docs/benchmarks/benchmarks.json")
    )
    return document


def _config_schema() -> Schema:
    config: Schema = json.loads(_read(_CONFIG))
    group = config["properties"]["audit"]
    group["properties"] = {
        rule.name: _key_of_rule(rule, group["properties"]) for rule in RULES
    }
    group["required"] = sorted(group["properties"])
    formats = config["properties"]["weights"]["properties"]["format"]
    formats["enum"] = sorted(FORMATS)
    paths = [
        f"{name}: {_plain(row.path)}" for name, row in sorted(FORMATS.items())
    ]
    formats["description"] = "; ".join(paths)
    return config


def _key_of_rule(rule: Rule, known: Schema) -> Schema:
    """Returns the schema of a rule's level, with the rule's other settings if it has any."""
    settings: Schema = known.get(rule.name, {})
    if settings.get("type") == "object":
        return {**settings, "description": _plain(rule.finds)}
    if rule.level is not None:
        return {
            "title": "level",
            "enum": _LEVELS,
            "x-expected": "error, warn or off",
            "description": _plain(rule.finds),
        }
    return {
        "title": "level",
        "enum": [*_LEVELS, None],
        "x-expected": "error, warn, off or null",
        "description": f"{_plain(rule.finds)}; null means {_BY_SIGNATURES}",
    }


def _plain(markdown: str) -> str:
    return markdown.replace("`", "")


def _settings(rule: Rule) -> Schema:
    """Returns the schemas of a rule's settings other than its level."""
    rules = json.loads(_read(_CONFIG))["properties"]["audit"]["properties"]
    settings: Schema = dict(rules.get(rule.name, {}).get("properties", {}))
    settings.pop("level", None)
    return settings


def _all_at(title: str, level: str) -> str:
    text = _HEAD.format("audit", title)
    for rule in RULES:
        value = f"{{level: {level}}}" if _settings(rule) else level
        text += f"{rule.name}: {value}\n"
    return text


def _defaults() -> Iterator[str]:
    for rule in RULES:
        settings = _settings(rule)
        if settings:
            yield f"  {rule.name}:"
            for name, each in settings.items():
                yield f"    {name}: null # {each['description']}"
            yield f"    level: {rule.level}"
        elif rule.level is None:
            yield f"  {rule.name}: null # {_BY_SIGNATURES}"
        else:
            yield f"  {rule.name}: {rule.level}"


def _rules_of_docs() -> Iterator[str]:
    yield ""
    yield "| rule | default | finds | how to fix it |"
    yield "| --- | --- | --- | --- |"
    for rule in RULES:
        yield f"| `{rule.name}` | {rule.level or 'see below'} | {rule.finds} | {rule.mend} |"
    yield ""


def _stages_of_docs() -> Iterator[str]:
    yield ""
    yield "| stage | what it does |"
    yield "| --- | --- |"
    for name, does in STAGES.items():
        yield f"| `{name}` | {does} |"
    yield ""


def _option_of_format(row: WeightsFormat) -> str:
    root = "root: null\n" if row.has_root else ""
    head = _HEAD.format("weights", row.about)
    return f"{head}format: {row.name}\npath: ???\nexpect: full\n{root}"


def _formats_of_docs() -> Iterator[str]:
    yield ""
    yield "| `format` | `path` | models |"
    yield "| --- | --- | --- |"
    for row in FORMATS.values():
        yield f"| `{row.name}` | {row.path} | {'Keras' if row.is_keras else 'any'} |"
    yield ""


def _performance() -> str:
    name = "docs/performance.md"
    text = _replaced(
        _read(name), _BENCHMARKS, documents.performance(_benchmarks())
    )
    return _replaced(text, "<!-- {} stages -->", _stages_of_docs())


def _between(name: str, marker: str, lines: Iterator[str]) -> str:
    """Returns the text of a file with `lines` between its two markers."""
    return _replaced(_read(name), marker, lines)


def _replaced(text: str, marker: str, lines: Iterator[str]) -> str:
    begin, end = marker.format("generated:"), marker.format("end of")
    before, rest = text.split(f"{begin}\n")
    _, after = rest.split(f"{end}\n")
    return "\n".join([f"{before}{begin}", *lines, f"{end}\n"]) + after


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
