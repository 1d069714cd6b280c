"""The command line: picks a verb, runs it, prints results to standard output and everything else to standard error."""

from __future__ import annotations

import argparse
import errno
import os
import shlex
import signal
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from smdecl import __version__
from smdecl.cli import report
from smdecl.cli.arguments import VERBS, parse
from smdecl.errors import ContractError, Problem, SmdeclError, UsageError
from smdecl.pipeline.children import children

if TYPE_CHECKING:
    from smdecl.config.project import Project
    from smdecl.config.settings import Composition

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
    _open_standard_streams()
    mask = os.umask(0)
    os.umask(
        mask & ~stat.S_IRWXU
    )  # whoever runs smdecl can read and remove what it makes
    for number in _INTERRUPTS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup asks for that
            signal.signal(number, _interrupt)
    try:
        return run(sys.argv[1:] if argv is None else argv)
    except _Interrupted as interrupted:
        children.leave()
        _end_by(interrupted.number)
    finally:
        children.stop()


def run(argv: Sequence[str]) -> int:
    """Runs the command line without taking over the process: no signal handlers, no other mask.

    Args:
        argv: Without the program's name.

    Returns:
        The exit code.
    """
    try:
        return _run(parse(argv))
    except SmdeclError as error:
        failure = error
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        failure = UsageError(
            f"too many open files: {error}; expected a higher limit, such as ulimit -n 256"
        )
    report.error(failure)
    return failure.exit_code


def _open_standard_streams() -> None:
    """Opens the null device in the place of standard streams that are closed.

    A file that is opened later would get the number of a closed stream, and what is printed would end up in it.
    """
    for number, name, mode in (
        (0, "stdin", "r"),
        (1, "stdout", "w"),
        (2, "stderr", "w"),
    ):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(
                os.devnull, os.O_RDWR
            )  # it gets the lowest free number, which is this one
            os.set_inheritable(opened, True)
        if getattr(sys, name) is None:
            # It stays open for as long as the process runs.
            stream = open(number, mode, encoding="utf-8", errors="backslashreplace")  # noqa: PTH123, SIM115
            setattr(sys, name, stream)


def _interrupt(number: int, _frame: Any) -> None:
    for other in _INTERRUPTS:
        signal.signal(other, signal.SIG_IGN)
    raise _Interrupted(number)


def _end_by(number: int) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    raise AssertionError("the signal ended the process")


def _start() -> None:
    """Starts to import TensorFlow, in a process of its own.

    Raises:
        UsageError: If a module of the current directory would be imported instead.
    """
    from smdecl.config import project_modules

    if replaced := [str(path) for path in project_modules.replaced_frameworks()]:
        message = f"{', '.join(replaced)} would be imported in the place of an installed package: rename it"
        raise UsageError(f"{message}, or take the current directory out of PYTHONPATH")
    children.start()


def _run(arguments: argparse.Namespace) -> int:
    from smdecl.config.project import find_project

    if arguments.verb in _ON_DIRECTORIES:
        return _ON_DIRECTORIES[arguments.verb](arguments)
    if arguments.version:
        return _version(arguments)
    shows = (
        arguments.help
        or arguments.cfg
        or arguments.info
        or arguments.shell_completion
        or arguments.hydra_help
    )
    if shows:
        from smdecl.config import hydra_app

        signal.signal(
            signal.SIGPIPE, signal.SIG_DFL
        )  # `smdecl --info | head` ends quietly
        if arguments.shell_completion:
            _prepare_completion(arguments)
        return hydra_app.show(arguments, find_project(Path.cwd(), arguments.trust))
    if arguments.verb != "check":
        _start()  # first of all: TensorFlow takes seconds to import, and needs nothing of what follows
    project = find_project(Path.cwd(), arguments.trust)
    if arguments.multirun:
        return _multirun(arguments, project)
    return _OF_CONFIG[arguments.verb](_compose(arguments), arguments.trust)


def _multirun(arguments: argparse.Namespace, project: Project) -> int:
    from smdecl.cli import sweep_table
    from smdecl.pipeline import sweep, variants

    request = variants.Request(
        arguments.overrides, arguments.config_dir, arguments.config_name, arguments.jobs
    )
    if arguments.verb == "check":
        return sweep_table.tell_checked(sweep.check(request, project))
    directory, results = sweep.sweep(request, project, sweep_table.tell)
    sweep_table.print_table(results, directory)
    return max((variant.exit_code for variant in results), default=0)


