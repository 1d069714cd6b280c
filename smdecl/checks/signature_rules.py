"""What is wrong with a declared signature, as far as it can be told before anything is built: names, dims, specs."""

from __future__ import annotations

import difflib
import itertools
import keyword
import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from smdecl.checks import serving_apis
from smdecl.config import settings
from smdecl.config.settings import Signature, Spec
from smdecl.errors import KeyPath, Problem, nearest
from smdecl.names import DEFAULT_KEY, RESERVED_KEYS

# What TensorFlow keeps as the name of an input; anything else it rewrites, or fails on with a misleading message.
_INPUT_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")


def misspelt_default(keys: Iterable[str]) -> Iterator[Problem]:
    """Yields the signature key that was most likely to be the one that is asked for where a request names none."""
    near = difflib.get_close_matches(DEFAULT_KEY, keys, n=1, cutoff=0.85)
    if near and not near[0].startswith(
        DEFAULT_KEY
    ):  # serving_default_v2 is no typing error
        message = f"clients that name no signature ask for {DEFAULT_KEY!r}, which is not there; did you mean it?"
        yield Problem(("signatures", near[0]), message)


def check_functions(
    functions: Mapping[str, str | None], keys: Collection[str]
) -> Iterator[Problem]:
    """Yields what is wrong with the functions that `tf.saved_model.load` is to give.

    Args:
        functions: Name to signature key, or to None.
        keys: Of the signatures; where there are none, the object's own is found when it is built.
    """
    for name, key in functions.items():
        path = ("functions", name)
        if name in _RESERVED_NAMES:
            yield Problem(
                path,
                f"{name!r} is reserved by tf.saved_model.load; choose a different name",
            )
        elif name != "__call__" and (
            not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_")
        ):
            message = f"invalid name {name!r}; expected a name that Python takes for an attribute, or __call__"
            yield Problem(path, message)
        if keys and key is not None and key not in keys:
            known = ", ".join(sorted(keys))
            yield Problem(
                path,
                f"unknown signature {key!r}; expected one of {known}{nearest(key, keys)}",
            )


# What tf.saved_model.save and tf.saved_model.load set on the object.
_RESERVED_NAMES = (
    "signatures",
    "initializer",
    "graph_debug_info",
    "tensorflow_version",
    "tensorflow_git_version",
)


def check(path: KeyPath, signature: Signature) -> Iterator[Problem]:
    """Yields everything that is wrong with the signature at a key path."""
    if path[-1] in RESERVED_KEYS:
        yield Problem(
            path,
            f"{path[-1]!r} is reserved by TensorFlow; choose another signature key",
        )
    specs = [
        (("inputs", *place), spec)
        for place, _, spec in settings.input_names(signature.inputs or {})
    ]
    specs += [
        (("outputs", name), spec) for name, spec in (signature.outputs or {}).items()
    ]
    for place, spec in specs:
        yield from _check_spec((*path, *place), spec)
    yield from _check_input_names((*path, "inputs"), signature)
    yield from _check_output_names((*path, "outputs"), signature)
    yield from _check_output_dims(path, signature)
    yield from _check_api(path, signature)


def _check_api(path: KeyPath, signature: Signature) -> Iterator[Problem]:
    inputs: serving_apis.Tensors | None = None
    outputs: serving_apis.Tensors | None = None
    if signature.inputs is not None:
        named = settings.input_names(signature.inputs)
        inputs = {
            str(name): ((*path, "inputs", *place), spec) for place, name, spec in named
        }
    if signature.outputs is not None:
        outputs = {
            spec.name or own: ((*path, "outputs", own), spec)
            for own, spec in signature.outputs.items()
        }
    yield from serving_apis.problems(path, signature.method_name, inputs, outputs)


def _check_spec(path: KeyPath, spec: Spec) -> Iterator[Problem]:
    for index, dim in enumerate(spec.shape or ()):
        if isinstance(dim, str) and (not dim.isidentifier() or keyword.iskeyword(dim)):
            hint = (
                f"write {dim} without quotes"
                if dim.isdigit()
                else "write null for an unknown size"
            )
            yield Problem(
                (*path, "shape", index),
                f"{dim!r} cannot name a dim; takes a name such as batch; {hint}",
            )
    if spec.kind == "ragged" and (
        spec.shape is None or len(spec.shape) <= spec.ragged_rank
    ):
        rank = "unknown" if spec.shape is None else len(spec.shape)
        yield Problem(
            (*path, "ragged_rank"),
            f"got {spec.ragged_rank} for a shape of rank {rank}; takes less than the rank",
        )


