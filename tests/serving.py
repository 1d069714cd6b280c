"""Serves a SavedModel as TensorFlow Serving does."""

from smdecl.savedmodel import inspection
from smdecl.verification import load


def serve(path, key, **inputs):
    """Runs a signature through the C++ loader."""
    graph = inspection.read(path).meta_graphs[0]
    return load.load_cpp(path, sorted(graph.meta_info_def.tags), graph.signature_def)(key, inputs)
