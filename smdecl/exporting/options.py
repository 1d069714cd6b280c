"""The save options of a config, as TensorFlow takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from smdecl.errors import ConfigError, Problem
from smdecl.exporting.instantiating import instantiate
from smdecl.exporting.parameters import find_method

_SHARDING = "experimental_sharding_callback"
_IO_DEVICE = "experimental_io_device"
# The first release of TensorFlow that has a field; what is not here, each release has that smdecl runs with.
SINCE = {"extra_tags": "2.17"}


def save_options(obj: Any, options: Mapping[str, Any]) -> Any:
    """Returns the `tf.saved_model.SaveOptions` of the options group.

    Raises:
        ConfigError: Where an option is not one of the installed TensorFlow, names no function of the object or no
            device that is here, or builds something else than TensorFlow takes.
    """
    defaults = tf.saved_model.SaveOptions()
    # The namespaces are looked at in the saved bytes: TensorFlow overlooks those in branches and beside signatures.
    # A field at its default is not given, so that an older TensorFlow that lacks it takes the rest.
    given = {
        name: value
        for name, value in options.items()
        if value is not None
        and name != "namespace_whitelist"
        and value != getattr(defaults, name, False)
    }
    if given.get("experimental_variable_policy") == "none":
        del given[
            "experimental_variable_policy"
        ]  # TensorFlow lists it among its policies, and refuses it
    problems = list(_unknown(given, defaults))
    if _IO_DEVICE in given:
        problems += _check_io_device(given[_IO_DEVICE])
    if "function_aliases" in given and not problems:
        given["function_aliases"] = {
            alias: find_method(obj, path)
            for alias, path in options["function_aliases"].items()
        }
        problems += _check_aliases(
            obj, options["function_aliases"], given["function_aliases"]
        )
    if problems:
        raise ConfigError(problems)
    if (node := given.get(_SHARDING)) is not None:
        given[_SHARDING] = _sharding(node)
    try:
        return tf.saved_model.SaveOptions(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            Problem(("options",), f"are refused by TensorFlow: {error}")
        ) from error


def _unknown(given: Mapping[str, Any], defaults: Any) -> Iterator[Problem]:
    for name in given:
        if not hasattr(defaults, name):
            since = f"; TensorFlow {SINCE[name]} does" if name in SINCE else ""
            message = f"TensorFlow {tf.__version__}, which is installed, does not have it{since}; takes its default"
            yield Problem(("options", name), message)


def _check_io_device(device: str) -> Iterator[Problem]:
    # TensorFlow moves it to the CPU of the task that it names, so that the task is what has to be there.
    wanted = tf.DeviceSpec.from_string(device)
    here = [
        tf.DeviceSpec.from_string(cpu.name)
        for cpu in tf.config.list_logical_devices("CPU")
    ]
    tasks = {(cpu.job or "localhost", cpu.task or 0) for cpu in here}
    if (wanted.job or "localhost", wanted.task or 0) not in tasks:
        known = ", ".join(f"/job:{job}/task:{task}" for job, task in sorted(tasks))
        yield Problem(
            ("options", _IO_DEVICE),
            f"no task of {device!r} here; takes a device of {known}, or null",
        )


def _check_aliases(
    obj: Any, paths: Mapping[str, str], found: Mapping[str, Any]
) -> Iterator[Problem]:
    kind, seen = type(obj).__name__, dict[str, str]()
    for alias, function in found.items():
        key = ("options", "function_aliases", alias)
        if not isinstance(function, tf.types.experimental.GenericFunction):
            yield Problem(key, f"{paths[alias]!r} is no tf.function of {kind}")
        elif not getattr(function, "_list_all_concrete_functions", list)():
            yield Problem(
                key,
                f"{paths[alias]!r} was never traced, so that TensorFlow has nothing to name",
            )
        elif paths[alias] in seen:
            message = f"{paths[alias]!r} has the alias {seen[paths[alias]]!r} already, and TensorFlow keeps one"
            yield Problem(key, message)
        seen.setdefault(paths[alias], alias)


def _sharding(node: dict[str, Any]) -> Any:
    callback = instantiate(node, ("options", _SHARDING))
    if not isinstance(callback, tf.train.experimental.ShardingCallback):
        made = f"{node['_target_']} made a {type(callback).__name__}"
        takes = "takes a tf.train.experimental.ShardingCallback"
        raise ConfigError(Problem(("options", _SHARDING), f"{made}; {takes}"))
    return callback
