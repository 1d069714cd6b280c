"""Stage 1, compose: makes one resolved config of Hydra's config files and overrides.

Hydra itself does the composing. This module puts the user's config directories before the built-in one, words Hydra's
errors, and remembers which line or override each value came from.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from smdecl import resources
from smdecl.config import Composition
from smdecl.errors import ConfigError, KeyPath, Origin, Problem, UsageError, dotted, nearest

PRIMARY = "export"
_PROVIDER = "smdecl"
_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:")


class UserConfigs(SearchPathPlugin):
    """Puts the user's config directories first, for Hydra's own --config-dir ranks below the built-in configs."""

    directories: tuple[Path, ...] = ()

    def manipulate_search_path(self, search_path: Any) -> None:
        """Prepends the directories; called by Hydra."""
        for directory in reversed(self.directories):
            search_path.prepend(_PROVIDER, f"file://{directory}")


def use_config_dirs(directories: Sequence[str | Path]) -> None:
    """Makes every following composition search `directories` first.

    Raises:
        UsageError: Where one is no directory.
    """
    resolved = tuple(Path(directory).resolve() for directory in directories)
    for directory in resolved:
        if not directory.is_dir():
            raise UsageError(f"--config-dir: no directory {str(directory)!r}")
    UserConfigs.directories = resolved
    if UserConfigs not in Plugins.instance().discover(SearchPathPlugin):
        Plugins.instance().register(UserConfigs)


def compose(
    overrides: Sequence[str] = (),
    *,
    config_dirs: Sequence[str | Path] = (),
    config_name: str = PRIMARY,
) -> Composition:
    """Composes the primary config with `overrides`, as Hydra does it.

    Args:
        overrides: Hydra's override grammar: `model=adder`, `+model.x=1`, `~weights`.
        config_dirs: Directories whose configs win over the built-in ones of the same name.
        config_name: The primary config.

    Raises:
        ConfigError: With every override and interpolation that Hydra could not take.
    """
    use_config_dirs(config_dirs)
    with _hydra():
        config, taken, failures = _compose_what_can_be(config_name, overrides)
        problems = [_explain(error, culprit, config) for error, culprit in failures]
        if config is None:
            raise ConfigError(problems) from failures[-1][0]
        HydraConfig.instance().set_config(config)
        return _resolve(config, config_name, taken, problems)


def sweep_dir(overrides: Sequence[str], *, config_name: str = PRIMARY) -> Path:
    """Returns where a sweep writes its results; every variant of it is given this one directory."""
    with _hydra():
        config, _, _ = _compose_what_can_be(config_name, overrides)
        return Path(str((config or hydra_compose(PRIMARY, return_hydra_config=True)).hydra.sweep.dir))


def from_job(config: DictConfig) -> Composition:
    """Returns the composition of a sweep's job, which Hydra has composed already; the job's HydraConfig is set."""
    job = HydraConfig.get()
    sources = [Path(source.path) for source in job.runtime.config_sources if source.provider == _PROVIDER]
    use_config_dirs(sources)
    return _resolve(config, str(job.job.config_name), list(job.overrides.task), [])


@contextmanager
def _hydra() -> Iterator[None]:
    # Hydra keeps its state in singletons; a caller that is itself a Hydra app finds its own again afterwards.
    state = Singleton.get_state()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(resources.conf_dir()), job_name="smdecl", version_base="1.3"):
            yield
    finally:
        Singleton.set_state(state)


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
        except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
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
    return next((override for override in parsed if override.key_or_group in str(error)), None)


def _options(override: Override) -> list[str]:
    value = override.value()
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def _explain(error: Exception, culprit: Override | str | None, config: DictConfig | None) -> Problem:
    """Words one error of Hydra's: what was found, what is taken."""
    if isinstance(culprit, str):
        return Problem((), f"is no override: {_parse_error(error)}", Origin(override=culprit))
    path: KeyPath = tuple(culprit.key_or_group.replace("/", ".").split(".")) if culprit else ()
    origin = Origin(override=culprit.input_line) if culprit else None
    if isinstance(error, MissingConfigException):
        return _explain_missing_option(error, path, origin)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return Problem((), f"is no YAML: {error.problem}", Origin(str(mark.name), mark.line + 1))
    text = " ".join(str(error.__cause__ or error).split())
    if culprit and culprit.is_sweep_override():
        return Problem(path, "is a sweep over several values; add -m to run it as one", origin)
    if culprit and config is not None and not culprit.is_add() and _is_unknown(config, path):
        return Problem(path, _unknown_key(config, path), origin)
    return Problem(path, text, origin)


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
    where = f" (named in {parent.group(1)})" if parent and origin is None else ""
    return Problem(
        path or (group,), f"{option!r} is no option of {group}; takes {takes}{nearest(option, options)}{where}", origin
    )


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
    locate = _Locator(config_name, tuple(overrides), UserConfigs.directories)
    found = list(problems)
    values: dict[str, Any] = {}
    recorded: dict[str, Any] = {}
    for key in config:
        if key != "hydra":
            values[str(key)], recorded[str(key)] = _plain(config, key, (str(key),), found)
    if found:
        raise ConfigError([problem.at(locate(problem.path)) for problem in found])
    return Composition(values, recorded, locate)


