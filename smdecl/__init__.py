"""smdecl: from a config to a verified, reproducible, atomically published TensorFlow SavedModel.

    release = smdecl.export(smdecl.compose(["model=adder", "signatures=scalar_float"]))

Importing smdecl imports no TensorFlow; an export runs it in separate processes.
"""

# Nothing is imported here, not even typing: `python -m smdecl` runs this file with the current
# directory first on its path, where a file may have the name of any module. Type checkers assume
# that this name is true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from smdecl import errors
    from smdecl.api import (
        check,
        compose,
        diff,
        export,
        inspect,
        plan,
        reproduce,
        sweep,
        verify,
    )
    from smdecl.config.settings import Composition
    from smdecl.pipeline.export import Release
    from smdecl.pipeline.outcomes import Checked, Reproduction, Verified
    from smdecl.pipeline.records import Plan
    from smdecl.pipeline.sweeping.variants import Variant
    from smdecl.savedmodel.description_records import DescriptionRecord
    from smdecl.savedmodel.records import DiffRecord

__version__ = "0.2.0"

__all__ = [
    "Checked",
    "Composition",
    "DescriptionRecord",
    "DiffRecord",
    "Plan",
    "Release",
    "Reproduction",
    "Variant",
    "Verified",
    "__version__",
    "check",
    "compose",
    "diff",
    "errors",
    "export",
    "inspect",
    "plan",
    "reproduce",
    "sweep",
    "verify",
]

# The module of each name that is neither defined here nor in smdecl.api.
_MODULES = {
    "Checked": "pipeline.outcomes",
    "Composition": "config.settings",
    "DescriptionRecord": "savedmodel.description_records",
    "DiffRecord": "savedmodel.records",
    "Plan": "pipeline.records",
    "Release": "pipeline.export",
    "Reproduction": "pipeline.outcomes",
    "Variant": "pipeline.sweeping.variants",
    "Verified": "pipeline.outcomes",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    if name == "errors":
        return importlib.import_module("smdecl.errors")
    module = importlib.import_module(f"smdecl.{_MODULES.get(name, 'api')}")
    return getattr(module, name)
