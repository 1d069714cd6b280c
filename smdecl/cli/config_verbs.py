"""The verbs that compose a config: each calls the API, and prints its result."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from smdecl.cli.output import report

# They lead to Hydra, which is imported after the start of TensorFlow.
if TYPE_CHECKING:
    from smdecl.config.settings import Composition
    from smdecl.pipeline.export import Release
    from smdecl.pipeline.outcomes import Checked
    from smdecl.pipeline.records import Plan

Result = TypeVar("Result")


@dataclass(frozen=True)
class ConfigVerb(Generic[Result]):
    """A verb that composes a config.

    Attributes:
        run: Returns the result of a composition, given more packages to trust.
        show: Prints a result, given the last one; the whole of it if that is None.
    """

    run: Callable[[Composition, Sequence[str]], Result]
    show: Callable[[Result | None, Result], None]


def compose(arguments: argparse.Namespace) -> Composition:
    """Composes the config of a command line."""
    from smdecl.config import compose as composing

    return composing.compose(
        arguments.overrides,
        directories=arguments.config_dir,
        config_name=arguments.config_name,
    )


def _export(config: Composition, trust: Sequence[str]) -> Release:
    from smdecl import api

    return api.export(config, trust_packages=trust)


def _show_release(_before: Release | None, now: Release) -> None:
    report.release(now)


def _check(config: Composition, trust: Sequence[str]) -> Checked:
    from smdecl import api

    return api.check(config, trust_packages=trust)


def _show_checked(_before: Checked | None, now: Checked) -> None:
    report.warn(map(str, now.warnings))


def _plan(config: Composition, trust: Sequence[str]) -> Plan:
    from smdecl import api

    return api.plan(config, trust_packages=trust)


def _show_plan(_before: Plan | None, now: Plan) -> None:
    from smdecl.cli.output import rendering

    report.warn(map(str, now.warnings))
    report.result(rendering.plan(now))


CONFIG_VERBS: dict[str, ConfigVerb[Any]] = {
    "export": ConfigVerb(_export, _show_release),
    "check": ConfigVerb(_check, _show_checked),
    "plan": ConfigVerb(_plan, _show_plan),
}
