"""Where a project begins, and what its pyproject.toml and the command line may trust."""

import pytest
from smdecl.config.project import Project, find_project, is_library
from smdecl.errors import UsageError


def test_the_project_is_the_nearest_directory_upwards_that_has_a_pyproject(project, monkeypatch):
    project.write("pyproject.toml", '[tool.smdecl]\ntrust = ["somewhere"]\n')
    below = project.root / "a/b"
    below.mkdir(parents=True)

    assert find_project(below) == Project(project.root, frozenset(["somewhere"]))
    assert find_project(below, ["more"]).trusted == {"somewhere", "more"}


def test_packages_and_libraries_with_custom_ops_are_declared_in_the_order_they_load_in(project):
    names = ["tensorflow_text", "mine.ops", "ops/libmine.so", "libmine.so.2"]
    project.write("pyproject.toml", f"[tool.smdecl]\ncustom_ops = {names}\n")

    assert find_project(project.root).custom_ops == tuple(names)
    assert [is_library(name) for name in names] == [False, False, True, True]


def test_without_a_pyproject_the_project_is_the_directory_itself(tmp_path):
    assert find_project(tmp_path) == Project(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tool.smdecl\n", "pyproject.toml: cannot be read: "),
        (
            '[tool.smdecl]\ntrust = "mypackage"\n',
            "tool.smdecl.trust: got 'mypackage'; takes a list of top-level package",
        ),
        (
            '[tool.smdecl]\nenvironment = ["A-B"]\n',
            "tool.smdecl.environment: got ['A-B']; takes a list of names of environment variables",
        ),
        (
            '[tool.smdecl]\ntrust = ["a.b"]\n',
            "tool.smdecl.trust: got ['a.b']; takes a list of top-level package names",
        ),
        (
            "[tool.smdecl]\ntrust = [3]\n",
            "tool.smdecl.trust: got [3]; takes a list of top-level package names",
        ),
        (
            "[tool.smdecl.trust]\nnumpy = true\n",
            "tool.smdecl.trust: got {'numpy': True}; takes a list",
        ),
        (
            '[tool.smdecl]\ncustom_ops = ["/usr/lib/libmine.so"]\n',
            "tool.smdecl.custom_ops: got ['/usr/lib/libmine.so']; takes a list of packages and library files in the",
        ),
        (
            '[tool.smdecl]\ncustom_ops = ["a-b"]\n',
            "tool.smdecl.custom_ops: got ['a-b']; takes a list of packages",
        ),
        (
            '[tool]\nsmdecl = "x"\n',
            "tool.smdecl: got 'x'; takes a table with the keys trust, environment",
        ),
        (
            "[tool.smdecl]\ntrsut = []\n",
            "tool.smdecl.trsut: is no key; takes trust, environment, custom_ops, confine, reads, writes (did you mean",
        ),
    ],
)
def test_a_malformed_trust_is_told_with_the_file_and_what_is_taken(project, text, message):
    project.write("pyproject.toml", text)

    with pytest.raises(UsageError) as error:
        project.export("model=adder")

    assert message in str(error.value)
    assert str(project.root / "pyproject.toml") in str(error.value)
    assert error.value.exit_code == 2


def test_a_pyproject_that_is_no_text_is_told(project):
    (project.root / "pyproject.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UsageError, match="cannot be read"):
        project.export("model=adder")


def test_a_tool_that_is_no_table_trusts_nothing(project):
    project.write("pyproject.toml", "tool = 3\n")

    assert find_project(project.root).trusted == frozenset()


@pytest.mark.parametrize("name", ["a.b", "", "*", "scikit-learn"])
def test_what_the_command_line_trusts_is_the_name_of_a_package(project, name):
    with pytest.raises(UsageError) as error:
        project.export("model=adder", trust_packages=[name])

    assert str(error.value) == f"--trust: got {name!r}; takes the name of a top-level package"
