"""Loads and runs SavedModels by TensorFlow's C API, as a C++ server does."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2

from smdecl.savedmodel.comparing.array_distances import Array

_Address: TypeAlias = int
_Tensor: TypeAlias = int | None
"""The address of a TF_Tensor; ctypes returns None for NULL."""

_CType: TypeAlias = Any
"""A type of ctypes, whose base class has no public name."""


class LoaderError(Exception):
    """The C++ loader or its session failed; the message is TensorFlow's status."""


def is_available() -> bool:
    """Returns whether TensorFlow comes with its C API, as its wheels for Linux do."""
    return _library().is_file()


def _library() -> Path:
    return Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"


class _Output(ctypes.Structure):
    """TF_Output: an operation and the index of one of its outputs."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class _String(ctypes.Structure):
    """TF_TString."""

    _fields_ = (("data", ctypes.c_char * 24),)


_DEALLOCATOR = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p
)
_ALIGNMENT = 64  # bytes; TensorFlow's kernels require it of every tensor


class Session:
    """A session with a loaded SavedModel, which is closed with this object."""

    def __init__(self, directory: Path, tags: Sequence[str]) -> None:
        """Loads the MetaGraphDef that has exactly these tags.

        Raises:
            LoaderError: If it cannot be loaded.
        """
        self._api = _bind()
        # Memory and deallocators of string tensors by address, until TensorFlow frees them.
        self._strings: dict[_Address, object] = {}
        self._status = self._api.TF_NewStatus()
        self._graph = self._api.TF_NewGraph()
        encoded = [tag.encode() for tag in tags]
        options = self._options()
        self._session = self._api.TF_LoadSessionFromSavedModel(
            options,
            None,  # run options
            str(directory).encode(),
            (ctypes.c_char_p * len(tags))(*encoded),
            len(tags),
            self._graph,
            None,  # where to store the MetaGraphDef
            self._status,
        )
        self._api.TF_DeleteSessionOptions(options)
        self._raise_for_status()
        closing = weakref.finalize(
            self, _close, self._api, self._session, self._status
        )
        closing.atexit = False  # the end of the process frees all memory

    def _options(self) -> _Address:
        options: _Address = self._api.TF_NewSessionOptions()
        self._api.TF_SetConfig(options, _CONFIG, len(_CONFIG), self._status)
        self._raise_for_status()
        return options

    def run(
        self, feeds: Mapping[str, Array], fetches: Sequence[str]
    ) -> list[Array]:
        """Returns the arrays of `fetches`.

        Both are named as in a SignatureDef, such as `add_x:0`.

        Raises:
            LoaderError: If the graph has no such operation, or the call fails.
        """
        fed = self._outputs(list(feeds))
        fetched = self._outputs(fetches)
        inputs = [self._tensor(value) for value in feeds.values()]
        results = (ctypes.c_void_p * len(fetches))()
        self._api.TF_SessionRun(
            self._session,
            None,  # run options
            fed,
            (ctypes.c_void_p * len(inputs))(*inputs),
            len(inputs),
            fetched,
            results,
            len(fetches),
            None,  # target operations
            0,
            None,  # run metadata
            self._status,
        )
        self._delete(inputs)
        self._raise_for_status()
        try:
            return [self._array(result) for result in results]
        finally:
            self._delete(results)

    def _delete(self, tensors: Iterable[_Tensor]) -> None:
        for tensor in tensors:
            self._api.TF_DeleteTensor(tensor)

    def _raise_for_status(self) -> None:
        if self._api.TF_GetCode(self._status) != 0:
            message = self._api.TF_Message(self._status)
            raise LoaderError(message.decode("utf-8", "replace"))

    def _outputs(self, names: Sequence[str]) -> ctypes.Array[_Output]:
        outputs = []
        for name in names:
            operation, _, index = name.partition(":")
            found = self._api.TF_GraphOperationByName(
                self._graph, operation.encode()
            )
            if not found:
                raise LoaderError(f"the graph has no operation {operation!r}")
            outputs.append(_Output(found, int(index or 0)))
        return (_Output * len(names))(*outputs)

    def _tensor(self, value: Array) -> _Tensor:
        array = np.asarray(value, order="C")
        sizes = (ctypes.c_int64 * array.ndim)(*array.shape)
        if array.dtype.kind in "OSU":
            texts = [
                tf.compat.as_bytes(item) for item in array.ravel().tolist()
            ]
            return self._string_tensor(texts, sizes)
        dtype = tf.as_dtype(array.dtype).as_datatype_enum
        tensor: _Tensor = self._api.TF_AllocateTensor(
            dtype, sizes, array.ndim, array.nbytes
        )
        ctypes.memmove(
            self._api.TF_TensorData(tensor), array.ctypes.data, array.nbytes
        )
        return tensor

    def _string_tensor(
        self,
        values: Sequence[bytes],
        sizes: ctypes.Array[ctypes.c_int64],
    ) -> _Tensor:
        # The strings must be freed by whoever allocates them: TF_DeleteTensor frees only their
        # array. After the call, the session may still hold that array, in a variable or in an
        # output that is the input itself.
        size = len(values) * ctypes.sizeof(_String)
        memory = ctypes.create_string_buffer(size + _ALIGNMENT)
        data = (
            ctypes.addressof(memory) + -ctypes.addressof(memory) % _ALIGNMENT
        )
        places = range(data, data + size, ctypes.sizeof(_String))
        for place, value in zip(places, values, strict=True):
            self._api.TF_StringInit(place)
            self._api.TF_StringCopy(place, value, len(value))

        def free(_data: _Address, _size: int, _argument: _Address) -> None:
            for place in places:
                self._api.TF_StringDealloc(place)
            del self._strings[data]

        deallocator = _DEALLOCATOR(free)
        self._strings[data] = (memory, deallocator)
        dtype = tf.string.as_datatype_enum
        tensor: _Tensor = self._api.TF_NewTensor(
            dtype, sizes, len(sizes), data, size, deallocator, None
        )
        return tensor

    def _array(self, tensor: _Tensor) -> Array:
        rank = self._api.TF_NumDims(tensor)
        shape = [self._api.TF_Dim(tensor, axis) for axis in range(rank)]
        data = self._api.TF_TensorData(tensor)
        dtype = tf.as_dtype(self._api.TF_TensorType(tensor))
        if dtype == tf.string:
            return self._string_array(data, shape)
        size = self._api.TF_TensorByteSize(tensor)
        content = ctypes.string_at(data, size) if size else b""
        return np.frombuffer(content, dtype=dtype.as_numpy_dtype).reshape(
            shape
        )

    def _string_array(self, data: _Address, shape: Sequence[int]) -> Array:
        strings = np.empty(int(np.prod(shape)), dtype=object)
        for index in range(strings.size):
            place = data + index * ctypes.sizeof(_String)
            content = self._api.TF_StringGetDataPointer(place)
            size = self._api.TF_StringGetSize(place)
            strings[index] = ctypes.string_at(content, size)
        return strings.reshape(shape)


def _close(api: ctypes.CDLL, session: _Address, status: _Address) -> None:
    """Frees the variables that a session has loaded."""
    api.TF_CloseSession(session, status)
    api.TF_DeleteSession(session, status)


# A server optimizes a graph twice. The second time takes as long, and finds next to nothing.
_CONFIG = config_pb2.ConfigProto(
    graph_options=config_pb2.GraphOptions(
        rewrite_options=rewriter_config_pb2.RewriterConfig(
            meta_optimizer_iterations=rewriter_config_pb2.RewriterConfig.ONE
        )
    )
).SerializeToString()

_POINTER = ctypes.c_void_p
_TEXT = ctypes.c_char_p
_INT = ctypes.c_int
_INT64 = ctypes.c_int64
_SIZE = ctypes.c_size_t
_SIZES = ctypes.POINTER(ctypes.c_int64)
_TENSORS = [_POINTER, _POINTER, _INT]  # TF_Outputs, TF_Tensors, and how many

# The result and the arguments of each function. ctypes would cut pointers to the size of an int.
_FUNCTIONS: dict[str, tuple[_CType, list[_CType]]] = {
    "TF_NewStatus": (_POINTER, []),
    "TF_NewGraph": (_POINTER, []),
    "TF_NewSessionOptions": (_POINTER, []),
    "TF_DeleteSessionOptions": (None, [_POINTER]),
    "TF_SetConfig": (None, [_POINTER, _TEXT, _SIZE, _POINTER]),
    "TF_GetCode": (_INT, [_POINTER]),
    "TF_Message": (_TEXT, [_POINTER]),
    "TF_LoadSessionFromSavedModel": (
        _POINTER,
        [
            _POINTER,
            _POINTER,
            _TEXT,
            _POINTER,
            _INT,
            _POINTER,
            _POINTER,
            _POINTER,
        ],
    ),
    "TF_SessionRun": (
        None,
        [
            _POINTER,
            _POINTER,
            *_TENSORS,
            *_TENSORS,
            _POINTER,
            _INT,
            _POINTER,
            _POINTER,
        ],
    ),
    "TF_CloseSession": (None, [_POINTER, _POINTER]),
    "TF_DeleteSession": (None, [_POINTER, _POINTER]),
    "TF_GraphOperationByName": (_POINTER, [_POINTER, _TEXT]),
    "TF_AllocateTensor": (_POINTER, [_INT, _SIZES, _INT, _SIZE]),
    "TF_NewTensor": (
        _POINTER,
        [_INT, _SIZES, _INT, _POINTER, _SIZE, _DEALLOCATOR, _POINTER],
    ),
    "TF_DeleteTensor": (None, [_POINTER]),
    "TF_TensorData": (_POINTER, [_POINTER]),
    "TF_TensorType": (_INT, [_POINTER]),
    "TF_TensorByteSize": (_SIZE, [_POINTER]),
    "TF_NumDims": (_INT, [_POINTER]),
    "TF_Dim": (_INT64, [_POINTER, _INT]),
    "TF_StringInit": (None, [_POINTER]),
    "TF_StringCopy": (None, [_POINTER, _TEXT, _SIZE]),
    "TF_StringDealloc": (None, [_POINTER]),
    "TF_StringGetSize": (_SIZE, [_POINTER]),
    "TF_StringGetDataPointer": (_POINTER, [_POINTER]),
}


def _bind() -> ctypes.CDLL:
    """Loads the C API of TensorFlow's wheel and declares the types of its functions."""
    library = ctypes.CDLL(str(_library()))
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library
