"""Keeps the frames of smdecl out of the errors that TensorFlow raises in the user's code.

The model's code may catch such an error and show it. The functions that replace TensorFlow's own
have no meaning there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tensorflow.python.util import tf_stack, traceback_utils

from smdecl.exporting import patches

# As Python names it, which may be by a link.
_EXPORTING = Path(__file__).parent
_FILES = frozenset(map(str, _EXPORTING.rglob("*.py")))
_EXCLUDED = "_EXCLUDED_PATHS"


class _Filter(tf_stack.StackTraceFilter):  # type: ignore[misc]
    """Leaves the modules of this package out of the stacks of ops, as a filter in C++."""

    def get_filtered_filenames(self) -> frozenset[str]:
        others: frozenset[str] = self.parent.get_filtered_filenames()
        return _FILES | others


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Leaves the frames out, in this thread, of errors that are raised within the block."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_Filter())
        excluded = getattr(traceback_utils, _EXCLUDED, None)
        if excluded is not None:
            paths = (*excluded, str(_EXPORTING))
            stack.enter_context(
                patches.attribute_set(traceback_utils, _EXCLUDED, paths)
            )
        yield
