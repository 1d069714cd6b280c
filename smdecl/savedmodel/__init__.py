"""Stage 6: reads any SavedModel from its files, without TensorFlow.

    message = savedmodel.read(directory)
    record = savedmodel.inspect(message)
    findings = savedmodel.audit(message, {"random_ops": "error"})
    difference = savedmodel.diff(before, after)

The package stands alone: it knows no config, no stage and no release.
"""

import importlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from smdecl.savedmodel.auditing import audit
    from smdecl.savedmodel.diffing import diff
    from smdecl.savedmodel.inspection import inspect, read

__all__ = ["audit", "diff", "inspect", "read"]

# Imported on first use: most who import a module of this package need none of these.
_MODULES = {
    "audit": "auditing",
    "diff": "diffing",
    "inspect": "inspection",
    "read": "inspection",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return getattr(module, name)
