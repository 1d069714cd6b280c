"""Stage 1, compose: makes one resolved config of Hydra's config files and overrides.

Hydra itself does the composing. This module puts the user's config directories before the built-in one, words Hydra's
errors, and remembers which line or override each value came from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from smdecl import config_dirs, resolving, resources
from smdecl.config import Composition
from smdecl.errors import ConfigError, KeyPath, Origin, Problem, dotted, nearest
from smdecl.locating import Locator

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
    config_dirs.use(directories)
    with config_dirs.session():
        config, taken, failures = _compose_what_can_be(config_name, overrides)
        problems = [_explain(error, culprit, config, config_name) for error, culprit in failures]
        if config is None:
            raise ConfigError(problems) from failures[-1][0]
        if job is not None:
            _tell(config, job)
        HydraConfig.instance().set_config(config)
        return _resolve(config, config_name, taken, problems)


def _tell(config: DictConfig, job: Job) -> None:
    """Puts into a config what Hydra's own launchers do."""
    with open_dict(config.hydra):
        config.hydra.mode = RunMode.MULTIRUN
        config.hydra.job.num, config.hydra.job.id = job.number, str(job.number)
        config.hydra.runtime.output_dir = str(Path(config.hydra.sweep.dir, str(config.hydra.sweep.subdir)))
    config._metadata.resolver_cache = job.cache  # OmegaConf's own set_cache would copy it


def hydra_settings(overrides: Sequence[str], *, config_name: str = PRIMARY) -> Mapping[str, Any]:
    """Returns Hydra's own settings, unresolved; none where the config cannot be composed, which is told elsewhere.

    Raises:
        ConfigError: Where a setting is none that Hydra takes.
    """
    with config_dirs.session():
        config, _, failures = _compose_what_can_be(config_name, overrides)
        own = [failure for failure in failures if str(getattr(failure[1], "key_or_group", "")).startswith("hydra")]
        if config is None and any("hydra." in override.partition("=")[0] for override in overrides):
            own = failures
        if own:
            raise ConfigError([_explain(error, culprit, config, config_name) for error, culprit in own])
        return {} if config is None else _settings(config)


def _settings(config: Any) -> dict[str, Any]:
    found = OmegaConf.to_container(config.hydra, resolve=False)
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}


def sweep_dir(overrides: Sequence[str], *, config_name: str = PRIMARY) -> Path:
    """Returns where a sweep writes its results; every variant of it is given this one directory.

    Raises:
        ConfigError: Where no variant could be composed, for the primary config cannot be.
    """
    with config_dirs.session():
        config, _, _ = _compose_what_can_be(config_name, overrides)
        failures: list[_Failure] = []
        if config is None:
            config, _, failures = _compose_what_can_be(PRIMARY, [])
        if config is None:
            raise ConfigError([_explain(error, culprit, config, PRIMARY) for error, culprit in failures])
        return Path(str(config.hydra.sweep.dir))


def from_job(config: DictConfig) -> Composition:
    """Returns the composition of a sweep's job, which Hydra has composed already; the job's HydraConfig is set."""
    job = HydraConfig.get()
    sources = [Path(source.path) for source in job.runtime.config_sources if source.provider == config_dirs.PROVIDER]
    config_dirs.use(sources)
    return _resolve(config, str(job.job.config_name), list(job.overrides.task), [])


_Failure = tuple[Exception, "Override | str | None"]


def _compose_what_can_be(
    config_name: str, overrides: Sequence[str]
) -> tuple[DictConfig | None, list[str], list[_Failure]]:
    """Composes, leaving out one by one the overrides that Hydra refuses: it reports only the first."""
    remaining: list[str] = list(overrides)
    failures: list[_Failure] = []
    while True:
        try:
            return hydra_compose(config_name, remaining, return_hydra_config=True), remaining, failures
        except (HydraException, OmegaConfBaseException, yaml.YAMLError, ValueError, AssertionError) as error:
            culprit = _culprit(error, remaining)
            failures.append((error, culprit))
            if culprit is None:
                return None, remaining, failures
            remaining.remove(culprit if isinstance(culprit, str) else str(culprit.input_line))


def _culprit(error: Exception, overrides: Sequence[str]) -> Override | str | None:
    """Returns the override that Hydra's error is about, or None where it is about a file."""
    if isinstance(error, OverrideParseException):
        return error.override
    parsed: list[Override] = OverridesParser.create().parse_overrides(list(overrides))
    if isinstance(error, MissingConfigException):
        missing = error.missing_cfg_file or ""
        return next((o for o in parsed if missing in [f"{o.key_or_group}/{value}" for value in _options(o)]), None)
    quoted = re.search(r"['\"]([^'\"]+)['\"]", str(error))
    subject = quoted.group(1) if quoted else ""
    for override in parsed:
        if subject in (override.key_or_group, override.get_key_element(), override.input_line):
            return override
    if "override must be a string or a list" in str(error):
        return next((override for override in parsed if override.value() is None), None)
    return None


