"""Runs Hydra's own application for its flags: help, --cfg, --info, shell completion, multirun."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra._internal.hydra import Hydra
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from smdecl import resources
from smdecl.config import compose, hydra_trust, search_path
from smdecl.config.hydra_scope import scope
from smdecl.config.project import Project
from smdecl.config.types import Values
from smdecl.errors import ConfigError, Problem, TrustError

_FULL_ERROR = "HYDRA_FULL_ERROR"
# Hydra raises these where it uses a value without checking it.
_UNCHECKED = (TypeError, AttributeError, KeyError)


def refuse_settings(
    variants: Sequence[Sequence[str]], config_name: str, project: Project
) -> list[Values]:
    """Returns Hydra's own settings of each variant, and checks them before Hydra reads them.

    Args:
        variants: The overrides of each variant.
        config_name: The primary config.
        project: What it trusts.

    Raises:
        TrustError: With every setting that would have Hydra run code.
    """
    found = [
        compose.hydra_settings(overrides, config_name=config_name)
        for overrides in variants
    ]
    problems: dict[Problem, None] = {}
    for settings in found:
        for path, reason in hydra_trust.refuse_settings(settings, project):
            problems[Problem(path, reason)] = None
    if problems:
        raise TrustError(list(problems))
    return found


def show(arguments: argparse.Namespace, project: Project) -> int:
    """Prints what one of Hydra's flags asks for.

    Raises:
        ConfigError: If the config cannot be composed.
    """
    search_path.use(arguments.config_dir)
    if not arguments.shell_completion:
        refuse_settings([arguments.overrides], arguments.config_name, project)
    try:
        with _shown_as_exported(arguments.overrides):
            run([*_flags(arguments), *arguments.overrides], lambda _: None)
    except (HydraException, OmegaConfBaseException, *_UNCHECKED) as error:
        # smdecl explains the same error better, and finds the others too. If it finds none, Hydra's
        # own message has to do.
        compose.compose(
            arguments.overrides,
            directories=arguments.config_dir,
            config_name=arguments.config_name,
        )
        if isinstance(error, _UNCHECKED):
            raise
        raise ConfigError(str(error)) from error
    return 0


@contextmanager
def _shown_as_exported(overrides: Sequence[str]) -> Iterator[None]:
    """Makes Hydra show the config that an export would have."""
    application: Any = Hydra
    own = application.compose_config

    def compose_config(self: Hydra, *args: Any, **options: Any) -> DictConfig:
        config: DictConfig = own(self, *args, **options)
        compose.complete(config, overrides)
        return config

    application.compose_config = compose_config
    try:
        yield
    finally:
        application.compose_config = own


def _flags(arguments: argparse.Namespace) -> list[str]:
    flags = ["--config-name", arguments.config_name]
    if arguments.help:
        flags.append("--help")
    if arguments.hydra_help:
        flags.append("--hydra-help")
    if arguments.cfg:
        flags += ["--cfg", arguments.cfg]
    if arguments.package:
        flags += ["--package", arguments.package]
    if arguments.resolve:
        flags.append("--resolve")
    if arguments.info:
        flags += ["--info", arguments.info]
    if arguments.shell_completion:
        flags.append("--shell-completion")
    return flags


def run(argv: Sequence[str], task: Callable[[DictConfig], object]) -> None:
    """Runs Hydra's application with `argv`; raises its errors instead of exiting.

    Raises:
        HydraException, OmegaConfBaseException: As Hydra raises them.
    """
    application = hydra.main(
        config_path=str(resources.conf_dir()),
        config_name=resources.PRIMARY,
        version_base="1.3",
    )
    with _process_state(["smdecl", *argv]):
        try:
            with scope():
                application(task)()
        except SystemExit as end:
            if end.code not in (0, None):
                raise


@contextmanager
def _process_state(argv: list[str]) -> Iterator[None]:
    """Sets the arguments of the process, and has Hydra raise its errors."""
    full_error = os.environ.get(_FULL_ERROR)
    own_argv = sys.argv
    os.environ[_FULL_ERROR] = "1"
    sys.argv = argv
    try:
        yield
    finally:
        sys.argv = own_argv
        if full_error is None:
            del os.environ[_FULL_ERROR]
        else:
            os.environ[_FULL_ERROR] = full_error
