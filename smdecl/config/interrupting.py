"""Makes sure that an interrupt ends the call, even if cleaning up after it fails.

A signal may arrive while Hydra or OmegaConf is halfway through a change of its state. Code that
cleans up then fails on that state, and its error replaces the interrupt, which remains only as the
context of that error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_first() -> Iterator[None]:
    """Raises an interrupt instead of an error that replaced it.

    An interrupt that the caller was already handling does not count: it may call smdecl then.
    """
    handled = sys.exc_info()[1]
    try:
        yield
    except Exception as error:
        interrupt = _behind(error, handled)
        if interrupt is None:
            raise
        raise interrupt from None


def _behind(
    error: BaseException, handled: BaseException | None
) -> BaseException | None:
    """Returns the interrupt in the causes and contexts of an error, except below `handled`."""
    pending: list[BaseException | None] = [error]
    seen: list[BaseException | None] = [None, handled]
    while pending:
        found = pending.pop()
        if any(found is one for one in seen):
            continue
        assert found is not None
        if not isinstance(found, (Exception, GeneratorExit)):
            return found
        seen.append(found)
        pending += [found.__context__, found.__cause__]
    return None
