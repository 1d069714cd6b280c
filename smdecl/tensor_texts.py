"""Formats tensors as text, the same way in every message and page."""

from __future__ import annotations

from collections.abc import Sequence

Dim = int | str | None


def shape_text(shape: Sequence[Dim]) -> str:
    """Returns a shape as text: `[batch, 4]`, `[?, 4]`.

    Args:
        shape: Sizes, names of dims, and None for unknown sizes.
    """
    sizes = ("?" if size is None else str(size) for size in shape)
    return f"[{', '.join(sizes)}]"


def tensor_text(
    dtype: str,
    shape: Sequence[Dim] | None,
    kind: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Returns a tensor as text.

    Examples are `float32 [batch, 4]`, `float32 (unknown rank)` and `sparse int64 [?, 4]`.

    Args:
        dtype: The canonical name of the dtype.
        shape: As for `shape_text`; None for an unknown rank.
        kind: `ragged`, `sparse` and the like; None or `dense` for a dense tensor.
        notes: Remarks to add in parentheses.
    """
    text = dtype
    if shape is None:
        notes = ["unknown rank", *notes]
    else:
        text = f"{dtype} {shape_text(shape)}"
    if kind not in (None, "dense"):
        text = f"{kind} {text}"
    return f"{text} ({', '.join(notes)})" if notes else text
