"""Compares the sizes of named dims across the tensors of a signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from smdecl.config.settings import Spec


def disagreeing(
    specs: Mapping[str, Spec], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[str]:
    """Yields a message for each named dim that differs between tensors.

    An example is a batch of 3 in an input and of 1 in an output.

    Args:
        specs: The declared specs by tensor name.
        shapes: The shapes of the actual tensors by name.
    """
    seen: dict[str, tuple[str, int]] = {}
    for name, spec in specs.items():
        for dim, size in zip(
            spec.shape or (), shapes.get(name, ()), strict=False
        ):
            if not isinstance(dim, str):
                continue
            first, known = seen.setdefault(dim, (name, size))
            if known != size:
                yield f"dim {dim!r} is {known} in {first} and {size} in {name}"
