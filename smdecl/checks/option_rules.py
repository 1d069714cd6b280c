"""Checks device names, save options and the TensorFlow release that consumes the export."""

from __future__ import annotations

import re

from smdecl.checks.types import Problems
from smdecl.config.types import Values
from smdecl.errors import KeyPath, Problem
from smdecl.savedmodel.audits import op_sets

_DEVICE = re.compile(
    r"(/job:\w+)?(/replica:\d+)?(/task:\d+)?"
    r"(/?(device:)?(CPU|GPU|TPU|cpu|gpu|tpu|XLA_\w+|TPU_SYSTEM):(\d+|\*))?"
)
_PHYSICAL_DEVICE = re.compile(r"(CPU|GPU|TPU):\d+")


def check_devices(values: Values) -> Problems:
    """Yields the names in `devices` that TensorFlow cannot parse."""
    devices = values["devices"]
    for key in ("build", "trace"):
        yield from _check_device(("devices", key), devices[key])
    for index, device in enumerate(devices["visible"] or ()):
        if not _PHYSICAL_DEVICE.fullmatch(device):
            message = f"invalid physical device {device!r}; expected one such as CPU:0 or GPU:1"
            yield Problem(("devices", "visible", index), message)


def check_options(values: Values) -> Problems:
    """Yields what is wrong with the save options."""
    options = values["options"]
    path = ("options", "experimental_io_device")
    yield from _check_device(path, options["experimental_io_device"])
    if options["experimental_image_format"]:
        reason = "open-source builds of TensorFlow refuse true"
        path = ("options", "experimental_image_format")
        yield Problem(path, f"expected false: {reason}")


def _check_device(path: KeyPath, device: str | None) -> Problems:
    if device is not None and not _DEVICE.fullmatch(device):
        expected = "expected one such as /device:CPU:0 or /job:worker/task:1/device:GPU:0"
        yield Problem(path, f"invalid device {device!r}; {expected}")


def check_consumer(values: Values) -> Problems:
    """Yields a problem if the ops of the release in `audit.consumer.tensorflow` are unknown."""
    release = values["audit"]["consumer"]["tensorflow"]
    if release is None:
        return
    known = op_sets.releases()
    if release not in known:
        expected = f"expected {known[0]} to {known[-1]}"
        message = f"the ops of TensorFlow {release!r} are unknown; {expected}"
        yield Problem(("audit", "consumer", "tensorflow"), message)
