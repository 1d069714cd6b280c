"""Stage 1, compose: makes one resolved config of Hydra's config files and overrides.

Hydra itself does the composing, on the user's config directories before the built-in one. All of its errors are told,
in smdecl's own words, and which line or override each value came from is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from smdecl.config import config_sources, explain, mappings, resolve, search_path
from smdecl.config.hydra_scope import scope
from smdecl.config.interrupting import interrupts_first
from smdecl.config.locate import Locator
from smdecl.config.settings import Composition
from smdecl.errors import ConfigError, Origin, Problem

PRIMARY = "export"


@dataclass(frozen=True)
class Job:
    """The place of a config in a sweep.

    Attributes:
        number: Of the variant.
        cache: What resolvers such as `now` gave once, for all variants of a sweep.
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
    """Composes the primary config with `overrides`, as Hydra does it.

    Args:
        overrides: Hydra's override grammar: `model=adder`, `+model.x=1`, `~weights`.
        directories: Whose configs win over the built-in ones of the same name.
        config_name: The primary config.
        job: Where it is a variant of a sweep.

    Raises:
        ConfigError: With every override and interpolation that Hydra could not take.
    """
    search_path.use(directories)
    with search_path.session():
        config, taken, failures = _compose_what_can_be(config_name, overrides)
        problems = [
            explain.explain(error, culprit, config, config_name)
            for error, culprit in failures
        ]
        if config is None:
            raise ConfigError(problems) from failures[-1][0]
        if job is not None:
            _tell(config, job)
        HydraConfig.instance().set_config(config)
        return _resolve(config, _locator(config_name, taken), problems)


def compose_mapping(values: Mapping[str, object]) -> Composition:
    """Lays a mapping over the defaults of the built-in primary config.

    Args:
        values: Keys of the primary config. Each replaces what is there; for the groups whose keys
            are fixed, such as `publish`, a mapping may have some of them.

    Raises:
        ConfigError: With every value that no config can hold, and every interpolation that leads nowhere.
    """
    given = mappings.plain(values)
    search_path.use(())
    with search_path.session():
        config = hydra_compose(PRIMARY, return_hydra_config=True)
        mappings.lay(given, config)
        HydraConfig.instance().set_config(config)
        return _resolve(config, Locator(PRIMARY, (), (), frozenset(given)), [])


def _locator(config_name: str, overrides: Sequence[str]) -> Locator:
    return Locator(config_name, tuple(overrides), config_sources.user_directories.get())


def _tell(config: DictConfig, job: Job) -> None:
    """Puts into a config what Hydra's own launchers do."""
    with open_dict(config.hydra):
        config.hydra.mode = RunMode.MULTIRUN
        config.hydra.job.num, config.hydra.job.id = job.number, str(job.number)
        subdirectory = _sweep_setting(config, "subdir")
        config.hydra.runtime.output_dir = str(
            Path(_sweep_setting(config, "dir"), subdirectory)
        )
    config._metadata.resolver_cache = (
        job.cache
    )  # OmegaConf's own set_cache would copy it


def _sweep_setting(config: DictConfig, key: str) -> str:
    """Returns a setting of `hydra.sweep` as text.

    Raises:
        ConfigError: If its interpolations lead nowhere.
    """
    try:
        return str(config.hydra.sweep[key])
    except OmegaConfBaseException as error:
        message = resolve.interpolation_error(error)
        raise ConfigError(Problem(("hydra", "sweep", key), message)) from error


def hydra_settings(
    overrides: Sequence[str], *, config_name: str = PRIMARY
) -> Mapping[str, Any]:
    """Returns Hydra's own settings; none if the config cannot be composed, which is reported elsewhere.

    Those of the launcher and the sweeper are resolved, because Hydra instantiates them; the others are not.

    Raises:
        ConfigError: Where a setting is none that Hydra takes.
    """
    with search_path.session():
        config, _, failures = _compose_what_can_be(config_name, overrides)
        own = [
            failure
            for failure in failures
            if str(getattr(failure[1], "key_or_group", "")).startswith("hydra")
        ]
        if config is None and any(
            "hydra." in override.partition("=")[0] for override in overrides
        ):
            own = failures
        if own:
            raise ConfigError(
                [
                    explain.explain(error, culprit, config, config_name)
                    for error, culprit in own
                ]
            )
        if config is None:
            return {}
        HydraConfig.instance().set_config(config)  # an interpolation may lead to it
        return _settings(config)


def _settings(config: Any) -> dict[str, Any]:
    """Returns the key `hydra`: the launcher and the sweeper as Hydra instantiates them, the rest unresolved."""
    found: dict[str, Any] = OmegaConf.to_container(config.hydra, resolve=False)  # type: ignore[assignment]
    for part in ("launcher", "sweeper"):
        if isinstance(found.get(part), dict):
            found[part] = {
                key: _resolved(config.hydra[part], key, found[part][key])
                for key in found[part]
            }
    return found


