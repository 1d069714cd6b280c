"""Reports how much of a file is uploaded, if there are listeners and the driver reports it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from smdecl import progress


@contextmanager
def of_file(
    put: Callable[..., object], size: int
) -> Iterator[dict[str, object]]:
    """Yields the arguments that make a driver report the upload of a file.

    Args:
        put: The method of the driver that uploads the file within the block.
        size: The size of the file, in bytes.
    """
    if not progress.has_listeners():
        yield {}
        return
    callback = _callback()
    # A driver that has no such argument may pass it on to its store.
    has_callback = "callback" in inspect.signature(put).parameters
    yield {"callback": callback} if has_callback else {}
    progress.advance(size - callback.value)


def _callback() -> Any:
    from fsspec.callbacks import Callback

    class Counted(Callback):  # type: ignore[misc]  # fsspec has no types
        def relative_update(self, inc: int = 1) -> None:
            self.value += inc
            progress.advance(inc)

        def absolute_update(self, value: int) -> None:
            self.relative_update(value - self.value)

    return Counted()
