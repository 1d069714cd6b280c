"""Stage 3, build: makes of the config the live object, its weights restored, and describes it."""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import hydra.utils
import numpy as np
import tensorflow as tf
from hydra.errors import InstantiationException

from smdecl.config import trust
from smdecl.config.frameworks import LOAD_KERAS
from smdecl.config.project import Project, make_importable
from smdecl.config.settings import Devices, ExportConfig, Signature
from smdecl.errors import (
    ConfigError,
    KeyPath,
    ModelError,
    Problem,
    TrustError,
    UsageError,
    nearest,
)
from smdecl.exporting import (
    keras_models,
    keras_state,
    matching,
    methods,
    objects,
    restore,
    unloadable,
    user_code,
)
from smdecl.exporting.specs import (
    argument_names,
    argument_problems,
    arguments,
    find_method,
    type_spec,
)
from smdecl.exporting.tensors import is_variable, variable_record
from smdecl.savedmodel.records import ObjectRecord, VariableRecord

_HYDRA_KEYS = ("_target_", "_args_", "_partial_", "_convert_", "_recursive_")
_FULL_KEY = re.compile(r"full_key: (\S+)\s*$")


@dataclass(frozen=True)
class Built:
    """The live object and its description.

    Attributes:
        obj: The object.
        record: Its description.
        reference: The model that the weights' own file holds, which the object has to agree with; None for none.
    """

    obj: Any
    record: ObjectRecord
    reference: Any = None


def build(config: ExportConfig, project: Project) -> Built:
    """Instantiates the model under the config's devices and restores its weights.

    Raises:
        TrustError: Where a `_target_` leads to code that may not run; nothing of the config has run then.
        ConfigError: Where a target does not exist, does not take its arguments, a signature names a method or
            arguments that the object does not have, or the weights do not match.
        ModelError: Where the model's own code fails.
    """
    make_importable()
    _seed(config.seed)
    keras_models.use_defaults()  # before the model's own modules, which may set others
    _show_devices(config.devices)
    _require_targets(config, project)
    placed = {"build": config.devices.build, "trace": config.devices.trace}
    _require_devices({key: [name] for key, name in placed.items() if name is not None})
    with _placed(config.devices):
        obj = instantiate(config.model, ("model",))
        _require_trackable(obj, config.model["_target_"])
        _require_methods(obj, config.signatures, project)
        build_layers(obj, config.signatures)
        _require_eager()
        methods.require(obj, config.signatures)
        restored = restore.restore(obj, config.weights)
    return Built(obj, _describe(obj, restored), restored.reference)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)  # the global generator, for that is what models use
    tf.random.set_seed(seed)
    # TensorFlow makes its global generator when it is first asked for, of the machine's entropy. To make it here would
    # start the runtime, after which a model's own code can no longer divide the devices.
    drawn = random.Random(seed)
    tf.random.Generator.from_non_deterministic_state = lambda alg=None: (
        tf.random.Generator.from_seed(drawn.getrandbits(63), alg)
    )


def _show_devices(devices: Devices) -> None:
    if devices.visible is None:
        return
    physical = {
        device.name.rpartition("physical_device:")[2]: device
        for device in tf.config.list_physical_devices()
    }
    for index, name in enumerate(devices.visible):
        if name not in physical:
            takes = ", ".join(sorted(physical))
            raise ConfigError(
                Problem(
                    ("devices", "visible", index),
                    f"no device {name!r} here; takes {takes}",
                )
            )
    tf.config.set_visible_devices([physical[name] for name in devices.visible])


def _require_devices(wanted: Mapping[str, Collection[str]]) -> None:
    """Refuses devices that are not here, by the key of the config that names them.

    TensorFlow would take another one without a word.
    """
    # Listing them starts TensorFlow's runtime, after which a model's own code can no longer divide them.
    listed = tf.config.list_logical_devices() if any(wanted.values()) else []
    here = [tf.DeviceSpec.from_string(device.name) for device in listed]
    takes = ", ".join(_short(device) for device in here)
    problems = []
    for key, names in wanted.items():
        for name in names:
            spec = tf.DeviceSpec.from_string(name)
            if not any(_covers(spec, device) for device in here):
                problems.append(
                    Problem(("devices", key), f"no device {name!r} here; takes {takes}")
                )
    if problems:
        raise ConfigError(problems)


