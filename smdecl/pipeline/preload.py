"""What the server process of `isolating` imports before its first fork: TensorFlow and every stage that needs it.

Python's garbage collector is off during the imports, which saves half a second. Afterwards it ignores
what they made, so a collection in a fork copies none of the memory that the fork shares with the server.
"""

import contextlib
import gc
import os
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def _silent_stderr() -> Iterator[None]:
    # TensorFlow's native code writes notes on the machine before its own log level counts.
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


gc.disable()
with _silent_stderr():
    import tensorflow  # noqa: F401 - before what would import a part of it

    from smdecl.exporting import (  # noqa: F401
        build,
        contract,
        expose,
        imports,
        keras_patches,
        methods,
        save,
        source_lines,
        trace,
        untracked,
    )
    from smdecl.pipeline import loader_processes, worker  # noqa: F401
    from smdecl.savedmodel import auditing, inspection  # noqa: F401
    from smdecl.verification import (  # noqa: F401
        examples,
        reference,
        stored_examples,
        verify,
        warmup,
    )

gc.freeze()  # with no collection before it: that takes 0.2 s and finds next to nothing
gc.enable()
