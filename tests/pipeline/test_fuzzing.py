"""Mutated configs and arbitrary overrides end in a known outcome."""

import copy
import dataclasses
import math
import multiprocessing.util
import shutil
import tempfile
import time
from pathlib import Path

import hypothesis.strategies as st
import pytest
import smdecl
from hypothesis import HealthCheck, assume, given, settings
from smdecl.checks import check as checking
from smdecl.config.project import find_project
from smdecl.config.settings import ExportConfig
from smdecl.errors import ConfigError, SmdeclError
from smdecl.pipeline import export as pipeline
from smdecl.pipeline import verify
from smdecl.pipeline.children import children

from tests.conftest import ROOT
from tests.pipeline.odd_values import KEY, NUMBERS, TEXTS, VALUES, deep

OVERRIDES = ["model=scaler", "signatures=[scalar_float,vector_float]", "devices=cpu", "options=serving", "audit=strict", "verify=default", "publish=next"]  # fmt: skip
# What a problem must not show: a traceback, or a Python object of smdecl's own.
INTERNAL = (
    "Traceback",
    'File "',
    "<smdecl",
    "smdecl.config.settings",
    "Spec(",
    "Signature(",
    "Value(",
    "Problem(",
    " at 0x",
)
MUTATIONS = ["replace", "replace", "replace", "delete", "add", "rename", "duplicate", "unkey"]


