"""Loads SavedModels by `tf.saved_model.load` and by the C++ session loader of TensorFlow Serving.

Each returns a function that runs a signature on arrays. If TensorFlow comes without its C API,
`tf.compat.v1.saved_model.load` replaces the C++ loader: it runs the graph in a session, too.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from smdecl import files
from smdecl.exporting import user_code
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.savedmodel.protos import SignatureDef
from smdecl.verification import c_api
from smdecl.verification.c_api import LoaderError

SignatureRunner: TypeAlias = Callable[
    [str, Mapping[str, Array]], dict[str, Array]
]
"""Runs the signature with a key on arrays by input name; returns arrays by output name."""

Loader: TypeAlias = Callable[
    [Path, Sequence[str], Mapping[str, SignatureDef]], SignatureRunner
]
"""Loads from a directory the MetaGraphDef with exact tags and with SignatureDefs by key."""

_SessionRunner: TypeAlias = Callable[
    [Mapping[str, Array], Sequence[str]], list[Array]
]

_UNKNOWN_OP = re.compile(r"Op type not registered '([^']+)'")


@contextmanager
def plain_path(directory: Path) -> Iterator[Path]:
    """Yields a path to a directory that TensorFlow does not mistake for a glob pattern.

    Given a pattern, TensorFlow finds no variables, or those of a different directory that matches.
    """
    if files.PATTERN.isdisjoint(str(directory)):
        yield directory
        return
    place = None if files.PATTERN.isdisjoint(tempfile.gettempdir()) else "/tmp"
    with tempfile.TemporaryDirectory(prefix="smdecl-", dir=place) as scratch:
        link = Path(scratch, "release")
        link.symlink_to(directory.absolute())
        yield link


def load_python(
    directory: Path,
    tags: Sequence[str],
    _signatures: Mapping[str, SignatureDef],
) -> SignatureRunner:
    """Loads by `tf.saved_model.load`."""
    loaded = tf.saved_model.load(str(directory), tags=list(tags))

    def run(signature: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        outputs = loaded.signatures[signature](**tensors)
        return {name: to_array(value) for name, value in outputs.items()}

    return run


def to_array(tensor: tf.Tensor) -> Array:
    """Returns the array of an eager tensor, with TensorFlow's NumPy dtype even for a scalar.

    `np.asarray` strips trailing NUL bytes from a text scalar, and fails on scalars whose dtype
    comes from ml_dtypes.
    """
    return np.array(tensor.numpy(), dtype=tensor.dtype.as_numpy_dtype)


def load_cpp(
    directory: Path,
    tags: Sequence[str],
    signatures: Mapping[str, SignatureDef],
) -> SignatureRunner:
    """Loads by `TF_LoadSessionFromSavedModel` of TensorFlow's C API, as a server does.

    Args:
        directory: The directory of the SavedModel.
        tags: The exact tags of the MetaGraphDef.
        signatures: The SignatureDefs of the MetaGraphDef, by key.

    Raises:
        LoaderError: If it cannot be loaded; the returned function raises it if a call fails.
    """
    session = c_api.Session(directory, tags)
    return _by_signature(session.run, signatures)


def load_session(
    directory: Path,
    tags: Sequence[str],
    signatures: Mapping[str, SignatureDef],
) -> SignatureRunner:
    """Loads by `tf.compat.v1.saved_model.load` into a session, with the arguments of `load_cpp`.

    Raises:
        tf.errors.OpError: If it cannot be loaded; the returned function raises it if a call fails.
    """
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        tf.compat.v1.saved_model.load(session, list(tags), str(directory))

    def run(feeds: Mapping[str, Array], fetches: Sequence[str]) -> list[Array]:
        values = session.run(list(fetches), dict(feeds))
        arrays = []
        for name, value in zip(fetches, values, strict=True):
            dtype = session.graph.get_tensor_by_name(name).dtype
            arrays.append(np.array(value, dtype=dtype.as_numpy_dtype))
        return arrays

    return _by_signature(run, signatures)


def _by_signature(
    run: _SessionRunner,
    signatures: Mapping[str, SignatureDef],
) -> SignatureRunner:
    """Wraps the runner of a session, which uses the graph's tensor names, as one of signatures."""

    def call(signature: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        if signature not in signatures:
            raise LoaderError(f"the graph has no signature {signature!r}")
        definition = signatures[signature]
        unknown = set(inputs) - set(definition.inputs)
        if unknown:
            raise LoaderError(
                f"{signature} has no input {', '.join(sorted(unknown))}"
            )
        feeds = {
            definition.inputs[name].name: value
            for name, value in inputs.items()
        }
        names = sorted(definition.outputs)
        values = run(feeds, [definition.outputs[name].name for name in names])
        return dict(zip(names, values, strict=True))

    return call


_LOADERS: dict[str, Loader] = {
    "python": load_python,
    "cpp": load_cpp,
    "session": load_session,
}


def available(name: str) -> str:
    """Returns the name of a loader, or of the one that replaces it."""
    if name == "cpp" and not c_api.is_available():
        return "session"
    return name


def load_by(
    name: str,
    directory: Path,
    tags: Sequence[str],
    signatures: Mapping[str, SignatureDef],
) -> SignatureRunner:
    """Loads by the loader with a name, or by the one that replaces it; see `Loader`."""
    return _LOADERS[available(name)](directory, tags, signatures)


def reason(error: Exception) -> str:
    """Returns why a SavedModel cannot be loaded or run."""
    unknown = _UNKNOWN_OP.search(str(error))
    if unknown is None:
        return user_code.summary(error)
    return (
        f"nothing registers the op {unknown[1]!r}; name the package or library that registers it"
        " under custom_ops in [tool.smdecl] of pyproject.toml"
    )
