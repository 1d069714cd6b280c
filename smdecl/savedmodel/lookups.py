"""Finds the arguments of a function whose elements are looked up in tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from smdecl.names import CALLS, LOOPS
from smdecl.savedmodel import parsed_features
from smdecl.savedmodel.audits.dataflow import source
from smdecl.savedmodel.parsed_features import PARSER
from smdecl.savedmodel.protos import FunctionDef, FunctionDefLibrary, NodeDef

_LOOKUPS = ("LookupTableFind", "LookupTableFindV2")
_RUNS = {
    "If": 1,
    "StatelessIf": 1,
    "Case": 1,
    "StatelessCase": 1,
    **dict.fromkeys((*CALLS, *LOOPS), 0),
}
"""Ops that run functions, and the number of their inputs before the arguments of these."""

_FIRST, _SECOND, _CHOICES, _ALL = (0,), (1,), (1, 2), None
_SPLITTERS = {
    "StringSplit": b" ",
    "StringSplitV2": b" ",
    "UnicodeDecode": b"",
    "UnicodeDecodeWithOffsets": b"",
}
"""Ops that split texts, and what joins words that they split, unless their second input says so."""

_CARRIERS: Mapping[str, Sequence[int] | None] = {
    **dict.fromkeys(
        (
            "BatchToSpaceND", "BroadcastTo", "Cast", "ClipByValue", "DynamicPartition",
            "EnsureShape", "ExpandDims", "Gather", "GatherNd", "GatherV2", "Identity",
            "PlaceholderWithDefault", "PreventGradient", "RegexReplace", "Reshape", "Reverse",
            "ReverseV2", "Slice", "Snapshot", "SplitV", "Squeeze", "StaticRegexReplace",
            "StopGradient", "StridedSlice", "StringLower", "StringNGrams", "StringStrip",
            "StringUpper", "Substr", "TensorListConcatV2", "TensorListFromTensor",
            "TensorListGather", "TensorListGetItem", "TensorListStack", "Tile", "Transpose",
            "UnicodeEncode", "UnicodeTranscode", "Unique", "UniqueV2", "Unpack", *_SPLITTERS,
        ),
        _FIRST,
    ),
    **dict.fromkeys(("RaggedTensorToTensor", "SparseReorder", "Split"), _SECOND),
    **dict.fromkeys(("Select", "SelectV2"), _CHOICES),
    "Fill": (1,),
    "SparseToDense": (2,),
    "TensorListSetItem": (0, 2),
    **dict.fromkeys(
        ("Concat", "ConcatV2", "DynamicStitch", "IdentityN", "Maximum", "Minimum", "Pack",
         "RaggedGather", "RaggedTensorFromVariant", "RaggedTensorToVariant"),
        _ALL,
    ),
}  # fmt: skip
"""Ops whose results consist of elements of some inputs, and the positions of these.

