"""The same config makes the same bytes, whatever the time, place, process, user or machine.

`zoo` has the models: of each, TensorFlow would let one of these into the release.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import smdecl
import tensorflow as tf
import yaml
from smdecl.checks import check
from smdecl.config.parsing import parse_signature, parse_verify
from smdecl.config.project import find_project
from smdecl.errors import ModelError
from smdecl.exporting import canonical
from smdecl.pipeline import reproduce, verify, worker
from smdecl.pipeline.children import children
from smdecl.release import manifest
from smdecl.verification import verify as verification
from tensorflow.core.framework import graph_debug_info_pb2

from tests.conftest import ROOT, Project, run_cli
from tests.pipeline import zoo

# Those that take longest, or differ little from another one, are left to the slow tests.
QUICK = ["drawn", "subclassed", "table", "mirrored", "unordered"]
KINDS = list(zoo.RELEASES)
OTHERS = [kind for kind in KINDS if kind not in QUICK]
WARMUP = "publish.warmup=true"


@dataclass(frozen=True)
class Surroundings:
    """What an export is made in, beside its config.

    Attributes:
        place: Of the project: another copy, of another age.
        within: The working directory, below the project.
        cpus: How many are visible; None for all.
        backwards: The variants of a sweep in the other order.
        env: Of the caller.
    """

    place: str = ""
    within: str = ""
    cpus: int | None = None
    backwards: bool = False
    env: dict = field(default_factory=dict)


USER = {
    "USER": "other",
    "LOGNAME": "other",
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "C",
    "TZ": "Asia/Tokyo",
}
THREADS = {"OMP_NUM_THREADS": "3", "TF_NUM_INTRAOP_THREADS": "5", "TF_NUM_INTEROP_THREADS": "3"}
SURROUNDINGS = {
    "another process": Surroundings(),
    "another order": Surroundings(backwards=True),
    "another hash seed": Surroundings(env={"PYTHONHASHSEED": "4242"}),
    "another place": Surroundings(place="another place/of more/depth"),
    "another working directory": Surroundings(within="inner/one"),
    "another user": Surroundings(env=USER),
    "one processor": Surroundings(cpus=1),
    "other threads": Surroundings(env=THREADS),
}
ALL_AT_ONCE = Surroundings(
    "another place/of more/depth",
    "inner/one",
    1,
    True,
    {**USER, **THREADS, "PYTHONHASHSEED": "4242"},
)


def make_project(root: Path) -> Project:
    project = Project(root)
    project.write("pyproject.toml", "")
    project.write("zoo.py", Path(zoo.__file__).read_text(encoding="utf-8"))
    # The config has a path relative to the working directory, whichever that is.
    for vocabularies in ("vocabularies", "inner/one/vocabularies"):
        project.write(f"{vocabularies}/words.txt", "the\ncat\ndog\nsat\n")
    for kind, values in zoo.RELEASES.items():
        text = yaml.safe_dump({"name": kind, **values})
        project.write(
            f"conf/release/{kind}.yaml",
            f"# @package _global_\ndefaults:\n  - override /signatures: none\n{text}",
        )
    if shutil.which("git"):  # the manifest has the commit
        author = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        for command in (
            ["init", "-q"],
            ["add", "."],
            [*author, "commit", "-q", "-m", "The models"],
        ):
            subprocess.run(["git", *command], cwd=root, check=True)
    return project


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
    # Not below pytest's own directory: a socket lies in TMPDIR, and its path has to be short.
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        (home / ".keras").mkdir()
        (home / ".keras" / "keras.json").write_text(
            '{"floatx": "float64", "image_data_format": "channels_first"}'
        )
        (home / "tmp").mkdir()
        yield {"HOME": str(home), "TMPDIR": str(home / "tmp")}


def sweep(project, kinds, surroundings, *overrides):
    """Returns the release of each kind, made by one command."""
    root = project.root
    if surroundings.place:
        root = root.parent / f"{root.name} moved" / surroundings.place
        shutil.copytree(
            project.root, root, ignore=shutil.ignore_patterns("exports", "sweeps", "__pycache__")
        )
        for path in root.rglob("*"):
            os.utime(path, (1e9, 1e9))
    out = tempfile.mkdtemp(prefix="exports", dir=root)
    ordered = kinds[::-1] if surroundings.backwards else kinds
    run(
        root, surroundings, "-m", f"release={','.join(ordered)}", WARMUP, f"export_dir='{out}/${{name}}'", *overrides
    )  # fmt: skip
    return {kind: only(Path(out, kind).rglob("saved_model.pb")).parent for kind in kinds}


def run(root, surroundings, *arguments):
    arguments = ["--config-dir", str(root / "conf"), *arguments]
    if surroundings == Surroundings():
        done = run_cli(*arguments, cwd=root)
        assert done.returncode == 0, done.stderr
        return
    limit = f"os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:{surroundings.cpus}]); "
    done = subprocess.run(
        [sys.executable, "-c", f"import os, sys; {limit}os.execv(sys.executable, [sys.executable, *sys.argv[1:]])",
         "-m", "smdecl", *arguments],
        cwd=root / surroundings.within,
        env={**os.environ, **surroundings.env, "PYTHONPATH": os.pathsep.join([str(root), str(ROOT)])},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def only(found):
    (one,) = found
    return one


def differences(first, second):
    """Says of each file and directory that two trees do not both have, or have otherwise, what it is with it."""
    trees = [
        {path.relative_to(root).as_posix(): path for path in root.rglob("*")}
        for root in (first, second)
    ]
    found = {}
    for name in sorted({*trees[0], *trees[1]}):
        places = [tree.get(name) for tree in trees]
        if None in places:
            found[name] = f"only in {places[0] or places[1]}"
        elif len({path.is_dir() for path in places}) > 1:
            found[name] = "is a directory in one"
        elif places[0].is_file():
            before, after = (path.read_bytes() for path in places)
            if before != after:
                pairs = enumerate(zip(before, after, strict=False))
                start = next((at for at, (a, b) in pairs if a != b), min(len(before), len(after)))
                here = slice(max(0, start - 40), start + 40)
                found[name] = (
                    f"differs at byte {start} of {len(before)}: {before[here]!r} and {after[here]!r}"
                )
    return found


def compare(before, after):
    return {kind: found for kind in before if (found := differences(before[kind], after[kind]))}


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
    canonical.settle = lambda _directory, _method_names: None
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
