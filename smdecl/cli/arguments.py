"""The grammar of the command line: its verbs, and the arguments of each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from smdecl.cli import config_arguments
from smdecl.cli.usage import USAGES, Parser
from smdecl.errors import ContractError, UsageError, nearest
from smdecl.resources import PRIMARY


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Returns the arguments of a command line, its verb among them.

    Raises:
        UsageError: If the command line is invalid.
        ContractError: If it is invalid and has `diff --exit-code`.
    """
    argv = _without_words(argv)
    is_named = bool(argv) and argv[0] in VERBS
    verb = argv[0] if is_named else "export"
    rest = list(argv[1:] if is_named else argv)
    if verb in _OF_VERB and "--watch" in rest:
        raise UsageError(
            f"--watch goes with export, check and plan, not with {verb}"
        )
    if verb in _OF_VERB:
        arguments = _OF_VERB[verb](verb, rest)
    else:
        arguments = _of_config(verb, rest)
        if is_named and arguments.help:
            config_arguments.parser_of(verb).exit_with_help()
    arguments.verb = verb
    return arguments


def _without_words(argv: Sequence[str]) -> Sequence[str]:
    """Returns a command line with flags in place of the words `version` and `help`."""
    match list(argv):
        case ["version", *rest]:
            return ["--version", *rest]
        case ["help", *rest]:
            return [*rest, "--help"]
        case [verb, "help"] if verb in VERBS and verb not in _OF_VERB:
            return [verb, "--help"]
    return argv


def _of_config(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    arguments = config_arguments.parser_of(verb).parse_intermixed_args(rest)
    _require_fitting_flags(verb, arguments)
    if not arguments.shell_completion:
        _require_overrides(arguments.overrides)
    return arguments


def _require_fitting_flags(verb: str, arguments: argparse.Namespace) -> None:
    if arguments.multirun and verb == "plan":
        raise UsageError(
            "-m runs a sweep of exports or checks; plan has one variant"
        )
    for flag in ("cfg", "info", "shell_completion", "version"):
        if arguments.watch and getattr(arguments, flag):
            name = flag.replace("_", "-")
            raise UsageError(
                f"--watch goes with a run; --{name} only prints something"
            )
    if arguments.watch and arguments.multirun:
        raise UsageError(
            "--watch runs one export, check or plan again after each change; -m runs a sweep"
        )
    jobs = arguments.jobs
    is_too_small = isinstance(jobs, int) and jobs < 1
    is_misplaced = jobs is not None and not arguments.multirun
    if is_too_small or is_misplaced:
        raise UsageError(
            "--jobs is the number of variants of a sweep that run at the same time;"
            " expected at least 1, or auto, together with -m"
        )
    is_sweep = verb == "export" and arguments.multirun
    if arguments.resume is not None and not is_sweep:
        raise UsageError(
            "--resume goes on with a sweep of exports; expected -m and the same overrides"
        )


def _of_verify(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = _on_release(verb)
    parser.add_argument(
        "--key",
        type=Path,
        metavar="PUBLIC.pem",
        help="the public key to check the signature with",
    )
    parser.add_argument(
        "--allow-ops",
        type=lambda text: text.split(","),
        default=[],
        metavar="OP,...",
        help="ops that may reach into files, the network or Python without a signature",
    )
    return parser.parse_intermixed_args(rest)


def _of_reproduce(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = _on_release(verb)
    parser.add_argument(
        "overrides",
        nargs="*",
        help="the config to make it from; by default the config in the manifest",
    )
    parser.add_argument(
        "--environment",
        action="store_true",
        help="compares only the environments",
    )
    config_arguments.add_config(parser)
    config_arguments.add_trust(parser)
    arguments = parser.parse_intermixed_args(rest)
    _require_overrides(arguments.overrides)
    has_other_name = arguments.config_name != PRIMARY
    arguments.composes = bool(
        arguments.overrides or arguments.config_dir or has_other_name
    )
    if arguments.environment and arguments.composes:
        raise UsageError(
            f"smdecl {verb}: --environment compares with the manifest; expected no config"
        )
    return arguments


def _of_diff(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = Parser.of(verb)
    parser.add_argument(
        "before", type=_local, help="the SavedModel that callers know"
    )
    parser.add_argument("after", type=_local, help="its successor")
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="how to print the changes; by default, as text",
    )
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="exits with 0 (same), 1 (additive), 2 (breaking) or 4 (not comparable)",
    )
    try:
        return parser.parse_intermixed_args(rest)
    except UsageError as error:
        has_exit_code = any(
            word.partition("=")[0] == "--exit-code" for word in rest
        )
        if has_exit_code:  # exit code 2 would mean a breaking change
            raise ContractError(error.problems) from error
        raise


def _of_init(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = Parser.of(verb)
    parser.add_argument(
        "directory",
        type=_local,
        help="where to write its files; existing files are never replaced",
    )
    parser.add_argument(
        "--schemas",
        action="store_true",
        help="write only .smdecl/schemas, for editors; replaces those of a different version",
    )
    return parser.parse_intermixed_args(rest)


def _of_inspect(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = Parser.of(verb)
    parser.add_argument(
        "directory", type=_local, help="a SavedModel, such as exports/adder/1"
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "html"),
        default="text",
        help="how to print it: as text (default), JSON, or a page",
    )
    return parser.parse_intermixed_args(rest)


def _on_release(verb: str) -> Parser:
    parser = Parser.of(verb)
    parser.add_argument(
        "directory", type=_local, help="a release, such as exports/adder/1"
    )
    config_arguments.add_verbose(parser)
    return parser


def _local(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is a URL; expected a local directory that it was fetched to"
        )
    return Path(text)


def _require_overrides(overrides: Sequence[str]) -> None:
    """Raises at the first word that is not an override."""
    for index, word in enumerate(overrides):
        if "=" in word or word.startswith("~"):
            continue
        if word in VERBS:
            raise UsageError(f"the verb comes first: smdecl {word} ...")
        _refuse_spaces(overrides[:index], word, overrides[index + 1 :])
        hint = (
            f"verbs are {', '.join(VERBS)} and come first, overrides are key=value"
            f"{nearest(word, (*VERBS, *_WORDS))}"
        )
        raise UsageError(f"{word!r} is neither a verb nor an override; {hint}")


def _refuse_spaces(
    before: Sequence[str], word: str, after: Sequence[str]
) -> None:
    """Raises if spaces around its = tore an override apart."""
    if after and after[0] == "=":
        torn = [word, *after[:2]]
    elif after and after[0].startswith("="):
        torn = [word, after[0]]
    elif before and before[-1].endswith("="):
        torn = [before[-1], word]
    else:
        return
    given, joined = " ".join(torn), "".join(torn)
    raise UsageError(
        f"{given!r}: an override has no spaces around its =; write {joined}"
    )


_OF_VERB: dict[str, Callable[[str, Sequence[str]], argparse.Namespace]] = {
    "inspect": _of_inspect,
    "verify": _of_verify,
    "reproduce": _of_reproduce,
    "diff": _of_diff,
    "init": _of_init,
}
VERBS = tuple(USAGES)
_WORDS = ("help", "version")
