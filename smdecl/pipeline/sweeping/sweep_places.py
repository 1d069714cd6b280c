"""Checks where a sweep writes: its releases, its records, and the configs that launchers save.

A config from a stranger must not overwrite files outside the project. An override on the command
line may name any directory. The rules apply to resolved paths, because interpolations and Hydra's
settings for names can add `..` to any path.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString

from smdecl.checks import paths
from smdecl.config.project import Project
from smdecl.config.settings import Composition
from smdecl.errors import ConfigError, KeyPath, Problem
from smdecl.pipeline.sweeping.sweep_resume import Target

DIR = ("hydra", "sweep", "dir")
SUBDIR = ("hydra", "sweep", "subdir")
OUTPUT_SUBDIR = ("hydra", "output_subdir")
_DEFAULT = "sweeps"  # contains the default directory of each sweep
_SAVED = ("config.yaml", "hydra.yaml", "overrides.yaml")
_INTERPOLATION = "${"
# What differs between any two variants. Their names may not: exclude_keys can leave any key out.
_DISTINCT = re.compile(r"\$\{hydra[.:]job\.(num|id)\}")


class Places:
    """The directories in which a sweep may write."""

    def __init__(self, project: Project, overrides: Sequence[str]) -> None:
        """Reads the overrides of the command line, which may name further directories."""
        self._project = project
        self._texts = _named(overrides)
        self._named = {
            key: _literal(text) for key, text in self._texts.items()
        }
        self._taken: dict[Path, str] = {}
        # The variant of each base path and version; the version None stands for `next` and null.
        self._releases: dict[str, dict[int | None, str]] = defaultdict(dict)
        self._allowed = [*project.writes]
        if project.is_project:
            self._allowed.append(project.root)
        else:
            self._allowed.append(project.root / _DEFAULT)

    def names(self, key: KeyPath) -> bool:
        """Returns whether an override on the command line sets a key."""
        return key in self._named

    def require_dir(self, directory: Path) -> None:
        """Raises unless the sweep may write its records into a directory.

        Raises:
            ConfigError: If the directory is outside the project, and no override names it.
        """
        self._require(DIR, Path(), directory)
        # What the command line names may contain the variants too.
        self._allowed.append(paths.real(directory))

    def take(self, variant: Path, overrides: Sequence[str]) -> None:
        """Reserves the directory of a variant's record for it.

        Raises:
            ConfigError: If a different variant has it.
        """
        own = " ".join(overrides)
        other = self._taken.setdefault(paths.real(variant), own)
        if other != own:
            message = (
                f"the variants {other} and {own} would share the directory {str(variant)!r};"
                " expected a name for each, such as ${hydra.job.num}"
            )
            raise ConfigError(Problem(SUBDIR, message))

    def take_base(
        self,
        composition: Composition,
        subdirectory: str,
        overrides: Sequence[str],
    ) -> None:
        """Reserves the place of a variant's release for it.

        Two variants in one base path would get their versions in a random order, unless the config
        sets the number of both.

        Args:
            composition: The config of the variant.
            subdirectory: Its directory below its export_dir.
            overrides: Its overrides.

        Raises:
            ConfigError: If a different variant may publish the same version.
        """
        base = Target.of(composition, subdirectory).base.rstrip("/")
        if not paths.is_remote(base):
            if paths.refuse_path(base):  # `check` reports it
                return
            base = str(paths.real(base))
        taken = self._releases[base]
        number = _number(composition.values.get("publish"))
        if number is None:
            other = next(iter(taken.values()), None)
        else:
            other = taken.get(number, taken.get(None))
        if other is None:
            taken[number] = " ".join(overrides)
            return
        message = (
            f"the variant {other} publishes into {base!r} too; expected a different"
            " export_dir or name, or a different number as publish.version of each"
        )
        problem = Problem(("export_dir",), message)
        raise composition.masked(ConfigError(problem))

    def require_distinct(self) -> None:
        """Raises unless variants that a sweeper adds get directories of their own.

        Raises:
            ConfigError: If the override of the directory is the same for several variants.
        """
        text = self._texts[SUBDIR]
        if not _DISTINCT.search(text):
            message = (
                f"the sweeper decides which variants there are, and they would share {text!r};"
                " expected ${hydra.job.num} in it"
            )
            raise ConfigError(Problem(SUBDIR, message))

    def require_subdir(self, directory: Path, variant: Path) -> None:
        """Raises unless a variant may have its record in a directory.

        Raises:
            ConfigError: If the directory is outside the project, and no override names it.
        """
        self._require(SUBDIR, directory, variant)

    def require_variant(
        self, directory: Path, settings: Mapping[str, Any]
    ) -> None:
        """Raises unless a variant may have its record, and Hydra its configs, where they would be.

        Args:
            directory: The directory of the sweep.
            settings: Hydra's settings for the variant.

        Raises:
            ConfigError: If they would be outside the project, and no override names the place.
        """
        variant = Path(settings["runtime"]["output_dir"])
        self.require_subdir(directory, variant)
        if settings["output_subdir"] is not None:
            self.require_output(variant, settings["output_subdir"])

    def require_output(self, variant: Path, subdirectory: str) -> None:
        """Raises unless Hydra may save the configs of a variant in a subdirectory.

        Raises:
            ConfigError: If the directory is outside the project, and no override names it.
        """
        # Hydra removes .. from the path of the variant before it follows links.
        for parent in dict.fromkeys([variant, _normal(variant)]):
            output = parent / subdirectory
            self._require(OUTPUT_SUBDIR, parent, output)
            for name in _SAVED:
                self._require(OUTPUT_SUBDIR, parent, output / name)

    def _require(self, key: KeyPath, parent: Path, path: Path) -> None:
        reason = paths.refuse_path(str(path))
        if reason is None:
            reason = self._refuse(key, parent, path)
        if reason is not None:
            raise ConfigError(Problem(key, reason))

    def _refuse(self, key: KeyPath, parent: Path, path: Path) -> str | None:
        if _INTERPOLATION in str(path):
            return (
                f"expected a path without {_INTERPOLATION}, got {str(path)!r}"
            )
        allowed = [*self._allowed]
        if key in self._named:
            allowed.append(parent / self._named[key])
        real = [paths.real(place) for place in allowed]
        for place in (paths.real(path), paths.real(_normal(path))):
            if not any(place.is_relative_to(parent) for parent in real):
                return self._outside(path)
        return None

    def _outside(self, path: Path) -> str:
        project = self._project
        return (
            f"{str(path)!r} is outside the project {str(project.root)!r}; expected a path in it,"
            f" in a directory that writes under [tool.smdecl] of {project.file} names,"
            " or an override on the command line"
        )


def override(key: KeyPath, text: str) -> str:
    """Returns an override that sets a key to a text."""
    quoted = QuotedString(text, Quote.single).with_quotes()
    name = ".".join(map(str, key))
    return f"{name}={quoted}"


def _number(publish: object) -> int | None:
    """Returns the version that the part `publish` of a config sets; None for any other value."""
    version = publish.get("version") if isinstance(publish, dict) else None
    return version if isinstance(version, int) else None


def _normal(path: Path) -> Path:
    # Path has no function that removes .. without following links.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _named(overrides: Sequence[str]) -> dict[KeyPath, str]:
    """Returns the text of each override of a place."""
    found: dict[KeyPath, str] = {}
    for parsed in OverridesParser.create().parse_overrides(list(overrides)):
        if parsed.is_delete() or parsed.is_sweep_override():
            continue
        path = tuple(parsed.key_or_group.split("."))
        for key, text in _texts(path, parsed.value()):
            if key in (DIR, SUBDIR, OUTPUT_SUBDIR):
                found[key] = text
    return found


def _texts(path: KeyPath, value: object) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (*path, str(key)), str(item)
    else:
        yield path, str(value)


def _literal(text: str) -> str:
    """Returns the directory that a text names itself, before any interpolation.

    A config may set what an interpolation refers to.
    """
    before, interpolation, _ = text.partition(_INTERPOLATION)
    # Not Path.parent, which ignores a / at the end.
    return os.path.dirname(before) if interpolation else text  # noqa: PTH120
