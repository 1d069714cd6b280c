"""Stage 1, compose: resolves Hydra's config files and overrides to one config.

Hydra itself composes; the user's config directories come before the built-in one. smdecl reports
all composition errors at once, and records which line or override each value came from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from smdecl import progress
from smdecl.config import (
    config_sources,
    idle_options,
    interpolation_errors,
    mappings,
    pins,
    resolve,
    search_path,
)
from smdecl.config.explaining import attempts, deletions
from smdecl.config.hydra_scope import scope
from smdecl.config.hydra_settings import plain_settings, provide_settings
from smdecl.config.locate import Locator
from smdecl.config.settings import Composition
from smdecl.errors import ConfigError, Problem
from smdecl.resources import PRIMARY


@dataclass(frozen=True)
class Job:
    """The place of a config in a sweep.

    Attributes:
        number: The index of the variant.
        cache: What cached resolvers such as `now` returned, shared by all variants of a sweep.
    """

    number: int
    cache: dict[str, Any]


def compose(
    overrides: Sequence[str] = (),
    *,
    directories: Sequence[str | Path] = (),
    config_name: str = PRIMARY,
    job: Job | None = None,
) -> Composition:
    """Composes the primary config with `overrides`, as Hydra does.

    Args:
        overrides: In Hydra's override grammar: `model=adder`, `+model.x=1`, `~weights`.
        directories: Their configs win over built-in ones of the same name.
        config_name: The primary config.
        job: The place in a sweep; None if this is not a variant of one.

    Raises:
        ConfigError: With every override and interpolation that Hydra refuses.
    """
    started = _begin()
    search_path.use(directories)
    with search_path.session():
        attempt = attempts.attempt(config_name, overrides)
        problems = attempt.problems()
        if attempt.config is None:
            raise ConfigError(problems) from attempt.failures[-1].error
        if job is not None:
            _add_job_settings(attempt.config, job)
        provide_settings(attempt.config)
        locator = _locator(config_name, attempt.overrides)
        found = _resolve(attempt.config, locator, problems)
    return _timed(found, started)


def compose_mapping(values: Mapping[str, object]) -> Composition:
    """Lays a mapping over the defaults of the built-in primary config.

    Args:
        values: Keys of the primary config. Each replaces the default; for the groups whose keys
            are fixed, such as `publish`, a mapping may have some of them.

    Raises:
        ConfigError: With every value that a config cannot hold, and every broken interpolation.
    """
    started = _begin()
    given = mappings.plain(values)
    search_path.use(())
    with search_path.session():
        config = hydra_compose(PRIMARY, return_hydra_config=True)
        mappings.lay(given, config)
        provide_settings(config)
        locator = Locator(PRIMARY, (), (), frozenset(given))
        found = _resolve(config, locator, [])
    return _timed(found, started)


def _begin() -> float:
    progress.reached("compose")
    return time.perf_counter()


def _timed(composition: Composition, started: float) -> Composition:
    return replace(composition, seconds=time.perf_counter() - started)


def from_job(config: DictConfig) -> Composition:
    """Returns the composition of a sweep's job that Hydra has already composed.

    The HydraConfig of the job must be set.
    """
    job, outer = HydraConfig.get(), HydraConfig.instance().cfg
    directories = []
    for source in job.runtime.config_sources:
        if source.provider == config_sources.PROVIDER:
            directories.append(Path(source.path))
    search_path.use(directories)
    with scope():
        HydraConfig.instance().cfg = outer  # the scope has its own singletons
        locator = _locator(str(job.job.config_name), job.overrides.task)
        return _resolve(config, locator, [])


def hydra_settings(
    overrides: Sequence[str], *, config_name: str = PRIMARY
) -> Mapping[str, Any]:
    """Returns Hydra's own settings; none if the config cannot be composed.

    The settings of the launcher and the sweeper are resolved, because Hydra instantiates them; the
    others are not. Composing the config reports what else is wrong with it.

    Raises:
        ConfigError: If Hydra refuses one of its settings.
    """
    with search_path.session():
        attempt = attempts.attempt(config_name, overrides)
        problems = attempt.problems_with_hydra(overrides)
        if problems:
            raise ConfigError(problems)
        if attempt.config is None:
            return {}
        # An interpolation may refer to it.
        provide_settings(attempt.config)
        return plain_settings(attempt.config)


def sweep_dir(overrides: Sequence[str], *, config_name: str = PRIMARY) -> Path:
    """Returns the directory of a sweep's results, which all its variants share.

    Raises:
        ConfigError: If the primary config cannot be composed, so that no variant can be either.
    """
    with search_path.session():
        attempt = attempts.attempt(config_name, overrides)
        if attempt.config is None:
            attempt = attempts.attempt(PRIMARY, [])
        if attempt.config is None:
            raise ConfigError(attempt.problems())
        return Path(_sweep_setting(attempt.config, "dir"))


def _locator(config_name: str, overrides: Sequence[str]) -> Locator:
    return Locator(
        config_name, tuple(overrides), config_sources.user_directories.get()
    )


def _add_job_settings(config: DictConfig, job: Job) -> None:
    """Sets in a config what Hydra's own launchers set."""
    with open_dict(config.hydra):
        config.hydra.mode = RunMode.MULTIRUN
        config.hydra.job.num = job.number
        config.hydra.job.id = str(job.number)
        subdirectory = _sweep_setting(config, "subdir")
        directory = Path(_sweep_setting(config, "dir"), subdirectory)
        config.hydra.runtime.output_dir = str(directory)
        config.hydra.output_subdir = _hydra_setting(config, "output_subdir")
    # OmegaConf's own set_cache would copy the cache.
    config._metadata.resolver_cache = job.cache


