"""Hands to Hydra's own application what Hydra itself does: help, --cfg, --info, shell completion, multirun."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from smdecl import resources
from smdecl.config import compose, search_path, trust
from smdecl.config.hydra_scope import scope
from smdecl.config.project import Project
from smdecl.errors import ConfigError, Problem, TrustError


def refuse_settings(
    variants: Sequence[Sequence[str]], config_name: str, project: Project
) -> list[Mapping[str, Any]]:
    """Raises where Hydra's own settings would have it run code, before it reads them itself; returns them.

    Raises:
        TrustError: With every such setting.
    """
    found = [
        compose.hydra_settings(overrides, config_name=config_name)
        for overrides in variants
    ]
    refused = {
        refusal: None
        for settings in found
        for refusal in trust.refuse_hydra(settings, project)
    }
    if refused:
        raise TrustError([Problem(path, reason) for path, reason in refused])
    return found


def show(arguments: argparse.Namespace, project: Project) -> int:
    """Prints what one of Hydra's flags asks for.

    Raises:
        ConfigError: Where the config cannot be composed.
    """
    search_path.use(arguments.config_dir)
    flags = ["--config-name", arguments.config_name]
    flags += ["--help"] if arguments.help else []
    flags += ["--hydra-help"] if arguments.hydra_help else []
    flags += ["--cfg", arguments.cfg] if arguments.cfg else []
    flags += ["--package", arguments.package] if arguments.package else []
    flags += ["--resolve"] if arguments.resolve else []
    flags += ["--info", arguments.info] if arguments.info else []
    flags += ["--shell-completion"] if arguments.shell_completion else []
    if not arguments.shell_completion:
        refuse_settings([arguments.overrides], arguments.config_name, project)
    try:
        run([*flags, *arguments.overrides], lambda _: None)
    except (
        HydraException,
        OmegaConfBaseException,
        TypeError,
        AttributeError,
        KeyError,
    ) as error:
        # smdecl words the same fault better, and finds the others; where it finds none, Hydra's words it is.
        compose.compose(
            arguments.overrides,
            directories=arguments.config_dir,
            config_name=arguments.config_name,
        )
        if isinstance(error, (TypeError, AttributeError, KeyError)):
            raise
        raise ConfigError(str(error)) from error
    return 0


def run(argv: Sequence[str], task: Callable[[Any], Any]) -> None:
    """Runs Hydra's application with `argv`; raises what goes wrong instead of exiting.

    Raises:
        HydraException, OmegaConfBaseException: As Hydra has them.
    """
    application = hydra.main(
        config_path=str(resources.conf_dir()),
        config_name=compose.PRIMARY,
        version_base="1.3",
    )
    before, os.environ["HYDRA_FULL_ERROR"] = os.environ.get("HYDRA_FULL_ERROR"), "1"
    own_argv, sys.argv = sys.argv, ["smdecl", *argv]
    try:
        with scope():
            application(task)()
    except SystemExit as end:
        if end.code not in (0, None):
            raise
    finally:
        sys.argv = own_argv
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
