"""A release that was changed in any way since it was made is told, by the file."""

import json
import os
import random
import shutil
import subprocess

import pytest
from smdecl.errors import UsageError, VerificationError
from smdecl.pipeline import export
from smdecl.release import manifest, provenance, signing
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
    """Returns what is wrong with a release's files, by the manifest."""
    try:
        return [str(problem) for problem in manifest.compare(release, manifest.read(release))]
    except VerificationError as error:
        return [str(problem) for problem in error.problems]


def test_a_release_is_as_it_was_made_wherever_it_is(release):
    released, report = export.verify(release)

    assert problems(release) == []
    assert sorted(released["files"]) == sorted(set(tree(release)) - {manifest.FILE})
    assert report.examples == {"serving_default": 3}
    assert report.loaders == ("python", "cpp")


def recipe():
    """Returns the commands that the documentation gives."""
    lines = [line.strip() for line in manifest.write.__doc__.splitlines()]
    start = next(index for index, line in enumerate(lines) if line.startswith("find "))
    return [line.replace("/tmp/files", "../files") for line in lines[start : start + 2]]


def test_the_docs_have_the_commands_that_make_the_digest():
    page = (ROOT / "docs" / "reproduce-and-sign.md").read_text()

    assert all(f"$ {line.replace('../files', '/tmp/files')}" in page for line in recipe())


@pytest.mark.parametrize(
    "name", [None, "a b.txt", "a\\b.txt", "a\nb.txt", "a\rb.txt", "gr\u00fc\u00df.txt", "'\".txt"]
)
def test_the_digest_can_be_made_again_by_sha256sum(release, tmp_path, name):
    if name is not None:
        signatures = inspection.load(release)[1].signatures
        (release / "assets" / name).write_text("")
        config = manifest.read(release)["config"]
        (release / manifest.FILE).unlink()
        manifest.write(release, config, signatures, manifest.Sources({}, {}, {}), tmp_path)
    for made_of_it in (provenance.FILE, signing.FILE):
        (release / made_of_it).write_text("")
    find, digest = recipe()

    subprocess.run(find, shell=True, cwd=release, check=True)
    done = subprocess.run(
        digest, shell=True, cwd=release, capture_output=True, text=True, check=True
    )

    assert done.stdout.split()[0] == manifest.read(release)["digest"]


def test_a_flipped_bit_anywhere_in_any_file_is_told_by_the_file(release):
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

        assert problem.startswith(f"{release / name}: was changed"), (name, offset)
        (release / name).write_bytes(files[name])
    assert problems(release) == []


def test_a_removed_file_is_told(release):
    for name, content in tree(release).items():
        (release / name).unlink()
        assert [problem.partition(";")[0] for problem in problems(release)] == [
            f"{release / name}: is missing"
        ]
        (release / name).write_bytes(content)


@pytest.mark.parametrize(
    "name", ["added", ".hidden", "assets/vocab.txt", "variables/more", "assets.extra/smdecl/x.json"]
)
def test_an_added_file_is_told(release, name):
    (release / name).write_text("")

    assert problems(release) == [f"{release / name}: was added"]


def test_what_is_no_longer_a_regular_file_is_told(release):
    target = release.parent / "elsewhere.pb"
    (release / "saved_model.pb").rename(target)
    (release / "saved_model.pb").symlink_to(target)
    os.mkfifo(release / "assets" / "pipe")
    (release / "assets" / "dangling").symlink_to("nowhere")

    assert sorted(problems(release)) == [
        f"{release / 'assets/dangling'}: was added",
        f"{release / 'assets/pipe'}: was added",
        f"{release / 'saved_model.pb'}: is no longer a regular file",
    ]


def test_a_manifest_that_was_written_anew_is_no_other_release(release):
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
            f"{path}: was changed since the release was made"
        ]


def test_what_is_no_release_is_told(tmp_path):
    takes = "takes the directory of a release, such as exports/adder/1"
    with pytest.raises(UsageError) as error:
        manifest.read(tmp_path / "nothing")
    expected = "expected the directory of a release, such as exports/adder/1"
    assert str(error.value) == f"'{tmp_path}/nothing' does not exist; {expected}"

    with pytest.raises(VerificationError) as error:
        manifest.read(tmp_path)
    assert str(error.value) == f"'{tmp_path}' holds no SavedModel; {takes}"

    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(VerificationError) as error:
        manifest.read(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / manifest.FILE}: is missing; takes a release that smdecl has made, and no other SavedModel"
    )


def test_the_command_line_verifies_a_release(project, release):
    done = project.run("verify", str(release))
    assert (
        done.stdout
        == f"{release}: 6 files as they were made, 3 examples with the loaders python, cpp\n"
    )
    assert (done.returncode, done.stderr) == (0, "")

    (release / "fingerprint.pb").unlink()
    done = project.run("verify", str(release))
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"smdecl: error: {release / 'fingerprint.pb'}: is missing\n"

    refused = {
        "verify": "the following arguments are required: directory",
        "verify a b": "unrecognized arguments: b",
    }
    for line, reason in refused.items():
        done = project.run(*line.split())
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"smdecl: error: smdecl verify: {reason}; see smdecl verify --help\n"


EXAMPLES = "assets.extra/smdecl/examples.npz"


def test_what_computes_otherwise_is_told_even_where_every_file_is_as_recorded(project):
    release = project.export("verify.generate=1").path
    other = project.export(
        "model=scaler", "verify.generate=1", "model.factor=2.5", "name=adder"
    ).path
    shutil.copy(other / EXAMPLES, release / EXAMPLES)
    forge_file(release, EXAMPLES)

    with pytest.raises(VerificationError) as error:
        export.verify(release)

    assert [problem.key for problem in error.value.problems] == ["signatures.serving_default"] * 2
    assert "expected" in str(error.value)


def test_examples_that_cannot_be_read_are_told_even_where_every_file_is_as_recorded(release):
    (release / EXAMPLES).write_bytes(b"no zip")
    forge_file(release, EXAMPLES)

    with pytest.raises(VerificationError) as error:
        export.verify(release)

    assert (
        str(error.value)
        == f"{release / EXAMPLES}: cannot be read: BadZipFile: File is not a zip file"
    )


def test_a_release_verifies_where_its_path_is_a_pattern_too(made, tmp_path):
    release = shutil.copytree(made, tmp_path / "a[b]*?\\c" / "7")

    _, report = export.verify(release)

    assert report.examples == {"serving_default": 3}


def test_an_output_may_have_tolerances_of_its_own(project):
    example = "+verify.examples.serving_default=[{inputs: {x: 21}, outputs: {output_0: 42.4}}]"
    with pytest.raises(
        VerificationError, match="output_0 is 42.0, expected 42.4 within rtol 0.001, atol 1e-05"
    ):
        project.export(example, "verify.rtol=1e-3")

    release = project.export(example, "+verify.tolerances.serving_default={output_0: {atol: 0.5}}")

    export.verify(release.path)


def test_a_tolerance_that_was_read_from_the_environment_is_told_where_it_is_not_known(
    project, monkeypatch
):
    project.write("pyproject.toml", '[tool.smdecl]\nenvironment = ["CLOSE"]\n')
    monkeypatch.setenv("CLOSE", "0.5")
    release = project.export("verify.rtol='${oc.decode:${oc.env:CLOSE}}'")

    with pytest.raises(VerificationError) as error:
        export.verify(release.path)

    assert "its config cannot be verified by: verify.rtol: got " in str(error.value)
