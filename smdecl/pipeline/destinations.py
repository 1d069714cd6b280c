"""Where an export publishes to, and whether it can, as far as that is known before a build."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from smdecl.checks import paths
from smdecl.config.settings import ExportConfig, Publish
from smdecl.errors import Problem, PublishError, SmdeclError, disk_errors
from smdecl.release import publish_local
from smdecl.release.publisher import Publisher


def publisher(config: ExportConfig, subdirectory: str = "") -> Publisher:
    """Returns what publishes an export.

    Args:
        config: The export.
        subdirectory: A directory below its export_dir; a sweep has one for each variant.
    """
    if paths.is_remote(config.export_dir):
        # Not at the top: `check` needs none of it, and must start quickly.
        from smdecl.release import publish_remote

        url = publish_remote.below(config.export_dir, subdirectory)
        return publish_remote.RemotePublisher(url, config.publish)
    base = Path(config.export_dir, subdirectory)
    model = served_name(config, subdirectory)
    return publish_local.LocalPublisher(base, config.publish, model)


def served_name(config: ExportConfig, subdirectory: str) -> str:
    """Returns the name of the model in a models.config.

    The variants of a sweep often share a name, and none may replace the entry of another.
    """
    return f"{config.name}-{subdirectory}" if subdirectory else config.name


def refuse_early(config: ExportConfig, publisher: Publisher) -> None:
    """Raises if an export cannot be published.

    Raises:
        ConfigError: If the store of a remote base path has no driver.
        PublishError: If the version exists, the base path cannot be written, or smdecl did not
            write a file beside the release.
    """
    _require_own_files(config.publish)
    publisher.refuse_early()


def refuse_local(config: ExportConfig, subdirectory: str = "") -> None:
    """Does what `refuse_early` does, but without asking a remote store.

    Raises:
        ConfigError, PublishError: As `refuse_early` does.
    """
    _require_own_files(config.publish)
    if not paths.is_remote(config.export_dir):
        publisher(config, subdirectory).refuse_early()


def _require_own_files(options: Publish) -> None:
    """Refuses to add to a file that smdecl did not write, before anything is built."""
    if options.models_config is not None:
        from smdecl.release import models_config

        models_config.require_valid(Path(options.models_config))
    if options.run_record is not None:
        from smdecl.release import run_record

        run_record.require_ours(Path(options.run_record))


@contextmanager
def explaining_removal(stage: Path) -> Iterator[None]:
    """Replaces an error within the block, if the stage is gone, by one that says so.

    Raises:
        PublishError: If the stage is gone.
    """
    with disk_errors(stage):
        before = stage.stat()
    try:
        yield
    except (SmdeclError, OSError) as error:
        # TensorFlow makes a directory again that it writes to.
        with suppress(FileNotFoundError):
            if os.path.samestat(before, stage.stat()):
                raise
        message = (
            f"{str(stage)!r} was removed while the export wrote to it;"
            " expected nothing else to change the directory of an export that runs"
        )
        raise PublishError(Problem(("export_dir",), message)) from error
