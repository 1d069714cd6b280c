"""The two loaders that people use: `tf.saved_model.load`, and the C++ session loader that TensorFlow Serving uses.

Both make of a SavedModel a function from signature key and named arrays to named arrays. Where TensorFlow comes without
its C API, `tf.compat.v1.saved_model.load` stands in for the second: a session loads and runs the graph there too.
"""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from smdecl import files

Loaded = Callable[[str, Mapping[str, Any]], dict[str, Any]]
_Run = Callable[[Mapping[str, Any], Sequence[str]], list[Any]]


@contextmanager
def plain_path(directory: Path) -> Iterator[Path]:
    """Gives a path of a directory that TensorFlow takes for no pattern.

    By a pattern it finds no variables, or those of another directory that the pattern fits.
    """
    if files.PATTERN.isdisjoint(str(directory)):
        yield directory
        return
    place = None if files.PATTERN.isdisjoint(tempfile.gettempdir()) else "/tmp"
    with tempfile.TemporaryDirectory(prefix="smdecl-", dir=place) as scratch:
        link = Path(scratch, "release")
        link.symlink_to(directory.absolute())
        yield link


def load_python(directory: Path, tags: Sequence[str], _signatures: Any) -> Loaded:
    """Loads by `tf.saved_model.load`."""
    loaded = tf.saved_model.load(str(directory), tags=list(tags))

    def run(signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        outputs = loaded.signatures[signature](**tensors)
        return {name: to_array(value) for name, value in outputs.items()}

    return run


def to_array(tensor: Any) -> Any:
    """Returns the array of an eager tensor, of the dtype that TensorFlow has for NumPy and also where it is a scalar.

    `np.asarray` cuts the NUL bytes off the end of a text scalar, and fails on scalars of the dtypes of ml_dtypes.
    """
    return np.array(tensor.numpy(), dtype=tensor.dtype.as_numpy_dtype)


class LoaderError(Exception):
    """The C++ loader or its session refused; the message is TensorFlow's own status."""


def load_cpp(
    directory: Path, tags: Sequence[str], signatures: Mapping[str, Any]
) -> Loaded:
    """Loads by `TF_LoadSessionFromSavedModel`, TensorFlow's C API, as a server does.

    Args:
        directory: Of the SavedModel.
        tags: The exact tags of the MetaGraphDef.
        signatures: The SignatureDefs of its MetaGraphDef, by key.

    Raises:
        LoaderError: Where it does not load; `run` raises it where a call fails.
    """
    session = _Session(directory, tags)
    return _by_signature(session.run, signatures)


def load_session(
    directory: Path, tags: Sequence[str], signatures: Mapping[str, Any]
) -> Loaded:
    """Loads by `tf.compat.v1.saved_model.load` into a session; takes what `load_cpp` does.

    Raises:
        tf.errors.OpError: Where it does not load; `run` raises it where a call fails.
    """
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        tf.compat.v1.saved_model.load(session, list(tags), str(directory))
    tensor = session.graph.get_tensor_by_name

    def run(feeds: Mapping[str, Any], fetches: Sequence[str]) -> list[Any]:
        values = session.run(list(fetches), dict(feeds))
        pairs = zip(values, map(tensor, fetches), strict=True)
        return [
            np.array(value, dtype=fetched.dtype.as_numpy_dtype)
            for value, fetched in pairs
        ]

    return _by_signature(run, signatures)


def has_c_api() -> bool:
    """Tells whether TensorFlow comes with the library that `load_cpp` calls, as its wheels for Linux do."""
    return _library().is_file()


def _library() -> Path:
    return Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"


def _by_signature(run: _Run, signatures: Mapping[str, Any]) -> Loaded:
    """Makes a function of signatures of one of a session, whose tensors have the graph's own names."""

    def call(signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        if signature not in signatures:
            raise LoaderError(f"the graph has no signature {signature!r}")
        definition = signatures[signature]
        if unknown := set(inputs) - set(definition.inputs):
            raise LoaderError(f"{signature} has no input {', '.join(sorted(unknown))}")
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        fetches = {
            name: tensor.name for name, tensor in sorted(definition.outputs.items())
        }
        return dict(zip(fetches, run(feeds, list(fetches.values())), strict=True))

    return call


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class _String(ctypes.Structure):
    _fields_ = (("data", ctypes.c_char * 24),)  # TF_TString


_DEALLOCATOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_ALIGNMENT = 64  # what TensorFlow's kernels take for granted of a tensor


class _Session:
    """A session of the C API; lives as long as its process."""

    def __init__(self, directory: Path, tags: Sequence[str]) -> None:
        self._api = _api()
        self._held: dict[int, Any] = {}  # memory of tensors, with what frees it
        self._status = self._api.TF_NewStatus()
        self._graph = self._api.TF_NewGraph()
        names = (ctypes.c_char_p * len(tags))(*[tag.encode() for tag in tags])
        self._session = self._api.TF_LoadSessionFromSavedModel(
            self._api.TF_NewSessionOptions(), None, str(directory).encode(), names, len(tags), self._graph, None,
            self._status,
        )  # fmt: skip
        self._check()

    def run(self, feeds: Mapping[str, Any], fetches: Sequence[str]) -> list[Any]:
        """Returns the arrays of `fetches`; both are named as in a SignatureDef, such as `add_x:0`."""
        fed, fetched = self._outputs(list(feeds)), self._outputs(fetches)
        tensors = [self._tensor(value) for value in feeds.values()]
        results = (ctypes.c_void_p * len(fetches))()
        self._api.TF_SessionRun(
            self._session, None,
            fed, (ctypes.c_void_p * len(feeds))(*tensors), len(feeds),
            fetched, results, len(fetches),
            None, 0, None, self._status,
        )  # fmt: skip
        for tensor in tensors:
            self._api.TF_DeleteTensor(tensor)
        self._check()
        try:
            return [self._array(result) for result in results]
        finally:
            for result in results:
                self._api.TF_DeleteTensor(result)

    def _check(self) -> None:
        if self._api.TF_GetCode(self._status) != 0:
            raise LoaderError(
                self._api.TF_Message(self._status).decode("utf-8", "replace")
            )

    def _outputs(self, names: Sequence[str]) -> Any:
        places = []
        for name in names:
            operation, _, index = name.partition(":")
            found = self._api.TF_GraphOperationByName(self._graph, operation.encode())
            if not found:
                raise LoaderError(f"the graph has no operation {operation!r}")
            places.append(_Output(found, int(index or 0)))
        return (_Output * len(names))(*places)

    def _tensor(self, value: Any) -> Any:
        array = np.asarray(value, order="C")
        sizes = (ctypes.c_int64 * array.ndim)(*array.shape)
        if array.dtype.kind in "OSU":
            return self._string_tensor(
                [tf.compat.as_bytes(item) for item in array.ravel().tolist()], sizes
            )
        dtype = tf.as_dtype(array.dtype).as_datatype_enum
        tensor = self._api.TF_AllocateTensor(dtype, sizes, array.ndim, array.nbytes)
        ctypes.memmove(self._api.TF_TensorData(tensor), array.ctypes.data, array.nbytes)
        return tensor

    def _string_tensor(self, values: list[bytes], sizes: Any) -> Any:
        # Who allocates texts frees them: TF_DeleteTensor frees their array only, and after a call the session may
        # still hold it, in a variable or in an output that is the input itself.
        size = len(values) * ctypes.sizeof(_String)
        memory = ctypes.create_string_buffer(size + _ALIGNMENT)
        data = ctypes.addressof(memory) + -ctypes.addressof(memory) % _ALIGNMENT
        places = range(data, data + size, ctypes.sizeof(_String))
        for place, value in zip(places, values, strict=True):
            self._api.TF_StringInit(place)
            self._api.TF_StringCopy(place, value, len(value))

        def free(_data: Any, _size: Any, _argument: Any) -> None:
            for place in places:
                self._api.TF_StringDealloc(place)
            del self._held[data]

        deallocator = _DEALLOCATOR(free)
        self._held[data] = (memory, deallocator)
        return self._api.TF_NewTensor(
            tf.string.as_datatype_enum, sizes, len(sizes), data, size, deallocator, None
        )

    def _array(self, tensor: Any) -> Any:
        dtype = tf.as_dtype(self._api.TF_TensorType(tensor))
        shape = [
            self._api.TF_Dim(tensor, axis)
            for axis in range(self._api.TF_NumDims(tensor))
        ]
        data = self._api.TF_TensorData(tensor)
        if dtype != tf.string:
            size = self._api.TF_TensorByteSize(tensor)
            kind = dtype.as_numpy_dtype
            return np.frombuffer(
                ctypes.string_at(data, size) if size else b"", dtype=kind
            ).reshape(shape)
        strings = np.empty(int(np.prod(shape)), dtype=object)
        for index in range(strings.size):
            place = data + index * ctypes.sizeof(_String)
            size = self._api.TF_StringGetSize(place)
            strings[index] = ctypes.string_at(
                self._api.TF_StringGetDataPointer(place), size
            )
        return strings.reshape(shape)


def _api() -> Any:
    """Returns the C API in TensorFlow's wheel, with the types of what returns or takes pointers."""
    library = ctypes.CDLL(str(_library()))
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    integers = ctypes.POINTER(ctypes.c_int64)
    feeds_or_fetches = [pointer, pointer, ctypes.c_int]
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "TF_NewStatus": (pointer, []),
        "TF_NewGraph": (pointer, []),
        "TF_NewSessionOptions": (pointer, []),
        "TF_GetCode": (ctypes.c_int, [pointer]),
        "TF_Message": (ctypes.c_char_p, [pointer]),
        "TF_LoadSessionFromSavedModel": (
            pointer,
            [
                pointer,
                pointer,
                ctypes.c_char_p,
                pointer,
                ctypes.c_int,
                pointer,
                pointer,
                pointer,
            ],
        ),
        "TF_SessionRun": (
            None,
            [
                pointer,
                pointer,
                *feeds_or_fetches,
                *feeds_or_fetches,
                pointer,
                ctypes.c_int,
                pointer,
                pointer,
            ],
        ),
        "TF_GraphOperationByName": (pointer, [pointer, ctypes.c_char_p]),
        "TF_AllocateTensor": (pointer, [ctypes.c_int, integers, ctypes.c_int, size]),
        "TF_NewTensor": (
            pointer,
            [
                ctypes.c_int,
                integers,
                ctypes.c_int,
                pointer,
                size,
                _DEALLOCATOR,
                pointer,
            ],
        ),
        "TF_DeleteTensor": (None, [pointer]),
        "TF_TensorData": (pointer, [pointer]),
        "TF_TensorType": (ctypes.c_int, [pointer]),
        "TF_TensorByteSize": (size, [pointer]),
        "TF_NumDims": (ctypes.c_int, [pointer]),
        "TF_Dim": (ctypes.c_int64, [pointer, ctypes.c_int]),
        "TF_StringInit": (None, [pointer]),
        "TF_StringCopy": (None, [pointer, ctypes.c_char_p, size]),
        "TF_StringDealloc": (None, [pointer]),
        "TF_StringGetSize": (size, [pointer]),
        "TF_StringGetDataPointer": (pointer, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
