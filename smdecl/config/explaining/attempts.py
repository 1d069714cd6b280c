"""Tries to compose a config: leaves out the overrides that Hydra refuses, and keeps its errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import yaml
from hydra import compose
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from smdecl.config.explaining import culprit, deletions
from smdecl.config.explaining.explain import explain
from smdecl.config.interrupting import interrupts_first
from smdecl.errors import Problem

# Hydra checks some of its input only by using it, and then raises Python's own errors.
_REFUSALS = (
    HydraException,
    OmegaConfBaseException,
    yaml.YAMLError,
    ValueError,
    AssertionError,
    TypeError,
    AttributeError,
    KeyError,
    OSError,
    RecursionError,
)


@dataclass(frozen=True)
class Failure:
    """One error of Hydra.

    Attributes:
        error: As Hydra raised it.
        override: The override that caused it; None if a config file did.
    """

    error: Exception
    override: Override | str | None


@dataclass(frozen=True)
class Attempt:
    """What Hydra could compose.

    Attributes:
        config_name: The primary config.
        config: Without the overrides that Hydra refused; None if a config file is at fault.
        overrides: Those that Hydra accepted.
        failures: Hydra's errors, in the order that it raised them.
    """

    config_name: str
    config: DictConfig | None
    overrides: list[str]
    failures: list[Failure]

    def problems(self) -> list[Problem]:
        """Returns the problem behind each failure."""
        return self._explained(self.failures)

    def problems_with_hydra(self, overrides: Sequence[str]) -> list[Problem]:
        """Returns the problems with Hydra's own settings.

        Args:
            overrides: All that were given. If one of them sets a setting of Hydra and nothing can
                be composed, every failure counts.
        """
        keys = [override.partition("=")[0] for override in overrides]
        if self.config is None and any("hydra." in key for key in keys):
            return self.problems()
        own = []
        for failure in self.failures:
            key = getattr(failure.override, "key_or_group", "")
            if str(key).startswith("hydra"):
                own.append(failure)
        return self._explained(own)

    def _explained(self, failures: Iterable[Failure]) -> list[Problem]:
        return [
            explain(
                failure.error, failure.override, self.config, self.config_name
            )
            for failure in failures
        ]


def attempt(config_name: str, overrides: Sequence[str]) -> Attempt:
    """Composes a config, leaving out the overrides that Hydra refuses; within a session.

    Hydra reports only its first error, so each refused override is removed before the next try.
    """
    remaining = list(overrides)
    failures: list[Failure] = []
    while True:
        try:
            with interrupts_first():
                config = compose(
                    config_name, remaining, return_hydra_config=True
                )
        except _REFUSALS as error:
            override = culprit.find(error, remaining)
            if override is None:
                override = deletions.failed(config_name, remaining, error)
            failures.append(Failure(error, override))
            if override is None:
                return Attempt(config_name, None, remaining, failures)
            remaining.remove(_line(override))
        else:
            return Attempt(config_name, config, remaining, failures)


def _line(override: Override | str) -> str:
    return override if isinstance(override, str) else str(override.input_line)
