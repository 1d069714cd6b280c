"""A path that is not that of one SavedModel is reported with the one that may be meant."""

from pathlib import Path

import pytest
from smdecl.errors import UsageError
from smdecl.savedmodel import base_path

from tests.conftest import run_cli

GIVEN = {
    "models/net": "is a base path, which contains versions; expected the directory of a release, such as models/net/10",
    "models": "contains base paths; expected the directory of a release, such as models/net/10",
    "models/net/11": "does not exist; expected the directory of a release, such as models/net/10",
    "models/net/2/saved_model.pb": "is a file; expected the directory of a release, such as models/net/2",
    "models/net/2/saved_model.pbtxt": "is a file; expected the directory of a release, such as models/net/2",
    "net.zip": "is an archive; unpack it first; expected the directory of a release, such as exports/adder/1",
    "net.keras": "is a file; expected the directory of a release, such as exports/adder/1",
    "nowhere": "does not exist; expected the directory of a release, such as exports/adder/1",
}


@pytest.fixture
def models(project):
    """A base path whose highest version has no SavedModel, and other files."""
    for version in ("2", "10"):
        project.write(f"models/net/{version}/saved_model.pb", "")
    project.write("models/net/2/saved_model.pbtxt", "")
    (project.root / "models/net/12").mkdir()
    for name in ("net.zip", "net.keras"):
        project.write(name, "")
    return project.root


@pytest.mark.parametrize("given", GIVEN)
def test_a_wrong_path_is_reported_with_the_nearest_saved_model(models, given):
    with pytest.raises(UsageError) as error:
        base_path.require_one(Path(given), "a release")

    assert str(error.value) == f"{given!r} {GIVEN[given]}"


@pytest.mark.parametrize("given", ["models/net/2", "models/net/12"])
def test_a_directory_with_one_saved_model_or_none_is_accepted(models, given):
    base_path.require_one(models / given, "a release")


@pytest.mark.parametrize("verb", ["verify", "reproduce", "diff"])
def test_verbs_refuse_a_base_path_and_a_url(models, verb):
    more, kind = (["models/net/2"], "a SavedModel") if verb == "diff" else ([], "a release")
    expected = f"'models/net' is a base path, which contains versions; expected the directory of {kind}, such as models/net/10"
    done = run_cli(verb, "models/net", *more, cwd=models)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"smdecl: error: {expected}\n")

    expected = "'gs://models/net/2' is a URL; expected a local directory that it was fetched to"
    argument = "before" if verb == "diff" else "directory"
    done = run_cli(verb, "gs://models/net/2", *more, cwd=models)
    assert (
        done.stderr
        == f"smdecl: error: smdecl {verb}: argument {argument}: {expected}; see smdecl {verb} --help\n"
    )
