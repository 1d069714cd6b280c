"""The JSON Schemas are valid, complete and consistent with the defaults."""

import importlib.util
import inspect
import json
import re

import jsonschema
import pytest
import smdecl
import yaml
from smdecl import resources, schema
from smdecl.errors import InternalError
from smdecl.exporting.saving import options

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
    "variables",
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


def test_a_record_that_was_valid_may_become_invalid():
    record = {"loaders": ["python"], "examples": {"a": 1}, "failures": []}
    schema.require("verification", record)
    schema.require("verification", record)

    for examples in ({"a": True}, {"a": 1.0}, {"a": "1"}):
        with pytest.raises(InternalError):
            schema.require("verification", {**record, "examples": examples})


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


@pytest.mark.parametrize(
    ("word", "dtype"),
    [
        *(("fp32", "float32"), ("float", "float32"), ("f32", "float32"), ("Float", "float32")),
        *(("tf.float32", "float32"), ("double", "float64"), ("half", "float16")),
        *(("bf16", "bfloat16"), ("int", "int32"), ("long", "int64"), ("i64", "int64")),
        *(("boolean", "bool"), ("bytes", "string"), ("Str", "string")),
    ],
)
def test_a_word_for_a_dtype_gets_a_hint_and_not_a_list_of_all_dtypes(word, dtype):
    assert dtype_problem(word) == (
        f"invalid dtype {word!r}; expected a dtype of TensorFlow, such as float32, int64, bool or"
        f" string (did you mean {dtype!r}?)"
    )


def test_a_dtype_that_resembles_none_gets_the_place_of_the_list():
    assert dtype_problem("dtype").endswith("or string; docs/reference/config.md lists all")
    assert (ROOT / "docs/reference/config.md").is_file()


def dtype_problem(word):
    spec = {"shape": [], "dtype": word}
    config = {"signatures": {"s": {"inputs": {"x": spec}}}}
    found = schema.problems("config", config)
    return next(problem.message for problem in found if problem.path[-1] == "dtype")
