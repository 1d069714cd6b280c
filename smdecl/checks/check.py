"""Stage 2, check: makes of the composed config the records of an export, or tells everything that is wrong with it.

First the JSON Schema, then plain functions for what a schema cannot say. No TensorFlow is imported.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from smdecl import files, schema
from smdecl.checks import (
    misplaced_keys,
    paths,
    sign_key,
    signature_rules,
    verify_rules,
    weights_rules,
)
from smdecl.config import frameworks, hydra_trust, parsing, trust
from smdecl.config.project import Project
from smdecl.config.settings import Composition, ExportConfig
from smdecl.errors import ConfigError, KeyPath, Problem, TrustError
from smdecl.savedmodel import op_sets

_DEVICE = re.compile(
    r"(/job:\w+)?(/replica:\d+)?(/task:\d+)?(/?(device:)?(CPU|GPU|TPU|cpu|gpu|tpu|XLA_\w+|TPU_SYSTEM):(\d+|\*))?"
)
_PHYSICAL_DEVICE = re.compile(r"(CPU|GPU|TPU):\d+")


def check(composition: Composition, project: Project) -> ExportConfig:
    """Returns the export that a composed config describes.

    Raises:
        TrustError: Where code that may not run is among it.
        ConfigError: With every problem, each with its file and line or override.
    """
    values = composition.values
    if unfit := list(_check_form(values)):
        raise composition.masked(ConfigError(unfit))  # what the other checks rely on
    broken = schema.problems("config", values)
    broken_paths = {problem.path for problem in broken}
    broken_parts = {problem.path[:1] for problem in broken} | {
        problem.path[:2] for problem in broken
    }
    found = [
        problem
        for path, rule in _RULES
        if path not in broken_parts
        for problem in rule(values)
    ]
    for key, value in _mapping(values, "signatures").items():
        if ("signatures", key) not in broken_parts and (
            "signatures",
        ) not in broken_paths:
            found += signature_rules.check(
                ("signatures", key), parsing.parse_signature(value)
            )
    if ("functions",) not in broken_parts and ("signatures",) not in broken_paths:
        keys = _mapping(values, "signatures")
        found += signature_rules.check_functions(_mapping(values, "functions"), keys)
    if ("sha256",) not in broken_parts:
        found += _check_sha256(values, project)
    if ("publish",) not in broken_parts:
        found += paths.check_written(composition, project)
    if ("verify",) not in broken_parts:
        found += verify_rules.check_files(values, project)
    refused = [
        problem
        for problem in _check_trust(values, project)
        if problem.path not in broken_paths
    ]
    refused += [
        Problem(path, reason)
        for path, reason in trust.refuse_environment(composition.reads, project)
    ]
    refused += [
        Problem(path, reason)
        for path, reason in hydra_trust.refuse_settings(composition.hydra, project)
    ]
    shown = misplaced_keys.instead_of(_shortened(broken, values), values)
    if problems := [*shown, *found, *refused]:
        absent = {
            path
            for path, target, _ in trust.targets(dict(values))
            if trust.is_absent(target)
        }
        kind = (
            TrustError
            if {problem.path for problem in refused} - absent
            else ConfigError
        )
        raise composition.masked(kind(problems))
    return parsing.parse(values)


def _shortened(broken: list[Problem], values: Mapping[str, Any]) -> list[Problem]:
    """Returns one problem for all missing keys that `conf/export.yaml` has defaults for."""
    known = schema.load("config")
    absent = [key for key in known["required"] if key not in values]
    if len(absent) < _MOST_REMOVED:
        return broken
    default = {*absent, *known["x-groups"]} - (_WITHOUT_DEFAULTS & set(values))
    rest = []
    for problem in broken:
        if not {*problem.path[:1]} & default or _is_there(values, problem.path):
            rest.append(problem)
    has_them = "begin its defaults list with '- export', which has them"
    return [
        Problem((), f"the primary config lacks {', '.join(absent)}; {has_them}"),
        *rest,
    ]


_MOST_REMOVED = 4  # keys: fewer may be missing because of overrides such as ~seed
_WITHOUT_DEFAULTS = {"model", "signatures", "weights"}


def _is_there(values: Any, path: KeyPath) -> bool:
    for part in path:
        if isinstance(values, dict) and part not in values:
            return False
        values = values[part]
    return True


def warnings(checked: ExportConfig) -> Iterator[Problem]:
    """Yields what may be wrong with a config that passed the checks."""
    yield from verify_rules.lost_zeros(checked.verify.examples)


def located_warnings(checked: ExportConfig, composition: Composition) -> list[Problem]:
    """Returns the warnings of a config with their files and lines or overrides."""
    return [
        problem.at(composition.locate(problem.path)) for problem in warnings(checked)
    ]


def _check_form(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Checks what no schema can say of the whole: how deep it is, and that JSON can hold its keys and values."""
    pending: list[tuple[KeyPath, Any]] = [((), values)]
    while pending:
        path, value = pending.pop()
        items = (
            value.items()
            if isinstance(value, dict)
            else enumerate(value)
            if isinstance(value, list)
            else ()
        )
        if items and len(path) >= _DEEPEST:
            yield Problem(path[:3], f"is nested more than {_DEEPEST} deep")
            return
        for key, item in items:
            if isinstance(value, dict) and not isinstance(key, str):
                # What {shape: batch, 4} is to YAML: a key 4 without a value.
                lost = (
                    "; a list takes brackets, such as [batch, 3]"
                    if item is None
                    else ""
                )
                message = f"is a key that is no text, but {type(key).__name__}; write it in quotes{lost}"
                yield Problem((*path, str(key)), message)
            elif isinstance(item, int) and item.bit_length() > _MOST_BITS:
                yield Problem(
                    (*path, key), "is an integer of more than 4300 digits; takes fewer"
                )
            elif isinstance(item, bytes) and path[:2] == ("verify", "examples"):
                yield Problem((*path, key), "is !!binary; write it as {b64: TEXT}")
            elif not isinstance(item, _PLAIN):
                message = f"is {type(item).__name__}, which no manifest can hold; takes text, numbers, lists, mappings"
                yield Problem((*path, key), message)
            else:
                pending.append(((*path, key), item))