def _options(override: Override) -> list[str]:
    value = override.value()
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def _explain(error: Exception, culprit: Override | str | None, config: DictConfig | None, config_name: str) -> Problem:
    """Words one error of Hydra's: what was found, what is taken."""
    if isinstance(culprit, str):
        return Problem((), f"is no override: {_parse_error(error)}", Origin(override=culprit))
    if isinstance(error, config_dirs.PackageError) and culprit is None:
        file = config_dirs.find(config_name.removesuffix(".yaml"))  # Hydra reads the key in the primary config alone
        return Problem(("hydra", "searchpath"), _text(error), Origin(config_dirs.shown(file)) if file else None)
    return _explain_file(error) if culprit is None else _explain_override(error, culprit, config)


def _explain_override(error: Exception, override: Override, config: DictConfig | None) -> Problem:
    path: KeyPath = tuple(override.key_or_group.replace("/", ".").split("."))
    origin = Origin(override=override.input_line)
    if isinstance(error, MissingConfigException):
        return _explain_missing_option(error, path, origin)
    if isinstance(error, ValueError) and override.value() is None:
        message = f"null is no option; write '~{override.key_or_group}' to choose none"
    elif override.is_sweep_override():
        message = "is a sweep over several values; add -m to run it as one"
    elif config is not None and not override.is_add() and _is_unknown(config, path):
        message = _unknown_key(config, path)
    else:
        message = _text(error)
    return Problem(path, message, origin)


def _explain_file(error: Exception) -> Problem:
    if isinstance(error, MissingConfigException):
        return _explain_missing_option(error, (), None)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return Problem((), f"is no YAML: {error.problem}", Origin(config_dirs.shown(Path(mark.name)), mark.line + 1))
    if isinstance(error, UnicodeDecodeError):
        return Problem((), f"is not UTF-8: {error.reason} at byte {error.start}", _undecodable())
    named = re.match(r"In '([^']+)'", str(error))
    file = config_dirs.find(named.group(1)) if named else None
    return Problem((), _text(error), Origin(config_dirs.shown(file)) if file else None)


def _undecodable() -> Origin | None:
    for file in (file for directory in config_dirs.directories() for file in sorted(directory.rglob("*.yaml"))):
        try:
            file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return Origin(config_dirs.shown(file))
    return None


def _text(error: Exception) -> str:
    return " ".join(str(error.__cause__ or error).split()).partition(" full_key:")[0]


def _parse_error(error: Exception) -> str:
    """Returns the line of Hydra's message that says what was wrong, without the override itself and the pointer."""
    for line in str(error).splitlines():
        if re.search(r"\w", line) and not line.startswith(("Error parsing override", "See https")):
            return line.strip()
    return "quote values that hold $ { } [ ] ( ) , : = or spaces, such as 'key=\"a value\"'"


def _explain_missing_option(error: MissingConfigException, path: KeyPath, origin: Origin | None) -> Problem:
    missing, options = error.missing_cfg_file or "", error.options
    group, _, option = missing.rpartition("/")
    if options is None:
        return Problem(path, f"no config {missing!r} in {resources.conf_dir()} or a --config-dir", origin)
    takes = ", ".join(options)
    parent = re.match(r"In '([^']+)'", str(error))
    origin = origin or _line_that_names(group, option, parent.group(1) if parent else None)
    message = f"{option!r} is no option of {group}; takes {takes}{nearest(option, options)}"
    return Problem(path or (group,), message, origin)


def _line_that_names(group: str, option: str, parent: str | None) -> Origin | None:
    """Finds the line of a defaults list that chooses an option; Hydra names the primary config, wherever it was."""
    chooses = re.compile(rf"^\s*-\s.*\b{re.escape(group)}\b[^:]*:.*(?<!\w){re.escape(option)}(?!\w)")
    for file in (file for directory in config_dirs.directories() for file in sorted(directory.rglob("*.yaml"))):
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if chooses.search(line):
                return Origin(config_dirs.shown(file), number)
    found = config_dirs.find(parent)
    return Origin(config_dirs.shown(found)) if found else None


def _is_unknown(config: DictConfig, path: KeyPath) -> bool:
    node: Any = config
    for part in path:
        if not isinstance(node, DictConfig) or part not in node:
            return True
        node = node._get_node(part)
    return False


def _unknown_key(config: DictConfig, path: KeyPath) -> str:
    node: Any = config
    for depth, part in enumerate(path):
        if not isinstance(node, DictConfig):
            return f"{dotted(path[:depth])} holds no keys"
        if part not in node:
            known = sorted(str(key) for key in node if key != "hydra")
            place = f"of {dotted(path[:depth])}" if depth else "of the config"
            add = f" (to add it, write '+{dotted(path)}=...')" if depth else ""
            return f"{part!r} is no key {place}; takes {', '.join(known)}{nearest(part, known)}{add}"
        node = node._get_node(part)
    return "is unknown"


def _resolve(
    config: DictConfig, config_name: str, overrides: Sequence[str], problems: Sequence[Problem]
) -> Composition:
    locate = Locator(config_name, tuple(overrides), config_dirs.UserConfigs.directories)
    values, recorded, environment, found = resolving.resolve(config)
    settings = _settings(config if "hydra" in config else HydraConfig.instance().cfg)
    composition = Composition(values, recorded, locate, tuple(environment.reads), environment.values, settings)
    if found := [*problems, *found]:
        raise composition.masked(ConfigError(found))
    return composition
