"""Texts on a terminal, where some characters are two columns wide."""

from __future__ import annotations


def cut(text: str, columns: int) -> str:
    """Returns a text that is at most this wide."""
    # Imported once something is drawn: most commands end before.
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= columns:
        return text
    return set_cell_size(text, max(0, columns - 3)) + "..."[: max(0, columns)]
