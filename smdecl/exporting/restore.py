"""Restores weights into a built object, and tells which of its variables they had a value for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smdecl.config.settings import Weights
from smdecl.errors import ConfigError, Problem
from smdecl.exporting import checkpoints, keras_files, keras_models
from smdecl.exporting.matching import PATH, Match, Outcome, Restored


def restore(obj: Any, weights: Weights | None) -> Restored:
    """Restores `weights` into `obj`.

    Raises:
        ConfigError: Where `expect: full` is not met, with every variable that did not match; where the format does not
            fit the object, or the file cannot be read.
        ModelError: Where the model's own code fails on it.
    """
    if weights is None:
        return Restored()
    if keras_models.is_model(obj) and not obj.variables and not obj.built:
        raise ConfigError(
            Problem(("model", "_target_"), f"{type(obj).__name__} {_UNBUILT}")
        )
    outcome = RESTORERS[weights.format](obj, weights)
    record = outcome.record
    problems = [match for match in outcome.matches if match.problem is not None]
    # Of a Keras model, the states that its layers draw by have the same shape in every file.
    matched = [
        name
        for name in record.matched
        if not (record.unmatched and name.endswith(_SEED))
    ]
    if not matched and not problems:
        problems = [
            Match(
                None,
                f"nothing in {weights.path!r} matches a variable of {type(obj).__name__}",
            )
        ]
    if problems and (weights.expect == "full" or not matched):
        raise ConfigError(
            [Problem(PATH, _worded(match, bool(matched))) for match in problems]
        )
    return record


def _worded(match: Match, has_matches: bool) -> str:
    hint = "; ++weights.expect=partial restores what matches and warns of the rest"
    return f"{match.problem}{hint if has_matches and not match.is_needed else ''}"


_SEED = "/seed_generator_state"
_UNBUILT = (
    "has no variables yet to restore into; declare the inputs of a signature, by which it is built, or let its"
    " constructor or a factory build it: by self.build(input_shape), or by calling it once"
)


# How each row of `weights_formats.FORMATS` is restored.
RESTORERS: dict[str, Callable[[Any, Weights], Outcome]] = {
    "checkpoint": checkpoints.restore,
    "saved_model": checkpoints.restore,
    "keras_weights": keras_files.restore_weights,
    "keras": keras_files.restore_model,
}