def places(value, path=()):
    """Yields parent and key of everything in a config that is not too deep in it."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items if len(path) < 20 else ():
        yield value, key
        yield from places(item, (*path, key))


@st.composite
def mutants(draw, values):
    """Draws a config to which one to four things have happened."""
    values = copy.deepcopy(values)
    for _ in range(draw(st.integers(1, 4))):
        found = list(places(values))
        assume(found)
        parent, key = found[draw(st.integers(0, len(found) - 1))]
        mutate(draw, draw(st.sampled_from(MUTATIONS)), parent, key)
    return values


def mutate(draw, kind, parent, key):
    if kind == "delete":
        del parent[key]
    elif kind == "replace":
        parent[key] = draw(VALUES)
    elif isinstance(parent, list):
        parent.insert(key, parent[key] if kind == "duplicate" else draw(VALUES))
    elif kind == "duplicate":
        parent[f"{key}_"] = parent[key]
    elif kind == "add":
        parent[draw(KEY)] = draw(VALUES)
    else:  # a key that is not text
        parent[draw(KEY if kind == "rename" else st.sampled_from([0, -1, 3]))] = parent.pop(key)


@pytest.fixture(scope="module")
def composition():
    return smdecl.compose(OVERRIDES)


def fuzz(examples, strategy, check):
    """Runs `check` on so many examples, the same ones each time."""
    same = {
        "derandomize": True,
        "database": None,
        "deadline": None,
        "suppress_health_check": list(HealthCheck),
    }
    settings(max_examples=examples, **same)(given(strategy)(check))()


def several(few, slow, soak=None):
    """Runs a test on so many examples: by default, with the slow tests, and with the soak tests."""
    numbers = [few, pytest.param(slow, marks=pytest.mark.slow)]
    if soak is not None:
        numbers.append(pytest.param(soak, marks=pytest.mark.soak))
    return pytest.mark.parametrize("examples", numbers)


def with_values(composition, values):
    return dataclasses.replace(composition, values=values, recorded=values)


def checked(composition, values):
    """Checks a mutant, which passes or is reported, without a computation that has no end."""
    started = time.thread_time()
    try:
        assert isinstance(
            checking.check(with_values(composition, values), find_project(ROOT)), ExportConfig
        )
    except ConfigError as error:
        assert error.exit_code == 2
        assert error.problems
        for problem in error.problems:
            require_told(problem)
    assert time.thread_time() - started < 10  # of the processor; most take a thousandth


def require_told(problem):
    # One problem without a key stands for many missing keys.
    assert problem.path or problem.message.startswith("the primary config lacks")
    assert problem.message
    assert not [sign for sign in INTERNAL if sign in problem.message], problem.message
    assert problem.key in str(problem)


@several(200, 5000)
def test_a_mutated_config_passes_or_is_a_config_error(composition, examples):
    fuzz(examples, mutants(composition.values), lambda values: checked(composition, values))


@pytest.mark.parametrize("depth", [20, 100, 200, 500, 1000, 5000])
@pytest.mark.parametrize("where", ["inputs", "model", "examples", "name"])
def test_a_deeply_nested_value_passes_or_is_a_config_error(composition, where, depth):
    values, nest = (
        copy.deepcopy(composition.values),
        deep(depth, {"shape": [], "dtype": "float32", "name": "q"}),
    )
    if where == "inputs":
        values["signatures"]["vector"]["inputs"]["x"] = nest
    elif where == "examples":
        values["verify"]["examples"]["vector"] = [{"inputs": {"x": nest}}]
    else:
        values[where] = nest if where == "name" else {**values["model"], "factor": nest}

    checked(composition, values)


@pytest.mark.parametrize(("key", "value"), [
    ("export_dir", "x" * 300), ("export_dir", "a\0b"), ("export_dir", "a\ud800b"), ("name", "a\n"), ("seed", 1.0),
    ("publish.version", 1.0), ("publish.version", "next\n"), ("verify.rtol", math.nan),
    ("verify.atol", math.nan), ("verify.ranges", {"vector": {"x": [math.nan, 1]}}), ("devices.visible", []),
    ("verify.ranges", {"vector": {"x": [0, math.inf]}}), ("signatures.vector.method", "add\n"),
    ("signatures.vector.inputs.x.shape", [2.0]), ("verify.examples", {"vector": [{"inputs": {"x": {"file": "\0.npy"}}}]}),
])  # fmt: skip
def test_an_impossible_value_is_refused(composition, key, value):
    values = copy.deepcopy(composition.values)
    *parents, last = key.split(".")
    parent = values
    for part in parents:
        parent = parent[part]
    parent[last] = value

    with pytest.raises(ConfigError) as error:
        checking.check(with_values(composition, values), find_project(ROOT))

    require_told(error.value.problems[0])
    assert any(problem.key.startswith(key) for problem in error.value.problems)


# What may stand at a key and passes the schema, and what just does not.
NEAR = {
    "shape": [[], [1], [0], [2, 3], ["batch"], ["n", None], None, [2**62], [-1], ["batch", 3, "batch"], [2**63], [1] * 300],
    "dtype": ["float32", "float64", "int32", "string", "bool", "complex64", "bfloat16", "int4", "qint8", "float8_e5m2"],
    "name": [*TEXTS, "y", "model/x", "n" * 250, "a.b"],
    "method": ["add", "__call__", "factor", "name", "with_name_scope", "trainable_variables", "__init__", "add.x"],
    "_target_": [f"smdecl.models.{name}" for name in ("Adder", "TypedAdder", "Concat", "dense", "Scaler", "tf.Module")]
    + ["tensorflow.Module", "tensorflow.Variable", "keras.layers.Dense", "keras.activations.relu", "keras.Sequential"],
    "factor": [*NUMBERS, math.nan, math.inf, "x", None, True, [1, 2], {}, [], "${oc.env:HOME}"],
    "export_dir": ["out", "a/../out", "./out//", "é/名前", "a b", "out/1", "a\0b", "\ud800", "x" * 300, "a\nb", "-x", "~", "y/" * 200],
    "build": [None, "/device:CPU:0", "CPU:1", "/device:GPU:0", "/job:worker/task:1", "/job:w/device:CPU:0", "/CPU:*"],
    "visible": [None, [], ["CPU:0"], ["CPU:0", "CPU:0"], ["GPU:0"], ["CPU:99"]],
    "strategy": [None, {"_target_": "tensorflow.distribute.MirroredStrategy"}, {"_target_": "smdecl.models.Adder"},
                 {"_target_": "tensorflow.distribute.OneDeviceStrategy", "device": "/cpu:0"}],
    "generate": [0, 1, 1000], "seed": [0, 2**32 - 1, 1.0],
    "rtol": [0, 1e308, math.inf, math.nan], "version": [0, 1, "next", None, 2**63 - 1, 1.0, "next\n"],
    "replace": [True, False], "warmup": [True, False], "save_debug_info": [True], "experimental_skip_saver": [True],
    "function_aliases": [None, {}, {"a": "add"}, {"\ud800": "add"}, {"": "add"}, {"a": "nothing"}, {"a\0": "add"}],
    "extra_tags": [None, [], ["serve"], ["a", "a"], ["\ud800"], ["a\0b"], ["gpu"]],
    "namespace_whitelist": [None, [], ["\ud800"], ["X"], ["a\0"]],
    "experimental_variable_policy": ["save_variable_devices", "expand_distributed_variables"],
    "experimental_io_device": [None, "/job:localhost", "CPU:0", "/job:w", "/device:GPU:7"],
    "loaders": [["python"], ["cpp"]], "tensorflow": ["2.16", "2.0"],
    "examples": [{"vector": [{"inputs": {"x": value}}]} for value in ([1, 2], [], 3, [math.nan], ["a"], [[1]], None, [10**30], {}, [True], deep(50, 1), {"file": "a\0.npy"}, {"file": "/dev/null"})],
    "ranges": [{"vector": {"x": value}} for value in ([0, 1], [-1e308, 1e308], [0, math.inf], [math.nan, 1], [0, 10**30])],
    "tolerances": [{"vector": {"output_0": {"rtol": 0}}}, {"vector": {"nothing": {}}}, {"vector": {"output_0": {"atol": math.nan}}}],
    "outputs": [None, {}, {"y": {"shape": None, "dtype": "float32"}}, {"output_0": {"shape": ["batch"], "dtype": "float32", "name": "\ud800"}}],
    "inputs": [None, {}, {"x": {"shape": [], "dtype": "float32", "kind": "sparse"}}, {"x": {"value": 3}},
               {"x": {"shape": [None, None], "dtype": "float32", "kind": "ragged"}}, {"x": [{"shape": [], "dtype": "int8", "name": "a"}]},
               {"x": {"a\0": {"shape": [], "dtype": "int8", "name": "a"}}}, {"x": {"value": {"deep": [None, math.nan]}}}],
}  # fmt: skip
SIGNATURE_KEYS = [*TEXTS, "predict", "x" * 2000, "serving_default "]


@st.composite
def near(draw, values):
    """Draws a config that passes, or nearly, so that the later stages see it."""
    values = copy.deepcopy(values)
    for _ in range(draw(st.integers(1, 2))):
        key = draw(st.sampled_from([*NEAR, "signatures"]))
        if key == "signatures":
            values[key][draw(st.sampled_from(SIGNATURE_KEYS))] = values[key].pop(
                "vector", {"method": "add"}
            )
            continue
        found = [parent for parent, name in places(values) if name == key]
        assume(found)
        found[draw(st.integers(0, len(found) - 1))][key] = copy.deepcopy(
            draw(st.sampled_from(NEAR[key]))
        )
    if values["export_dir"].startswith("exports"):
        values["export_dir"] = "out"
    return values


def left_in(directory):
    """Returns what a directory contains besides complete releases."""
    manifests = [path.parents[2] for path in directory.rglob("assets.extra/smdecl/manifest.json")]
    releases = [
        path
        for path in manifests
        if (path / "saved_model.pb").is_file() and ".smdecl-" not in str(path)
    ]
    known = {
        path for release in releases for path in (release, *release.parents, *release.rglob("*"))
    }
    return sorted({*directory.rglob("*")} - known)


def exported(composition, values):
    """Exports a mutant; what is left are complete releases, or nothing where it failed as it may."""
    try:
        release = pipeline.export(with_values(composition, values), find_project(Path.cwd()))
    except SmdeclError as error:
        assert error.exit_code in (2, 3, 4, 5), f"{error}\n{error.traceback_text}"
        assert error.problems
        assert [*Path.cwd().iterdir()] == []
    else:
        assert release.path.is_dir()
        assert left_in(Path.cwd()) == []
        verify.verify(release.path)


@several(6, 15, 200)
def test_a_nearly_valid_config_is_exported_or_leaves_nothing(
    composition, monkeypatch, tmp_path, examples
):
    children.start()
    multiprocessing.util.get_temp_dir()  # which outlives the test
    scratch, place = tmp_path / "scratch", tmp_path / "place"

    def export(values):
        for directory in (scratch, place):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        monkeypatch.chdir(place)
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        exported(composition, values)
        assert [*scratch.iterdir()] == []

    fuzz(examples, near(composition.values), export)


WORDS = ["model", "seed", "signatures", "weights", "hydra", "name", "=", "=", ":", ",", "[", "]", "{", "}", "(", ")", "$", "${",
         "+", "++", "~", "@", "/", ".", "..", "'", '"', "\\", " ", "\n", "\0", "null", "1", "1e999", "nan", "true", "adder", "glob(*)",
         "choice(1,2)", "range(3)", "sort(", "int(", "str(", "oc.env:HOME", "oc.decode:", "hydra:runtime", "pkg://x", "é", "\ud800",
         "_target_", "_self_", "???", "*", "-", "sweep", "searchpath", "@_global_", "export", "defaults", "#", "%", "`"]  # fmt: skip
LINES = st.lists(st.sampled_from(WORDS), max_size=10).map("".join)
TYPED = st.one_of(
    LINES, LINES.map("seed={}".format), LINES.map("{}=x".format), st.text(max_size=20)
)


def composed(overrides):
    try:
        assert isinstance(smdecl.compose(overrides), smdecl.Composition)
    except ConfigError as error:
        assert error.exit_code == 2
        assert all(
            problem.message and "Traceback" not in problem.message for problem in error.problems
        )


@several(8, 20, 200)
def test_arbitrary_overrides_compose_or_are_a_config_error(examples):
    fuzz(examples, st.lists(TYPED, min_size=1, max_size=3), composed)
