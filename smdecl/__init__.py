"""smdecl: from a config to a verified, reproducible, atomically published TensorFlow SavedModel.

    release = smdecl.export(smdecl.compose(["model=adder", "signatures=scalar_float"]))

Importing smdecl imports no TensorFlow; an export runs it in processes of its own.
"""

from smdecl import errors
from smdecl.api import Composition, Release, compose, export

__version__ = "0.1.0"

__all__ = ["Composition", "Release", "__version__", "compose", "errors", "export"]
