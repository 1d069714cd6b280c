"""The message ModelServerConfig of TensorFlow Serving, with the fields that smdecl reads.

It is declared here because tensorflow-serving-api is too large a dependency for it.
"""

from __future__ import annotations

from typing import Any, TypeAlias

ModelServerConfig: TypeAlias = Any
"""A message with `model_config_list.config`, a list of models with `name` and `base_path`."""

LIST, ENTRY = "model_config_list", "config"


def empty() -> ModelServerConfig:
    """Returns an empty ModelServerConfig."""
    from google.protobuf import (
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    file = descriptor_pb2.FileDescriptorProto(
        name="models_config.proto", package="smdecl"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    string = {"type": kinds.TYPE_STRING, "label": kinds.LABEL_OPTIONAL}
    model = file.message_type.add(name="Model")
    model.field.add(name="name", number=1, **string)
    model.field.add(name="base_path", number=2, **string)
    models = file.message_type.add(name="Models")
    entry = models.field.add(name=ENTRY, number=1, type_name=".smdecl.Model")
    entry.type = kinds.TYPE_MESSAGE
    entry.label = kinds.LABEL_REPEATED
    server = file.message_type.add(name="Server")
    listed = server.field.add(name=LIST, number=1, type_name=".smdecl.Models")
    listed.type = kinds.TYPE_MESSAGE
    listed.label = kinds.LABEL_OPTIONAL
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    descriptor = pool.FindMessageTypeByName("smdecl.Server")
    return message_factory.GetMessageClass(descriptor)()
