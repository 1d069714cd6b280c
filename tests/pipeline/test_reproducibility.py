"""The same config makes the same bytes, whatever the time, place, process, user or machine.

`zoo` has the models: of each, TensorFlow would let one of these into the release.
"""

import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import smdecl
import tensorflow as tf
from smdecl.checks import check
from smdecl.config.parsing import parse_signature, parse_verify
from smdecl.config.project import find_project
from smdecl.errors import ModelError
from smdecl.exporting.saving import canonical
from smdecl.pipeline import reproduce, verify, worker
from smdecl.pipeline.children import children
from smdecl.release import manifest
from smdecl.verification import verify as verification
from tensorflow.core.framework import graph_debug_info_pb2

from tests.pipeline import zoo
from tests.pipeline.surroundings import (
    ALL_AT_ONCE,
    SURROUNDINGS,
    THREADS,
    WARMUP,
    Surroundings,
    compare,
    differences,
    make_project,
    run,
    sweep,
)

# Those that take longest, or differ little from another one, are left to the slow tests.
QUICK = ["subclassed", "table", "unordered"]
KINDS = list(zoo.RELEASES)
OTHERS = [kind for kind in KINDS if kind not in QUICK]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The project whose releases all others are compared with."""
    return make_project(tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def releases(original):
    """A release of each kind, made in the plain surroundings by one sweep."""
    return sweep(original, KINDS, Surroundings())


@pytest.fixture
def home():
    # Not below pytest's own directory: TMPDIR contains a socket, whose path has to be short.
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        (home / ".keras").mkdir()
        (home / ".keras" / "keras.json").write_text(
            '{"floatx": "float64", "image_data_format": "channels_first"}'
        )
        (home / "tmp").mkdir()
        yield {"HOME": str(home), "TMPDIR": str(home / "tmp")}


def test_trees_differ_by_any_file_or_directory(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for root in (first, second):
        (root / "assets").mkdir(parents=True)
        (root / "saved_model.pb").write_bytes(b"the same")
        (root / "fingerprint.pb").write_bytes(b"the same")
    assert differences(first, second) == {}

    (second / "fingerprint.pb").write_bytes(b"the sane")
    (second / "saved_model.pb").write_bytes(b"the same and more")
    (second / "assets").rmdir()
    (second / "variables").mkdir()
    found = differences(first, second)
    assert list(found) == ["assets", "fingerprint.pb", "saved_model.pb", "variables"]
    assert found["assets"] == f"only in {first / 'assets'}"
    assert found["fingerprint.pb"] == "differs at byte 6 of 8: b'the same' and b'the sane'"
    assert found["saved_model.pb"].startswith("differs at byte 8 of 8")


@pytest.mark.parametrize(
    "kinds", [QUICK, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["quick", "others"]
)
def test_the_surroundings_do_not_affect_a_release(original, home, kinds, request):
    elsewhere = replace(ALL_AT_ONCE, env={**ALL_AT_ONCE.env, **home})

    # The other slow tests need the releases of all kinds; the quick ones do not.
    here = (
        sweep(original, kinds, Surroundings())
        if kinds is QUICK
        else request.getfixturevalue("releases")
    )
    there = sweep(original, kinds, elsewhere)

    assert compare({kind: here[kind] for kind in kinds}, there) == {}


@pytest.mark.soak
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_no_part_of_the_surroundings_affects_a_release_of_any_kind(original, releases, home, name):
    surroundings = SURROUNDINGS[name]
    if name == "another user":
        surroundings = replace(surroundings, env={**surroundings.env, **home})

    again = sweep(original, KINDS, surroundings)

    assert compare(again, releases) == {}


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_a_variant_of_a_sweep_equals_a_single_export(original, releases, kind):
    out = original.root / f"alone {kind}"

    run(original.root, Surroundings(), f"release={kind}", WARMUP, f"export_dir='{out}'")

    assert differences(out / "1", releases[kind]) == {}


@pytest.mark.slow
def test_the_number_of_threads_makes_no_difference(original):
    one, many = (
        {**dict.fromkeys(THREADS, number), "OPENBLAS_NUM_THREADS": number} for number in ("1", "4")
    )

    here = sweep(original, ["summed"], Surroundings(env=one, cpus=1))
    there = sweep(original, ["summed"], Surroundings(env=many))

    assert compare(here, there) == {}


@pytest.fixture
def here(original, monkeypatch):
    monkeypatch.chdir(original.root)
    monkeypatch.syspath_prepend(original.root)
    return original


def make_unsettled(overrides, place, directory):
    """Makes what TensorFlow itself writes, in a project at a place."""
    os.chdir(place)
    sys.path.insert(0, str(place))
    canonical.settle = lambda _directory, _signatures: None
    project = find_project(place)
    config = check.check(smdecl.compose(overrides, config_dir=place / "conf"), project)
    directory.mkdir()
    worker.make(config, project, directory, {})


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        pytest.param("drawn", {"fingerprint.pb"}, marks=pytest.mark.slow),
        ("table", {"fingerprint.pb", "saved_model.pb"}),
        ("debugged", {"fingerprint.pb", "debug/saved_model_debug_info.pb"}),
    ],
)
def test_tensorflows_own_bytes_depend_on_the_place(original, tmp_path, kind, files):
    moved = shutil.copytree(
        original.root, tmp_path / "moved", ignore=shutil.ignore_patterns("exports*", "sweeps")
    )
    made = [tmp_path / "first", tmp_path / "second"]
    for place, directory in zip((original.root, moved), made, strict=True):
        children.run(
            make_unsettled,
            [f"release={kind}"],
            place,
            directory,
            failure=ModelError,
            doing="saving",
        )

    assert {name for name in differences(*made) if "." in name} == files


@pytest.mark.slow
def test_debug_info_names_sources_of_the_user_as_they_are_imported(releases):
    info = graph_debug_info_pb2.GraphDebugInfo.FromString(
        (releases["debugged"] / "debug" / "saved_model_debug_info.pb").read_bytes()
    )

    assert "zoo.py" in info.files
    assert not [name for name in info.files if name.startswith("smdecl/")]
    assert not [name for name in info.files if name.startswith("/")]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_release_of_any_kind_is_verified_and_reproduced(here, releases, kind):
    released, report = verify.verify(releases[kind], allow_ops=["ReadFile"])  # of an asset

    assert report.loaders == ("python", "cpp")
    assert sum(report.examples.values()) > 0
    assert reproduce.reproduce(releases[kind], find_project(here.root))[0] == released["digest"]


def variables_of(loaded):
    return [
        each
        for each in tf.train.TrackableView(loaded).descendants()
        if isinstance(each, tf.Variable)
    ]


def read_as_checkpoint(directory):
    """Zeroes a loaded release and reads `variables/` into it; returns whether it was zero, what was read, what it has."""
    prefix = str(directory / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    values = [
        reader.get_tensor(name)
        for name in reader.get_variable_to_dtype_map()
        if name.endswith("VARIABLE_VALUE")
    ]
    loaded = tf.saved_model.load(str(directory))
    for variable in variables_of(loaded):
        variable.assign(tf.zeros_like(variable))
    zeroed = [variable.numpy() for variable in variables_of(loaded)]
    tf.train.Checkpoint(loaded).read(prefix).assert_existing_objects_matched()
    restored = [variable.numpy() for variable in variables_of(loaded)]
    is_zeroed = not any(np.any(value) for value in zeroed)
    return is_zeroed, as_bytes(values), as_bytes(restored)


def as_bytes(values):
    return sorted(np.asarray(value).tobytes() for value in values)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_variables_of_any_kind_are_a_checkpoint(releases, kind):
    is_zeroed, values, restored = children.run(
        read_as_checkpoint, releases[kind], failure=ModelError, doing="reading a checkpoint"
    )

    assert is_zeroed
    assert values == restored


def save_again(directory, again):
    loaded = tf.saved_model.load(str(directory))
    tf.saved_model.save(loaded, str(again), signatures=loaded.signatures)


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_release_of_any_kind_is_saved_again(releases, tmp_path, kind):
    again = tmp_path / "again"
    children.run(save_again, releases[kind], again, failure=ModelError, doing="saving again")
    shutil.copytree(releases[kind] / "assets.extra", again / "assets.extra")
    config = manifest.read(releases[kind])["config"]
    signatures = {key: parse_signature(value) for key, value in config["signatures"].items()}

    report = children.run(
        verification.verify,
        again,
        signatures,
        parse_verify(config["verify"]),
        failure=ModelError,
        doing="verifying",
    )

    assert report.failures == ()


ON_A_GPU = """
from smdecl.models import Adder
from tensorflow.python.eager import context

config = context.Context.config


def with_gpus(self):
    found = config.fget(self)
    found.device_count["GPU"] = 2
    found.gpu_options.allow_growth = True
    found.gpu_options.visible_device_list = "0,1"
    return found


def net(has_gpus):
    if has_gpus:
        context.Context.config = property(with_gpus)
    return Adder()
"""


def test_the_gpus_of_a_machine_are_not_in_the_graph(project):
    """They are faked, because the machine that runs the tests has none."""
    project.write("mynet.py", ON_A_GPU)
    project.write("conf/model/net.yaml", "_target_: mynet.net\nhas_gpus: false\n")

    graphs = [
        (project.export("model=net", f"model.has_gpus={has}").path / "saved_model.pb").read_bytes()
        for has in ("false", "true")
    ]

    assert graphs[0] == graphs[1]
    assert b"GPU" in graphs[0]