A result that is computed from elements otherwise is not listed. Its input may be a size, for
example, which should not become as large as a key.
"""

_DEEPEST_CALLS = 30  # lookups in deeper calls are not found


@dataclass(frozen=True)
class Part:
    """What elements are of an argument.

    Attributes:
        separator: What joins the words of a text, if the elements are its words; None if they are
            whole elements.
        feature: The key of a feature, if the elements are its values, and those of the argument are
            serialized tf.Examples.
    """

    separator: bytes | None = None
    feature: str | None = None

    def within(self, outer: Part) -> Part:
        """Returns this part of a part."""
        separator, feature = outer.separator, outer.feature
        if separator is None:
            separator = self.separator
        if feature is None:
            feature = self.feature
        return Part(separator, feature)


_WHOLE = Part()


@dataclass(frozen=True)
class Origin:
    """Where the elements of a tensor come from.

    Attributes:
        argument: The position of the argument of the function.
        part: What the elements are of the argument.
    """

    argument: int
    part: Part = _WHOLE


@dataclass(frozen=True)
class Lookup:
    """A lookup of elements of an argument.

    Attributes:
        keys: Where the keys come from.
        table: The position of the argument that is the table.
        key_type: The number of the dtype of keys.
        value_type: The number of the dtype of values.
    """

    keys: Origin
    table: int
    key_type: int
    value_type: int


def find(
    nodes: Iterable[NodeDef],
    library: FunctionDefLibrary,
    arguments: Sequence[str],
) -> frozenset[Lookup]:
    """Returns the lookups of a graph and of the functions that it runs.

    Args:
        nodes: The nodes of the graph.
        library: The functions that they may run.
        arguments: The names of the nodes that are the arguments of the graph.
    """
    functions = _Functions(library)
    by_name = {node.name: node for node in nodes}
    return _Body(functions, by_name, arguments, ()).lookups()


class _Functions:
    """The functions of a graph, each with its results and lookups once it is asked for them."""

    def __init__(self, library: FunctionDefLibrary) -> None:
        self._functions = {
            function.signature.name: function for function in library.function
        }
        self._results: dict[str, list[frozenset[Origin]]] = {}
        self._lookups: dict[str, frozenset[Lookup]] = {}
        self._depth = 0

    def results(self, name: str) -> list[frozenset[Origin]]:
        """Returns where each result of a function comes from."""
        if name not in self._results and self._can_enter(name):
            self._depth += 1
            self._results[name] = self._body(name).results()
            self._depth -= 1
        return self._results.get(name, [])

    def lookups(self, name: str) -> frozenset[Lookup]:
        """Returns the lookups of a function."""
        if name not in self._lookups and self._can_enter(name):
            self._depth += 1
            self._lookups[name] = self._body(name).lookups()
            self._depth -= 1
        return self._lookups.get(name, frozenset())

    def _can_enter(self, name: str) -> bool:
        return name in self._functions and self._depth < _DEEPEST_CALLS

    def _body(self, name: str) -> _Body:
        function: FunctionDef = self._functions[name]
        returned = [
            function.ret[result.name]
            for result in function.signature.output_arg
        ]
        return _Body(
            self,
            {node.name: node for node in function.node_def},
            [argument.name for argument in function.signature.input_arg],
            returned,
        )


class _Body:
    """The nodes of a function, and what flows through them.

    Args:
        functions: The functions that the nodes may run.
        nodes: The nodes by name.
        arguments: The names of the arguments.
        returned: A reference for each result.
    """

    def __init__(
        self,
        functions: _Functions,
        nodes: Mapping[str, NodeDef],
        arguments: Sequence[str],
        returned: Sequence[str],
    ) -> None:
        self._functions = functions
        self._nodes = nodes
        self._positions = {
            name: position for position, name in enumerate(arguments)
        }
        self._returned = returned
        self._known: dict[tuple[str, Part], frozenset[Origin]] = {}

    def results(self) -> list[frozenset[Origin]]:
        """Returns where each result comes from."""
        return [self._origins(reference) for reference in self._returned]

    def lookups(self) -> frozenset[Lookup]:
        """Returns the lookups of the nodes and of the functions that they run."""
        found: set[Lookup] = set()
        for node in self._nodes.values():
            if node.op in _LOOKUPS:
                found.update(self._of_node(node))
            elif node.op in _RUNS:
                found.update(self._of_run(node))
        return frozenset(found)

    def _of_node(self, node: NodeDef) -> Iterator[Lookup]:
        key_type, value_type = node.attr["Tin"].type, node.attr["Tout"].type
        for table in self._origins(node.input[0]):
            for keys in self._origins(node.input[1]):
                yield Lookup(keys, table.argument, key_type, value_type)

    def _of_run(self, node: NodeDef) -> Iterator[Lookup]:
        for name in _functions_of(node):
            for inner in self._functions.lookups(name):
                tables = self._at_run(node, Origin(inner.table))
                all_keys = self._at_run(node, inner.keys)
                for table in tables:
                    for keys in all_keys:
                        yield replace(inner, keys=keys, table=table.argument)

    def _at_run(self, node: NodeDef, inner: Origin) -> frozenset[Origin]:
        """Returns the origins here of an origin in a function that a node runs."""
        found: set[Origin] = set()
        for each in self._through_iterations(node, inner):
            position = _RUNS[node.op] + each.argument
            found |= self._origins(node.input[position], each.part)
        return frozenset(found)

    def _through_iterations(
        self, node: NodeDef, origin: Origin
    ) -> frozenset[Origin]:
        """Returns an origin, and those that previous iterations of a loop move to its place."""
        if node.op not in LOOPS:
            return frozenset([origin])
        moved = self._functions.results(node.attr["body"].func.name)
        found = {origin}
        pending = [origin]
        while pending:
            last = pending.pop()
            for each in moved[last.argument] if moved else ():
                before = replace(each, part=last.part.within(each.part))
                if before not in found:
                    found.add(before)
                    pending.append(before)
        return frozenset(found)

    def _origins(
        self, reference: str, part: Part = _WHOLE
    ) -> frozenset[Origin]:
        """Returns where a part of the elements of a tensor comes from."""
        place = (reference, part)
        if place not in self._known:
            self._known[place] = frozenset(self._walk(reference, part))
        return self._known[place]

    def _walk(self, reference: str, part: Part) -> set[Origin]:
        found: set[Origin] = set()
        seen = {(reference, part)}
        pending = [(reference, part)]
        while pending:
            reference, part = pending.pop()
            name = source(reference)
            if name in self._positions:
                found.add(Origin(self._positions[name], part))
                continue
            for earlier, outer in self._before(self._nodes[name], reference):
                key = (earlier, part.within(outer))
                if key not in seen:
                    seen.add(key)
                    pending.append(key)
        return found

    def _before(
        self, node: NodeDef, reference: str
    ) -> Iterator[tuple[str, Part]]:
        """Yields the tensors with the elements of an output, and the part that these are."""
        if node.op in _RUNS:
            for inner in self._results_of_run(node, reference):
                yield node.input[_RUNS[node.op] + inner.argument], inner.part
        elif node.op == PARSER:
            feature = parsed_features.key(node, reference, self._nodes)
            if feature is not None:
                yield node.input[0], Part(feature=feature)
        elif node.op in _CARRIERS:
            data = [name for name in node.input if not name.startswith("^")]
            positions = _CARRIERS[node.op]
            if positions is None:
                positions = range(len(data))
            part = Part(self._separator(node))
            for position in positions:
                yield data[position], part

    def _results_of_run(
        self, node: NodeDef, reference: str
    ) -> Iterator[Origin]:
        index = int(reference.rpartition(":")[2]) if ":" in reference else 0
        if node.op in LOOPS:
            yield from self._through_iterations(node, Origin(index))
            return
        for name in _functions_of(node):
            results = self._functions.results(name)
            yield from results[index] if results else ()

    def _separator(self, node: NodeDef) -> bytes | None:
        """Returns what joins the words of texts that a node splits; None for other nodes."""
        usual = _SPLITTERS.get(node.op)
        if not node.op.startswith("StringSplit"):
            return usual
        given = self._nodes.get(source(node.input[1]))
        texts = given.attr["value"].tensor.string_val if given else ()
        return bytes(texts[0]) if texts and texts[0] else usual


def _functions_of(node: NodeDef) -> list[str]:
    """Returns the names of the functions that a node runs."""
    names: list[str] = []
    for attribute in node.attr.values():
        names += [each.name for each in attribute.list.func]
        if attribute.func.name:
            names.append(attribute.func.name)
    return names
