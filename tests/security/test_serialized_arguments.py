"""An attacker's config makes Keras import a module or call a function that no `_target_` names."""

import json

import pytest
from smdecl.checks import check
from smdecl.config import frameworks
from smdecl.config.project import find_project
from smdecl.errors import TrustError, dotted

EVIL = {"module": "evilpkg", "class_name": "Evil", "config": {}}
FUNCTION = {"class_name": "function", "config": "evil", "registered_name": "evil"}


def refused(model):
    """Returns place and reason of the arguments that may not be given; nothing is imported to know them."""
    return [
        (dotted(path), reason) for path, reason in frameworks.refuse_arguments({"model": model})
    ]


def layer(name, **arguments):
    return {"_target_": f"keras.layers.{name}", **arguments}


INPUT = {"_target_": "tf_keras.layers.InputLayer"}
SERIALIZED = {
    "a type spec of tf_keras": ({**INPUT, "type_spec": EVIL}, "model.type_spec"),
    "by position": ({**INPUT, "_args_": [None, None, EVIL]}, "model._args_[2]"),
    "of one to be called later": ({**INPUT, "type_spec": EVIL, "_partial_": True}, "model.type_spec"),
    "a mask value": (layer("Masking", mask_value=EVIL), "model.mask_value"),
    "a seed": (
        {"_target_": "keras.Sequential", "layers": [layer("Dense", units=1, kernel_initializer={
            "_target_": "keras.initializers.GlorotUniform", "seed": EVIL,
        })]},
        "model.layers[0].kernel_initializer.seed",
    ),
    "layers in a list": ({"_target_": "keras.layers.Pipeline", "layers": [[EVIL]]}, "model.layers[0][0]"),
    "below a mapping": (layer("Masking", mask_value={"class": {"x": EVIL}}), "model.mask_value.class.x"),
    "through a function that returns it": (
        {**INPUT, "type_spec": {"_target_": "keras.activations.linear", "x": EVIL}}, "model.type_spec.x",
    ),
    "a function by its name": (layer("Activation", activation=FUNCTION), "model.activation"),
    "a registered name alone": (layer("Activation", activation={"registered_name": "x>y"}), "model.activation"),
    "a module alone": (layer("Wrapper", layer={"module": "evilpkg"}), "model.layer"),
    "within code of the project": (
        {"_target_": "mynet.Net", "inner": [layer("Masking", mask_value=EVIL)]}, "model.inner[0].mask_value",
    ),
    "of a strategy": ({"_target_": "tensorflow.Module", "name": EVIL}, "model.name"),
}  # fmt: skip


@pytest.mark.parametrize(("model", "key"), SERIALIZED.values(), ids=SERIALIZED)
def test_a_serialized_object_reaches_no_framework(model, key):
    ((place, message),) = refused(model)

    assert place == key
    assert "import and call what it names; expected {_target_: " in message


def test_nothing_is_imported_where_a_config_would_have_keras_import_it(project):
    project.write("evilpkg.py", "open('ran', 'w')")
    project.write(
        "conf/model/theirs.yaml",
        f"""
_target_: tensorflow.train.Checkpoint
secret: {json.dumps(EVIL)}
layer:
  _target_: tf_keras.layers.InputLayer
  type_spec: ${{model.secret}}
words:
  _target_: tensorflow.saved_model.Asset
  path: {{_target_: keras.activations.linear, x: /etc/passwd}}
""",
    )

    with pytest.raises(TrustError) as error:
        project.export("model=theirs", "signatures=none")

    assert error.value.exit_code == 2
    places = {problem.key: str(problem.origin) for problem in error.value.problems}
    assert places == {
        "model.secret": "conf/model/theirs.yaml:3",
        "model.layer.type_spec": "conf/model/theirs.yaml:6",
        "model.words.path": "conf/model/theirs.yaml:9",
    }
    assert not (project.root / "ran").exists()


HE = {"class_name": "HeNormal", "config": {"seed": 1}}
EVIL_OF_THE_PROJECT = {**EVIL, "module": "mynet"}
MEANT = [
    ({"_target_": "keras.layers.Wrapper", "layer": EVIL_OF_THE_PROJECT}, "mynet.Evil"),
    ({"_target_": "keras.layers.Activation", "activation": FUNCTION}, "keras.activations.evil"),
    ({"_target_": "keras.layers.Masking", "mask_value": {"class_name": 3}}, "MODULE.CLASS"),
    ({"_target_": "keras.layers.Dense", "units": 1, "kernel_initializer": HE}, "keras.initializers.HeNormal"),
    ({"_target_": "tf_keras.layers.Dense", "units": 1, "bias_initializer": HE}, "tf_keras.initializers.HeNormal"),
    ({"_target_": "keras.layers.Wrapper", "layer": {"module": "keras.layers", "class_name": "ReLU"}}, "keras.layers.ReLU"),
    ({"_target_": "keras.layers.StackedRNNCells", "cells": [{"class_name": "GRUCell"}]}, "keras.layers.GRUCell"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "meant"), MEANT, ids=[meant for _, meant in MEANT])
