"""Editors check config files by the schemas that the files name: what comes with smdecl, and what `init` writes."""

import json
import re

import jsonschema
import pytest
import referencing
import yaml
from smdecl import resources
from smdecl.cli import init

from tests.conftest import ROOT

LINE = re.compile(r"(?:# @package _global_\n)?# yaml-language-server: \$schema=(\S+)\n")


@pytest.fixture(scope="module")
def projects(tmp_path_factory):
    """Directories with configs, by the part of the path that a test names a file by."""
    new = tmp_path_factory.mktemp("new")
    init.init(new)
    return {"built-in": ROOT, "digits": ROOT / "examples" / "digits", "new": new}


def configs(root):
    files = (file.relative_to(root) for file in sorted((root / "conf").rglob("*.yaml")))
    return [
        file for file in files if file.parts[1] != "hydra"
    ]  # what is there has the form of Hydra's own


CONFIGS = [
    *(("built-in", file) for file in configs(ROOT)),
    *(("digits", file) for file in configs(ROOT / "examples" / "digits")),
    *(("new", file) for file in configs(ROOT / "examples" / "start")),
]


def validator(path):
    """Returns the validator of a schema file, whose references lead to the files beside it."""

    def retrieve(uri):
        return referencing.Resource.from_contents(
            json.loads((path.parent / uri).read_text(encoding="utf-8"))
        )

    return jsonschema.Draft7Validator(
        json.loads(path.read_text(encoding="utf-8")),
        registry=referencing.Registry(retrieve=retrieve),
    )


@pytest.mark.parametrize(("project", "file"), CONFIGS, ids=str)
def test_each_config_is_valid_by_the_schema_that_its_own_line_names(projects, project, file):
    path = projects[project] / file
    text = path.read_text(encoding="utf-8")
    named = LINE.match(text)

    assert named is not None
    by = (path.parent / named.group(1)).resolve()
    group = file.parent.name if len(file.parts) > 2 else "export"
    assert by.name == f"{group}.schema.json"
    assert [error.message for error in validator(by).iter_errors(yaml.safe_load(text))] == []


def errors(group, text):
    """Returns the key paths that a file of a group is refused at."""
    by = validator(resources.file_schema_dir() / f"{group}.schema.json")
    return [
        ".".join(map(str, error.absolute_path)) for error in by.iter_errors(yaml.safe_load(text))
    ]


@pytest.mark.parametrize(
    ("group", "text"),
    [
        ("audit", "strategy: error\nconsumer: {tensorflow: '2.15'}\n"),
        ("options", "# nothing yet\n"),
        (
            "verify",
            "defaults: [default]\ngenerate: ${oc.decode:${n}}\nloaders: ${l}\nexamples: {s: '${e}'}\n",
        ),
        ("verify", "examples: {s: [{inputs: {x: {file: a.npz, key: k}, y: [1, 2]}}]}\n"),
        (
            "signatures",
            "s: {inputs: {x: {shape: [batch, '${n}'], dtype: '${d}'}}, outputs: '???'}\n",
        ),
        (
            "signatures",
            "defaults: [other]\ns: {inputs: {x: {dtype: int32}, y: [{value: 1}, '${y}']}}\n",
        ),
        ("weights", "defaults: [keras]\npath: ???\n"),
        ("weights", "format: keras\npath: ${oc.env:P}\n"),
        ("model", "_target_: net.Net\nlayers: [{_target_: net.Layer}]\n"),
        ("model", "defaults: [adder]\nunits: 3\n"),
        ("devices", "strategy: {_target_: a.B}\nvisible: ['CPU:0']\n"),
        ("publish", "version: ${v}\n"),
        (
            "release",
            "defaults:\n  - override /model: net\n  - override /weights: null\n  - _self_\nseed: ${s}\n",
        ),
        (
            "release",
            "signatures: {s: {outputs: {y: {name: z}}}}\nweights: {path: a}\npublish: {keep: 2}\n",
        ),
        (
            "export",
            "defaults: [export, {signatures: [a, b]}]\nhydra: {sweep: {dir: sweeps}}\nsha256: {a.h5: '???'}\n",
        ),
    ],
)
def test_what_only_a_file_may_hold_is_valid(group, text):
    assert errors(group, text) == []


@pytest.mark.parametrize(
    ("group", "text", "where"),
    [
        ("audit", "stratgy: error\nconsumer: {tensorflow: 2.15}\n", ["", "consumer.tensorflow"]),
        ("options", "extra_tags: gpu\n", ["extra_tags"]),
        ("options", "options: {extra_tags: [gpu]}\n", [""]),
        (
            "verify",
            "generate: many\nexamples: {s: [{outputs: {}}]}\n",
            ["examples.s.0", "generate"],
        ),
        (
            "signatures",
            "s: {inputs: {x: {dtype: flaot32}}, method: 3}\n",
            ["s.inputs.x.dtype", "s.method"],
        ),
        ("weights", "path: a\n", [""]),
        ("model", "_target: net.Net\n", [""]),
        ("devices", "defaults: 3\nbuild: 1\n", ["build", "defaults"]),
        ("publish", "version: v2\n", ["version"]),
        ("release", "model: net\npublish: {version: v2}\n", ["model", "publish.version"]),
        ("export", "sed: 0\nsha256: {a.h5: 0}\n", ["", "sha256.a.h5"]),
    ],
)
def test_a_wrong_file_is_refused_where_it_is_wrong(group, text, where):
    found = validator(resources.file_schema_dir() / f"{group}.schema.json")
    places = {
        ".".join(map(str, error.absolute_path))
        for error in innermost(found.iter_errors(yaml.safe_load(text)))
    }

    assert places >= set(where)


def innermost(found):
    for error in found:
        yield from innermost(error.context) if error.context else [error]


def test_init_replaces_the_schemas_alone_where_it_is_asked(tmp_path):
    old = tmp_path / ".smdecl" / "schemas" / "options.schema.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")

    assert init.refresh_schemas(tmp_path) == old.parent

    assert {path.name for path in old.parent.iterdir()} == {
        path.name for path in resources.file_schema_dir().iterdir()
    }
    assert old.read_bytes() == (resources.file_schema_dir() / old.name).read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / ".smdecl"]