def _sweep_setting(config: DictConfig, key: str) -> str:
    """Returns a setting of `hydra.sweep` as text.

    Raises:
        ConfigError: If it has a broken interpolation.
    """
    try:
        return str(config.hydra.sweep[key])
    except OmegaConfBaseException as error:
        message = interpolation_errors.message(error)
        raise ConfigError(Problem(("hydra", "sweep", key), message)) from error


def _hydra_setting(config: DictConfig, key: str) -> object:
    """Returns a resolved setting of Hydra.

    Raises:
        ConfigError: If it has a broken interpolation.
    """
    try:
        return config.hydra[key]
    except OmegaConfBaseException as error:
        message = interpolation_errors.message(error)
        raise ConfigError(Problem(("hydra", key), message)) from error


def _resolve(
    config: DictConfig, locator: Locator, problems: Sequence[Problem]
) -> Composition:
    """Resolves a composed config.

    Args:
        config: As Hydra composed it.
        locator: Finds the origins of its values.
        problems: Found while composing.

    Raises:
        ConfigError: With these and all further problems.
    """
    complete(config, locator.overrides)
    resolved = resolve.resolve(config)
    # Hydra removes the key from the config of a sweep's job.
    with_hydra: Any = (
        config if "hydra" in config else HydraConfig.instance().cfg
    )
    composition = Composition(
        resolved.values,
        resolved.recorded,
        locator,
        tuple(resolved.environment.reads),
        resolved.environment.values,
        plain_settings(with_hydra),
        hint=locator.hint,
    )
    dropped = pins.dropped(config, locator)
    idle = idle_options.refused(config, locator)
    found = [*problems, *dropped, *idle, *resolved.problems]
    known = {problem.path for problem in found}
    for problem in deletions.refused(config, locator.overrides):
        if problem.path not in known:
            found.append(problem)
    if found:
        raise composition.masked(ConfigError(found))
    return composition


def complete(config: DictConfig, overrides: Sequence[str]) -> None:
    """Does in a composed config what Hydra leaves undone: deletions of groups, nested defaults."""
    _remove_weights(config, overrides)
    _complete_weights(config)


def _remove_weights(config: DictConfig, overrides: Sequence[str]) -> None:
    """Removes what a release file sets below `weights` if `~weights` removed the group's option.

    Hydra itself removes only the option.
    """
    if "~weights" not in overrides:
        return
    names = [override.lstrip("+") for override in overrides]
    if not any(name.startswith("weights.") for name in names):
        OmegaConf.update(config, "weights", None, force_add=True)


def _complete_weights(config: DictConfig) -> None:
    """Adds the default of `weights.expect`, so that the manifest records it.

    The primary config holds the defaults of all other groups, but `weights` is null there.
    """
    if isinstance(config.get("weights"), DictConfig):
        with open_dict(config.weights):
            config.weights.setdefault("expect", "full")
