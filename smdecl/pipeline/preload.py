"""Imports TensorFlow and all stages that need it, in the server process before its first fork.

Python's garbage collector is off during the imports, which saves half a second. Afterwards it
ignores the imported objects, so a collection in a fork copies none of the memory that the fork
shares with the server.

The loading of TensorFlow's library takes a third of a second. A thread does it while modules are
imported that need no other library: libraries are loaded one at a time.
"""

import contextlib
import ctypes
import gc
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from smdecl.pipeline import cheaper_imports

_LIBRARY = "libtensorflow_cc.so.2"
# The modules imported meanwhile need the libraries of these.
_LIBRARIES = (
    *("array", "decimal", "fcntl", "google.protobuf.descriptor", "heapq"),
    *("json", "ml_dtypes", "multiprocessing.shared_memory", "numpy.random"),
    *("queue", "resource", "rpds", "select", "socket", "subprocess"),
    *("unicodedata", "uuid", "wrapt", "yaml"),
)


def _load_library() -> None:
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or spec.origin is None:
        return
    library = Path(spec.origin).parent / _LIBRARY
    # Unlike `ctypes.CDLL`, a call of this function does not hold Python's lock.
    load = ctypes.CDLL(None).dlopen
    load.argtypes = (ctypes.c_char_p, ctypes.c_int)
    load.restype = ctypes.c_void_p
    # Elsewhere than on Linux the library has other names; then the import loads it.
    load(bytes(library), os.RTLD_NOW)


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    # TensorFlow's native code logs facts about the machine before it reads its log level.
    sys.stderr.flush()
    stderr = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(null)


gc.disable()
with _silent_stderr(), cheaper_imports.cheaper():
    for name in _LIBRARIES:
        importlib.import_module(name)
    loading = threading.Thread(target=_load_library)
    loading.start()
    import encodings.cp437  # noqa: F401 - for zipfile

    import hydra.utils  # noqa: F401
    import jsonschema  # noqa: F401
    import omegaconf._impl  # noqa: F401

    from smdecl.isolation import child, server  # noqa: F401
    from smdecl.savedmodel import inspection  # noqa: F401
    from smdecl.savedmodel.audits import auditing  # noqa: F401

    loading.join()
    import tensorflow  # noqa: F401 - before the stages, which import parts of it

    from smdecl.exporting.building import imports
    from smdecl.isolation import confine, preloaded
    from smdecl.pipeline import (
        packages,
        stages,  # noqa: F401
        worker,  # noqa: F401
    )
    from smdecl.savedmodel.audits import op_sets
    from smdecl.verification import (  # noqa: F401
        saved_reference,
        separable,
        verify,
    )

    # It imports internals of TensorFlow, which a release may not have.
    with contextlib.suppress(ImportError):
        from smdecl.exporting import warming

        warming.warm()

op_sets.releases()  # they are cached
packages.note_versions()
confine.note_imports()
imports.note_imports()
preloaded.note()  # the last, because it ends what the others note

gc.freeze()  # without a collection first, which takes 0.2 s and finds next to nothing
gc.enable()
