"""Where a project begins, and the settings in its pyproject.toml and on the command line."""

import pytest
from smdecl.config.project import Project, find_project, is_library
from smdecl.errors import UsageError


def test_the_project_is_the_nearest_directory_upwards_with_a_pyproject(project, monkeypatch):
    project.write("pyproject.toml", '[tool.smdecl]\ntrust = ["somewhere"]\n')
    below = project.root / "a/b"
    below.mkdir(parents=True)

    assert find_project(below) == Project(project.root, frozenset(["somewhere"]))
    assert find_project(below, ["more"]).trusted == {"somewhere", "more"}


def test_custom_ops_keep_their_order(project):
    names = ["tensorflow_text", "mine.ops", "ops/libmine.so", "libmine.so.2"]
    project.write("pyproject.toml", f"[tool.smdecl]\ncustom_ops = {names}\n")

    assert find_project(project.root).custom_ops == tuple(names)
    assert [is_library(name) for name in names] == [False, False, True, True]


def test_without_a_pyproject_the_project_is_the_current_directory(tmp_path):
    assert find_project(tmp_path) == Project(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.smdecl\n", "cannot read "),
        (
            '[tool.smdecl]\ntrust = "mypackage"\n',
            "tool.smdecl.trust: expected a list of top-level package",
        ),
        (
            '[tool.smdecl]\nenvironment = ["A-B"]\n',
            "tool.smdecl.environment: expected a list of names of environment variables",
        ),
        (
            '[tool.smdecl]\ntrust = ["a.b"]\n',
            "tool.smdecl.trust: expected a list of top-level package names",
        ),
        (
            "[tool.smdecl]\ntrust = [3]\n",
            "tool.smdecl.trust: expected a list of top-level package names",
        ),
        (
            "[tool.smdecl.trust]\nnumpy = true\n",
            "tool.smdecl.trust: expected a list",
        ),
        (
            '[tool.smdecl]\ncustom_ops = ["/usr/lib/libmine.so"]\n',
            "tool.smdecl.custom_ops: expected a list of packages and library files in the",
        ),
        (
            '[tool.smdecl]\ncustom_ops = ["a-b"]\n',
            "tool.smdecl.custom_ops: expected a list of packages",
        ),
        (
            '[tool]\nsmdecl = "x"\n',
            "tool.smdecl: expected a table with the keys trust, environment",
        ),
        (
            "[tool.smdecl]\ntrsut = []\n",
            "tool.smdecl: unknown key 'trsut'; expected one of trust, environment, custom_ops, confine, reads, writes (did you",
        ),
    ],
)
def test_an_invalid_setting_is_reported_with_its_file_and_what_is_expected(project, text, message):
    project.write("pyproject.toml", text)

    with pytest.raises(UsageError) as error:
        project.export("model=adder")

    assert message in str(error.value)
    assert str(project.root / "pyproject.toml") in str(error.value)
    assert error.value.exit_code == 2


def test_a_binary_pyproject_is_reported(project):
    (project.root / "pyproject.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UsageError, match="cannot read"):
        project.export("model=adder")


def test_an_integer_with_too_many_digits_is_reported(project):
    project.write("pyproject.toml", f"size = {'1' * 5000}\n")

    with pytest.raises(UsageError, match=r"^cannot read .*pyproject\.toml: .*4300"):
        find_project(project.root)


def test_a_tool_key_that_is_not_a_table_trusts_nothing(project):
    project.write("pyproject.toml", "tool = 3\n")

    assert find_project(project.root).trusted == frozenset()


@pytest.mark.parametrize("name", ["a.b", "", "*", "scikit-learn"])
def test_the_command_line_trusts_only_package_names(project, name):
    with pytest.raises(UsageError) as error:
        project.export("model=adder", trust_packages=[name])

    assert str(error.value) == f"--trust: expected the name of a top-level package, got {name!r}"
