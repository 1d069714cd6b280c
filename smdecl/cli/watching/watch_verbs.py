"""The verbs that `--watch` runs again and again, and what each prints after a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smdecl.cli.config_verbs import CONFIG_VERBS, ConfigVerb
from smdecl.cli.output import report
from smdecl.cli.watching import watch_reports
from smdecl.config.settings import Composition, ExportConfig
from smdecl.errors import SmdeclError
from smdecl.names import ASSETS
from smdecl.pipeline.outcomes import Checked
from smdecl.savedmodel.records import Change, DiffRecord

if TYPE_CHECKING:
    from smdecl.pipeline.export import Release
    from smdecl.pipeline.making import Unpublished
    from smdecl.pipeline.records import Plan
    from smdecl.release.publisher import Published, Publisher


def of(verb: str) -> ConfigVerb[Any]:
    """Returns a verb by its name."""
    if verb == "export":
        exports = _Exports()
        return ConfigVerb(exports.run, exports.show)
    return ConfigVerb(CONFIG_VERBS[verb].run, _SHOW[verb])


def _show_checked(_before: Checked | None, _now: Checked) -> None:
    report.result("ok\n")


def _show_plan(before: Plan | None, now: Plan) -> None:
    from smdecl.cli.output import rendering

    text = rendering.plan(now)
    if before is None:
        report.result(text)
        return
    changed = watch_reports.changed_lines(rendering.plan(before), text)
    report.result(changed or "unchanged\n")


class _Exports:
    """Exports a config again and again. Publishes only what differs from what is published."""

    def __init__(self) -> None:
        self._published: Release | None = None
        self._changes: DiffRecord | None = None
        self._damage: str | None = None

    def run(self, config: Composition, trust: Sequence[str]) -> Release:
        from smdecl.config.project import find_project
        from smdecl.pipeline import export
        from smdecl.pipeline.children import children

        children.start()
        project = find_project(Path.cwd(), trust)
        self._published = export.export(config, project, review=self._review)
        return self._published

    def show(self, _before: Release | None, now: Release) -> None:
        if self._damage is not None:
            report.note([f"not as it was published: {self._damage}"])
        if not now.is_new:
            report.result(f"unchanged: {now.path}\n")
            return
        report.result_of(str(now.path), [])
        if self._changes is not None:
            from smdecl.cli.output import rendering

            report.result(rendering.diff_text(self._changes))

    def _review(
        self, made: Unpublished, config: ExportConfig, publisher: Publisher
    ) -> Published | None:
        """Returns the published release if publishing would only repeat it."""
        from smdecl.pipeline import unchanged

        last, self._changes = self._published, None
        self._damage = _damage(last, publisher)
        same = unchanged.published(made, config, publisher)
        if last is not None and isinstance(last.path, Path) and not same:
            self._changes = _changes(last.path, made.directory)
        return same


def _damage(last: Release | None, publisher: Publisher) -> str | None:
    """Returns why the newest release is not as it was published; None if it is, or there is none.

    Args:
        last: The newest release; None if the loop has made none, so that an earlier one counts.
        publisher: The publisher of the next one.
    """
    from smdecl.release import manifest, presence

    if last is not None:
        return presence.refuse(last.path, last.digest)
    current = publisher.current()
    if current is None or not isinstance(current.path, Path):
        return None
    # Without a manifest, it is the release of a different program.
    is_own = (current.path / manifest.FILE).exists()
    return presence.refuse(current.path) if is_own else None


def _changes(before: Path, now: Path) -> DiffRecord | None:
    """Returns what changed between two releases; None if the earlier one cannot be read.

    Leaves out TensorFlow's own files, whose contents change with everything else.
    """
    from smdecl.release import diffing

    try:
        found = diffing.diff(before, now)
    except SmdeclError:
        return None
    shown = [change for change in found.changes if not _is_implied(change)]
    return replace(found, changes=tuple(shown))


def _is_implied(change: Change) -> bool:
    is_asset = change.where.startswith(f"{ASSETS}/")
    return change.part == "files" and not is_asset


_SHOW: dict[str, Callable[[Any, Any], None]] = {
    "check": _show_checked,
    "plan": _show_plan,
}
