"""The grammar of the command line: its verbs, and the arguments of each."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from smdecl.errors import ContractError, UsageError, nearest

AUTO = "auto"  # as many variants at a time as there are cores and memory for
_PRIMARY = "export"
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


class _Parser(argparse.ArgumentParser):
    """A parser that raises its errors."""

    def error(self, message: str) -> NoReturn:
        hint = f"see {self.prog} --help{self._guess(message)}"
        raise UsageError(f"{self.prog}: {message}; {hint}")

    def _guess(self, message: str) -> str:
        before, _, unknown = message.partition("unrecognized arguments: ")
        if before or not unknown:
            return ""
        word = unknown.split(maxsplit=1)[0].lstrip("-")
        # Without dashes, which would make all flags look alike.
        flags = {}
        for flag in self._option_string_actions:
            if flag.startswith("--"):
                flags[flag.lstrip("-")] = flag
        near = get_close_matches(word.partition("=")[0], flags, n=1)
        if near:
            return f" (did you mean {flags[near[0]]!r}?)"
        return f"; an override has no dashes: {word}" if "=" in word else ""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Returns the arguments of a command line, its verb among them.

    Raises:
        UsageError: If the command line is invalid.
        ContractError: If it is invalid and has `diff --exit-code`.
    """
    if argv and argv[0] in VERBS:
        verb, *rest = argv
    else:
        verb, rest = "export", list(argv)
    if verb in _OF_VERB and "--watch" in rest:
        raise UsageError(
            f"--watch goes with export, check and plan, not with {verb}"
        )
    arguments = _OF_VERB.get(verb, _of_config)(verb, rest)
    arguments.verb = verb
    return arguments


def _of_config(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog="smdecl" if verb == "export" else f"smdecl {verb}",
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--watch", action="store_true")
    parser.add_argument("--jobs", "-j", type=_jobs, metavar="N")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=_INFO)
    parser.add_argument("--shell-completion", "-sc", action="store_true")
    parser.add_argument("--hydra-help", action="store_true")
    _add_config(parser)
    _add_trust(parser)
    arguments = parser.parse_intermixed_args(rest)
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


def _jobs(text: str) -> int | str:
    if text == AUTO:
        return text
    try:
        return int(text)
    except ValueError as error:
        message = f"expected an integer or {AUTO}, got {text!r}"
        raise argparse.ArgumentTypeError(message) from error


def _of_verify(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = _on_release(
        verb,
        "Compares every file of a release with its manifest, and runs its examples.",
    )
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
    parser = _on_release(
        verb,
        "Makes a release again and compares the bytes: exits with 0 or 4.",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        help="the config to make it from; by default the config in the manifest",
    )
    parser.add_argument(
        "--environment",
        action="store_true",
        help="compare only the environments",
    )
    _add_config(parser)
    _add_trust(parser)
    arguments = parser.parse_intermixed_args(rest)
    _require_overrides(arguments.overrides)
    has_other_name = arguments.config_name != _PRIMARY
    arguments.composes = bool(
        arguments.overrides or arguments.config_dir or has_other_name
    )
    if arguments.environment and arguments.composes:
        raise UsageError(
            f"smdecl {verb}: --environment compares with the manifest; expected no config"
        )
    return arguments


def _of_diff(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog=f"smdecl {verb}",
        allow_abbrev=False,
        description="Compares a SavedModel with an earlier one, as its callers see it and inside.",
    )
    parser.add_argument("before", type=_local)
    parser.add_argument("after", type=_local)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="0 same, 1 additive, 2 breaking, 4 not comparable",
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
    parser = _Parser(
        prog=f"smdecl {verb}",
        allow_abbrev=False,
        description="Starts a project that uses smdecl.",
    )
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
    parser = _Parser(
        prog=f"smdecl {verb}",
        allow_abbrev=False,
        description="Describes any SavedModel.",
    )
    parser.add_argument(
        "directory", type=_local, help="a SavedModel, such as exports/adder/1"
    )
    parser.add_argument(
        "--format", choices=("text", "json", "html"), default="text"
    )
    return parser.parse_intermixed_args(rest)


def _on_release(verb: str, description: str) -> _Parser:
    parser = _Parser(
        prog=f"smdecl {verb}", allow_abbrev=False, description=description
    )
    parser.add_argument(
        "directory", type=_local, help="a release, such as exports/adder/1"
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="prints each stage with its seconds",
    )
    return parser


def _local(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is a URL; expected a local directory that it was fetched to"
        )
    return Path(text)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-name", "-cn", default=_PRIMARY, help="the primary config"
    )
    parser.add_argument(
        "--config-dir",
        "-cd",
        action="append",
        default=[],
        help="a directory of your own configs",
    )


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a package whose code the config may name",
    )


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
            f"{nearest(word, VERBS)}"
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
VERBS = ("export", "check", "plan", *_OF_VERB)
