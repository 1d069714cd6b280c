"""The message ModelServerConfig of TensorFlow Serving, with the fields that smdecl reads.

It is declared here because tensorflow-serving-api is too large a dependency for it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

ModelServerConfig: TypeAlias = Any
"""A message with `model_config_list.config`, a list of models."""

ModelConfig: TypeAlias = Any
"""A message with `name`, `base_path`, `model_version_policy` and `version_labels`."""

LIST, ENTRY = "model_config_list", "config"


# Message to its fields: name, number, type (a scalar's, or a message's name), and whether it is
# repeated.
_MESSAGES: dict[str, tuple[tuple[str, int, str, bool], ...]] = {
    "Server": ((LIST, 1, "Models", False),),
    "Models": ((ENTRY, 1, "Model", True),),
    "Model": (
        ("name", 1, "string", False),
        ("base_path", 2, "string", False),
        ("model_version_policy", 7, "Policy", False),
        ("version_labels", 8, "Label", True),
    ),
    "Policy": (("specific", 102, "Specific", False),),
    "Specific": (("versions", 1, "int64", True),),
    "Label": (("key", 1, "string", False), ("value", 2, "int64", False)),
}


def empty() -> ModelServerConfig:
    """Returns an empty ModelServerConfig."""
    from google.protobuf import (
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"string": kinds.TYPE_STRING, "int64": kinds.TYPE_INT64}
    file = descriptor_pb2.FileDescriptorProto(
        name="models_config.proto", package="smdecl"
    )
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind, is_repeated in fields:
            field = described.field.add(name=name, number=number)
            field.type = scalars.get(kind, kinds.TYPE_MESSAGE)
            if kind not in scalars:
                field.type_name = f".smdecl.{kind}"
            field.label = kinds.LABEL_OPTIONAL
            if is_repeated:
                field.label = kinds.LABEL_REPEATED
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("smdecl.Server")
    return message_factory.GetMessageClass(descriptor)()


def named_versions(model: ModelConfig) -> frozenset[int]:
    """Returns the versions of a model that its entry names."""
    labelled = [label.value for label in model.version_labels]
    return frozenset(
        [*model.model_version_policy.specific.versions, *labelled]
    )