def _resolved(node: DictConfig, key: Any, raw: Any) -> Any:
    """Returns a setting with its interpolations resolved; unresolved if that is not possible outside of a job."""
    try:
        with interrupts_first():
            value = node[key]
            return (
                OmegaConf.to_container(value, resolve=True)
                if OmegaConf.is_config(value)
                else value
            )
    except OmegaConfBaseException:
        return raw


def sweep_dir(overrides: Sequence[str], *, config_name: str = PRIMARY) -> Path:
    """Returns where a sweep writes its results; every variant of it is given this one directory.

    Raises:
        ConfigError: Where no variant could be composed, for the primary config cannot be.
    """
    with search_path.session():
        config, _, _ = _compose_what_can_be(config_name, overrides)
        failures: list[_Failure] = []
        if config is None:
            config, _, failures = _compose_what_can_be(PRIMARY, [])
        if config is None:
            raise ConfigError(
                [
                    explain.explain(error, culprit, config, PRIMARY)
                    for error, culprit in failures
                ]
            )
        return Path(_sweep_setting(config, "dir"))


def from_job(config: DictConfig) -> Composition:
    """Returns the composition of a sweep's job, which Hydra has composed already; the job's HydraConfig is set."""
    job, outer = HydraConfig.get(), HydraConfig.instance().cfg
    provider = config_sources.PROVIDER
    search_path.use(
        [
            Path(source.path)
            for source in job.runtime.config_sources
            if source.provider == provider
        ]
    )
    with scope():
        HydraConfig.instance().cfg = outer  # the scope has singletons of its own
        return _resolve(
            config, _locator(str(job.job.config_name), job.overrides.task), []
        )


# Hydra looks at some of what it is given only by using it.
_HYDRAS = (
    *(HydraException, OmegaConfBaseException, yaml.YAMLError),
    *(
        ValueError,
        AssertionError,
        TypeError,
        AttributeError,
        KeyError,
        OSError,
        RecursionError,
    ),
)
_Failure = tuple[Exception, "Override | str | None"]


def _compose_what_can_be(
    config_name: str, overrides: Sequence[str]
) -> tuple[DictConfig | None, list[str], list[_Failure]]:
    """Composes, leaving out one by one the overrides that Hydra refuses: it reports only the first."""
    remaining: list[str] = list(overrides)
    failures: list[_Failure] = []
    while True:
        try:
            with interrupts_first():
                return (
                    hydra_compose(config_name, remaining, return_hydra_config=True),
                    remaining,
                    failures,
                )
        except _HYDRAS as error:
            culprit = explain.culprit(error, remaining)
            failures.append((error, culprit))
            if culprit is None:
                return None, remaining, failures
            remaining.remove(
                culprit if isinstance(culprit, str) else str(culprit.input_line)
            )


def _resolve(
    config: DictConfig, locate: Locator, problems: Sequence[Problem]
) -> Composition:
    config_name, overrides = locate.config_name, locate.overrides
    if "~weights" in overrides and not any(
        override.lstrip("+").startswith("weights.") for override in overrides
    ):
        # Hydra takes the group's option away, and leaves what a release file says below the key.
        OmegaConf.update(config, "weights", None, force_add=True)
    _complete_weights(config)
    values, recorded, environment, found = resolve.resolve(config)
    settings = _settings(config if "hydra" in config else HydraConfig.instance().cfg)
    composition = Composition(
        values, recorded, locate, tuple(environment.reads), environment.values, settings
    )
    if found := [*problems, *_dropped_pins(config, config_name, overrides), *found]:
        raise composition.masked(ConfigError(found))
    return composition


def _dropped_pins(
    config: DictConfig, config_name: str, overrides: Sequence[str]
) -> list[Problem]:
    """Returns the overrides that drop digests which files pin, or were meant to.

    Hydra merges `sha256={}`, so it drops nothing. A person who reviews a release file relies on its
    pins, whatever overrides are added.
    """
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    own = [
        override
        for override in parsed
        if override.key_or_group.split(".")[0] == "sha256"
    ]
    dropping = [each for each in own if each.is_delete() or each.value() in ({}, None)]
    if not dropping:
        return []
    others = tuple(
        str(override.input_line) for override in parsed if override not in own
    )
    with search_path.session():
        declared, _, _ = _compose_what_can_be(config_name, others)
    pins = _pins(declared)
    if not pins:
        return []
    locate = _locator(config_name, others)
    kept = _pins(config)
    dropped = [pin for pin in pins if pin not in kept] or pins
    place = locate(("sha256", pins[0]))
    message = f"an override cannot drop the pins of {', '.join(dropped)}; change them in {place}"
    origins = [Origin(override=override.input_line) for override in dropping]
    return [Problem(("sha256",), message, origin) for origin in origins]


def _pins(config: DictConfig | None) -> list[str]:
    pins = None if config is None else config.get("sha256")
    return sorted(map(str, pins)) if isinstance(pins, DictConfig) else []


def _complete_weights(config: DictConfig) -> None:
    """Adds the default of `weights.expect`, so that the manifest records it.

    The defaults of all other groups are in the primary config, where that of `weights` is null.
    """
    if isinstance(config.get("weights"), DictConfig):
        with open_dict(config.weights):
            config.weights.setdefault("expect", "full")
