"""The verbs of the command line: each calls the API and prints its result.

Modules are imported as late as possible: TensorFlow starts to load in the server process first,
and `inspect` or `diff` never load it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from smdecl import __version__
from smdecl.cli import config_arguments
from smdecl.cli.arguments import VERBS
from smdecl.cli.config_verbs import CONFIG_VERBS, compose
from smdecl.cli.output import display, report
from smdecl.errors import ContractError, Problem, UsageError
from smdecl.pipeline.children import children

if TYPE_CHECKING:
    from smdecl.config.project import Project
    from smdecl.pipeline.sweeping.variants import Variant


def run(arguments: argparse.Namespace) -> int:
    """Runs the verb of a command line and returns its exit code.

    Args:
        arguments: The parsed arguments, from `arguments.parse`.
    """
    on_directory = _ON_DIRECTORIES.get(arguments.verb)
    if on_directory is not None:
        return on_directory(arguments)
    if arguments.version:
        return _version(arguments)
    if _only_shows(arguments):
        return _show(arguments)
    if arguments.verb != "check":
        # First of all, because TensorFlow takes seconds to import.
        _start()
    if arguments.watch:
        from smdecl.cli.watching import watch

        watch.watch(arguments)
    from smdecl.config.project import find_project

    project = find_project(Path.cwd(), arguments.trust)
    if arguments.multirun:
        return _multirun(arguments, project)
    verb = CONFIG_VERBS[arguments.verb]
    with display.shown(arguments.verbose):
        result = verb.run(compose(arguments), arguments.trust)
    verb.show(None, result)
    return 0


def _start() -> None:
    """Starts to import TensorFlow in the server process.

    Raises:
        UsageError: If a module of the current directory would be imported instead.
    """
    from smdecl.config import project_modules

    replaced = [str(path) for path in project_modules.replaced_frameworks()]
    if replaced:
        message = f"{', '.join(replaced)} would be imported instead of an installed package"
        hint = "rename it, or remove the current directory from PYTHONPATH"
        raise UsageError(f"{message}; {hint}")
    children.start()


def _only_shows(arguments: argparse.Namespace) -> bool:
    """Returns whether a flag of Hydra's own is set, which prints something instead of a run."""
    flags = (
        arguments.help,
        arguments.cfg,
        arguments.info,
        arguments.shell_completion,
        arguments.hydra_help,
    )
    return any(flags)


def _show(arguments: argparse.Namespace) -> int:
    from smdecl.config import hydra_app
    from smdecl.config.project import find_project

    _end_quietly_on_a_closed_pipe()
    if arguments.shell_completion:
        _prepare_completion(arguments)
    return hydra_app.show(arguments, find_project(Path.cwd(), arguments.trust))


def _end_quietly_on_a_closed_pipe() -> None:
    """Lets SIGPIPE end the program, as in `smdecl inspect DIRECTORY | head`."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)


def _prepare_completion(arguments: argparse.Namespace) -> None:
    """Removes smdecl's own words from the line to complete: Hydra completes the overrides."""
    if not arguments.overrides:
        raise UsageError(
            "--shell-completion: expected install=bash or uninstall=bash (or zsh, fish)"
        )
    program, *words = os.environ.get("COMP_LINE", "").split(" ")
    if not words:
        return
    kept = words[1:] if words[0] in VERBS else words
    kept = config_arguments.without_own(kept)
    for flag in ("--config-dir", "-cd"):
        while flag in kept[:-2]:
            index = kept.index(flag)
            arguments.config_dir.append(kept[index + 1])
            del kept[index : index + 2]
    os.environ["COMP_LINE"] = " ".join([program, *kept])


def _multirun(arguments: argparse.Namespace, project: Project) -> int:
    from smdecl import progress
    from smdecl.cli.output import sweep_table
    from smdecl.config import search_path
    from smdecl.pipeline.sweeping import sweep, sweep_overrides, variants

    is_chosen = arguments.jobs != config_arguments.AUTO
    jobs = arguments.jobs if is_chosen else None
    request = variants.Request(
        arguments.overrides,
        arguments.config_dir,
        arguments.config_name,
        jobs,
        arguments.resume,
    )
    search_path.use(arguments.config_dir)
    common = progress.shared(sweep_overrides.expand(arguments.overrides))
    if arguments.verb == "check":
        with display.shown(arguments.verbose):
            checked = sweep.check(request, project)
            return sweep_table.print_checked(checked, common)
    codes: list[int] = []
    with display.shown(arguments.verbose) as cleared:

        def announce(variant: Variant) -> None:
            with cleared():
                codes.append(sweep_table.announce(variant, common))

        def note(remark: str) -> None:
            with cleared():
                report.note([remark])

        directory, results = sweep.sweep(request, project, announce, note)
    sweep_table.print_table(results, directory, common)
    return max(codes, default=0)


def _version(arguments: argparse.Namespace) -> int:
    report.result(f"smdecl {__version__}\n")
    if arguments.verbose:
        from smdecl.isolation import confine

        report.result(f"{confine.describe()}\n")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    _start()
    from smdecl import api
    from smdecl.cli.output import rendering

    with display.shown(arguments.verbose):
        verified = api.verify(
            arguments.directory, arguments.key, arguments.allow_ops
        )
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

    with display.shown(arguments.verbose):
        config = compose(arguments) if arguments.composes else None
        found = api.reproduce(
            directory, config, trust_packages=arguments.trust
        )
    report.warn(
        f"{directory}: {change}; the bytes are the same"
        for change in found.changes
    )
    report.result(f"{directory}: made again, the same bytes: {found.digest}\n")
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    from smdecl import api
    from smdecl.cli.output import inspect_output

    _end_quietly_on_a_closed_pipe()
    found = api.inspect(arguments.directory)
    report.result(
        inspect_output.FORMATS[arguments.format](arguments.directory, found)
    )
    if found.damage:
        raise ContractError([Problem((), message) for message in found.damage])
    return 0


def _diff(arguments: argparse.Namespace) -> int:
    from smdecl import api
    from smdecl.cli.output import rendering
    from smdecl.savedmodel.comparing import diffing

    _end_quietly_on_a_closed_pipe()
    try:
        found = api.diff(arguments.before, arguments.after)
    except UsageError as error:
        if arguments.exit_code:  # exit code 2 would mean a breaking change
            raise ContractError(error.problems) from error
        raise
    report.result(rendering.DIFF[arguments.format](found))
    return diffing.EXIT_CODES[found.verdict] if arguments.exit_code else 0


def _init(arguments: argparse.Namespace) -> int:
    from smdecl.cli import init

    directory = arguments.directory
    if arguments.schemas:
        report.result(f"{init.refresh_schemas(directory)}\n")
        return 0
    written, kept = init.init(directory)
    report.result("".join(f"{path}\n" for path in written))
    if kept:
        print(f"kept: {', '.join(map(str, kept))}", file=sys.stderr)
    place = shlex.quote(str(directory))
    command = f"cd {place} && smdecl --config-dir conf release=net"
    print(f"next: {command}", file=sys.stderr)
    return 0


_ON_DIRECTORIES: dict[str, Callable[[argparse.Namespace], int]] = {
    "inspect": _inspect,
    "verify": _verify,
    "reproduce": _reproduce,
    "diff": _diff,
    "init": _init,
}
