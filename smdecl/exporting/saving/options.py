"""Turns the options group of a config into `tf.saved_model.SaveOptions`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import tensorflow as tf

from smdecl.errors import ConfigError, KeyPath, Problem
from smdecl.exporting import user_code
from smdecl.exporting.building.instantiating import instantiate
from smdecl.exporting.signatures.concrete_functions import traces
from smdecl.exporting.signatures.parameters import find_method, is_function
from smdecl.exporting.types import (
    ConcreteFunction,
    ConfigNode,
    GenericFunction,
    Method,
    PythonValue,
    SaveOptions,
    Trackable,
)
from smdecl.printing import result_text

_ALIASES = "function_aliases"
_IO_DEVICE = "experimental_io_device"
_POLICY = "experimental_variable_policy"
_SHARDING = "experimental_sharding_callback"
# The TensorFlow release that added a field; every supported release has the other fields.
SINCE = {"extra_tags": "2.17"}


def save_options(
    obj: Trackable, options: Mapping[str, PythonValue]
) -> SaveOptions:
    """Returns the `tf.saved_model.SaveOptions` of the options group.

    Raises:
        ConfigError: If the installed TensorFlow does not know an option, or an option names a
            function that the object does not have, a device that does not exist, or a target that
            builds the wrong object.
    """
    given = _given(options)
    problems = list(_unsupported(given))
    if _IO_DEVICE in given:
        problems += _io_device_problems(given[_IO_DEVICE])
    if _ALIASES in given and not problems:
        paths = given[_ALIASES]
        given[_ALIASES] = {
            alias: find_method(obj, path) for alias, path in paths.items()
        }
        problems += _alias_problems(obj, paths, given[_ALIASES])
    if problems:
        raise ConfigError(problems)
    if _SHARDING in given:
        given[_SHARDING] = _sharding_callback(given[_SHARDING])
    try:
        return tf.saved_model.SaveOptions(**given)
    except (TypeError, ValueError) as error:
        message = f"refused by TensorFlow: {error}"
        raise ConfigError(Problem(("options",), message)) from error


def _given(options: Mapping[str, PythonValue]) -> dict[str, PythonValue]:
    """Returns the options to pass on: those that differ from TensorFlow's defaults.

    Omitting defaults lets a TensorFlow release that lacks an option accept the rest. The namespaces
    are checked in the saved bytes instead, because TensorFlow overlooks those in branches and
    outside of signatures.
    """
    defaults = tf.saved_model.SaveOptions()
    given = {}
    for name, value in options.items():
        is_default = value is None or value == getattr(defaults, name, False)
        if not is_default and name != "namespace_whitelist":
            given[name] = value
    # TensorFlow lists it among its policies, but does not accept it.
    if given.get(_POLICY) == "none":
        del given[_POLICY]
    return given


def _unsupported(given: Mapping[str, PythonValue]) -> Iterator[Problem]:
    defaults = tf.saved_model.SaveOptions()
    for name in given:
        if not hasattr(defaults, name):
            since = f" (added in {SINCE[name]})" if name in SINCE else ""
            message = (
                f"unknown to the installed TensorFlow {tf.__version__}{since}"
            )
            yield Problem(
                ("options", name), f"{message}; expected its default"
            )


def _io_device_problems(device: str) -> Iterator[Problem]:
    """Yields a problem if the task of an I/O device does not exist.

    TensorFlow reads and writes on the CPU of the task, so the rest of the name does not matter.
    """
    wanted = tf.DeviceSpec.from_string(device)
    tasks = set()
    for listed in tf.config.list_logical_devices("CPU"):
        cpu = tf.DeviceSpec.from_string(listed.name)
        tasks.add((cpu.job or "localhost", cpu.task or 0))
    if (wanted.job or "localhost", wanted.task or 0) not in tasks:
        known = ", ".join(
            f"/job:{job}/task:{task}" for job, task in sorted(tasks)
        )
        message = (
            f"no such task: {device!r}; expected a device of {known}, or null"
        )
        yield Problem(("options", _IO_DEVICE), message)


def _alias_problems(
    obj: Trackable,
    paths: Mapping[str, str],
    found: Mapping[str, Method | None],
) -> Iterator[Problem]:
    """Yields the aliases that TensorFlow would not save.

    Args:
        obj: The object.
        paths: Alias to the dotted path of a function.
        found: Alias to what the path leads to.
    """
    first_alias: dict[str, str] = {}
    for alias, function in found.items():
        key = ("options", _ALIASES, alias)
        path = paths[alias]
        first = first_alias.setdefault(path, alias)
        if not is_function(function):
            kind = type(obj).__name__
            yield Problem(
                key,
                f"expected the path of a tf.function of {kind}, got {path!r}",
            )
        elif not _traces(key, path, function):
            yield Problem(
                key,
                f"expected a traced tf.function, but {path!r} has no trace",
            )
        elif first != alias:
            message = f"{path!r} has the alias {first!r} already, and TensorFlow keeps only one"
            yield Problem(key, message)


def _traces(
    key: KeyPath, path: str, function: GenericFunction
) -> list[ConcreteFunction]:
    """Returns the traces of a function.

    Raises:
        ModelError: If it has an `input_signature`, with which TensorFlow traces it here, and fails.
    """
    try:
        return traces(function)
    except user_code.FAILURES as error:
        raise user_code.failure(key, f"tracing {path}", error) from error


def _sharding_callback(node: ConfigNode) -> PythonValue:
    path = ("options", _SHARDING)
    callback = instantiate(node, path)
    if not isinstance(callback, tf.train.experimental.ShardingCallback):
        found = result_text(callback, node["_target_"])
        message = (
            f"expected a tf.train.experimental.ShardingCallback, got {found}"
        )
        raise ConfigError(Problem(path, message))
    return callback
