"""The command line's grammar: which verb, and the arguments that each takes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

from smdecl.errors import ContractError, UsageError, nearest

_PRIMARY = "export"
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(
            f"{self.prog}: {message}; see {self.prog} --help{self._meant(message)}"
        )

    def _meant(self, message: str) -> str:
        before, _, unknown = message.partition("unrecognized arguments: ")
        if before or not unknown:
            return ""
        word = unknown.split(maxsplit=1)[0].lstrip("-")
        # By their words alone: all flags are alike in their dashes.
        flags = {
            flag.lstrip("-"): flag
            for flag in self._option_string_actions
            if flag.startswith("--")
        }
        if near := get_close_matches(word.partition("=")[0], flags, n=1):
            return f" (did you mean {flags[near[0]]!r}?)"
        return f"; an override has no dashes: {word}" if "=" in word else ""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Returns the arguments of a command line, its verb among them.

    Raises:
        UsageError: Where it is none that smdecl takes.
        ContractError: Where it is none that `diff --exit-code` takes.
    """
    verb, rest = (argv[0], argv[1:]) if argv and argv[0] in VERBS else ("export", argv)
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
    parser.add_argument("--jobs", "-j", type=int, metavar="N")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=_INFO)
    parser.add_argument("--shell-completion", "-sc", action="store_true")
    parser.add_argument("--hydra-help", action="store_true")
    _add_config(parser)
    _add_trust(parser)
    arguments = parser.parse_intermixed_args(rest)
    if arguments.verbose and not arguments.version:
        raise UsageError(
            "--verbose goes with --version: it adds what the kernel can confine here"
        )
    if arguments.multirun and verb == "plan":
        raise UsageError("-m runs a sweep of exports or checks; plan takes one variant")
    if arguments.jobs is not None and (arguments.jobs < 1 or not arguments.multirun):
        raise UsageError(
            "--jobs is how many variants of a sweep run at a time; takes 1 or more, and -m beside it"
        )
    if not arguments.shell_completion:
        _require_overrides(arguments.overrides)
    return arguments


def _of_verify(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = _on_directory(
        verb,
        "Checks every file of a release against its manifest, and runs its examples again.",
    )
    parser.add_argument(
        "--key",
        type=Path,
        metavar="PUBLIC.pem",
        help="whose signature the release is to have",
    )
    parser.add_argument(
        "--allow-ops", type=lambda text: text.split(","), default=[], metavar="OP,...",
        help="ops that may reach into files, the network or Python though no signature is checked",
    )  # fmt: skip
    return parser.parse_intermixed_args(rest)


def _of_reproduce(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = _on_directory(
        verb, "Makes a release again and compares the bytes: 0 the same, 4 not."
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        help="a config to make it of; without one, the manifest's own",
    )
    parser.add_argument(
        "--environment", action="store_true", help="compare the environments only"
    )
    _add_config(parser)
    _add_trust(parser)
    arguments = parser.parse_intermixed_args(rest)
    _require_overrides(arguments.overrides)
    arguments.composes = bool(
        arguments.overrides or arguments.config_dir or arguments.config_name != _PRIMARY
    )
    if arguments.environment and arguments.composes:
        raise UsageError(
            f"smdecl {verb}: --environment compares with the manifest, and takes no config"
        )
    return arguments


def _of_diff(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog=f"smdecl {verb}", allow_abbrev=False, description="Tells how one SavedModel differs from one"
                     " before it, for its callers and inside.")  # fmt: skip
    parser.add_argument("before", type=_local)
    parser.add_argument("after", type=_local)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument(
        "--exit-code",
        action="store_true",
        help="0 same, 1 additive, 2 breaking, 4 what cannot be compared",
    )
    try:
        return parser.parse_intermixed_args(rest)
    except UsageError as error:
        if any(
            word.partition("=")[0] == "--exit-code" for word in rest
        ):  # its own code would say that something breaks
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
        help="to write its files into; none that is there is touched",
    )
    parser.add_argument(
        "--schemas",
        action="store_true",
        help="write only .smdecl/schemas, for editors; replaces those of another version",
    )
    return parser.parse_intermixed_args(rest)


def _of_inspect(verb: str, rest: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(
        prog=f"smdecl {verb}",
        allow_abbrev=False,
        description="Says what any SavedModel is.",
    )
    parser.add_argument(
        "directory", type=_local, help="of a SavedModel, such as exports/adder/1"
    )
    parser.add_argument("--format", choices=("text", "json", "html"), default="text")
    return parser.parse_intermixed_args(rest)


def _on_directory(verb: str, description: str) -> _Parser:
    parser = _Parser(prog=f"smdecl {verb}", allow_abbrev=False, description=description)
    parser.add_argument(
        "directory", type=_local, help="of a release, such as exports/adder/1"
    )
    return parser


def _local(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text!r} is a URL; takes a local directory that it was fetched to"
        )
    return Path(text)


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config-name", "-cn", default=_PRIMARY, help="the primary config"
    )
    parser.add_argument(
        "--config-dir", "-cd", action="append", default=[], help="of your own configs"
    )


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="whose code the config may name",
    )


def _require_overrides(overrides: Sequence[str]) -> None:
    for index, word in enumerate(overrides):
        if "=" not in word and not word.startswith("~"):
            if word in VERBS:
                raise UsageError(f"the verb comes first: smdecl {word} ...")
            _refuse_spaces(overrides[:index], word, overrides[index + 1 :])
            takes = f"verbs are {', '.join(VERBS)} and come first, overrides are key=value{nearest(word, VERBS)}"
            raise UsageError(f"{word!r} is neither a verb nor an override; {takes}")


def _refuse_spaces(before: Sequence[str], word: str, after: Sequence[str]) -> None:
    """Tells of an override that spaces around its = tore apart."""
    if after and after[0].startswith("="):
        torn = [word, *after[: 2 if after[0] == "=" else 1]]
    elif before and before[-1].endswith("="):
        torn = [before[-1], word]
    else:
        return
    raise UsageError(
        f"{' '.join(torn)!r}: an override has no spaces around its =; write {''.join(torn)}"
    )


_OF_VERB: dict[str, Callable[[str, Sequence[str]], argparse.Namespace]] = {
    "inspect": _of_inspect,
    "verify": _of_verify,
    "reproduce": _of_reproduce,
    "diff": _of_diff,
    "init": _of_init,
}
VERBS = ("export", "check", "plan", *_OF_VERB)
