"""Stage 3, build: makes of the config the live object, its weights restored, and describes it."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import hydra.utils
import numpy as np
import tensorflow as tf
from hydra.errors import InstantiationException

from smdecl import restoring, trust, usercode
from smdecl.config import Devices, ExportConfig, Signature
from smdecl.errors import ConfigError, KeyPath, Problem, TrustError, nearest
from smdecl.records import ObjectRecord, VariableRecord
from smdecl.specs import arguments, find_method
from smdecl.tensors import variable_record

_FRAMEWORKS = ("tensorflow", "keras", "tf_keras", "builtins", "abc", "typing", "collections")


@dataclass(frozen=True)
class Built:
    """The live object and its description."""

    obj: Any
    record: ObjectRecord


def build(config: ExportConfig, project: trust.Project) -> Built:
    """Instantiates the model under the config's devices and restores its weights.

    Raises:
        TrustError: Where a `_target_` leads to code that may not run; nothing of the config has run then.
        ConfigError: Where a target does not exist, does not take its arguments, or the weights do not match.
        ModelError: Where the model's own code fails.
    """
    _seed(config.seed)
    _show_devices(config.devices)
    _require_targets(config, project)
    with _placed(config.devices):
        obj = _instantiate(config.model, ("model",))
        _require_trackable(obj, config.model["_target_"])
        _build_layers(obj, config.signatures)
        restored = restoring.restore(obj, config.weights)
    return Built(obj, _describe(obj, restored))


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # the global generator, for that is what models use
    tf.random.set_seed(seed)


def _show_devices(devices: Devices) -> None:
    if devices.visible is None:
        return
    physical = {device.name.rpartition("physical_device:")[2]: device for device in tf.config.list_physical_devices()}
    for index, name in enumerate(devices.visible):
        if name not in physical:
            takes = ", ".join(sorted(physical))
            raise ConfigError(Problem(("devices", "visible", index), f"no device {name!r} here; takes {takes}"))
    tf.config.set_visible_devices([physical[name] for name in devices.visible])


@contextlib.contextmanager
def _placed(devices: Devices) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if devices.strategy is not None:
            stack.enter_context(_instantiate(devices.strategy, ("devices", "strategy")).scope())
        elif devices.build is not None:
            stack.enter_context(tf.device(devices.build))
        yield


def _require_targets(config: ExportConfig, project: trust.Project) -> None:
    """Resolves every `_target_` and judges what it leads to, before any of them is called."""
    parts = {"model": config.model, "devices": {"strategy": config.devices.strategy}, "options": config.options}
    problems: list[Problem] = []
    refused: list[Problem] = []
    for path, target, node in trust.targets(parts):
        try:
            found = _resolve(target, path)
        except ConfigError as error:
            problems += error.problems
            continue
        if reason := trust.refuse_object(found, target, project):
            refused.append(Problem(path, reason))
        else:
            problems += _check_arguments(found, node, path[:-1])
    if problems or refused:
        raise (ConfigError if problems else TrustError)([*refused, *problems])


def _resolve(target: str, path: KeyPath) -> Any:
    """Imports the longest module of a dotted path and follows the rest."""
    parts = target.split(".")
    found: Any = _import(parts[0], path)
    for index, part in enumerate(parts[1:], start=1):
        if not hasattr(found, part) and isinstance(found, ModuleType) and hasattr(found, "__path__"):
            with contextlib.suppress(_NoModuleError):
                _import(".".join(parts[: index + 1]), path)
        if not hasattr(found, part):
            known = [name for name in dir(found) if not name.startswith("_")]
            place = ".".join(parts[:index])
            raise ConfigError(Problem(path, f"{place!r} has no {part!r}{nearest(part, known)}"))
        found = getattr(found, part)
    if not callable(found):
        raise ConfigError(Problem(path, f"{target!r} is {type(found).__name__}, which cannot be called"))
    return found


class _NoModuleError(ConfigError):
    """The module itself does not exist; distinct from one that fails while it is imported."""


def _import(name: str, path: KeyPath) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise _NoModuleError(
                Problem(path, f"no module {name!r} in the current directory or on sys.path")
            ) from error
        raise usercode.failure(path, f"importing {name!r}", error) from error
    except Exception as error:
        raise usercode.failure(path, f"importing {name!r}", error) from error


def _check_arguments(found: Callable[..., Any], node: dict[str, Any], path: KeyPath) -> list[Problem]:
    """Says which arguments in a config node a target does not take, or lacks."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # some builtins and extension classes have none
        return []
    given = [str(key) for key in node if key not in ("_target_", "_args_", "_partial_", "_convert_", "_recursive_")]
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    name = getattr(found, "__qualname__", str(found))
    problems = []
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        takes = ", ".join(named) or "no arguments"
        problems += [
            Problem((*path, key), f"{name} takes no argument {key!r}; takes {takes}{nearest(key, named)}")
            for key in given
            if key not in named
        ]
    if "_args_" not in node and not node.get("_partial_"):
        problems += [
            Problem((*path, p.name), f"is missing: {name} needs the argument {p.name!r}")
            for p in parameters
            if p.default is p.empty and p.name not in given and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
    return problems


def _instantiate(node: dict[str, Any], path: KeyPath) -> Any:
    try:
        # Plain lists and dicts, unless the config says otherwise: TensorFlow and Keras take no OmegaConf containers.
        return hydra.utils.instantiate({"_convert_": "all", **node})
    except InstantiationException as error:
        cause = error.__cause__ or error
        raise usercode.failure(path, f"building {node['_target_']}", cause) from cause


def _require_trackable(obj: Any, target: str) -> None:
    path = ("model", "_target_")
    if not isinstance(obj, tf.__internal__.tracking.Trackable):
        takes = "takes a tf.Module, a Keras model, a tf.train.Checkpoint or another Trackable"
        raise ConfigError(
            Problem(path, f"{target} made a {type(obj).__name__}, which TensorFlow cannot track; {takes}")
        )


def _build_layers(obj: Any, signatures: dict[str, Signature]) -> None:
    """Makes the variables of a Keras model that makes them when it is first called, by the declared specs.

    Without them nothing could be restored; and an example call would freeze its batch size.
    """
    for key, signature in signatures.items():
        method = find_method(obj, signature.method)
        if not isinstance(obj, tf.keras.Model) or obj.built or method is None or signature.inputs is None:
            continue
        try:
            tf.function(lambda method=method, **inputs: method(**inputs)).get_concrete_function(**arguments(signature))
        except Exception as error:
            raise usercode.failure(("signatures", key), f"calling {signature.method}", error) from error


def _describe(obj: Any, restored: restoring.Restored) -> ObjectRecord:
    kind = type(obj)
    return ObjectRecord(
        class_name=f"{kind.__module__}.{kind.__qualname__}",
        variables=tuple(_variables(obj)),
        methods={name: argument_names(method) for name, method in sorted(_methods(obj).items())},
        restored=restored.matched,
        not_restored=restored.unmatched,
    )


def _variables(obj: Any) -> Iterator[VariableRecord]:
    listed = getattr(obj, "variables", None)
    if not isinstance(listed, (list, tuple)):
        listed = [found for found in tf.train.TrackableView(obj).descendants() if isinstance(found, tf.Variable)]
    for variable in listed:
        yield variable_record(variable)


def _methods(obj: Any) -> dict[str, Any]:
    """Returns what a signature can name: the public methods of the user's own classes, and functions it holds."""
    names = {name for kind in type(obj).__mro__ if not _is_framework(kind) for name in vars(kind)}
    names |= {name for name, value in vars(obj).items() if isinstance(value, tf.types.experimental.GenericFunction)}
    if isinstance(obj, tf.keras.Model):
        names.add("__call__")
    found = {name: getattr(obj, name, None) for name in names if name == "__call__" or not name.startswith("_")}
    return {name: method for name, method in found.items() if callable(method) and not inspect.isclass(method)}


def _is_framework(kind: type) -> bool:
    return kind.__module__.partition(".")[0] in _FRAMEWORKS


def argument_names(method: Any) -> tuple[str, ...]:
    """Returns the names of the arguments of a method, of a `tf.function`, or of a function of a loaded SavedModel."""
    owner = getattr(method, "__self__", None)
    if isinstance(owner, tf.keras.layers.Layer) and getattr(method, "__name__", "") == "__call__":
        method = owner.call
    spec = getattr(method, "function_spec", None)
    if spec is not None:
        return tuple(name for name in spec.arg_names if name != "self")
    return tuple(name for name in inspect.signature(method).parameters if name != "self")
