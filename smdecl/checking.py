"""Stage 2, check: makes of the composed config the records of an export, or tells everything that is wrong with it.

First the JSON Schema, then plain functions for what a schema cannot say. No TensorFlow is imported.
"""

from __future__ import annotations

import keyword
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from smdecl import config, digests, op_sets, schema, trust
from smdecl.config import Composition, ExportConfig, Signature, Spec
from smdecl.errors import ConfigError, KeyPath, Problem, TrustError, disk_errors, nearest
from smdecl.records import RESERVED_KEYS

_DEVICE = re.compile(
    r"(/job:\w+)?(/replica:\d+)?(/task:\d+)?(/?(device:)?(CPU|GPU|TPU|cpu|gpu|tpu|XLA_\w+|TPU_SYSTEM):(\d+|\*))?"
)
_PHYSICAL_DEVICE = re.compile(r"(CPU|GPU|TPU):\d+")
# What TensorFlow keeps as the name of an input; anything else it rewrites, or fails on with a misleading message.
_INPUT_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")


def check(composition: Composition, project: trust.Project) -> ExportConfig:
    """Returns the export that a composed config describes.

    Raises:
        TrustError: Where all that is wrong is code that may not run.
        ConfigError: With every problem, each with its file and line or override.
    """
    values = composition.values
    if unfit := list(_check_form(values)):
        raise composition.masked(ConfigError(unfit))  # what the other checks rely on
    broken = schema.problems("config", values)
    broken_paths = {problem.path for problem in broken}
    broken_parts = {problem.path[:1] for problem in broken} | {problem.path[:2] for problem in broken}
    found = [problem for path, rule in _RULES if path not in broken_parts for problem in rule(values)]
    for key, value in _mapping(values, "signatures").items():
        if ("signatures", key) not in broken_parts and ("signatures",) not in broken_paths:
            found += _check_signature(("signatures", key), config.parse_signature(value))
    if ("verify",) not in broken_parts:
        found += _check_files(values["verify"]["examples"], project)
    refused = [problem for problem in _check_trust(values, project) if problem.path not in broken_paths]
    refused += [Problem(path, reason) for path, reason in trust.refuse_environment(composition.reads, project)]
    refused += [Problem(path, reason) for path, reason in trust.refuse_hydra(composition.hydra, project)]
    if problems := [*broken, *found, *refused]:
        kind = TrustError if len(refused) == len(problems) else ConfigError
        raise composition.masked(kind(problems))
    return config.parse(values)


