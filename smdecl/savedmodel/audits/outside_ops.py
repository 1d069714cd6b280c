"""Finds ops that reach outside their graph: files, the network or Python."""

from __future__ import annotations

import functools
from collections.abc import Callable

from smdecl.savedmodel.audits.asset_paths import AssetPaths
from smdecl.savedmodel.inspection import all_nodes
from smdecl.savedmodel.protos import MetaGraphDef, NodeDef, SavedModel

PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")
# DatasetFromGraph runs a graph that it gets as a string, in which no op can be found.
# InitializeTableFromTextFile is in BY_ASSET instead: its file should be an asset of the SavedModel.
FILES = (
    "CSVDataset", "CSVDatasetV2", "CacheDataset", "CacheDatasetV2", "CalibrationStatisticsSaver",
    "ExperimentalCSVDataset", "GenerateVocabRemapping", "Skipgram", "XlaCustomCall",
    "XlaCustomCallV2", "CreateSummaryDbWriter", "CreateSummaryFileWriter", "DatasetFromGraph",
    "DatasetToTFRecord", "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount",
    "DebugNumericSummary", "DebugNumericSummaryV2", "DTensorRestoreV2", "DistributedSave",
    "DumpTensor", "ExperimentalDatasetToTFRecord", "ExperimentalLMDBDataset",
    "ExperimentalMatchingFilesDataset", "ExperimentalSqlDataset", "FileSystemSetConfiguration",
    "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "FixedLengthRecordReader",
    "FixedLengthRecordReaderV2", "ImmutableConst", "LMDBDataset", "LMDBReader",
    "ListSnapshotChunksDataset", "LoadAndRemapMatrix", "LoadDataset", "MatchingFiles",
    "MatchingFilesDataset", "MergeV2Checkpoints", "Print", "PrintV2", "ReadFile", "ReaderRead",
    "ReaderReadUpTo", "ReaderReadUpToV2", "ReaderReadV2", "RecordInput", "Restore", "RestoreSlice",
    "RestoreV2", "Save", "SaveDataset", "SaveDatasetV2", "SaveSlices", "SaveV2",
    "SnapshotChunkDataset", "SnapshotDataset", "SnapshotDatasetReader", "SnapshotDatasetV2",
    "SnapshotNestedDatasetReader", "SqlDataset", "TFRecordDataset", "TFRecordDatasetV2",
    "TFRecordReader", "TFRecordReaderV2", "TextLineDataset", "TextLineReader", "TextLineReaderV2",
    "WholeFileReader", "WholeFileReaderV2", "WriteAudioSummary", "WriteFile", "WriteGraphSummary",
    "WriteHistogramSummary", "WriteImageSummary", "WriteRawProtoSummary", "WriteScalarSummary",
    "WriteSummary",
)  # fmt: skip
NETWORK = (
    "ConfigureDistributedTPU", "DataServiceDataset", "DataServiceDatasetV2",
    "DataServiceDatasetV3", "DataServiceDatasetV4", "RegisterDataset", "RegisterDatasetV2",
    "RemoteCall", "RpcCall", "RpcClient", "RpcServer",
)  # fmt: skip
# Ops that read a file only if an attribute names one.
BY_ATTRIBUTE = {
    "DecodeProtoV2": "descriptor_source",
    "EncodeProto": "descriptor_source",
    "FixedUnigramCandidateSampler": "vocab_file",
}
# Ops that should read an asset, and the position of the input with its path.
BY_ASSET = {
    "InitializeTableFromTextFile": 1,
    "InitializeTableFromTextFileV2": 1,
}
# The ops by which TensorFlow itself saves and restores variables.
_SAVER = ("MergeV2Checkpoints", "RestoreV2", "SaveV2")


def find(message: SavedModel) -> dict[str, str]:
    """Returns the ops of a SavedModel that reach outside, each with the place of its first node.

    TensorFlow's own saver does not count, because whoever loads the model chooses its file.
    """
    kinds = frozenset((*PYTHON, *FILES, *NETWORK))
    found: dict[str, str] = {}
    for graph in message.meta_graphs:
        savers = saver_functions(graph)
        assets = functools.cache(functools.partial(AssetPaths, graph))
        for function, node in all_nodes(graph):
            is_saver = function in savers and node.op in _SAVER
            is_outside = node.op in kinds and not is_saver
            if is_outside or _reads_a_file(function, node, assets):
                place = f"{function}/{node.name}" if function else node.name
                found.setdefault(node.op, place)
    return found


def _reads_a_file(
    function: str, node: NodeDef, assets: Callable[[], AssetPaths]
) -> bool:
    """Returns whether an op that may read a file reads one that is not an asset."""
    if node.op in BY_ATTRIBUTE:
        return node.attr[BY_ATTRIBUTE[node.op]].s not in (b"", b"local://")
    if node.op not in BY_ASSET:
        return False
    position = BY_ASSET[node.op]
    if position >= len(node.input):
        return True
    return not assets().is_asset(function, node.input[position])


def saver_functions(graph: MetaGraphDef) -> set[str]:
    """Returns the names of the functions that save and restore variables and tables."""
    calls = {
        graph.saver_def.save_tensor_name.split(":")[0],
        graph.saver_def.restore_op_name.split(":")[0],
    }
    found = {
        node.attr["f"].func.name
        for node in graph.graph_def.node
        if node.name in calls and "f" in node.attr
    }
    objects = graph.object_graph_def.nodes
    for node in objects:  # tables have separate functions
        for saveable in node.saveable_objects.values():
            for index in (saveable.save_function, saveable.restore_function):
                if 0 <= index < len(objects):
                    found.update(objects[index].function.concrete_functions)
    return found
