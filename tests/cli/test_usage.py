"""Each verb has its own help, from one table."""

import shlex

import pytest
import yaml
from smdecl import resources
from smdecl.cli import arguments
from smdecl.cli.usage import USAGES

from tests.conftest import run_cli

OWN_FLAGS = ["--jobs", "--resume", "--trust", "--verbose", "--watch"]


@pytest.mark.parametrize("verb", USAGES)
def test_each_verb_prints_its_own_help(tmp_path, verb):
    done = run_cli(verb, "--help", cwd=tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith(f"usage: smdecl {verb} ")
    found = done.stdout.lower()
    assert USAGES[verb].about.lower() in found
    assert [each for each in USAGES[verb].examples if f"  smdecl {each}\n" not in done.stdout] == []
    assert "config groups;" not in found


@pytest.mark.parametrize("verb", ["check", "plan", "inspect", "verify", "init"])
def test_the_help_of_a_verb_has_its_options_only(tmp_path, verb):
    shown = run_cli(verb, "--help", cwd=tmp_path).stdout

    assert ("--watch" in shown) == (verb in ("check", "plan"))
    assert ("--multirun" in shown) == (verb == "check")
    assert "--resume" not in shown
    assert ("--key" in shown) == (verb == "verify")


def test_every_example_is_a_valid_command_line():
    for verb, usage in USAGES.items():
        for example in usage.examples:
            words = shlex.split(example.partition(" > ")[0], comments=True)
            assert arguments.parse(words).verb == verb


def test_the_overview_says_of_each_verb_what_its_own_help_says():
    file = resources.conf_dir() / "hydra" / "help" / "smdecl.yaml"
    header = yaml.safe_load(file.read_text())["header"]

    assert [verb for verb, usage in USAGES.items() if f" {usage.about}\n" not in header] == []
    assert [flag for flag in OWN_FLAGS if f" {flag} " not in header] == []


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["version"], ["--version"]),
        (["version", "--verbose"], ["--version", "--verbose"]),
        (["help"], ["--help"]),
        (["help", "check"], ["check", "--help"]),
        (["help", "init"], ["init", "--help"]),
        (["check", "help"], ["check", "--help"]),
    ],
)
def test_version_and_help_are_words_too(tmp_path, words, flags):
    done, expected = run_cli(*words, cwd=tmp_path), run_cli(*flags, cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == expected.stdout


def test_a_misspelt_word_gets_a_hint(tmp_path):
    done = run_cli("verison", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr.endswith("(did you mean 'version'?)\n")