def _version(arguments: argparse.Namespace) -> int:
    report.result(f"smdecl {__version__}\n")
    if arguments.verbose:
        from smdecl.isolation import confine

        report.result(f"{confine.describe()}\n")
    return 0


def _compose(arguments: argparse.Namespace) -> Composition:
    from smdecl.config import compose

    return compose.compose(
        arguments.overrides,
        directories=arguments.config_dir,
        config_name=arguments.config_name,
    )


def _prepare_completion(arguments: argparse.Namespace) -> None:
    """Takes out of the line that is being completed what is smdecl's own: Hydra completes the overrides in it."""
    if not arguments.overrides:
        raise UsageError(
            "--shell-completion takes install=bash or uninstall=bash (or zsh, fish)"
        )
    program, *words = os.environ.get("COMP_LINE", "").split(" ")
    kept = words[1:] if words and words[0] in VERBS else words
    for flag in ("--config-dir", "-cd"):
        while flag in kept[:-2]:
            place = kept.index(flag)
            arguments.config_dir.append(kept[place + 1])
            del kept[place : place + 2]
    if words:
        os.environ["COMP_LINE"] = " ".join([program, *kept])


def _export(config: Composition, trust: Sequence[str]) -> int:
    from smdecl import api

    report.release(api.export(config, trust_packages=trust))
    return 0


def _check(config: Composition, trust: Sequence[str]) -> int:
    from smdecl import api

    report.warn(map(str, api.check(config, trust_packages=trust).warnings))
    return 0


def _plan(config: Composition, trust: Sequence[str]) -> int:
    from smdecl import api
    from smdecl.cli import rendering

    planned = api.plan(config, trust_packages=trust)
    report.warn(map(str, planned.warnings))
    report.result(rendering.plan(planned))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    _start()
    from smdecl import api
    from smdecl.cli import rendering

    verified = api.verify(arguments.directory, arguments.key, arguments.allow_ops)
    report.result(rendering.verified(verified) + "\n")
    return 0


def _reproduce(arguments: argparse.Namespace) -> int:
    directory = arguments.directory
    if arguments.environment:
        from smdecl.pipeline import reproduce

        reproduce.compare_environment(directory)
        report.result(f"{directory}: made in the same environment\n")
        return 0
    _start()
    from smdecl import api

    config = _compose(arguments) if arguments.composes else None
    found = api.reproduce(directory, config, trust_packages=arguments.trust)
    report.warn(
        f"{directory}: {change}; the bytes are the same" for change in found.changes
    )
    report.result(f"{directory}: made again, the same bytes: {found.digest}\n")
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    from smdecl import api
    from smdecl.cli import pages

    signal.signal(
        signal.SIGPIPE, signal.SIG_DFL
    )  # `smdecl inspect | head` ends quietly
    found = api.inspect(arguments.directory)
    report.result(pages.FORMATS[arguments.format](arguments.directory, found))
    if found.damage:
        raise ContractError([Problem((), message) for message in found.damage])
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from smdecl import api
    from smdecl.cli import rendering
    from smdecl.savedmodel import diffing

    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `smdecl diff | head` ends quietly
    try:
        found = api.diff(arguments.before, arguments.after)
    except UsageError as error:
        if arguments.exit_code:  # its own code would say that something breaks
            raise ContractError(error.problems) from error
        raise
    report.result(rendering.DIFF[arguments.format](found))
    return diffing.EXIT_CODES[found.verdict] if arguments.exit_code else 0


def _init(arguments: argparse.Namespace) -> int:
    from smdecl.cli import init

    if arguments.schemas:
        report.result(f"{init.refresh_schemas(arguments.directory)}\n")
        return 0
    written, kept = init.init(arguments.directory)
    report.result("".join(f"{path}\n" for path in written))
    if kept:
        print(f"kept as they were: {', '.join(map(str, kept))}", file=sys.stderr)
    print(
        f"next: cd {shlex.quote(str(arguments.directory))} && smdecl --config-dir conf release=net",
        file=sys.stderr,
    )
    return 0


_OF_CONFIG: dict[str, Callable[[Composition, Sequence[str]], int]] = {
    "export": _export,
    "check": _check,
    "plan": _plan,
}
_ON_DIRECTORIES: dict[str, Callable[[argparse.Namespace], int]] = {
    "inspect": _inspect,
    "verify": _verify,
    "reproduce": _reproduce,
    "diff": _diff,
    "init": _init,
}
