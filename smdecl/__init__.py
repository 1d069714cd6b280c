"""smdecl: from a config to a verified, reproducible, atomically published TensorFlow SavedModel.

    release = smdecl.export(smdecl.compose(["model=adder", "signatures=scalar_float"]))

Importing smdecl imports no TensorFlow; an export runs it in processes of its own.
"""

# Nothing is imported here: `python -m smdecl` comes by with the current directory first on its path, where a file may
# have the name of any module. Type checkers take this name for true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from smdecl import errors
    from smdecl.api import Composition, Release, compose, export

__version__ = "0.2.0.dev0"

__all__ = ["Composition", "Release", "__version__", "compose", "errors", "export"]


def __getattr__(name: str) -> object:
    import importlib

    if name == "errors":
        return importlib.import_module("smdecl.errors")
    if name in ("Composition", "Release", "compose", "export"):
        return getattr(importlib.import_module("smdecl.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
