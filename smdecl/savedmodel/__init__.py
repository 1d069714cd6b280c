"""Stage 6: reads any SavedModel from its files, without TensorFlow.

    message = savedmodel.read(directory)
    record = savedmodel.inspect(message)
    findings = savedmodel.audit(message, {"random_ops": "error"})
    difference = savedmodel.diff(before, after)

The package is independent of configs, the other stages and releases.
"""

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from smdecl.savedmodel.audits.auditing import audit
    from smdecl.savedmodel.comparing.diffing import diff
    from smdecl.savedmodel.inspection import inspect, read

__all__ = ["audit", "diff", "inspect", "read"]

# Imported on first use: most importers of a module in this package need none of these.
_MODULES = {
    "audit": "audits.auditing",
    "diff": "comparing.diffing",
    "inspect": "inspection",
    "read": "inspection",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
