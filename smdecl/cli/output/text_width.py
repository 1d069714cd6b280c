"""Texts on a terminal, where some characters are two columns wide."""

from __future__ import annotations

from collections.abc import Sequence

_DOTS = "..."


def cut(text: str, columns: int) -> str:
    """Returns a text that is at most this wide."""
    # Imported once something is drawn: most commands end before.
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= columns:
        return text
    kept = set_cell_size(text, max(0, columns - len(_DOTS)))
    return kept + _DOTS[: max(0, columns)]


def fit(words: Sequence[str], columns: int) -> str:
    """Returns words, separated by spaces, that are together at most this wide if possible.

    The widest ones lose their middle, because long words may differ only at their ends.
    """
    from rich.cells import cell_len

    widths = [cell_len(word) for word in words]
    most = _most(widths, columns - len(words) + 1)
    return " ".join(_cut_middle(word, most) for word in words)


def _most(widths: Sequence[int], columns: int) -> int:
    """Returns the width at which the widest words have to be cut so that all fit."""
    left = columns
    for number, width in enumerate(sorted(widths)):
        share = left // (len(widths) - number)
        if width > share:
            return share
        left -= width
    return columns


def _cut_middle(word: str, columns: int) -> str:
    from rich.cells import cell_len, set_cell_size

    kept = columns - len(_DOTS)
    if cell_len(word) <= columns or kept <= 0:
        return cut(word, columns)
    end = kept // 2
    # Half of a wide character becomes a space.
    head = set_cell_size(word, kept - end).rstrip()
    tail = set_cell_size(word[::-1], end)[::-1].lstrip()
    return head + _DOTS + tail