def test_the_target_to_write_for_a_serialized_object_is_suggested(model, meant):
    ((_, message),) = refused(model)

    assert message.endswith(f"expected {{_target_: {meant}, ARGUMENT: VALUE}}")


@pytest.mark.parametrize("place", [{"activation": "evilpkg>evil"}, {"_args_": [1, "Custom>evil"]}])
def test_a_name_leads_to_no_registered_object(place):
    ((_, message),) = refused(layer("Dense", **place))

    assert "names an object registered in Keras; expected a built-in name" in message


@pytest.mark.parametrize(
    ("model", "key"),
    [
        (layer("Masking", _recursive_=False, mask_value=INPUT | EVIL), "model._recursive_"),
        (
            {"_target_": "mynet.Net", "x": {"_recursive_": False, "y": layer("Masking")}},
            "model.x._recursive_",
        ),
    ],
)
def test_a_nested_target_reaches_a_framework_as_no_mapping(model, key):
    assert [place for place, _ in refused(model)] == [key]


def test_names_of_built_ins_and_mappings_of_other_things_may_be_given():
    model = {
        "_target_": "mynet.Net",
        "config": EVIL,  # the project's own code makes of it what it wants
        "layers": [
            layer("Dense", units=1, activation="relu", kernel_initializer="glorot_uniform"),
            layer("EinsumDense", equation="ab,bc->ac", output_shape=1),
            layer("StringLookup", vocabulary=["a>b", "<unk>"]),
        ],
        "module": {
            "_target_": "tensorflow.train.Checkpoint",
            "module": {"_target_": "tensorflow.Module"},
        },
    }
    assert refused(model) == []


FILES = {
    "a function that returns the name": {"_target_": "keras.activations.linear", "x": "/etc/passwd"},
    "a variable of the name": {"_target_": "tensorflow.Variable", "initial_value": "/etc/passwd"},
    "an asset of such a name": {
        "_target_": "tensorflow.saved_model.Asset", "path": {"_target_": "keras.activations.linear", "x": "x"},
    },
    "bytes": ["/etc/passwd"],
}  # fmt: skip
READERS = {
    "smdecl.models.load_keras": "path",
    "tensorflow.saved_model.Asset": "path",
    "tensorflow.lookup.TextFileInitializer": "filename",
    "keras.layers.StringLookup": "vocabulary",
    "tf_keras.layers.IntegerLookup": "vocabulary",
    "tensorflow.keras.layers.TextVectorization": "vocabulary",
}
POSITIONS = {"path": 0, "filename": 0, "vocabulary": 4}


@pytest.mark.parametrize("detour", [*FILES][:2])
@pytest.mark.parametrize("reader", READERS)
def test_a_file_is_named_by_plain_text(reader, detour):
    argument = READERS[reader]
    position = 7 if reader.endswith("TextVectorization") else POSITIONS[argument]
    positional = [None] * position + [FILES[detour]]
    model = {
        "_target_": "tensorflow.train.Checkpoint",
        "a": {"_target_": reader, argument: FILES[detour]},
        "b": {"_target_": reader, "_args_": positional},
        "c": {"_target_": reader, "_args_": FILES[detour]},
        "d": {"_target_": reader, "_partial_": True},
    }

    found = refused(model)

    places = [
        f"model.a.{argument}",
        f"model.b._args_[{position}]",
        "model.c._args_",
        "model.d._partial_",
    ]
    assert [place for place, _ in found] == places
    assert f"got the target {FILES[detour]['_target_']!r}" in found[0][1]


@pytest.mark.parametrize("detour", ["an asset of such a name", "bytes"])
def test_an_asset_of_a_table_is_named_by_plain_text(detour):
    model = {"_target_": "tensorflow.lookup.TextFileInitializer", "filename": FILES[detour]}

    assert [place.removesuffix(".path") for place, _ in refused(model)] == ["model.filename"]


def test_files_of_the_project_may_be_named_by_plain_text(project):
    project.write("words.txt", "a\n")
    asset = {"_target_": "tensorflow.saved_model.Asset", "path": "words.txt"}
    table = {"_target_": "tensorflow.lookup.TextFileInitializer", "filename": asset}
    lookup = {
        "_target_": "keras.layers.StringLookup",
        "_args_": [None, 1, None, "[UNK]", "words.txt"],
    }
    model = {
        "_target_": "tensorflow.train.Checkpoint",
        "a": table,
        "b": lookup,
        "c": layer("StringLookup"),
    }
    project.write("conf/model/ours.yaml", json.dumps(model))

    check.check(project.compose("model=ours"), find_project(project.root))
