"""Every command of the README does what the README says, in its order, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
NAMED = re.compile(r"`([\w/]+\.(?:py|yaml))`[^`]*$")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project's files without its packaging: what a user's own project beside an installed smdecl has."""
    directory = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "examples", directory / "examples", ignore=shutil.ignore_patterns("exports", "*.h5"))
    return directory


def blocks():
    end = 0
    for match in BLOCK.finditer(README):
        yield match.group(1), match.group(2), README[end : match.start()].rstrip()
        end = match.end()


def matches(expected, got):
    """Compares line by line; `...` stands for any text."""
    pattern = re.escape(expected.strip()).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, got.strip(), re.S)


@pytest.mark.slow
def test_every_command_prints_what_the_readme_says(copy):
    shell = Shell(copy)
    ran = 0
    for language, text, before in blocks():
        named = NAMED.search(before.rpartition("\n\n")[2])
        if language in ("python", "yaml") and named:
            shell.write(named.group(1), text)
        elif language == "python":
            assert shell.run(f"python - <<'E'\n{text}E").startswith("exports/adder/")
            ran += 1
        elif language == "console":
            for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.M):
                got = shell.run(command)
                assert matches(expected, got), f"$ {command}\n{got}\n--- the README has:\n{expected}"
                ran += 1
    assert ran > 15


class Shell:
    """Runs commands one after the other; `cd` lasts."""

    def __init__(self, directory):
        self.directory = directory

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, command):
        if command.startswith("cd "):
            self.directory = (self.directory / command[3:]).resolve()
            return ""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "COLUMNS": "120"}
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.directory, env=env, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        return "\n".join(line.rstrip() for line in done.stdout.splitlines() if not NOISE.match(line))


# What TensorFlow's native code says on import, whatever its log level, in scripts that are not smdecl's.
NOISE = re.compile(r"WARNING: All log messages before absl|[IEW]0000 00:00:")


def test_every_test_file_that_the_readme_names_is_there():
    named = set(re.findall(r"`(test_\w+\.py)`", README))

    assert len(named) > 10
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).is_file()] == []
