"""The arguments of the verbs that compose a config."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from smdecl.cli.usage import Parser
from smdecl.resources import PRIMARY

AUTO = "auto"  # as many variants at a time as there are cores and memory for
# What Hydra does not know, with the number of words that follow each.
_OWN_FLAGS = {
    "--jobs": 1,
    "-j": 1,
    "--resume": 1,
    "--trust": 1,
    "--verbose": 0,
    "--watch": 0,
}
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def parser_of(verb: str) -> Parser:
    """Returns the parser of a verb that composes a config."""
    parser = Parser.of_config(verb)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="overrides of the config, such as model=adder, seed=1, +model.x=2 or ~weights",
    )
    add_config(parser)
    add_trust(parser)
    _add_runs(parser, verb)
    add_verbose(parser)
    _add_printing_flags(parser)
    return parser


def _add_runs(parser: Parser, verb: str) -> None:
    """Adds the options that run a verb more than once."""
    parser.add_argument(
        "--watch",
        action="store_true",
        help="runs again when a file that it reads changes",
    )
    # They are parsed for every verb, so that the error can say what they are for.
    of_sweeps = {
        "multirun": "runs each combination of comma-separated values",
        "jobs": "how many variants of -m run at the same time; by default, auto",
        "resume": "skips the variants of -m that an earlier run of the sweep has published",
    }
    if verb == "plan":
        of_sweeps = dict.fromkeys(of_sweeps, argparse.SUPPRESS)
    if verb == "check":
        of_sweeps["resume"] = argparse.SUPPRESS
    parser.add_argument(
        "--multirun", "-m", action="store_true", help=of_sweeps["multirun"]
    )
    parser.add_argument(
        "--jobs", "-j", type=_jobs, metavar="N", help=of_sweeps["jobs"]
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="SWEEP_JSON",
        help=of_sweeps["resume"],
    )


def _jobs(text: str) -> int | str:
    if text == AUTO:
        return text
    try:
        return int(text)
    except ValueError as error:
        message = f"expected an integer or {AUTO}, got {text!r}"
        raise argparse.ArgumentTypeError(message) from error


def _add_printing_flags(parser: Parser) -> None:
    """Adds the options that print something instead of a run."""
    group = parser.add_argument_group("instead of a run")
    group.add_argument(
        "--help", "-h", action="store_true", help="prints this help"
    )
    group.add_argument(
        "--version",
        action="store_true",
        help="prints the version; with --verbose, also how models are confined",
    )
    group.add_argument(
        "--cfg",
        "-c",
        choices=("job", "hydra", "all"),
        help="prints the composed config, or Hydra's own",
    )
    group.add_argument(
        "--resolve",
        action="store_true",
        help="resolves the interpolations in what --cfg prints",
    )
    group.add_argument(
        "--package", "-p", metavar="KEY", help="the part that --cfg prints"
    )
    group.add_argument(
        "--info",
        "-i",
        nargs="?",
        const="all",
        choices=_INFO,
        metavar="WHAT",
        help=f"prints how Hydra composes the config: {', '.join(_INFO)}",
    )
    group.add_argument(
        "--shell-completion",
        "-sc",
        action="store_true",
        help="installs completion: install=bash, zsh or fish",
    )
    group.add_argument(
        "--hydra-help", action="store_true", help="prints Hydra's own help"
    )


def without_own(words: Sequence[str]) -> list[str]:
    """Returns the words of a command line without options that Hydra does not know.

    Args:
        words: The words. The last one may be incomplete, and is kept.
    """
    kept: list[str] = []
    *left, last = words
    while left:
        flag, _, value = left[0].partition("=")
        following = 0 if value else _OWN_FLAGS.get(flag, 0)
        if flag not in _OWN_FLAGS:
            kept.append(left[0])
        left = left[1 + following :]
    return [*kept, last]


def add_config(parser: Parser) -> None:
    """Adds the options that say which configs to compose."""
    parser.add_argument(
        "--config-name",
        "-cn",
        default=PRIMARY,
        metavar="NAME",
        help=f"the primary config; by default, {PRIMARY}",
    )
    parser.add_argument(
        "--config-dir",
        "-cd",
        action="append",
        default=[],
        metavar="DIR",
        help="a directory of your own configs, which take precedence; repeatable",
    )


def add_trust(parser: Parser) -> None:
    """Adds the option that trusts a package."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="an installed package whose code the config may name; repeatable",
    )


def add_verbose(parser: Parser) -> None:
    """Adds the option that prints the stages."""
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="prints each stage with its seconds, and the peak memory",
    )
