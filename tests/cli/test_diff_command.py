"""`smdecl diff`: changes of config and origin, its output and exit codes."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import tensorflow as tf
from smdecl import schema
from smdecl.cli.output import rendering
from smdecl.errors import VerificationError
from smdecl.release import diffing, manifest

from tests.conftest import ROOT, forge_manifest, run_cli


def save(directory, **attributes):
    """Saves a model with one signature, and with these variables and functions."""
    module = tf.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    tf.saved_model.save(
        module,
        str(directory),
        signatures={"serving_default": a_function("x").get_concrete_function()},
    )
    return directory


def a_function(name, dtype=tf.float32):
    return tf.function(lambda x: x, input_signature=[tf.TensorSpec([], dtype, name)])


def changed(release, tmp_path, **values):
    """Copies a release with a manifest that says otherwise, and is as consistent as one that was written."""
    copy = shutil.copytree(release, tmp_path / "changed")
    forge_manifest(copy, **values)
    return copy


def test_releases_with_equal_bytes_and_different_origins_are_the_same(project, tmp_path):
    project.write("x.json", "21")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    example = "+verify.examples.serving_default=[{inputs: {x: {file: x.json}}}]"
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    before = project.export("model=scaler", example).path
    project.write("x.json", "21 ")
    subprocess.run([*git, "commit", "-qam", "two"], check=True)
    project.write("x.json", " 21 ")
    after = project.export(
        "model=scaler", example, "verify.rtol=0.5", "+devices.strategy=null"
    ).path
    old, new = manifest.read(before), manifest.read(after)

    found = diffing.diff(before, after)

    assert (found.verdict, found.advice) == ("same", "none")
    assert list(map(str, found.changes)) == [
        "config verify.rtol: changed from null to 0.5",
        f"inputs x.json: changed from {old['inputs']['x.json'][:12]} to {new['inputs']['x.json'][:12]}",
        f"source: changed from commit {old['source']['commit'][:12]} to commit {new['source']['commit'][:12]} with changes",
    ]
    assert rendering.diff_text(found).splitlines()[-1] == "same: the two serve the same bytes"

    other = changed(
        after, tmp_path, environment={**new["environment"], "numpy": "1.0", "own": "2"}, source=None
    )
    assert list(map(str, diffing.diff(after, other).changes)) == [
        f"environment numpy: changed from {new['environment']['numpy']} to 1.0",
        "environment own: was added: 2",
        f"source: changed from commit {new['source']['commit'][:12]} with changes to no commit",
    ]


def test_a_savedmodel_without_a_manifest_is_compared_and_a_changed_manifest_reported(
    project, tmp_path
):
    release = project.export("model=scaler").path
    shutil.copytree(release, tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "assets.extra")

    found = diffing.diff(tmp_path / "bare", release)

    assert (found.verdict, found.advice) == ("same", "patch")
    assert list(map(str, found.changes)) == ["files assets.extra/smdecl/examples.npz: was added"]

    path = changed(release, tmp_path) / manifest.FILE
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))

    with pytest.raises(VerificationError) as error:
        diffing.diff(release, tmp_path / "changed")

    assert str(error.value) == f"{path}: changed since the release was made: its checksum differs"


@pytest.mark.slow
def test_a_release_from_a_different_process_is_the_same(project):
    project.export("model=scaler")
    project.run("model=scaler")

    done = project.run("diff", "exports/scaler/1", "exports/scaler/2", "--exit-code")

    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "same: the two serve the same bytes\n",
        "",
    )


def test_the_command_line_prints_breaking_changes_first_and_sets_the_exit_code(tmp_path):
    save(tmp_path / "one", embed=a_function("x"))
    save(tmp_path / "other", rank=a_function("x"))
    save(tmp_path / "both", embed=a_function("x"), rank=a_function("x"))

    done = run_cli("diff", "one", "other", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    printed = done.stdout.splitlines()
    assert printed[:2] == [
        "breaking  functions embed: was removed; tf.saved_model.load no longer restores it",
        "additive  functions rank: was added",
    ]
    assert {line[:10] for line in printed[2:-1]} == {"internal  "}
    assert printed[-1] == "breaking: callers have to change; raise the major of a semantic version"

    assert run_cli("diff", "--exit-code", "one", "other", cwd=tmp_path).returncode == 2
    assert run_cli("diff", "one", "one", "--exit-code", cwd=tmp_path).returncode == 0

    done = run_cli("diff", "one", "both", "--format", "json", "--exit-code", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    record = json.loads(done.stdout)
    schema.require("diff", record)
    found = diffing.diff(tmp_path / "one", tmp_path / "both")
    assert record == {
        "verdict": "additive",
        "advice": "minor",
        "changes": [vars(change) for change in found.changes],
    }
    assert len(record["changes"]) > 2


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (
            ["a", "nowhere"],
            2,
            "'nowhere' does not exist; expected the directory of a SavedModel, such as exports/adder/1",
        ),
        (
            ["a/saved_model.pb", "a"],
            2,
            "'a/saved_model.pb' is a file; expected the directory of a SavedModel, such as",
        ),
        (
            ["a"],
            2,
            "smdecl diff: the following arguments are required: after; see smdecl diff --help",
        ),
        (["a", "a", "--format", "xml"], 2, "smdecl diff: argument --format: invalid choice: 'xml'"),
        (["a", "empty"], 4, "'empty' contains no SavedModel: no saved_model.pb"),
        (
            ["--exit-code", "a", "nowhere"],
            4,
            "'nowhere' does not exist; expected the directory of a SavedModel, such as exports/adder/1",
        ),
        (
            ["a", "--exit-code"],
            4,
            "smdecl diff: the following arguments are required: after; see smdecl diff --help",
        ),
        (
            ["a", "a", "--exit-code", "--format", "jsn"],
            4,
            "smdecl diff: argument --format: invalid choice: 'jsn'",
        ),
        (
            ["a", "a", "--exit-code=1"],
            4,
            "smdecl diff: argument --exit-code: ignored explicit argument '1'",
        ),
        (["--exit-code", "none", "a"], 4, "'none/saved_model.pb' contains no MetaGraphDef"),
    ],
)
def test_incomparable_directories_are_reported(tmp_path, arguments, code, expected):
    save(tmp_path / "a")
    for name in ("empty", "none"):
        (tmp_path / name).mkdir()
    (tmp_path / "none" / "saved_model.pb").write_bytes(b"")

    done = run_cli("diff", *arguments, cwd=tmp_path)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"smdecl: error: {expected}")


def test_diff_needs_no_tensorflow(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / name, v=tf.Variable([name]))
    script = (
        "import sys; from smdecl.cli import main\n"
        "main.main(['diff', 'a', 'b'])\n"
        "print(sorted({'tensorflow', 'keras', 'hydra'} & {*sys.modules}), file=sys.stderr)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "internal  variables v: 1 value differs\n" in done.stdout
    assert done.stderr == "[]\n"
