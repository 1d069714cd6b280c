"""Chooses the devices that a model is built and traced on."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping

import tensorflow as tf

from smdecl.config.settings import Devices
from smdecl.errors import ConfigError, Problem
from smdecl.exporting.building.instantiating import instantiate
from smdecl.exporting.types import ConfigNode, DeviceSpec, Strategy
from smdecl.printing import result_text

_THIS_HOST = (None, "localhost")


def show(devices: Devices) -> None:
    """Hides every physical device except those in `devices.visible`; None shows all.

    Raises:
        ConfigError: If a visible device does not exist on this machine.
    """
    if devices.visible is None:
        return
    physical = {}
    for device in tf.config.list_physical_devices():
        _, _, name = device.name.rpartition("physical_device:")
        physical[name] = device
    for index, name in enumerate(devices.visible):
        if name not in physical:
            path = ("devices", "visible", index)
            raise ConfigError(
                Problem(path, _no_such_device(name, sorted(physical)))
            )
    tf.config.set_visible_devices([physical[name] for name in devices.visible])


def require(devices: Devices) -> None:
    """Checks that the devices to build and trace on exist.

    Raises:
        ConfigError: If one does not; lists all of them.
    """
    named = {"build": devices.build, "trace": devices.trace}
    _require_devices(
        {key: [name] for key, name in named.items() if name is not None}
    )


def _require_devices(wanted: Mapping[str, Collection[str]]) -> None:
    """Checks that devices exist, because TensorFlow silently places ops elsewhere if they do not.

    Args:
        wanted: Key below `devices` to the device strings that it names.
    """
    if not any(wanted.values()):
        # Listing devices starts the runtime, and then a model can no longer configure them.
        return
    available = [
        tf.DeviceSpec.from_string(device.name)
        for device in tf.config.list_logical_devices()
    ]
    known = [_short_name(device) for device in available]
    problems = []
    for key, names in wanted.items():
        for name in names:
            spec = tf.DeviceSpec.from_string(name)
            if not any(_matches(spec, device) for device in available):
                message = _no_such_device(name, known)
                problems.append(Problem(("devices", key), message))
    if problems:
        raise ConfigError(problems)


def _no_such_device(name: str, known: Collection[str]) -> str:
    return f"no such device: {name!r}; expected one of {', '.join(known)}"


def _matches(wanted: DeviceSpec, device: DeviceSpec) -> bool:
    """Returns whether `wanted` can refer to `device`; the parts that it omits match anything.

    The devices of other jobs are unknown here, so they count as a match.
    """
    if wanted.job not in _THIS_HOST:
        return True
    if wanted.device_type and wanted.device_type != device.device_type:
        return False
    return wanted.device_index in (None, device.device_index)


def _short_name(device: DeviceSpec) -> str:
    return f"/device:{device.device_type}:{device.device_index}"


@contextlib.contextmanager
def building_on(devices: Devices) -> Iterator[None]:
    """Places what is built in this context under `devices.strategy` or on `devices.build`.

    Raises:
        ConfigError: If both are set, or the strategy cannot be built or needs missing devices.
    """
    with contextlib.ExitStack() as stack:
        if devices.strategy is not None:
            if devices.build is not None:
                message = (
                    f"expected null, got {devices.build!r}:"
                    " devices.strategy decides where variables are placed"
                )
                raise ConfigError(Problem(("devices", "build"), message))
            strategy = _build_strategy(devices.strategy)
            stack.enter_context(strategy.scope())
        elif devices.build is not None:
            stack.enter_context(tf.device(devices.build))
        yield


def _build_strategy(node: ConfigNode) -> Strategy:
    path = ("devices", "strategy")
    strategy = instantiate(node, path)
    if not isinstance(strategy, tf.distribute.Strategy):
        found = result_text(strategy, node["_target_"])
        message = f"expected a tf.distribute.Strategy, got {found}"
        raise ConfigError(Problem((*path, "_target_"), message))
    _require_devices({"strategy": _devices_of(strategy)})
    return strategy


def _devices_of(strategy: Strategy) -> list[str]:
    """Returns the devices that a strategy computes on or keeps variables on."""
    extended = strategy.extended
    names = [*extended.worker_devices, *extended.parameter_devices]
    devices = []
    for name in dict.fromkeys(names):
        spec = tf.DeviceSpec.from_string(name)
        is_here = spec.job in _THIS_HOST
        devices.append(_short_name(spec) if is_here else spec.to_string())
    return devices
