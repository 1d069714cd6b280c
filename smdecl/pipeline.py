"""The line of stages, end to end: compose → check → build → trace → save → inspect → verify → publish."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from smdecl import checking, isolating, making, manifest, models_config, publishing, schema, uploading
from smdecl.config import Composition, ExportConfig, Signature, Verify, parse_signature, parse_verify
from smdecl.errors import ContractError, ModelError, Problem, SmdeclError, VerificationError, disk_errors
from smdecl.making import Made, Plan
from smdecl.records import Finding, SignatureRecord, VerificationRecord
from smdecl.trust import Project


@dataclass(frozen=True)
class Release:
    """What an export published.

    Attributes:
        path: The directory of the SavedModel; a URL where the base path is one.
        version: Its version; None where the base path itself is the SavedModel.
        digest: sha256 over all its files, as the manifest has it.
        signatures: As they were saved.
        warnings: What the config lets pass: findings of the audit, variables that weights had nothing for, signatures
            that no example was run for.
    """

    path: Path | str
    version: int | None
    digest: str
    signatures: dict[str, SignatureRecord]
    warnings: tuple[Problem, ...]


def plan(composition: Composition, project: Project) -> Plan:
    """Runs the line through trace; writes nothing."""
    with _located(composition):
        config = checking.check(composition, project)
        planned = isolating.run(making.plan, config, project, failure=ModelError, doing="building and tracing")
        _require_schemas(planned)
        return planned


def export(composition: Composition, project: Project, subdirectory: str = "") -> Release:
    """Runs the whole line and returns what was published.

    Args:
        composition: From `composing.compose`.
        project: Whose code the config may name.
        subdirectory: Below the config's export_dir; a sweep gives each variant one of its own.

    Raises:
        SmdeclError: Of the type that says which stage failed; nothing is left behind then.
    """
    with _located(composition):
        config = checking.check(composition, project)
        if config.publish.models_config is not None:
            models_config.require_ours(Path(config.publish.models_config))
        base: str | Path
        if uploading.is_remote(config.export_dir):
            base = "/".join(part for part in (config.export_dir.rstrip("/"), subdirectory) if part)
            uploading.refuse_early(base, config.publish)
        else:
            base = Path(config.export_dir, subdirectory)
            publishing.refuse_early(base, config.publish)
        path: str | Path
        with publishing.stage(base, config.publish) if isinstance(base, Path) else uploading.stage() as stage:
            made, digest, report = make_release(config, composition, project, stage)
            if isinstance(base, Path):
                path, version = publishing.publish(stage / "moved", base, config.publish)
            else:
                path, version = uploading.upload(stage / "moved", base, config.publish)
        if config.publish.models_config is not None:
            with disk_errors(Path(config.publish.models_config)):
                models_config.add(Path(config.publish.models_config), config.name, base)
        warnings = [problem.at(composition.locate(problem.path)) for problem in _warnings(config, made, report)]
        return Release(path, version, digest, made.saved.signatures, tuple(warnings))


def make_release(
    config: ExportConfig, composition: Composition, project: Project, stage: Path
) -> tuple[Made, str, VerificationRecord]:
    """Makes and verifies the release in `moved`, below the stage."""
    with disk_errors(stage):
        (stage / "made").mkdir()
    made = _make(config, project, stage / "made")
    with disk_errors(stage):
        directory = (stage / "made").rename(stage / "moved")  # a server's place is another one too
        digest = manifest.write(directory, composition.recorded, made.saved.signatures, made.environment, project.root)
    return made, digest, _verify(directory, config.signatures, config.verify)


@contextmanager
def _located(composition: Composition) -> Iterator[None]:
    """Gives the problems of any error their file and line, or override."""
    try:
        yield
    except SmdeclError as error:
        raise composition.masked(error) from error.__cause__


def _make(config: ExportConfig, project: Project, directory: Path) -> Made:
    made = isolating.run(making.make, config, project, directory, failure=ModelError, doing="building and saving")
    _require_schemas(made.plan)
    schema.require("saved_model", manifest.plain(asdict(made.saved)))
    errors = [finding for finding in made.saved.findings if _level(config, finding) == "error"]
    if errors:
        raise ContractError(
            [Problem(("audit", finding.rule), f"{finding}; takes warn or off to let it pass") for finding in errors]
        )
    return made


def _level(config: ExportConfig, finding: Finding) -> str:
    # Where no signature is declared, what nobody can call is most likely what was to be exported.
    if finding.rule == "untraced_functions" and not config.signatures:
        return "error"
    return config.audit.levels[finding.rule]


def _warnings(config: ExportConfig, made: Made, report: VerificationRecord) -> Iterator[Problem]:
    for finding in made.saved.findings:
        if _level(config, finding) == "warn":
            yield Problem(("audit", finding.rule), str(finding))
    for name in made.plan.obj.not_restored:
        yield Problem(("weights", "path"), f"had no value for {name}, which keeps the one that it was built with")
    if not made.saved.signatures:
        callable_after = ", ".join(made.saved.functions) or "nothing"
        yield Problem(
            ("signatures",),
            "none was saved: TensorFlow's own search takes one only where exactly one function is traced;"
            f" tf.saved_model.load gives {callable_after}",
        )
    for key in made.saved.signatures:
        if not report.examples.get(key):
            yield Problem(("signatures", key), "was loaded, but no example was run; give one under verify.examples")


def _require_schemas(planned: Plan) -> None:
    schema.require("object", manifest.plain(asdict(planned.obj)))
    schema.require("signatures", manifest.plain({key: asdict(value) for key, value in planned.signatures.items()}))


def verify(directory: Path) -> tuple[dict[str, Any], VerificationRecord]:
    """Compares a release with its manifest, loads it and runs its examples; returns the manifest and what was run.

    Raises:
        VerificationError: With every file that is missing, changed or added; or with every example that differs.
    """
    released = manifest.read(directory)
    if problems := list(manifest.compare(directory, released)):
        raise VerificationError(problems)
    # What was read from the environment when it was made is not in the manifest, and nothing here needs it.
    signatures = {key: parse_signature(value) for key, value in released["config"]["signatures"].items()}
    return released, _verify(directory, signatures, parse_verify(released["config"]["verify"]))


def _verify(directory: Path, signatures: Mapping[str, Signature], options: Verify) -> VerificationRecord:
    report = isolating.run(
        making.verify, directory, signatures, options, failure=VerificationError, doing="loading and running the export"
    )
    schema.require("verification", manifest.plain(asdict(report)))
    if report.failures:
        raise VerificationError(
            [
                Problem(
                    ("signatures", failure.signature) if failure.signature else ("verify", "loaders"),
                    f"example {failure.example}, {failure.loader} loader: {failure.message}"
                    if failure.signature
                    else f"the {failure.loader} loader {failure.message}",
                )
                for failure in report.failures
            ]
        )
    return report
