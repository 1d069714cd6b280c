"""Tensors in text; all that a person reads of a tensor is written here."""

from __future__ import annotations

from collections.abc import Sequence

Dim = int | str | None


def shape_text(shape: Sequence[Dim]) -> str:
    """Returns a shape in text: `[batch, 4]`, `[?, 4]`.

    Args:
        shape: Sizes, names of dims, or None for an unknown size.
    """
    sizes = ("?" if size is None else str(size) for size in shape)
    return f"[{', '.join(sizes)}]"


def tensor_text(
    dtype: str,
    shape: Sequence[Dim] | None,
    kind: str | None = None,
    notes: Sequence[str] = (),
) -> str:
    """Returns a tensor in text: `float32 [batch, 4]`, `float32 (unknown rank)`, `sparse int64 [?, 4]`.

    Args:
        dtype: The canonical name.
        shape: As `shape_text` takes it; None for an unknown rank.
        kind: `ragged`, `sparse` and the like; None or `dense` for a tensor.
        notes: What else to say of it, in parentheses.
    """
    if shape is None:
        text, notes = dtype, ["unknown rank", *notes]
    else:
        text = f"{dtype} {shape_text(shape)}"
    if kind not in (None, "dense"):
        text = f"{kind} {text}"
    return f"{text} ({', '.join(notes)})" if notes else text