def _check_input_names(path: KeyPath, signature: Signature) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    whole: dict[str, tuple[str, str]] = {}
    for _, name, spec in settings.input_names(signature.inputs or {}):
        whole |= {
            part: (str(name), spec.kind)
            for part in [*settings.parts(str(name), spec)][1:]
        }
    for place, name, _ in settings.input_names(signature.inputs or {}):
        where = (*path, *place)
        if name is None:
            yield Problem(
                (*where, "name"),
                "is missing: one argument takes several tensors here, so each needs a name of its own",
            )
        elif name in whole:
            other, kind = whole[name]
            message = f"{name!r} is taken by a part of the input {other!r}, which is {kind}; choose another"
            yield Problem((*where, "name"), message)
        elif reason := refuse_input_name(name, seen):
            yield Problem((*where, "name"), reason)
        else:
            seen[sanitized(name)] = name


def _check_output_names(path: KeyPath, signature: Signature) -> Iterator[Problem]:
    seen: set[str] = set()
    for own, spec in (signature.outputs or {}).items():
        names = set(settings.parts(spec.name or own, spec))
        if taken := sorted(names & seen):
            place = (*path, own, "name") if spec.name is not None else (*path, own)
            yield Problem(place, f"{taken[0]!r} is taken by another output")
        seen |= names


def sanitized(name: str) -> str:
    """Returns what TensorFlow tells the names of inputs apart by."""
    return re.sub(r"[^a-z0-9_]", "_", name.lower())


def refuse_input_name(name: str, seen: Mapping[str, str]) -> str | None:
    """Says why TensorFlow would not keep the name of an input, and what it would become; None where it does.

    Args:
        name: Of the input.
        seen: The names before it, by what TensorFlow makes of them.
    """
    hint = f"set a different name, such as name: {kept_name(name, seen)}"
    if name in seen.values():
        return f"{name!r} is taken by another input; TensorFlow would turn it into {name + '_1'!r}; {hint}"
    if (other := seen.get(sanitized(name))) is not None:
        return f"{name!r} and {other!r} are one name to TensorFlow, which would turn one into {name + '_1'!r}; {hint}"
    if name == "self" or keyword.iskeyword(name):
        return f"{name!r} is a word that Python reserves; {hint}"
    if not _INPUT_NAME.fullmatch(name):
        became = _NOT_KEPT.sub("_", name).lstrip("_\\/>-") or "unknown"
        return (
            f"{name!r} cannot be kept by TensorFlow, which would turn it into {became!r}; takes letters, digits and"
            f" _ . - / after a first letter or digit; {hint}"
        )
    return None


_NOT_KEPT = re.compile(r"[^A-Za-z0-9_.\\/>-]")


def kept_name(name: str, seen: Mapping[str, str]) -> str:
    """Returns a name near to one that TensorFlow would not keep, which it does keep.

    Args:
        name: Of the input.
        seen: The names of other inputs, by what TensorFlow makes of them.
    """
    base = re.sub("__+", "_", _NOT_KEPT.sub("_", name)).strip("_\\/>-") or "input"
    if base == "self" or keyword.iskeyword(base):
        base = f"{base}_"
    numbered = (f"{base.rstrip('_')}_{number}" for number in itertools.count(2))
    return next(
        free
        for free in itertools.chain([base], numbered)
        if sanitized(free) not in seen
    )


def _check_output_dims(path: KeyPath, signature: Signature) -> Iterator[Problem]:
    if signature.inputs is None:
        return
    known = {
        dim
        for _, _, spec in settings.input_names(signature.inputs)
        for dim in spec.shape or ()
        if isinstance(dim, str)
    }
    for name, spec in (signature.outputs or {}).items():
        for index, dim in enumerate(spec.shape or ()):
            if isinstance(dim, str) and dim not in known:
                takes = (
                    f"the inputs have {', '.join(sorted(known))}"
                    if known
                    else "the inputs name none"
                )
                yield Problem(
                    (*path, "outputs", name, "shape", index),
                    f"no input has a dim named {dim!r}, so it can agree with nothing; {takes}{nearest(dim, known)}",
                )
