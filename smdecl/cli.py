"""The command line: picks a verb, runs it, prints results to standard output and everything else to standard error."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from smdecl import __version__, isolating, reporting
from smdecl.errors import SmdeclError, UsageError, nearest

_VERBS = ("export", "check", "plan", "verify", "reproduce")
_ON_DIRECTORY = ("verify", "reproduce")
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupted(BaseException):
    """A signal asked the program to end; raised so that every stage cleans up behind itself."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    Args:
        argv: Without the program's name; by default the process's own.
    """
    for number in _INTERRUPTS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asks for that
            signal.signal(number, _interrupt)
    # A console script, unlike `python -m`, does not have the user's directory on the path.
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return _run(_parse(sys.argv[1:] if argv is None else argv))
    except SmdeclError as error:
        reporting.error(error)
        return error.exit_code
    except _Interrupted as interrupted:
        isolating.stop()
        _end_by(interrupted.number)
    finally:
        isolating.stop()


def _interrupt(number: int, _frame: Any) -> None:
    for other in _INTERRUPTS:
        signal.signal(other, signal.SIG_IGN)
    raise _Interrupted(number)


def _end_by(number: int) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    raise AssertionError("the signal ended the process")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    verb, rest = (argv[0], argv[1:]) if argv and argv[0] in _VERBS else ("export", list(argv))
    parser = argparse.ArgumentParser(prog="smdecl", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--version", action="version", version=f"smdecl {__version__}")
    parser.add_argument("--multirun", "-m", action="store_true")
    parser.add_argument("--config-name", "-cn", default="export")
    parser.add_argument("--config-dir", "-cd", action="append", default=[])
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("--package", "-p")
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=_INFO)
    parser.add_argument("--shell-completion", "-sc", action="store_true")
    parser.add_argument("--hydra-help", action="store_true")
    arguments = parser.parse_intermixed_args(rest)
    arguments.verb = verb
    if verb in _ON_DIRECTORY:
        return _require_directory(arguments)
    if not arguments.shell_completion:
        _require_overrides(arguments.overrides)
    return arguments


def _require_directory(arguments: argparse.Namespace) -> argparse.Namespace:
    # Of the flags, what a release was made with is in its manifest; whom to trust never is.
    flags = {**vars(arguments), "overrides": [], "trust": [], "verb": "export"}
    if len(arguments.overrides) != 1 or flags != {**vars(_parse([])), "overrides": []}:
        raise UsageError(f"smdecl {arguments.verb} takes the directory of a release, and no flag but --trust")
    arguments.directory = Path(arguments.overrides[0])
    return arguments


def _require_overrides(overrides: Sequence[str]) -> None:
    for word in overrides:
        if "=" not in word and not word.startswith("~"):
            if word in _VERBS:
                raise UsageError(f"the verb comes first: smdecl {word} ...")
            takes = f"verbs are {', '.join(_VERBS)} and come first, overrides are key=value{nearest(word, _VERBS)}"
            raise UsageError(f"{word!r} is neither a verb nor an override; {takes}")


def _run(arguments: argparse.Namespace) -> int:
    shows = arguments.help or arguments.cfg or arguments.info or arguments.shell_completion or arguments.hydra_help
    if shows:
        from smdecl import hydra_app, trust

        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `smdecl --info | head` ends quietly
        if arguments.shell_completion:
            _prepare_completion(arguments)
        return hydra_app.show(arguments, trust.find_project(Path.cwd(), arguments.trust))
    if arguments.multirun and arguments.verb != "export":
        raise UsageError(f"-m runs a sweep of exports; leave out {arguments.verb!r}")
    if arguments.verb != "check":
        isolating.start()  # first of all: TensorFlow takes seconds to import, and needs nothing of what follows
    from smdecl import composing, trust

    project = trust.find_project(Path.cwd(), arguments.trust)
    if arguments.verb in _ON_DIRECTORY:
        return _VERB[arguments.verb](arguments.directory, project)
    if arguments.multirun:
        from smdecl import sweeping

        return sweeping.sweep(arguments, project)
    composition = composing.compose(
        arguments.overrides, directories=arguments.config_dir, config_name=arguments.config_name
    )
    return _VERB[arguments.verb](composition, project)


def _prepare_completion(arguments: argparse.Namespace) -> None:
    """Takes out of the line that is being completed what is smdecl's own: Hydra completes the overrides in it."""
    if not arguments.overrides:
        raise UsageError("--shell-completion takes install=bash or uninstall=bash (or zsh, fish)")
    program, *words = os.environ.get("COMP_LINE", "").split(" ")
    kept = words[1:] if words and words[0] in _VERBS else words
    for flag in ("--config-dir", "-cd"):
        while flag in kept[:-2]:
            place = kept.index(flag)
            arguments.config_dir.append(kept[place + 1])
            del kept[place : place + 2]
    if words:
        os.environ["COMP_LINE"] = " ".join([program, *kept])


def _export(composition: Any, project: Any) -> int:
    from smdecl import pipeline

    reporting.release(pipeline.export(composition, project))
    return 0


def _check(composition: Any, project: Any) -> int:
    from smdecl import checking

    checking.check(composition, project)
    return 0


def _plan(composition: Any, project: Any) -> int:
    from smdecl import pipeline, rendering

    print(rendering.plan(pipeline.plan(composition, project)), end="")
    return 0


def _verify(directory: Path, _project: Any) -> int:
    from smdecl import pipeline, rendering

    print(rendering.verified(directory, *pipeline.verify(directory)))
    return 0


def _reproduce(directory: Path, project: Any) -> int:
    from smdecl import reproducing

    print(f"{directory}: made again, the same bytes: {reproducing.reproduce(directory, project)}")
    return 0


_VERB: dict[str, Callable[[Any, Any], int]] = {
    "export": _export,
    "check": _check,
    "plan": _plan,
    "verify": _verify,
    "reproduce": _reproduce,
}
