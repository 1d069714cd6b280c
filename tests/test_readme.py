"""Every command of the README and of the pages in docs/ does what is written there, in its order."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from smdecl.cli import init

from tests.conftest import ROOT, run_cli
from tests.watching import Watch, save

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.M)
NAMED = re.compile(r"`([\w/]+\.(?:py|yaml))`[^`]*$")
EDIT = re.compile(r"[Cc]hange\s`(.+)` to\s`(.+)` in\s`(.+)`:$")
SHELL = re.compile(r"[|&;<>$`#]")
# What TensorFlow's native code says on import, whatever its log level, in scripts that are not smdecl's.
NOISE = re.compile(r"WARNING: All log messages before absl|[IEW]0000 00:00:")

PAGES = {path.name: path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}


def text_of(page):
    return PAGES[page].read_text(encoding="utf-8")


def blocks(page) -> Iterator[tuple[str, str, str | None]]:
    """Yields language, text and the file that the paragraph above the block names."""
    text, end = text_of(page), 0
    for match in BLOCK.finditer(text):
        paragraph = text[end : match.start()].rstrip().rpartition("\n\n")[2]
        named = NAMED.search(paragraph)
        yield match.group(1), match.group(2), named.group(1) if named else None
        end = match.end()


def runs_something(page):
    return any(
        language == "console" or (language == "python" and not name)
        for language, _, name in blocks(page)
    )


def is_like(expected, got):
    """Compares an output; `...` stands for any text."""
    pattern = re.escape(expected.strip()).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, got.strip(), re.S)


@pytest.fixture
def shell(tmp_path):
    """A shell in a project of `smdecl init`, which has the repository's examples beside its own files."""
    project = tmp_path / "mine"
    init.init(project)
    ignored = shutil.ignore_patterns("exports", "sweeps", "*.h5", "__pycache__")
    shutil.copytree(ROOT / "examples" / "digits", project / "examples" / "digits", ignore=ignored)
    return Shell(project)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runs_something(page)])
def test_every_command_of_a_page_prints_what_the_page_says(page, shell):
    failed = []
    for language, text, name in blocks(page):
        if language in ("python", "yaml") and name:
            shell.write(name, text)
        elif language == "python":
            shell.run(shlex.join([sys.executable, "-c", text]), check=True)
        elif language == "console":
            for command, expected in COMMAND.findall(text):
                got = shell.run(command)
                if not any(is_like(expected, each) for each in got):
                    failed.append(f"$ {command}\n{got[0]}\n--- {page} has:\n{expected}")
    assert not failed, "\n\n".join(failed)


class Shell:
    """Runs commands one after the other; `cd` lasts.

    A plain command of smdecl runs in this process, which has imported TensorFlow for its children.
    """

    def __init__(self, directory):
        self.directory = directory

    def write(self, name, text):
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(self, command, *, check=False):
        """Returns what a command prints: its errors before its output, and after it."""
        if command.startswith("cd "):
            self.directory = (self.directory / command[3:]).resolve()
            return [""]
        words = [] if SHELL.search(command) else shlex.split(command)
        if words[:1] == ["smdecl"]:
            done = run_cli(*words[1:], cwd=self.directory, env={"COLUMNS": "120"})
        else:
            done = self.spawn(command)
        assert not check or done.returncode == 0, f"$ {command}\n{done.stderr}"
        printed, errors = quiet(done.stdout), quiet(done.stderr)
        return ["\n".join(filter(None, both)) for both in ((errors, printed), (printed, errors))]

    def spawn(self, command):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {
            **os.environ,
            "PATH": path,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "COLUMNS": "120",
        }
        return subprocess.run(
            ["bash", "-c", command],
            cwd=self.directory,
            env=env,
            text=True,
            capture_output=True,
            check=False,
        )


@pytest.mark.slow
def test_watching_prints_what_its_page_says(shell, interruptible):
    pytest.importorskip("watchfiles")
    watched, text, end = None, text_of("watch.md"), 0
    for match in BLOCK.finditer(text):
        edit = EDIT.search(text[end : match.start()].rstrip())
        expected, end = match.group(2), match.end()
        if edit:
            before, after, name = edit.groups()
            file = shell.directory / name
            assert before in file.read_text()
            save(file, file.read_text().replace(before, after))
        else:
            command, expected = COMMAND.findall(expected)[0]
            if watched is not None:
                watched.interrupt()
            watched = Watch(interruptible, shell.directory, *shlex.split(command)[1:])
        last = expected.splitlines()[-1].partition("...")[0]
        got = "\n".join(watched.until(last))
        assert is_like(expected, got), got


def quiet(text):
    return "\n".join(line.rstrip() for line in text.splitlines() if not NOISE.match(line))


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed; pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_every_test_file_that_a_page_names_is_there():
    named = {
        found
        for page in PAGES
        for found in re.findall(r"`(?:tests/)?((?:\w+/)*test_\w+\.py)`", text_of(page))
    }

    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / "tests" / name).is_file()] == []


def test_every_audit_rule_has_a_row_with_its_default():
    levels = yaml.safe_load((ROOT / "conf" / "export.yaml").read_text())["audit"]
    table = text_of("audit.md").partition("## Rules")[2]
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", table, re.M))

    assert rows == {
        **levels,
        "untraced_functions": "see below",
        "consumer": levels["consumer"]["level"],
    }


def test_the_blocks_that_show_files_of_a_new_project_are_those_files():
    shown = {
        name: text for _, text, name in blocks("index.md") if name and name.startswith("conf/")
    }

    assert set(shown) == {"conf/model/net.yaml", "conf/signatures/net.yaml"}
    for name, text in shown.items():
        lines = (ROOT / "examples" / "start" / name).read_text().splitlines()
        own = [line.partition(" # ")[0] for line in lines if not line.startswith("#")]
        assert text.splitlines() == own


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_of_the_project(page):
    links = re.findall(r"\]\(([^):#]+)(?:#[\w-]*)?\)", text_of(page))

    assert [link for link in links if not (PAGES[page].parent / link).exists()] == []


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= 220
