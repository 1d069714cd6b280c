"""Stage 3, build: creates the live object, restores its weights and describes it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import tensorflow as tf

from smdecl.config import trust
from smdecl.config.project import Project
from smdecl.config.settings import ExportConfig, Signature, Weights
from smdecl.errors import ConfigError, ModelError, Problem, TrustError
from smdecl.exporting.building import devices, seeding, targets
from smdecl.exporting.building.building_layers import build_layers
from smdecl.exporting.building.instantiating import instantiate
from smdecl.exporting.building.records import ObjectRecord
from smdecl.exporting.importable import make_importable
from smdecl.exporting.live_objects import keras_models
from smdecl.exporting.restoring import matching, restore
from smdecl.exporting.signatures import methods
from smdecl.exporting.signatures.parameters import argument_names, find_method
from smdecl.exporting.types import PythonValue, Trackable
from smdecl.printing import result_text

_TARGET = ("model", "_target_")
_FUNCTIONS = (
    tf.types.experimental.GenericFunction,
    tf.types.experimental.ConcreteFunction,
)


@dataclass(frozen=True)
class Built:
    """The live object and its description.

    Attributes:
        obj: The object.
        record: Its description.
        restored: What the weights had a value for.
        known: The identities of the variables that existed when the weights were restored.
    """

    obj: Trackable
    record: ObjectRecord
    restored: matching.Restored = field(default_factory=matching.Restored)
    known: frozenset[int] = frozenset()


def build(config: ExportConfig, project: Project) -> Built:
    """Instantiates the model on the configured devices and restores its weights.

    Raises:
        TrustError: If a `_target_` leads to code that may not run; nothing of the config has run.
        ConfigError: If a target does not exist or does not accept its arguments, a signature names
            a method or argument that the object does not have, or the weights do not match.
        ModelError: If the model's own code fails.
    """
    make_importable()
    seeding.seed_generators(config.seed)
    keras_models.use_defaults()  # before the model's own modules, which may set others
    devices.show(config.devices)
    targets.require(config, project)
    devices.require(config.devices)
    with devices.building_on(config.devices):
        obj = instantiate(config.model, ("model",))
        _require_trackable(obj, config.model["_target_"])
        _require_trusted_methods(obj, config.signatures, project)
        loaded = restore.restore_before_build(obj, config.weights)
        build_layers(obj, _building_signatures(obj, config))
        _require_eager()
        methods.require(obj, config.signatures)
        restored = restore.restore(obj, config.weights, loaded)
    known = () if config.weights is None else restore.variables_of(obj)
    record = _describe(obj, restored)
    return Built(obj, record, restored, frozenset(known))


def restore_late(built: Built, weights: Weights | None) -> Built:
    """Restores the variables that tracing the object has created.

    Raises:
        ConfigError: If the weights do not meet `expect`.
    """
    if weights is None:
        return built
    restored = restore.restore_late(
        built.obj, weights, built.restored, built.known
    )
    return replace(
        built, record=_describe(built.obj, restored), restored=restored
    )


def _building_signatures(
    obj: Trackable, config: ExportConfig
) -> Mapping[str, Signature]:
    """Returns the signatures whose traces create the variables to restore weights into.

    If none is declared, they are the object's own functions, which TensorFlow traces to save them:
    a variable that is created then would keep its initial value.
    """
    if config.weights is None:
        return config.signatures if keras_models.is_model(obj) else {}
    if config.signatures:
        return config.signatures
    return {
        name: Signature(name, None, None)
        for name, method in methods.of(obj).items()
        if getattr(method, "input_signature", None) is not None
    }


def _require_trackable(obj: PythonValue, target: str) -> None:
    """Checks that TensorFlow can save an object.

    Raises:
        ConfigError: If it cannot.
    """
    own = getattr(obj, "signatures", None)
    # Objects that `tf.saved_model.load` returns have a `_SignatureMap` here.
    if own is not None and type(own).__name__ != "_SignatureMap":
        message = (
            f"{target} has an attribute 'signatures', a name that SavedModels reserve;"
            " rename it"
        )
        raise ConfigError(Problem(_TARGET, message))
    if isinstance(obj, tf.__internal__.tracking.Trackable):
        return
    if isinstance(obj, functools.partial):
        message = (
            "expected false for the model, got true, which builds nothing"
        )
        raise ConfigError(Problem(("model", "_partial_"), message))
    expected = "a tf.Module, a Keras model, a tf.train.Checkpoint or any other Trackable"
    found = result_text(obj, target)
    raise ConfigError(Problem(_TARGET, f"expected {expected}, got {found}"))


def _require_trusted_methods(
    obj: Trackable, signatures: Mapping[str, Signature], project: Project
) -> None:
    """Checks that the methods of signatures are trusted, before any of them is called.

    Functions need no check: they are traced already, or exist to be traced.

    Raises:
        TrustError: If methods are not trusted; lists all of them.
    """
    problems = []
    for key, signature in signatures.items():
        method = find_method(obj, signature.method)
        if method is None or isinstance(method, _FUNCTIONS):
            continue
        reason = trust.refuse_method(method, project)
        if reason is not None:
            message = f"{signature.method!r} {reason}"
            problems.append(Problem(("signatures", key, "method"), message))
    if problems:
        raise TrustError(problems)


def _require_eager() -> None:
    if not tf.executing_eagerly():
        message = (
            "its code disables eager execution;"
            " expected a TensorFlow 2 model that calls no switches of tf.compat.v1"
        )
        raise ModelError(Problem(_TARGET, message))


def _describe(obj: Trackable, restored: matching.Restored) -> ObjectRecord:
    kind = type(obj)
    return ObjectRecord(
        class_name=f"{kind.__module__}.{kind.__qualname__}",
        methods={
            name: argument_names(method)
            for name, method in sorted(methods.of(obj).items())
        },
        restored=restored.matched,
        not_restored=restored.unmatched,
        reasons=restored.reasons,
        unused=restored.unused,
    )
