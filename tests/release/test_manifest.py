"""Verification names every file of a release that has changed since the release was made."""

import json
import os
import random
import shutil
import subprocess

import pytest
from smdecl.errors import UsageError, VerificationError
from smdecl.pipeline import verify
from smdecl.release import comparison, manifest, provenance, signing
from smdecl.savedmodel import inspection

from tests.conftest import ROOT, forge_file, tree


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A release of the scaler: with variables, and warm-up requests beside the examples."""
    import smdecl

    base = tmp_path_factory.mktemp("made")
    return smdecl.export(
        smdecl.compose(["model=scaler", "publish.warmup=true", f"export_dir={base}"])
    ).path


@pytest.fixture
def release(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy" / "7")


def problems(release):
    """Returns how the files of a release differ from its manifest."""
    try:
        return [str(problem) for problem in comparison.compare(release, manifest.read(release))]
    except VerificationError as error:
        return [str(problem) for problem in error.problems]


def test_a_copied_release_is_unchanged(release):
    released, report = verify.verify(release)

    assert problems(release) == []
    assert sorted(released["files"]) == sorted(set(tree(release)) - {manifest.FILE})
    assert report.examples == {"serving_default": 3}
    assert report.loaders == ("python", "cpp")


def recipe():
    """Returns the commands in the docstring of `manifest.write`."""
    lines = [line.strip() for line in manifest.write.__doc__.splitlines()]
    start = next(index for index, line in enumerate(lines) if line.startswith("find "))
    return [line.replace("/tmp/files", "../files") for line in lines[start : start + 2]]


def test_the_docs_give_the_commands_that_compute_the_digest():
    page = (ROOT / "docs" / "reproduce-and-sign.md").read_text()

    assert all(f"$ {line.replace('../files', '/tmp/files')}" in page for line in recipe())


@pytest.mark.parametrize(
    "name", [None, "a b.txt", "a\\b.txt", "a\nb.txt", "a\rb.txt", "gr\u00fc\u00df.txt", "'\".txt"]
)
def test_sha256sum_computes_the_digest(release, name):
    if name is not None:
        signatures = inspection.load(release)[1].signatures
        (release / "assets" / name).write_text("")
        config = manifest.read(release)["config"]
        (release / manifest.FILE).unlink()
        manifest.write(release, config, signatures, manifest.Sources({}, {}, {}))
    for made_of_it in (provenance.FILE, signing.FILE):
        (release / made_of_it).write_text("")
    find, digest = recipe()

    subprocess.run(find, shell=True, cwd=release, check=True)
    done = subprocess.run(
        digest, shell=True, cwd=release, capture_output=True, text=True, check=True
    )

    assert done.stdout.split()[0] == manifest.read(release)["digest"]


def test_a_module_cannot_replace_the_digest_of_an_input(release):
    config = manifest.read(release)["config"]
    (release / manifest.FILE).unlink()
    inputs, modules = {"net.h5": "a" * 64}, {"net.h5": "b" * 64, "net.py": "c" * 64}

    sources = manifest.Sources(inputs, modules, {})
    written = manifest.write(release, config, {}, sources)

    assert written["inputs"] == {"net.h5": "a" * 64, "net.py": "c" * 64}


def test_a_flipped_bit_in_any_file_is_reported(release):
    rng = random.Random(0)
    files = tree(release)
    places = [(name, offset) for name, content in files.items() for offset in (0, len(content) - 1)]
    names = sorted(files)
    while len(places) < 1000:
        name = rng.choice(names)
        places.append((name, rng.randrange(len(files[name]))))
    for name, offset in places:
        content = bytearray(files[name])
        content[offset] ^= 1 << rng.randrange(8)
        (release / name).write_bytes(content)

        (problem,) = problems(release)

        path, _, reason = problem.partition(": ")
        assert path == str(release / name), (name, offset)
        assert reason.startswith(
            ("content differs from the manifest", "changed since the release was made")
        )
        (release / name).write_bytes(files[name])
    assert problems(release) == []


def test_a_removed_file_is_reported(release):
    for name, content in tree(release).items():
        (release / name).unlink()
        assert [problem.partition(";")[0] for problem in problems(release)] == [
            f"{release / name}: no such file"
        ]
        (release / name).write_bytes(content)


@pytest.mark.parametrize(
    "name", ["added", ".hidden", "assets/vocab.txt", "variables/more", "assets.extra/smdecl/x.json"]
)
def test_an_added_file_is_reported(release, name):
    (release / name).write_text("")

    assert problems(release) == [f"{release / name}: not listed in the manifest"]


def test_a_file_that_became_a_link_is_reported(release):
    target = release.parent / "elsewhere.pb"
    (release / "saved_model.pb").rename(target)
    (release / "saved_model.pb").symlink_to(target)
    os.mkfifo(release / "assets" / "pipe")
    (release / "assets" / "dangling").symlink_to("nowhere")

    assert sorted(problems(release)) == [
        f"{release / 'assets/dangling'}: not listed in the manifest",
        f"{release / 'assets/pipe'}: not listed in the manifest",
        f"{release / 'saved_model.pb'}: not a regular file",
    ]


def test_a_rewritten_manifest_is_rejected(release):
    path = release / manifest.FILE
    text = json.loads(path.read_text())
    for changed in (
        {**text, "name": "other"},
        {**text, "more": 1},
        {**text, "files": {}},
        [],
        3,
        None,
        {"checksum": None},
    ):
        path.write_text(json.dumps(changed, indent=2, sort_keys=True) + "\n")
        assert [problem.partition(": its")[0] for problem in problems(release)] == [
            f"{path}: changed since the release was made"
        ]


def test_a_path_without_a_release_is_rejected(tmp_path):
    with pytest.raises(UsageError) as error:
        manifest.read(tmp_path / "nothing")
    expected = "expected the directory of a release, such as exports/adder/1"
    assert str(error.value) == f"'{tmp_path}/nothing' does not exist; {expected}"

    with pytest.raises(VerificationError) as error:
        manifest.read(tmp_path)
    assert str(error.value) == f"'{tmp_path}' contains no SavedModel; {expected}"

    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(VerificationError) as error:
        manifest.read(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / manifest.FILE}: no such file; expected a release made by smdecl"
    )


def test_the_command_line_verifies_a_release(project, release):
    done = project.run("verify", str(release))
    assert done.stdout == f"{release}: 6 files unchanged, 3 examples with the loaders python, cpp\n"
    assert (done.returncode, done.stderr) == (0, "")

    (release / "fingerprint.pb").unlink()
    done = project.run("verify", str(release))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"smdecl: error: {release / 'fingerprint.pb'}: no such file\n"

    refused = {
        "verify": "the following arguments are required: directory",
        "verify a b": "unrecognized arguments: b",
    }
    for line, reason in refused.items():
        done = project.run(*line.split())
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"smdecl: error: smdecl verify: {reason}; see smdecl verify --help\n"


EXAMPLES = "assets.extra/smdecl/examples.npz"


def test_different_outputs_are_reported_although_all_files_match_the_manifest(project):
    release = project.export("verify.generate=1").path
    other = project.export(
        "model=scaler", "verify.generate=1", "model.factor=2.5", "name=adder"
    ).path
    shutil.copy(other / EXAMPLES, release / EXAMPLES)
    forge_file(release, EXAMPLES)

    with pytest.raises(VerificationError) as error:
        verify.verify(release)

    assert [problem.key for problem in error.value.problems] == ["signatures.serving_default"] * 2
    assert "expected" in str(error.value)


def test_unreadable_examples_are_reported_although_all_files_match_the_manifest(release):
    (release / EXAMPLES).write_bytes(b"no zip")
    forge_file(release, EXAMPLES)

    with pytest.raises(VerificationError) as error:
        verify.verify(release)

    assert (
        str(error.value) == f"cannot read {release / EXAMPLES}: BadZipFile: File is not a zip file"
    )


def test_a_release_whose_path_is_a_glob_pattern_verifies(made, tmp_path):
    release = shutil.copytree(made, tmp_path / "a[b]*?\\c" / "7")

    _, report = verify.verify(release)

    assert report.examples == {"serving_default": 3}


def test_a_tolerance_can_be_set_for_one_output(project):
    example = "+verify.examples.serving_default=[{inputs: {x: 21}, outputs: {output_0: 42.4}}]"
    with pytest.raises(
        VerificationError,
        match="output_0: is 42.0 in the model in memory, expected 42.4 within rtol 0.001, atol 1e-05",
    ):
        project.export(example, "verify.rtol=1e-3")

    release = project.export(example, "+verify.tolerances.serving_default={output_0: {atol: 0.5}}")

    verify.verify(release.path)


def test_a_tolerance_from_the_environment_cannot_be_verified_without_it(project, monkeypatch):
    project.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["CLOSE"]\n')
    monkeypatch.setenv("CLOSE", "0.5")
    release = project.export("verify.rtol='${oc.decode:${oc.env:CLOSE}}'")

    with pytest.raises(VerificationError) as error:
        verify.verify(release.path)

    assert "its config cannot be verified by: verify.rtol: expected a number or null" in str(
        error.value
    )


def test_a_link_to_the_manifest_is_found(release, tmp_path):
    path = release / manifest.FILE
    path.rename(tmp_path / "manifest.json")
    path.symlink_to(tmp_path / "manifest.json")

    found = list(comparison.compare(release, manifest.read(release)))

    assert list(map(str, found)) == [f"{path}: not a regular file"]