def _covers(wanted: Any, device: Any) -> bool:
    """Tells whether a partial device string stands for a device; what it leaves open, or another job, is anything."""
    return wanted.job not in (None, "localhost") or (
        (wanted.device_type or device.device_type) == device.device_type
        and (
            device.device_index if wanted.device_index is None else wanted.device_index
        )
        == device.device_index
    )


def _short(device: Any) -> str:
    return f"/device:{device.device_type}:{device.device_index}"


@contextlib.contextmanager
def _placed(devices: Devices) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        if devices.strategy is not None:
            if devices.build is not None:
                takes = "takes null beside devices.strategy, which places variables by itself"
                raise ConfigError(
                    Problem(("devices", "build"), f"got {devices.build!r}; {takes}")
                )
            strategy = instantiate(devices.strategy, ("devices", "strategy"))
            if not isinstance(strategy, tf.distribute.Strategy):
                made = (
                    f"{devices.strategy['_target_']} made a {type(strategy).__name__}"
                )
                path = ("devices", "strategy", "_target_")
                raise ConfigError(
                    Problem(path, f"{made}; takes a tf.distribute.Strategy")
                )
            _require_devices({"strategy": _devices_of(strategy)})
            stack.enter_context(strategy.scope())
        elif devices.build is not None:
            stack.enter_context(tf.device(devices.build))
        yield


def _devices_of(strategy: Any) -> list[str]:
    """Returns the devices that a strategy computes and keeps variables on."""
    named = [*strategy.extended.worker_devices, *strategy.extended.parameter_devices]
    specs = [tf.DeviceSpec.from_string(device) for device in dict.fromkeys(named)]
    return [
        spec.to_string() if spec.job not in (None, "localhost") else _short(spec)
        for spec in specs
    ]


def _require_targets(config: ExportConfig, project: Project) -> None:
    """Resolves every `_target_` and judges what it leads to, before any of them is called."""
    parts = {
        "model": config.model,
        "devices": {"strategy": config.devices.strategy},
        "options": config.options,
    }
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
            problems += _check_hydra_keys(node, path[:-1]) or _check_arguments(
                found, node, path[:-1]
            )
    if problems or refused:
        raise (TrustError if refused else ConfigError)([*refused, *problems])


def _resolve(target: str, path: KeyPath) -> Any:
    """Imports the longest module of a dotted path and follows the rest."""
    parts = target.split(".")
    found: Any = _import(parts[0], path)
    for index, part in enumerate(parts[1:], start=1):
        if (
            not _has(found, part, path)
            and isinstance(found, ModuleType)
            and hasattr(found, "__path__")
        ):
            with contextlib.suppress(_NoModuleError):
                _import(".".join(parts[: index + 1]), path)
        if not _has(found, part, path):
            known = [name for name in dir(found) if not name.startswith("_")]
            place = ".".join(parts[:index])
            raise ConfigError(
                Problem(path, f"{place!r} has no {part!r}{nearest(part, known)}")
            )
        found = getattr(found, part)
    if not callable(found):
        raise ConfigError(
            Problem(
                path, f"{target!r} is {type(found).__name__}, which cannot be called"
            )
        )
    return found


def _has(found: Any, name: str, path: KeyPath) -> bool:
    try:
        return hasattr(found, name)
    except (
        Exception
    ) as error:  # a module's own __getattr__, or a property of an object in it
        raise user_code.failure(path, f"looking up {name!r}", error) from error


class _NoModuleError(ConfigError):
    """The module itself does not exist; distinct from one that fails while it is imported."""


def _import(name: str, path: KeyPath) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (
            name == error.name or name.startswith(error.name + ".")
        ):
            raise _NoModuleError(
                Problem(
                    path, f"no module {name!r} in the current directory or on sys.path"
                )
            ) from error
        raise user_code.failure(path, f"importing {name!r}", error) from error
    except UsageError:  # a script that calls smdecl as it is imported
        raise
    except Exception as error:
        raise user_code.failure(path, f"importing {name!r}", error) from error


