"""The warnings of an export: everything questionable that its config permits."""

from __future__ import annotations

from collections.abc import Iterator

from smdecl.checks import check
from smdecl.config.settings import ExportConfig
from smdecl.errors import Problem
from smdecl.pipeline.records import Made
from smdecl.savedmodel.records import Finding
from smdecl.verification.records import VerificationRecord


def level(config: ExportConfig, finding: Finding) -> str:
    """Returns how serious a finding of the audit is: `error`, `warn` or `off`."""
    configured = config.audit.levels[finding.rule]
    if configured is None:
        # Without declared signatures, what cannot be called was most likely meant to be exported.
        return "warn" if config.signatures else "error"
    # A project that declares the library of an op knows that its servers load it.
    most = finding.most if finding.provider is None else "warn"
    if configured == "error" and most is not None:
        return most
    return configured


def of_making(config: ExportConfig, made: Made) -> Iterator[Problem]:
    """Yields the warnings of a release that was made, whether or not it is published."""
    for finding in made.saved.findings:
        if level(config, finding) == "warn":
            yield Problem(("audit", finding.rule), str(finding))
    for name in made.plan.obj.not_restored:
        reason = made.plan.obj.reasons.get(name)
        if reason is None:
            message = f"has no value for {name}, which keeps its initial value"
        else:
            message = f"{reason}; it keeps its initial value"
        yield Problem(("weights", "path"), message)
    for message in made.plan.obj.unused:
        yield Problem(("weights", "path"), message)
    yield from made.plan.warnings
    yield from check.warnings(config)


def of_verifying(made: Made, report: VerificationRecord) -> Iterator[Problem]:
    """Yields the warnings about what verification could not run."""
    if not made.saved.signatures:
        found = ", ".join(made.saved.functions) or "nothing"
        message = (
            "none was saved: TensorFlow picks one only if exactly one function is traced;"
            f" tf.saved_model.load gives {found}"
        )
        yield Problem(("signatures",), message)
    if "session" in report.loaders:
        message = (
            "this TensorFlow has no C API;"
            " tf.compat.v1.saved_model.load ran instead of cpp"
        )
        yield Problem(("verify", "loaders"), message)
    for key in made.saved.signatures:
        if not report.examples.get(key):
            message = "was loaded, but no example was run; give one under verify.examples"
            yield Problem(("signatures", key), message)
