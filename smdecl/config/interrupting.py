"""Lets an interrupt end what it interrupts, even where the code that it passes through fails in turn.

A signal may arrive while Hydra or OmegaConf is halfway through a change of its state. Code that cleans up then fails
on that state, and its error takes the place of the interrupt, which only remains as the context of the error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_first() -> Iterator[None]:
    """Raises the interrupt in whose place an error was raised, if there is one.

    What was being handled before is left alone: a caller may well call smdecl after an interrupt.
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
