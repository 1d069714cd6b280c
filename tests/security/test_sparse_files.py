"""An attacker sends a sparse file that claims terabytes, so that hashing it takes hours."""

import os
from types import SimpleNamespace

import pytest
import smdecl
from smdecl import files
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ConfigError
from smdecl.release import signing

from tests.security import hostile
from tests.security.bounds import refused

TEBIBYTE = 1 << 40
MEBIBYTE = 1 << 20
TOLD = f"it has {TEBIBYTE} bytes, but only 0 on disk; expected a file without holes"


def release_of(directory, *names, size=TEBIBYTE):
    """Makes a release whose manifest lists sparse files as if all was well."""
    release = hostile.release(directory)
    listed = hostile.entries(release)
    for name in names:
        hostile.sparse(release / name, size)
        listed[name] = {"size": size, "sha256": "0" * 64}
    hostile.release(directory, files=listed)
    return release


@pytest.mark.parametrize(
    "name", ["assets/words", "variables/variables.data-00000-of-00002", "assets.extra/notes"]
)
def test_a_sparse_file_of_a_release_is_not_hashed(limited, tmp_path, name):
    release = release_of(tmp_path / "1", name)

    text = limited("manifest", release).text
    assert text == f"cannot read {release / name}: {TOLD}"


def test_sparse_files_on_both_sides_are_not_compared(limited, tmp_path):
    for side in ("a", "b"):
        release_of(tmp_path / side, "assets/words")

    assert TOLD in refused(limited("diff", tmp_path / "a", tmp_path / "b"))


def test_many_files_with_holes_are_judged_together(limited, tmp_path):
    names = [f"assets/{number}" for number in range(500)]
    release = release_of(tmp_path / "1", *names, size=100 * MEBIBYTE)

    text = limited("manifest", release).text
    assert "/assets/" in text
    assert "with the other files (500 have holes)" in text
    assert text.startswith("cannot read ")


def test_a_sparse_file_that_was_signed_is_not_hashed(tmp_path):
    hostile.sparse(tmp_path / "1/words", TEBIBYTE)

    (problem,) = signing.changed(tmp_path / "1", {"words": "0" * 64})
    assert str(problem) == f"cannot read {tmp_path / '1/words'}: {TOLD}"


EXAMPLE = [
    "signatures=scalar_float",
    "+verify.examples.serving_default=[{{inputs:{{x:{{file:{}}}}}}}]",
]
LAYER = ["model=scaler", "model._target_=keras.layers.StringLookup", "+model.vocabulary={}"]
EXAMPLE_KEY = "verify.examples.serving_default[0].inputs.x.file"


@pytest.mark.parametrize(("key", "name", "overrides"), [
    ("weights.path", "w.keras", ["weights=keras", "weights.path={}"]),
    ("weights.path", "w.index", ["weights=checkpoint", "weights.path=w"]),
    (EXAMPLE_KEY, "x.npy", EXAMPLE),
    (EXAMPLE_KEY, "x.json", EXAMPLE),
    ("model.vocabulary", "words.txt", LAYER),
    ("sha256", "words.txt", ["+sha256={{{}:" + "0" * 64 + "}}"]),
], ids=["keras", "checkpoint", "npy", "json", "vocabulary", "pinned"])  # fmt: skip
def test_a_sparse_file_that_a_config_names_is_refused_before_anything_is_built(
    tmp_path, monkeypatch, key, name, overrides
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("")
    hostile.sparse(tmp_path / name, TEBIBYTE)

    with pytest.raises(ConfigError) as error:
        composition = smdecl.compose([override.format(name) for override in overrides])
        check.check(composition, find_project(tmp_path))

    problems = [problem for problem in error.value.problems if TOLD in problem.message]
    assert problems, str(error.value)
    assert all(repr(name) in problem.message or name in problem.path for problem in problems)
    assert key in str(error.value)


def test_a_file_with_small_holes_is_read(tmp_path):
    path = hostile.sparse(tmp_path / "zeros", 256 * MEBIBYTE)  # which take a second to read
    assert files.refuse_holes(str(path)) is None

    with path.open("wb") as file:
        file.write(bytes(40 * MEBIBYTE))
        file.truncate(400 * MEBIBYTE)
    assert files.refuse_holes(str(path)) is None
    files.require_stored([path])


def test_a_file_whose_blocks_are_few_and_no_holes_is_read(tmp_path, monkeypatch):
    path = tmp_path / "table"
    path.write_bytes(bytes(257 * MEBIBYTE))

    status = path.stat()

    def stat_without_blocks(_descriptor):
        # As a file system says that compresses, or counts no blocks.
        return SimpleNamespace(st_size=status.st_size, st_blocks=1, st_mode=status.st_mode)

    monkeypatch.setattr(os, "fstat", stat_without_blocks)
    assert files.refuse_holes(str(path)) is None
