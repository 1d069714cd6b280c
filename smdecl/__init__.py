"""smdecl: from a config to a verified, reproducible, atomically published TensorFlow SavedModel.

    release = smdecl.export(smdecl.compose(["model=adder", "signatures=scalar_float"]))

Importing smdecl imports no TensorFlow; an export runs it in processes of its own.
"""

from typing import TYPE_CHECKING, Any

from smdecl import errors

if TYPE_CHECKING:
    from smdecl.api import Composition, Release, compose, export

__version__ = "0.2.0.dev0"

__all__ = ["Composition", "Release", "__version__", "compose", "errors", "export"]


def __getattr__(name: str) -> Any:
    # Hydra takes a while to import, and the command line has TensorFlow to start before that.
    if name in ("Composition", "Release", "compose", "export"):
        from smdecl import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
