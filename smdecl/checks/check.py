"""Stage 2, check: turns a composed config into the records of an export.

The JSON Schema comes first, then rules that a schema cannot express. All problems are reported
together. Nothing here imports TensorFlow.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from smdecl import schema
from smdecl.checks import (
    digest_rules,
    misplaced_keys,
    missing_defaults,
    option_rules,
    plain_values,
    publish_rules,
    verify_rules,
)
from smdecl.checks.examples import example_dims, example_file_rules
from smdecl.checks.signatures import signature_rules
from smdecl.checks.targets import (
    demo_model,
    own_models,
    target_names,
    trust_rules,
)
from smdecl.checks.types import Problems
from smdecl.checks.weights import weights_rules
from smdecl.config import parsing
from smdecl.config.project import Project
from smdecl.config.settings import Composition, ExportConfig
from smdecl.config.types import Values
from smdecl.errors import ConfigError, KeyPath, ModelError, Problem, TrustError

Rule: TypeAlias = Callable[[Values], Problems]
ProjectRule: TypeAlias = Callable[[Values, Project], Problems]

# Each rule with the key that has to be valid by the schema before the rule can run.
_RULES: Sequence[tuple[str, Rule]] = (
    ("devices", option_rules.check_devices),
    ("options", option_rules.check_options),
    ("audit", option_rules.check_consumer),
    ("model", own_models.check),
    ("verify", verify_rules.check),
    ("publish", publish_rules.check),
    ("export_dir", publish_rules.check_export_dir),
)
# The same for rules about code and files of the project.
_PROJECT_RULES: Sequence[tuple[str, ProjectRule]] = (
    ("model", target_names.check),
    ("weights", weights_rules.check),
    ("model", weights_rules.check_models),
    ("sha256", digest_rules.check),
    ("verify", example_file_rules.check),
    ("verify", example_dims.check),
)


def check(composition: Composition, project: Project) -> ExportConfig:
    """Returns the export that a composed config describes.

    Raises:
        TrustError: If the config names code that must not run.
        ModelError: If only the model's code is wrong, because Python cannot parse it.
        ConfigError: If anything else is wrong. All have every problem with its file and line or
            override.
    """
    values = composition.values
    malformed = list(plain_values.check(values))
    if malformed:  # the other checks rely on plain values
        raise composition.masked(ConfigError(malformed))
    broken = schema.problems("config", values)
    found = list(_check_rules(composition, project, broken))
    refused = list(_untrusted(composition, project, broken))
    shown = missing_defaults.summarized(broken, values)
    shown = misplaced_keys.instead_of(shown, values)
    unparsable = dict(target_names.unparsable(values, project))
    problems = [*shown, *found, *refused]
    if problems:
        is_trust_error = trust_rules.needs_trust(refused, values)
        kind = TrustError if is_trust_error else ConfigError
        raise composition.masked(kind([*problems, *unparsable]))
    if unparsable:
        raise composition.masked(_syntax_error(unparsable))
    return parsing.parse(values)


def _syntax_error(unparsable: Mapping[Problem, SyntaxError]) -> ModelError:
    """Returns the error that the build would raise."""
    texts: dict[str, None] = {}
    for error in unparsable.values():
        text = "".join(traceback.format_exception_only(error))
        texts[text.rstrip("\n")] = None
    return ModelError([*unparsable], "\n".join(texts))


def warnings(checked: ExportConfig) -> Problems:
    """Yields what may be wrong with a config that passed the checks."""
    yield from signature_rules.misspelt_default(checked.signatures)
    yield from example_file_rules.lost_zeros(checked.verify.examples)


def located_warnings(
    checked: ExportConfig, composition: Composition
) -> list[Problem]:
    """Returns the warnings about a config, each with its file and line or override."""
    return [
        problem.at(composition.locate(problem.path))
        for problem in (
            *demo_model.warnings(composition),
            *warnings(checked),
        )
    ]


def _check_rules(
    composition: Composition, project: Project, broken: Sequence[Problem]
) -> Problems:
    """Yields what rules find in the parts of a config that are valid by the schema."""
    values = composition.values
    invalid = _invalid_parts(broken)
    for key, rule in _RULES:
        if (key,) not in invalid:
            yield from rule(values)
    yield from _check_signatures(values, broken)
    for key, of_project in _PROJECT_RULES:
        if (key,) not in invalid:
            yield from of_project(values, project)
    if ("publish",) not in invalid:
        yield from publish_rules.check_places(composition, project)


def _check_signatures(values: Values, broken: Sequence[Problem]) -> Problems:
    if any(problem.path == ("signatures",) for problem in broken):
        return
    invalid = _invalid_parts(broken)
    signatures = _mapping(values, "signatures")
    for key, value in signatures.items():
        path = ("signatures", key)
        if path not in invalid:
            yield from signature_rules.check(
                path, parsing.parse_signature(value)
            )
    if ("functions",) not in invalid:
        functions = _mapping(values, "functions")
        yield from signature_rules.check_functions(functions, signatures)


def _invalid_parts(broken: Sequence[Problem]) -> set[KeyPath]:
    """Returns the key paths of one and two keys at or below which the schema is broken."""
    parts = {problem.path[:1] for problem in broken}
    return parts | {problem.path[:2] for problem in broken}


def _mapping(values: Values, key: str) -> Values:
    value = values.get(key)
    return value if isinstance(value, dict) else {}


def _untrusted(
    composition: Composition, project: Project, broken: Sequence[Problem]
) -> Problems:
    known = {problem.path for problem in broken}
    for problem in trust_rules.check_targets(composition.values, project):
        if problem.path not in known:
            yield problem
    yield from trust_rules.check_settings(composition, project)
