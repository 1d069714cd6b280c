"""Imports TensorFlow and all stages that need it, in the server process before its first fork.

Python's garbage collector is off during the imports, which saves half a second. Afterwards it
ignores the imported objects, so a collection in a fork copies none of the memory that the fork
shares with the server.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator


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
with _silent_stderr():
    import tensorflow  # noqa: F401 - before the stages, which import parts of it

    from smdecl.pipeline import loader_processes, stages, worker  # noqa: F401
    from smdecl.verification import verify  # noqa: F401

gc.freeze()  # without a collection first, which takes 0.2 s and finds next to nothing
gc.enable()
