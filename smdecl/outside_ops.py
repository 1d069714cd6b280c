"""Ops that reach outside of their graph: into files, the network or Python."""

from __future__ import annotations

from smdecl.inspecting import all_nodes
from smdecl.protos import MetaGraphDef, SavedModel

PYTHON = ("EagerPyFunc", "PyFunc", "PyFuncStateless")
# InitializeTableFromTextFile is not among them: the file that it reads is an asset of the SavedModel.
FILES = (
    "CSVDataset", "CSVDatasetV2", "CacheDataset", "CacheDatasetV2", "CalibrationStatisticsSaver",
    "ExperimentalCSVDataset", "GenerateVocabRemapping", "Skipgram", "XlaCustomCall", "XlaCustomCallV2",
    "CreateSummaryDbWriter", "CreateSummaryFileWriter", "DatasetToTFRecord",
    "DebugIdentity", "DebugIdentityV2", "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary",
    "DebugNumericSummaryV2", "DistributedSave", "DumpTensor", "ExperimentalDatasetToTFRecord",
    "ExperimentalLMDBDataset", "ExperimentalMatchingFilesDataset", "ExperimentalSqlDataset",
    "FileSystemSetConfiguration", "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2",
    "FixedLengthRecordReader", "FixedLengthRecordReaderV2", "ImmutableConst", "LMDBDataset", "LMDBReader",
    "ListSnapshotChunksDataset", "LoadAndRemapMatrix", "LoadDataset", "MatchingFiles", "MatchingFilesDataset",
    "MergeV2Checkpoints", "Print", "PrintV2", "ReadFile", "ReaderRead", "ReaderReadUpTo", "ReaderReadUpToV2",
    "ReaderReadV2", "RecordInput", "Restore", "RestoreSlice", "RestoreV2", "Save", "SaveDataset", "SaveDatasetV2",
    "SaveSlices", "SaveV2", "SnapshotChunkDataset", "SnapshotDataset", "SnapshotDatasetReader",
    "SnapshotDatasetV2", "SnapshotNestedDatasetReader", "SqlDataset", "TFRecordDataset", "TFRecordDatasetV2",
    "TFRecordReader", "TFRecordReaderV2", "TextLineDataset", "TextLineReader", "TextLineReaderV2",
    "WholeFileReader", "WholeFileReaderV2", "WriteAudioSummary", "WriteFile", "WriteGraphSummary",
    "WriteHistogramSummary", "WriteImageSummary", "WriteRawProtoSummary", "WriteScalarSummary", "WriteSummary",
)  # fmt: skip
NETWORK = (
    "ConfigureDistributedTPU", "DataServiceDataset", "DataServiceDatasetV2", "DataServiceDatasetV3",
    "DataServiceDatasetV4", "RegisterDataset", "RegisterDatasetV2", "RemoteCall",
    "RpcCall", "RpcClient", "RpcServer",
)  # fmt: skip
# Ops that read a file only where an attribute names one.
_BY_ATTRIBUTE = {
    "DecodeProtoV2": "descriptor_source",
    "EncodeProto": "descriptor_source",
    "FixedUnigramCandidateSampler": "vocab_file",
}
# What TensorFlow itself saves and restores the variables by.
_SAVER = ("MergeV2Checkpoints", "RestoreV2", "SaveV2")


def find(message: SavedModel) -> dict[str, str]:
    """Returns the ops of a SavedModel that reach outside, each with the place of the first of them.

    TensorFlow's own saver is no such place, for who loads the model chooses its file.
    """
    kinds = frozenset((*PYTHON, *FILES, *NETWORK))
    found: dict[str, str] = {}
    for graph in message.meta_graphs:
        savers = saver_functions(graph)
        for function, node in all_nodes(graph):
            is_saver = function in savers and node.op in _SAVER
            reads = node.op in _BY_ATTRIBUTE and node.attr[_BY_ATTRIBUTE[node.op]].s not in (b"", b"local://")
            if (node.op in kinds and not is_saver) or reads:
                found.setdefault(node.op, f"{function}/{node.name}" if function else node.name)
    return found


def saver_functions(graph: MetaGraphDef) -> set[str]:
    """Returns the names of the functions that save and restore the variables and tables of a graph."""
    calls = {graph.saver_def.save_tensor_name.split(":")[0], graph.saver_def.restore_op_name.split(":")[0]}
    found = {node.attr["f"].func.name for node in graph.graph_def.node if node.name in calls and "f" in node.attr}
    objects = graph.object_graph_def.nodes
    for node in objects:  # tables bring functions of their own
        for saveable in node.saveable_objects.values():
            for index in (saveable.save_function, saveable.restore_function):
                found.update(objects[index].function.concrete_functions)
    return found