def _check_form(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Checks what no schema can say of the whole: how deep it is, that its keys are words, that numbers are finite."""
    pending: list[tuple[KeyPath, Any]] = [((), values)]
    while pending:
        path, value = pending.pop()
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        if items and len(path) >= _DEEPEST:
            yield Problem(path[:3], f"is nested more than {_DEEPEST} deep")
            return
        for key, item in items:
            if isinstance(value, dict) and not isinstance(key, str) and path[:1] != ("model",):
                message = f"is a key that is no text, but {type(key).__name__}; write it in quotes"
                yield Problem((*path, str(key)), message)
            else:
                pending.append(((*path, key), item))


_DEEPEST = 64


def _mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _check_trust(values: Mapping[str, Any], project: trust.Project) -> Iterator[Problem]:
    for path, target, node in trust.targets(dict(values)):
        if reason := trust.refuse_target(target, project):
            yield Problem(path, reason)
        elif ".applications." in target and node.get("weights", "imagenet") is not None:
            yield Problem(path, "would download weights; write weights: null beside it and restore them by weights=...")


def _check_signature(path: KeyPath, signature: Signature) -> Iterator[Problem]:
    if path[-1] in RESERVED_KEYS:
        yield Problem(path, f"{path[-1]!r} is reserved by TensorFlow; choose another signature key")
    specs = [(("inputs", *place), spec) for place, _, spec in config.input_names(signature.inputs or {})]
    specs += [(("outputs", name), spec) for name, spec in (signature.outputs or {}).items()]
    for place, spec in specs:
        yield from _check_spec((*path, *place), spec)
    yield from _check_input_names((*path, "inputs"), signature)
    yield from _check_output_names((*path, "outputs"), signature)
    yield from _check_output_dims(path, signature)


def _check_spec(path: KeyPath, spec: Spec) -> Iterator[Problem]:
    for index, dim in enumerate(spec.shape or ()):
        if isinstance(dim, str) and not dim.isidentifier():
            hint = f"write {dim} without quotes" if dim.isdigit() else "write null for an unknown size"
            yield Problem((*path, "shape", index), f"{dim!r} cannot name a dim; takes a name such as batch; {hint}")
    if spec.kind == "ragged" and (spec.shape is None or len(spec.shape) <= spec.ragged_rank):
        rank = "unknown" if spec.shape is None else len(spec.shape)
        yield Problem(
            (*path, "ragged_rank"), f"got {spec.ragged_rank} for a shape of rank {rank}; takes less than the rank"
        )


def _check_input_names(path: KeyPath, signature: Signature) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    whole: dict[str, tuple[str, str]] = {}
    for _, name, spec in config.input_names(signature.inputs or {}):
        whole |= {part: (str(name), spec.kind) for part in [*config.parts(str(name), spec)][1:]}
    for place, name, _ in config.input_names(signature.inputs or {}):
        where = (*path, *place)
        if name is None:
            yield Problem(
                (*where, "name"), "is missing: one argument takes several tensors here, so each needs a name of its own"
            )
        elif name in whole:
            other, kind = whole[name]
            message = f"{name!r} is taken by a part of the input {other!r}, which is {kind}; choose another"
            yield Problem((*where, "name"), message)
        elif reason := refuse_input_name(name, seen):
            yield Problem((*where, "name"), reason)
        else:
            seen[_sanitized(name)] = name


def _check_output_names(path: KeyPath, signature: Signature) -> Iterator[Problem]:
    seen: set[str] = set()
    for own, spec in (signature.outputs or {}).items():
        names = set(config.parts(spec.name or own, spec))
        if taken := sorted(names & seen):
            place = (*path, own, "name") if spec.name is not None else (*path, own)
            yield Problem(place, f"{taken[0]!r} is taken by another output")
        seen |= names


def _sanitized(name: str) -> str:
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def refuse_input_name(name: str, seen: Mapping[str, str]) -> str | None:
    """Says why TensorFlow would not keep the name of an input, and what it would become; None where it does.

    Args:
        name: Of the input.
        seen: The names before it, by what TensorFlow makes of them.
    """
    if name in seen.values():
        return f"{name!r} is taken by another input; TensorFlow would turn it into {name + '_1'!r}"
    if (other := seen.get(_sanitized(name))) is not None:
        return f"{name!r} and {other!r} are one name to TensorFlow, which would turn one into {name + '_1'!r}"
    if name == "self" or keyword.iskeyword(name):
        return f"{name!r} is a word that Python reserves; choose another"
    if not _INPUT_NAME.fullmatch(name):
        became = re.sub(r"[^A-Za-z0-9_.\\/>-]", "_", name).lstrip("_\\/>-") or "unknown"
        return (
            f"{name!r} cannot be kept by TensorFlow, which would turn it into {became!r}; takes letters, digits and"
            " _ . - / after a first letter or digit"
        )
    return None


def _check_output_dims(path: KeyPath, signature: Signature) -> Iterator[Problem]:
    if signature.inputs is None:
        return
    known = {
        dim for _, _, spec in config.input_names(signature.inputs) for dim in spec.shape or () if isinstance(dim, str)
    }
    for name, spec in (signature.outputs or {}).items():
        for index, dim in enumerate(spec.shape or ()):
            if isinstance(dim, str) and dim not in known:
                takes = f"the inputs have {', '.join(sorted(known))}" if known else "the inputs name none"
                yield Problem(
                    (*path, "outputs", name, "shape", index),
                    f"no input has a dim named {dim!r}, so it can agree with nothing; {takes}{nearest(dim, known)}",
                )


def _check_devices(values: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("build", "trace"):
        yield from _check_device(("devices", key), values["devices"][key])
    for index, device in enumerate(values["devices"]["visible"] or ()):
        if not _PHYSICAL_DEVICE.fullmatch(device):
            yield Problem(("devices", "visible", index), f"{device!r} is no physical device; takes CPU:0, GPU:1, ...")


def _check_options(values: Mapping[str, Any]) -> Iterator[Problem]:
    options = values["options"]
    yield from _check_device(("options", "experimental_io_device"), options["experimental_io_device"])
    if options["experimental_image_format"]:
        yield Problem(
            ("options", "experimental_image_format"), "is refused by TensorFlow's open-source builds; takes false"
        )


def _check_device(path: KeyPath, device: str | None) -> Iterator[Problem]:
    if device is not None and not _DEVICE.fullmatch(device):
        yield Problem(path, f"{device!r} is no device; takes /device:CPU:0, /job:worker/task:1/device:GPU:0, ...")


def _check_publish(values: Mapping[str, Any]) -> Iterator[Problem]:
    publish = values["publish"]
    if publish["version"] is None:
        for key in ("keep", "models_config"):
            if publish[key] is not None:
                takes = "takes null beside publish.version=null: a server looks for versions"
                yield Problem(("publish", key), f"got {publish[key]!r}; {takes}")
    record = publish["run_record"]
    if record is not None and (
        reason := _refuse_path(record) or (f"{record!r} is a directory" if Path(record).is_dir() else None)
    ):
        yield Problem(("publish", "run_record"), reason)


def _check_sha256(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Compares the digests that a config asks for: a file that is another one is no input of this release."""
    for name, wanted in values["sha256"].items():
        if "\0" in name or not Path(name).is_file():
            yield Problem(("sha256", name), f"no file {name!r}")
            continue
        try:
            found = digests.sha256(Path(name))
        except OSError as error:
            yield Problem(("sha256", name), f"{name!r} cannot be read: {error.strerror}")
            continue
        if found != wanted:
            yield Problem(
                ("sha256", name), f"{name!r} is another file: its sha256 is {found}, and the config has {wanted}"
            )


def _check_consumer(values: Mapping[str, Any]) -> Iterator[Problem]:
    release = values["audit"]["consumer"]["tensorflow"]
    if release is not None and release not in (known := op_sets.releases()):
        takes = f"takes {known[0]} to {known[-1]}, whose ops are known"
        yield Problem(("audit", "consumer", "tensorflow"), f"got {release!r}; {takes}")


def _check_weights(values: Mapping[str, Any]) -> Iterator[Problem]:
    weights = values["weights"]
    if weights is None:
        return
    path, suffixes = weights["path"], {"keras": ".keras", "keras_weights": ".weights.h5"}
    suffix = suffixes.get(weights["format"], "")
    if not path.endswith(suffix):
        yield Problem(("weights", "path"), f"{path!r} is no {weights['format']}; takes a file that ends in {suffix}")
    expected = {"checkpoint": f"{path}.index", "saved_model": f"{path}/saved_model.pb"}.get(weights["format"], path)
    if not Path(expected).is_file():
        yield Problem(("weights", "path"), f"no file {expected!r}; takes the {_WEIGHTS[weights['format']]}")


_WEIGHTS = {
    "checkpoint": "prefix of a checkpoint, without .index",
    "saved_model": "directory of a SavedModel",
    "keras": "path of a .keras file",
    "keras_weights": "path of a .weights.h5 file",
}


def _check_verify(values: Mapping[str, Any]) -> Iterator[Problem]:
    signatures = _mapping(values, "signatures")
    # Where none is declared, the object's own may still turn out to be the default one.
    keys = list(signatures) or ["serving_default"]
    for part in ("examples", "ranges", "tolerances"):
        for key in values["verify"][part]:
            if key not in keys:
                message = f"{key!r} is no signature; takes {', '.join(keys)}{nearest(key, keys)}"
                yield Problem(("verify", part, key), message)
    yield from _check_tolerances(values["verify"])
    for key, ranges in values["verify"]["ranges"].items():
        known = _known_inputs(signatures.get(key))
        for name, (least, greatest) in ranges.items():
            path = ("verify", "ranges", key, name)
            if not (math.isfinite(least) and math.isfinite(greatest)):
                yield Problem(path, f"got [{least}, {greatest}]; takes finite numbers")
            if known is not None and name not in known:
                yield Problem(path, f"{name!r} is no input; takes {', '.join(known)}{nearest(name, known)}")
            if least > greatest:
                yield Problem(path, f"got [{least}, {greatest}]; takes the least value first")
    for key, examples in values["verify"]["examples"].items():
        known = _known_inputs(signatures.get(key))
        for index, example in enumerate(examples):
            yield from _check_example_inputs(("verify", "examples", key, index, "inputs"), example["inputs"], known)


def _check_tolerances(verify: Mapping[str, Any]) -> Iterator[Problem]:
    given: dict[KeyPath, Any] = {(kind,): verify[kind] for kind in ("rtol", "atol")}
    given |= {
        ("tolerances", key, output, kind): value
        for key, outputs in verify["tolerances"].items()
        for output, values in outputs.items()
        for kind, value in values.items()
    }
    for path, value in given.items():
        if value is not None and math.isnan(value):
            yield Problem(("verify", *path), "got NaN, which nothing is close to; takes a number from 0")


def _check_files(examples: Mapping[str, Any], project: trust.Project) -> Iterator[Problem]:
    """Checks the files of examples: they go into the release, so that a config may name those of the project alone."""
    for key, cases in examples.items():
        for index, example in enumerate(cases):
            for part in ("inputs", "outputs"):
                for name, value in example.get(part, {}).items():
                    if isinstance(value, dict):
                        path = ("verify", "examples", key, index, part, name, "file")
                        file = Path(value["file"])
                        if "\0" in value["file"]:
                            yield Problem(path, f"{value['file']!r} is no name of a file")
                        elif not file.resolve().is_relative_to(project.root.resolve()):
                            yield Problem(path, f"{value['file']!r} lies outside of the project, {str(project.root)!r}")
                        elif not file.is_file():
                            yield Problem(path, f"no file {value['file']!r}")


def _known_inputs(values: Any) -> list[str] | None:
    if not isinstance(values, dict) or not isinstance(values.get("inputs"), dict):
        return None
    try:
        inputs = config.parse_signature(values).inputs or {}
    except (KeyError, TypeError):  # the schema has said so already
        return None
    return [name for _, name, _ in config.input_names(inputs) if name is not None]


def _check_example_inputs(path: KeyPath, inputs: Mapping[str, Any], known: list[str] | None) -> Iterator[Problem]:
    if known is None:
        return
    for name in inputs:
        if name not in known:
            yield Problem((*path, name), f"{name!r} is no input; takes {', '.join(known)}{nearest(name, known)}")
    for name in known:
        if name not in inputs:
            yield Problem((*path, name), "is missing: an example gives every input")


def _refuse_path(text: str) -> str | None:
    try:
        parts = [os.fsencode(part) for part in Path(text).parts]
    except UnicodeEncodeError:
        return f"{text!r} holds what no file can be named by"
    if "\0" in text or any(len(part) > _LONGEST_NAME for part in parts):
        return f"{text[:40]!r}... holds a NUL or a name of more than {_LONGEST_NAME} bytes, which no directory can have"
    return None


_LONGEST_NAME = 255  # bytes, on every file system of Linux


def _check_export_dir(values: Mapping[str, Any]) -> Iterator[Problem]:
    if "://" in values["export_dir"]:
        return  # whether a store takes it, publishing finds out before anything is built
    if reason := _refuse_path(values["export_dir"]):
        yield Problem(("export_dir",), reason)
        return
    path = Path(values["export_dir"])
    if patterns := sorted(set(str(path)) & set("*?[]\\")):
        message = f"{str(path)!r} holds {' '.join(patterns)}, which TensorFlow takes for a pattern; takes another name"
        yield Problem(("export_dir",), message)
    for part in (path, *path.parents):
        with disk_errors(part):
            is_file = part.exists() and not part.is_dir()
        if is_file:
            yield Problem(("export_dir",), f"{str(part)!r} is a file; takes a directory, existing or not")
            return


_RULES: Iterable[tuple[KeyPath, Any]] = (
    (("devices",), _check_devices),
    (("options",), _check_options),
    (("audit",), _check_consumer),
    (("weights",), _check_weights),
    (("verify",), _check_verify),
    (("publish",), _check_publish),
    (("sha256",), _check_sha256),
    (("export_dir",), _check_export_dir),
)
