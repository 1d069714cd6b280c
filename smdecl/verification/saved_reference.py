"""Compares a release with the SavedModel that its weights come from, by the examples.

The signatures of that SavedModel run, and anyone may have written it. So this module runs in a
confined process, as the loaders of a release do.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from smdecl.config.settings import Verify
from smdecl.errors import ContractError
from smdecl.isolation import confine
from smdecl.printing import abbreviated_pair
from smdecl.savedmodel import inspection
from smdecl.savedmodel.audits import outside_ops
from smdecl.savedmodel.comparing.array_distances import Array
from smdecl.savedmodel.protos import SavedModel
from smdecl.savedmodel.records import SignatureRecord
from smdecl.verification import (
    constant_tables,
    differences,
    load,
    stored_examples,
)
from smdecl.verification.constant_tables import Table
from smdecl.verification.load import SignatureRunner
from smdecl.verification.records import Comparison
from smdecl.verification.signature_pairs import Pairs, is_compatible, pair
from smdecl.verification.stored_examples import Example

_Outputs: TypeAlias = dict[str, Array] | str
"""The outputs of an example by name, or why it fails."""

_Result: TypeAlias = tuple[int, Example, _Outputs]
"""An example with its number among those of its signature, and its outputs."""


def compare(directory: Path, release: Path, options: Verify) -> Comparison:
    """Runs the examples of a release on the SavedModel that its weights come from.

    Args:
        directory: The directory of that SavedModel.
        release: The directory of the release, with its examples.
        options: The tolerances.
    """
    own = inspection.serving_graph(inspection.read(release))
    signatures = inspection.inspect_graph(release, own).signatures
    cases = stored_examples.read(release)
    try:
        message = inspection.read(directory)
        graph = inspection.serving_graph(message)
        others = inspection.inspect_graph(directory, graph).signatures
    except ContractError as error:
        return Comparison(uncompared=(str(error),))
    reason = _refuse(message)
    if reason is not None:
        return Comparison(uncompared=(reason,))
    paired = _paired(cases, signatures, others)
    if not paired.pairs:
        return Comparison(uncompared=tuple(paired.reasons))
    with load.plain_path(directory) as place:
        try:
            tags = sorted(graph.meta_info_def.tags)
            run = load.load_by("cpp", place, tags, graph.signature_def)
        except Exception as error:  # each loader raises its own types
            return Comparison(uncompared=(load.reason(error),))
        results = _results(run, paired)
        differing = list(_differences(results, paired, options))
    tables = constant_tables.read(own), constant_tables.read(graph)
    differing += _different_tables(*tables)
    return Comparison(
        tuple(differing),
        tuple(paired.reasons),
        has_same_tables=Counter(tables[0]) == Counter(tables[1]),
    )


def _refuse(message: SavedModel) -> str | None:
    """Returns why a SavedModel must not run here; None if it may."""
    found = outside_ops.find(message)
    if not found or confine.abi() > 0:
        return None
    ops = ", ".join(sorted(found))
    return (
        f"{ops} reaches into files, the network or Python, and this kernel has no Landlock to"
        " confine it"
    )


@dataclass
class _Paired:
    """The examples that can be compared.

    Attributes:
        pairs: Signature key to the tensors that are compared.
        cases: The examples of these signatures, with their numbers.
        reasons: Why others cannot be compared.
    """

    pairs: dict[str, Pairs]
    cases: list[tuple[int, Example]]
    reasons: list[str]


def _paired(
    cases: Sequence[Example],
    signatures: Mapping[str, SignatureRecord],
    others: Mapping[str, SignatureRecord],
) -> _Paired:
    by_key = defaultdict[str, list[tuple[int, Example]]](list)
    for number, case in stored_examples.numbered(cases):
        by_key[case.signature].append((number, case))
    paired = _Paired({}, [], [])
    for key, numbered in by_key.items():
        found = pair(signatures[key], others.get(key))
        if isinstance(found, str):
            paired.reasons.append(f"{key}: {found}")
            continue
        accepted = [
            (number, case)
            for number, case in numbered
            if _accepts(others[key], found, case)
        ]
        if not accepted:
            reason = "its inputs have shapes that no example has"
            paired.reasons.append(f"{key}: {reason}")
            continue
        if found.missing:
            missing = ", ".join(found.missing)
            paired.reasons.append(f"{key}: it has no output {missing}")
        paired.pairs[key] = found
        paired.cases += accepted
    return paired


def _accepts(other: SignatureRecord, pairs: Pairs, case: Example) -> bool:
    return all(
        is_compatible(other.inputs[pairs.inputs[name]].shape, value.shape)
        for name, value in case.inputs.items()
    )


def _results(run: SignatureRunner, paired: _Paired) -> Iterator[_Result]:
    """Yields what each example returns, without those of signatures that always fail."""
    results: dict[str, list[_Result]] = defaultdict(list)
    for number, case in paired.cases:
        names = paired.pairs[case.signature].inputs
        inputs = {names[name]: value for name, value in case.inputs.items()}
        try:
            outputs: _Outputs = run(case.signature, inputs)
        except Exception as error:  # each loader raises its own types
            outputs = load.reason(error)
        results[case.signature].append((number, case, outputs))
    for key, found in results.items():
        failures = [each for _, _, each in found if isinstance(each, str)]
        if len(failures) == len(found):
            # It may need what a confined process lacks, so this shows no difference.
            paired.reasons.append(f"{key}: it fails: {failures[0]}")
        else:
            yield from found


def _differences(
    results: Iterable[_Result], paired: _Paired, options: Verify
) -> Iterator[str]:
    for number, case, outputs in results:
        key = case.signature
        place = f"{key}: example {number}"
        if isinstance(outputs, str):
            yield f"{place}: the model fails: {outputs}"
            continue
        for name, other_name in paired.pairs[key].outputs.items():
            rtol, atol = options.tolerance(key, name)
            message = differences.greatest(
                outputs[other_name], case.outputs[name], rtol, atol
            )
            if message is not None:
                yield f"{place}: {name}{message}"


def _different_tables(
    own: Sequence[Table], others: Sequence[Table]
) -> Iterator[str]:
    """Yields the tables that differ, which no example may have shown.

    If their numbers differ, nothing tells which tables belong together.
    """
    if len(own) != len(others):
        return
    left = list((Counter(own) - Counter(others)).elements())
    right = list((Counter(others) - Counter(own)).elements())
    for table, other in zip(left, right, strict=True):
        found, expected = abbreviated_pair(
            constant_tables.texts(table), constant_tables.texts(other)
        )
        if found != expected:
            yield f"a table has the keys {found}, expected {expected}"
        else:
            yield f"a table has other values for the keys {found}"
