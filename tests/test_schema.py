"""The JSON Schemas are valid, complete and consistent with the defaults."""

import contextlib
import importlib.util
import inspect
import json
import re
from collections.abc import Iterator

import jsonschema
import pytest
import smdecl
import yaml
from smdecl import resources, schema, schema_verdicts
from smdecl.errors import InternalError
from smdecl.exporting import options
from smdecl.schema_verdicts import UncoveredError

from tests.conftest import ROOT

NAMES = (
    "config",
    "description",
    "diff",
    "manifest",
    "object",
    "provenance",
    "run_record",
    "saved_model",
    "signatures",
    "sweep",
    "verification",
)


def test_every_record_has_a_schema():
    assert sorted(path.name for path in resources.schema_dir().glob("*.json")) == [
        f"{name}.schema.json" for name in NAMES
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_schema_is_valid(name):
    jsonschema.Draft202012Validator.check_schema(schema.load(name))


def test_the_save_options_match_those_of_tensorflow():
    import tensorflow as tf

    signature = inspect.signature(tf.saved_model.SaveOptions).parameters
    own = {name: parameter.default for name, parameter in signature.items()}
    defaults = yaml.safe_load((ROOT / "conf" / "export.yaml").read_text())["options"]
    described = schema.load("config")["properties"]["options"]
    page = (
        (ROOT / "docs" / "reference" / "config.md")
        .read_text()
        .partition("\n## options\n")[2]
        .partition("\n## ")[0]
    )
    documented = re.findall(r"^\| `(\w+)`", page, re.MULTILINE)

    assert own.keys() - described["properties"].keys() == set(), (
        "add it to schemas/config.schema.json"
    )
    # The installed TensorFlow may be an older one.
    assert described["properties"].keys() - own.keys() <= options.SINCE.keys(), (
        "TensorFlow does not have it"
    )
    assert {name: defaults.get(name, "missing") for name in own} == own, (
        "set it in conf/export.yaml"
    )
    assert (
        defaults.keys()
        == described["properties"].keys()
        == set(described["required"])
        == set(documented)
    )


def test_every_dtype_has_its_name_in_tensorflow():
    import tensorflow as tf

    for name in schema.load("config")["$defs"]["spec"]["properties"]["dtype"]["enum"]:
        assert tf.as_dtype(name).name == name


def test_an_invalid_record_made_by_smdecl_is_an_internal_error():
    with pytest.raises(
        InternalError, match="loaders: is missing; expected a list \\(verification schema\\)"
    ):
        schema.require("verification", {"examples": {}, "failures": []})


def test_a_composed_config_fits_its_schema_as_json():
    assert schema.problems("config", json.loads(json.dumps(smdecl.compose().values))) == []


def test_the_schemas_of_config_files_are_up_to_date():
    spec = importlib.util.spec_from_file_location(
        "make_file_schemas", ROOT / "scripts" / "make_file_schemas.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    written = {
        path.name: path.read_text(encoding="utf-8")
        for path in resources.file_schema_dir().iterdir()
    }

    assert script.texts() == written, "run: python scripts/make_file_schemas.py"


def test_the_primary_config_has_a_value_for_every_key_of_every_group():
    config, primary = (
        schema.load("config"),
        yaml.safe_load((ROOT / "conf" / "export.yaml").read_text()),
    )

    for group in ("audit", "devices", "options", "publish", "verify"):
        assert set(primary[group]) == set(config["properties"][group]["properties"]), (
            "add it to conf/export.yaml"
        )


_ODD = (None, True, False, 0, 1, 1.0, -1, 1.5, float("nan"), "", "a", "?", [], ["a", "a"], [1], {})


def _sample(part: object, root: dict[str, object]) -> object:
    """Returns a value with all properties of a part of a schema; most of them conform."""
    if not isinstance(part, dict):
        return "any"
    for keyword in ("oneOf", "anyOf"):
        part = part.get(keyword, [part])[-1]
    if "$ref" in part:
        return _sample(root["$defs"][part["$ref"].rpartition("/")[2]], root)
    kinds = part.get("type", "string")
    kind = kinds if isinstance(kinds, str) else kinds[-1]
    if kind == "object":
        properties = part.get("properties", {"x": part.get("additionalProperties")})
        return {name: _sample(item, root) for name, item in properties.items()}
    if kind == "array":
        return [_sample(part.get("items"), root)] * part.get("minItems", 1)
    text = part.get("enum", ["a" * 64])[0]
    return {"string": text, "boolean": True, "null": None}.get(kind, part.get("minimum", 1))


def _changed(value: object) -> Iterator[object]:
    """Yields a value with each of its parts replaced, removed or added."""
    yield from _ODD
    if isinstance(value, dict):
        yield {**value, "unknown": 1}
        yield {**value, 1: 1}
        for key, item in value.items():
            yield {name: other for name, other in value.items() if name != key}
            yield from ({**value, key: other} for other in _changed(item))
    elif isinstance(value, list):
        yield [*value, *value]
        for other in _changed(value[0]) if value else ():
            yield [other, *value[1:]]


@pytest.mark.parametrize("name", NAMES)
def test_the_quick_verdict_is_that_of_jsonschema(name):
    verdict, judge = schema_verdicts.of(schema.load(name)), schema.validator(name)
    sample = _sample(schema.load(name), schema.load(name))
    values = [sample, *_changed(sample)]
    if name == "config":
        values = [smdecl.compose().values, *_changed(smdecl.compose().values), *values]
    differing = []
    for value in values:
        with contextlib.suppress(UncoveredError):
            if verdict(value) != judge.is_valid(value):
                differing.append(value)

    assert differing == []
    assert len(values) > 50


def test_the_quick_verdict_leaves_types_that_json_lacks_to_jsonschema():
    values = {**smdecl.compose().values, "name": str.__new__(type("Text", (str,), {}), "a")}

    with pytest.raises(UncoveredError):
        schema_verdicts.of(schema.load("config"))(values)
    assert schema.fits("config", values)
