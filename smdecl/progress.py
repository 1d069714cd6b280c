"""Tells listeners how far a run is. By default there are none.

Listeners belong to the context that `listening` is called in, so calls from Python print nothing,
and threads have none unless they run in a copy of that context.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

STAGES = {
    "compose": "composes the config",
    "check": "checks the config",
    "inputs": "hashes the files that the config names",
    "start": "waits for a process to build or load in, which begins by importing TensorFlow",
    "build": "builds the object and restores its weights",
    "trace": "traces the signatures",
    "save": "saves the SavedModel",
    "inspect": "reads the SavedModel back and audits it",
    "examples": "runs the examples on the object in memory",
    "sources": "finds the packages and modules that the release depends on",
    "seal": "hashes the files and writes the manifest",
    "hash": "compares the files with the manifest, in `verify` and `reproduce`",
    "verify": "loads the SavedModel and runs the examples",
    "reproduce": "makes the release again, for `publish.reproducible`",
    "compare": "looks for the same release in the base path, for `publish.unchanged`",
    "compatible": "compares the release with the newest version, for `publish.compatible`",
    "sign": "signs the release, for `publish.sign`",
    "launch": "runs the variants of a sweep by one of Hydra's launchers",
    "publish": "moves the release to its place, or uploads it",
}
"""Each stage of a run with what it does, in the order in which they begin."""

# The stages that count bytes; the others count examples.
COUNTS_BYTES = frozenset({"inputs", "seal", "hash", "sign", "publish"})


@dataclass(frozen=True)
class Run:
    """A run that listeners hear of.

    Attributes:
        number: The number of a variant of a sweep; 0 for any other run.
        overrides: The overrides of the variant; none for any other run.
    """

    number: int = 0
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """Where a run is.

    Attributes:
        stage: A stage.
        done: How many examples or bytes are done; None if it does not count.
        total: How many there are.
    """

    stage: str
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True)
class Peak:
    """The memory of the largest process of a run.

    Attributes:
        memory: Its peak, in bytes.
        process: What it did: `build`, or `verify` with its loaders.
    """

    memory: int
    process: str


class Listener:
    """Hears how far runs are, in their threads. Each method does nothing by default."""

    def planned(self, swept: Sequence[Sequence[str]]) -> None:
        """A sweep begins, with the overrides of each variant."""

    def reached(self, run: Run, step: Step) -> None:
        """A run is at a step."""

    def took(self, run: Run, stage: str, seconds: float) -> None:
        """A run has ended a stage."""

    def finished(self, run: Run, seconds: float, peak: Peak | None) -> None:
        """A run has succeeded, in this number of seconds; `peak` is None if it is not measured."""

    def ended(self, run: Run, has_failed: bool) -> None:
        """A variant of a sweep has ended."""


@dataclass
class _Count:
    stage: str
    total: int
    done: int = 0


@dataclass(frozen=True)
class _Context:
    """The listeners of a context, and the run that it is part of."""

    listeners: tuple[Listener, ...] = ()
    run: Run = field(default_factory=Run)


_NOBODY = _Context()
_context: ContextVar[_Context] = ContextVar("progress", default=_NOBODY)
_stage: ContextVar[str] = ContextVar("stage", default="")
_count: ContextVar[_Count | None] = ContextVar("counted", default=None)


@contextmanager
def listening(listeners: Iterable[Listener]) -> Iterator[None]:
    """Tells these listeners, and no others, what is reported within the block."""
    token = _context.set(_Context(tuple(listeners)))
    try:
        yield
    finally:
        _context.reset(token)


@contextmanager
def variant(run: Run) -> Iterator[None]:
    """Reports what happens within the block as that of a variant."""
    token = _context.set(_Context(_context.get().listeners, run))
    try:
        yield
    finally:
        _context.reset(token)


def shared(swept: Sequence[Sequence[str]]) -> set[str]:
    """Returns the overrides that all of several variants share."""
    if len(swept) < 2:  # noqa: PLR2004 - a single variant shares none
        return set()
    return set.intersection(*map(set, swept))


def has_listeners() -> bool:
    """Returns whether there are listeners, so that what only they need is worth its cost."""
    return bool(_context.get().listeners)


def planned(swept: Sequence[Sequence[str]]) -> None:
    """Reports that a sweep begins."""
    for listener in _context.get().listeners:
        listener.planned(swept)


def reached(
    stage: str, done: int | None = None, total: int | None = None
) -> None:
    """Reports that a stage begins, or how far it is."""
    context = _context.get()
    _stage.set(stage)
    for listener in context.listeners:
        listener.reached(context.run, Step(stage, done, total))


def took(stage: str, seconds: float) -> None:
    """Reports that a stage has ended."""
    context = _context.get()
    for listener in context.listeners:
        listener.took(context.run, stage, seconds)


def finished(seconds: float, peak: Peak | None = None) -> None:
    """Reports that the run has succeeded."""
    context = _context.get()
    for listener in context.listeners:
        listener.finished(context.run, seconds, peak)


def ended(has_failed: bool) -> None:
    """Reports that the variant has ended."""
    context = _context.get()
    for listener in context.listeners:
        listener.ended(context.run, has_failed)


@contextmanager
def counting(sizes: Iterable[int]) -> Iterator[None]:
    """Counts the bytes that `advance` reports within the block, as those of the current stage.

    Args:
        sizes: The sizes of the files; read only if there are listeners.
    """
    if not has_listeners():
        yield
        return
    count = _Count(_stage.get(), sum(sizes))
    token = _count.set(count)
    try:
        yield
    finally:
        _count.reset(token)


def advance(size: int) -> None:
    """Reports that more bytes are done; does nothing outside of `counting`."""
    count = _count.get()
    if count is not None:
        count.done += size
        reached(count.stage, count.done, count.total)