_DEEPEST = 64
_MOST_BITS = 14_284  # of 4300 digits, which Python writes no integer of more than
_PLAIN = (str, int, float, type(None), list, dict)


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _check_trust(values: Mapping[str, Any], project: Project) -> Iterator[Problem]:
    for path, target, node in trust.targets(dict(values)):
        if reason := trust.refuse_target(target, project):
            yield Problem(path, reason)
        elif ".applications." in target and node.get("weights", "imagenet") is not None:
            yield Problem(
                path,
                "would download weights; write weights: null beside it and restore them by weights=...",
            )
        else:
            for place, file in frameworks.files(target, node):
                if reason := trust.refuse_file(file, project) or files.refuse_holes(
                    file
                ):
                    yield Problem((*path[:-1], *place), reason)
    yield from itertools.starmap(Problem, frameworks.refuse_arguments(dict(values)))


def _check_devices(values: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("build", "trace"):
        yield from _check_device(("devices", key), values["devices"][key])
    for index, device in enumerate(values["devices"]["visible"] or ()):
        if not _PHYSICAL_DEVICE.fullmatch(device):
            yield Problem(
                ("devices", "visible", index),
                f"{device!r} is no physical device; takes CPU:0, GPU:1, ...",
            )


def _check_options(values: Mapping[str, Any]) -> Iterator[Problem]:
    options = values["options"]
    yield from _check_device(
        ("options", "experimental_io_device"), options["experimental_io_device"]
    )
    if options["experimental_image_format"]:
        yield Problem(
            ("options", "experimental_image_format"),
            "is refused by TensorFlow's open-source builds; takes false",
        )


def _check_device(path: KeyPath, device: str | None) -> Iterator[Problem]:
    if device is not None and not _DEVICE.fullmatch(device):
        yield Problem(
            path,
            f"{device!r} is no device; takes /device:CPU:0, /job:worker/task:1/device:GPU:0, ...",
        )


def _check_publish(values: Mapping[str, Any]) -> Iterator[Problem]:
    publish = values["publish"]
    if publish["version"] is None:
        for key in ("keep", "models_config"):
            if publish[key] is not None:
                takes = "takes null beside publish.version=null: a server looks for versions"
                yield Problem(("publish", key), f"got {publish[key]!r}; {takes}")
    for key in paths.WRITTEN:
        if publish[key] is not None and (reason := paths.refuse_file(publish[key])):
            yield Problem(("publish", key), reason)
    if (record := publish["run_record"]) is not None and paths.lies_in(
        record, values["export_dir"]
    ):
        place = f"{record!r} lies in export_dir, {values['export_dir']!r}, where only releases are"
        yield Problem(
            ("publish", "run_record"), f"{place}; takes a place outside of it"
        )
    if publish["sign"] is not None:
        try:
            sign_key.require_key(Path(publish["sign"]))
        except ConfigError as error:
            yield from error.problems


def _check_sha256(values: Mapping[str, Any], project: Project) -> Iterator[Problem]:
    """Compares the digests that a config asks for: a file that is another one is no input of this release."""
    for name, wanted in values["sha256"].items():
        if paths.refuse_path(name) or not Path(name).is_file():
            yield Problem(("sha256", name), f"no file {name!r}")
            continue
        try:
            found = files.sha256(Path(name))
        except OSError as error:
            yield Problem(
                ("sha256", name), f"{name!r} cannot be read: {error.strerror}"
            )
            continue
        if found != wanted:
            # Of a file that is not the project's a config is to find out nothing, were it of the weights that it names.
            is_ours = trust.refuse_file(name, project) is None
            told = (
                f"has the sha256 {found}"
                if is_ours
                else "is another file than the one with this digest"
            )
            yield Problem(("sha256", name), f"{name!r} {told}; takes {wanted}")


def _check_consumer(values: Mapping[str, Any]) -> Iterator[Problem]:
    release = values["audit"]["consumer"]["tensorflow"]
    if release is not None and release not in (known := op_sets.releases()):
        takes = f"takes {known[0]} to {known[-1]}, whose ops are known"
        yield Problem(("audit", "consumer", "tensorflow"), f"got {release!r}; {takes}")


_RULES: Iterable[tuple[KeyPath, Any]] = (
    (("devices",), _check_devices),
    (("options",), _check_options),
    (("audit",), _check_consumer),
    (("weights",), weights_rules.check),
    (("model",), weights_rules.check_models),
    (("verify",), verify_rules.check),
    (("publish",), _check_publish),
    (("export_dir",), paths.check_export_dir),
)
