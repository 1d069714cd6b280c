"""An attacker's config tries to write a file that a different program will run."""

import pytest
from smdecl.checks import check
from smdecl.config.project import find_project
from smdecl.errors import ConfigError


@pytest.fixture
def home(project, tmp_path, monkeypatch):
    """A home directory that the project does not lie in."""
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("HOME", str(directory))
    return directory


def refusal(project, text):
    """Returns why a config with these values is refused."""
    project.write("conf/release/theirs.yaml", f"# @package _global_\n{text}")
    with pytest.raises(ConfigError) as error:
        check.check(project.compose("release=theirs"), find_project(project.root))
    (problem,) = error.value.problems
    return problem.key, problem.message


@pytest.mark.parametrize("key", ["models_config", "run_record"])
def test_a_config_creates_no_start_file_of_a_shell(project, home, key):
    place, message = refusal(project, f"publish: {{{key}: {home}/.bash_profile}}")

    assert place == f"publish.{key}"
    assert message.startswith("expected a file whose name ends in .")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("{home}/runs.jsonl", "is outside the project"),
        ("link/runs.jsonl", "is outside the project"),
        (".github/runs.jsonl", "is hidden"),
        ("logs/.runs.jsonl", "is hidden"),
    ],
)
def test_a_config_writes_only_where_the_project_has_its_files(project, home, file, expected):
    (project.root / "link").symlink_to(home)

    _, message = refusal(project, f"publish: {{run_record: {file.format(home=home)}}}")

    assert expected in message


def test_a_project_and_the_command_line_name_other_places(project, home):
    override = f"publish.run_record={home}/runs.jsonl"
    check.check(project.compose(override), find_project(project.root))

    project.write("pyproject.toml", f"[tool.smdecl]\nwrites = ['{home}']\n")
    project.write(
        "conf/release/ours.yaml",
        f"# @package _global_\npublish: {{run_record: {home}/logs/runs.jsonl}}",
    )
    check.check(project.compose("release=ours"), find_project(project.root))


@pytest.mark.parametrize("name", ["$(touch x)", "`touch x`", "a\\nb", "\\u202Egpj"])
def test_a_base_path_that_a_shell_expands_is_refused(project, name):
    place, message = refusal(project, f'export_dir: "exports/{name}"')

    assert place == "export_dir"
    assert message.startswith("expected a path without control characters, $ and backticks")