def _check_hydra_keys(node: dict[str, Any], path: KeyPath) -> list[Problem]:
    """Says which of the keys that steer Hydra hold what Hydra would fail on, or pass over."""
    takes: dict[str, tuple[Callable[[Any], bool], str]] = {
        "_args_": (lambda value: isinstance(value, list), "a list"),
        "_partial_": (lambda value: isinstance(value, bool), "true or false"),
        "_recursive_": (lambda value: isinstance(value, bool), "true or false"),
        "_convert_": (
            lambda value: value in ("none", "partial", "object", "all"),
            "none, partial, object or all",
        ),
    }
    return [
        Problem((*path, key), f"got {node[key]!r}; takes {known}")
        for key, (fits, known) in takes.items()
        if key in node and not fits(node[key])
    ]


def _check_arguments(
    found: Callable[..., Any], node: dict[str, Any], path: KeyPath
) -> list[Problem]:
    """Says which arguments in a config node a target does not take, or lacks."""
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except (TypeError, ValueError):  # some builtins and extension classes have none
        return []
    name = getattr(found, "__qualname__", str(found))
    given = [str(key) for key in node if key not in _HYDRA_KEYS]
    positional = [
        p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    count = len(node.get("_args_", ()))
    in_place = {p.name for p in positional[:count]}
    named = [
        p.name
        for p in parameters
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    problems = []
    if count > len(positional) and not any(
        p.kind is p.VAR_POSITIONAL for p in parameters
    ):
        problems.append(
            Problem(
                (*path, "_args_"),
                f"{name} takes at most {len(positional)} positional; got {count}",
            )
        )
    problems += [
        Problem((*path, key), f"{name} is given {key!r} in _args_ already")
        for key in given
        if key in in_place & {*named}
    ]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        takes = ", ".join(named) or "no arguments"
        problems += [
            Problem(
                (*path, key),
                f"{name} takes no argument {key!r}; takes {takes}{nearest(key, named)}",
            )
            for key in given
            if key not in named
        ]
    if not node.get("_partial_"):
        problems += [
            Problem(
                (*path, p.name), f"is missing: {name} needs the argument {p.name!r}"
            )
            if p.name in named
            else Problem(
                (*path, "_args_"), f"is missing: {name} needs {p.name!r} by position"
            )
            for p in parameters
            if p.default is p.empty
            and p.name not in in_place
            and (p.name not in given or p.name not in named)
            and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        ]
    return problems


def instantiate(node: dict[str, Any], path: KeyPath) -> Any:
    """Builds what a checked node of the config names; `path` is its key."""
    try:
        # Plain lists and dicts, unless the config says otherwise: TensorFlow and Keras take no OmegaConf containers.
        return hydra.utils.instantiate({"_convert_": "all", **node})
    except InstantiationException as error:
        cause = error.__cause__ or error
        place, failed = _failed_target(node, path, str(error))
        if failed["_target_"] == LOAD_KERAS:
            raise unloadable.failure(place, failed, cause) from cause
        raise user_code.failure(
            place, f"building {failed['_target_']}", cause
        ) from cause


def _failed_target(
    node: dict[str, Any], path: KeyPath, message: str
) -> tuple[KeyPath, Mapping[str, Any]]:
    """Returns key path and node of the target that failed, which is `node` or one in it; Hydra's message tells."""
    full_key = _FULL_KEY.search(message)
    place, found, target = path, node, node
    for part in re.findall(r"[^.\[\]]+", full_key.group(1)) if full_key else ():
        key = int(part) if isinstance(found, list) else part
        try:
            found = found[key]
        except (LookupError, TypeError):  # a key that itself holds a dot
            break
        place = (*place, key)
        if isinstance(found, dict) and "_target_" in found:
            target = found
    return place, target


def _require_eager() -> None:
    if not tf.executing_eagerly():
        message = "its code switched eager execution off; takes a model of TensorFlow 2, without tf.compat.v1's switches"
        raise ModelError(Problem(("model", "_target_"), message))


def _require_trackable(obj: Any, target: str) -> None:
    path = ("model", "_target_")
    own = getattr(obj, "signatures", None)
    if (
        own is not None and type(own).__name__ != "_SignatureMap"
    ):  # what tf.saved_model.load gives its objects
        message = f"{target} has an attribute 'signatures' of its own, which SavedModels reserve; call it otherwise"
        raise ConfigError(Problem(path, message))
    if not isinstance(obj, tf.__internal__.tracking.Trackable):
        if isinstance(obj, functools.partial):
            raise ConfigError(
                Problem(
                    ("model", "_partial_"),
                    "got true, so nothing is built; takes false for the model",
                )
            )
        takes = "takes a tf.Module, a Keras model, a tf.train.Checkpoint or another Trackable"
        raise ConfigError(
            Problem(
                path,
                f"{target} made a {type(obj).__name__}, which TensorFlow cannot track; {takes}",
            )
        )


def _require_methods(
    obj: Any, signatures: dict[str, Signature], project: Project
) -> None:
    """Judges what the signatures lead to, before any of it is called; a function is traced, and was built to be."""
    methods = {
        key: find_method(obj, signature.method) for key, signature in signatures.items()
    }
    problems = [
        Problem(
            ("signatures", key, "method"),
            f"{signatures[key].method!r} leads to {reason}",
        )
        for key, method in methods.items()
        if method is not None
        and not isinstance(method, _TRACED)
        and (reason := trust.refuse_method(method, project))
    ]
    if problems:
        raise TrustError(problems)


_TRACED = (
    tf.types.experimental.GenericFunction,
    tf.types.experimental.ConcreteFunction,
)


def build_layers(obj: Any, signatures: dict[str, Signature]) -> None:
    """Makes the variables of a Keras model that makes them when it is first called, by the declared specs.

    Without them nothing could be restored; and an example call would freeze its batch size.
    """
    for key, signature in signatures.items():
        method = find_method(obj, signature.method)
        if (
            not keras_models.is_model(obj)
            or obj.built
            or method is None
            or not _takes(method, signature)
        ):
            continue
        try:
            _trace_once(obj, method, signature)
        except Exception as error:
            raise user_code.failure(
                ("signatures", key), f"calling {signature.method}", error
            ) from error


def _trace_once(obj: Any, method: Any, signature: Signature) -> None:
    positional, keywords = arguments(method, signature.inputs or {}, type_spec)
    try:
        _fresh(method).get_concrete_function(*positional, **keywords)
    except Exception:
        if not keras_state.rederive(obj):
            raise
        _fresh(method).get_concrete_function(*positional, **keywords)
    keras_state.rederive(obj)


def _fresh(method: Any) -> Any:
    """Returns a function whose trace is not the one that will be saved: that one is to find the variables made."""
    own = getattr(method, "input_signature", None)
    is_traced = isinstance(method, tf.types.experimental.GenericFunction)
    return tf.function(method, input_signature=own, autograph=not is_traced)


def _takes(method: Any, signature: Signature) -> bool:
    """Tells whether a method can be called with the declared inputs; where it cannot, tracing says why."""
    if signature.inputs is None:
        return getattr(method, "input_signature", None) is not None
    return not argument_problems((), "", method, signature.inputs)


def _describe(obj: Any, restored: matching.Restored) -> ObjectRecord:
    kind = type(obj)
    return ObjectRecord(
        class_name=f"{kind.__module__}.{kind.__qualname__}",
        variables=tuple(_variables(obj)),
        methods={
            name: argument_names(method)
            for name, method in sorted(methods.of(obj).items())
        },
        restored=restored.matched,
        not_restored=restored.unmatched,
    )


def _variables(obj: Any) -> Iterator[VariableRecord]:
    listed = getattr(obj, "variables", None)
    known = (
        [item for item in listed if is_variable(item)]
        if isinstance(listed, (list, tuple))
        else []
    )
    if not keras_models.is_model(obj):
        # What a tf.Module lists has no variables of the Keras 3 layers that it holds.
        seen = {id(variable) for variable in known}
        tracked = objects.tracked(obj)
        known += [
            item for item in tracked if is_variable(item) and id(item) not in seen
        ]
    for variable in known:
        yield variable_record(variable)
