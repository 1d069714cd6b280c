"""What the server process of `isolating` imports before its first fork: TensorFlow and every stage that needs it."""

import contextlib
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


with _silent_stderr():
    import tensorflow  # noqa: F401 - before what would import a part of it

    from smdecl import auditing, building, examples, imports, inspecting, saving, sources, verifying, warmup  # noqa: F401
