"""What building a model returns to the process that asked for it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ObjectRecord:
    """The built object (schema: object).

    Attributes:
        class_name: Its class, with the module.
        methods: Callable method to the names of its arguments.
        restored: Names of the variables that weights were restored into.
        not_restored: Names of the variables that weights were not restored into.
        reasons: Why not, for each of these that the weights should have a value for.
        unused: What the weights have that the object does not have.
    """

    class_name: str
    methods: dict[str, tuple[str, ...]]
    restored: tuple[str, ...] = ()
    not_restored: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