def _plain(node: DictConfig | ListConfig, key: Any, path: KeyPath, problems: list[Problem]) -> tuple[Any, Any]:
    """Returns one value resolved, and the same as it may be written down; unlike OmegaConf, finds every error."""
    if OmegaConf.is_missing(node, key):
        problems.append(Problem(path, f"must be given: write {dotted(path)}=..."))
        return None, None
    try:
        value = node[key]
    except OmegaConfBaseException as error:
        problems.append(Problem(path, str(error).splitlines()[0]))
        return None, None
    if isinstance(value, DictConfig):
        pairs = {str(name): _plain(value, name, (*path, str(name)), problems) for name in value}
        return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}
    if isinstance(value, ListConfig):
        items = [_plain(value, index, (*path, index), problems) for index in range(len(value))]
        return [item[0] for item in items], [item[1] for item in items]
    raw = OmegaConf.to_container(node, resolve=False)[key]  # type: ignore[index]
    return value, raw if isinstance(raw, str) and _ENVIRONMENT.search(raw) else value


@dataclass(frozen=True)
class _Locator:
    """Finds the line or the override that a value came from; reads the files anew, for only errors need it."""

    config_name: str
    overrides: tuple[str, ...]
    directories: tuple[Path, ...]

    def __call__(self, path: KeyPath) -> Origin | None:
        """Returns the origin of the longest part of `path` that the config has; the last to set it wins.

        An override of something below `path` goes before the file that holds the rest of it.
        """
        best: tuple[int, Origin | None] = (0, None)
        for place, origin in self._places:
            below = origin.override is not None and place[: len(path)] == path != ()
            if below or (place == path[: len(place)] and len(place) >= best[0]):
                best = min(len(place), len(path)), origin
        return best[1]

    @functools.cached_property
    def _places(self) -> list[tuple[KeyPath, Origin]]:
        use_config_dirs(self.directories)
        places: list[tuple[KeyPath, Origin]] = []
        with _hydra():
            loader = GlobalHydra.instance().config_loader()
            parsed = OverridesParser.create().parse_overrides(list(self.overrides))
            groups = [o for o in parsed if loader.get_group_options(o.key_or_group, ObjectType.CONFIG)]
            defaults = loader.compute_defaults_list(self.config_name, [str(o.input_line) for o in groups], RunMode.RUN)
            for default in defaults.defaults:
                file = _source_file(default.config_path)
                if file is not None:
                    places += _lines(file, default.package or "")
        for override in parsed:
            if override not in groups:
                places.append((tuple(override.key_or_group.split(".")), Origin(override=override.input_line)))
        return places


def _source_file(config_path: str | None) -> Path | None:
    for source in GlobalHydra.instance().config_loader().get_sources():
        file = Path(source.path) / f"{config_path}.yaml"
        if source.scheme() == "file" and file.is_file():
            return file
    return None


def _lines(file: Path, package: str) -> Iterator[tuple[KeyPath, Origin]]:
    prefix: KeyPath = tuple(package.split(".")) if package else ()
    shown = str(file.relative_to(Path.cwd())) if file.is_relative_to(Path.cwd()) else str(file)
    if prefix:
        yield prefix, Origin(shown, 1)
    root = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    if root is not None:
        yield from _node_lines(root, prefix, shown)


def _node_lines(node: yaml.Node, path: KeyPath, file: str) -> Iterator[tuple[KeyPath, Origin]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*path, str(key.value)), Origin(file, key.start_mark.line + 1)
            yield from _node_lines(value, (*path, str(key.value)), file)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), Origin(file, value.start_mark.line + 1)
            yield from _node_lines(value, (*path, index), file)
