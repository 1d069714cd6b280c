"""Fake releases that are published to a local directory."""

from smdecl.config.settings import Publish
from smdecl.release.publish_local import LocalPublisher

NEXT = Publish(version="next", replace=False)


def release(export_dir, options=NEXT, content="new", model="net"):
    """Publishes a fake release of a model with this content."""
    publisher = LocalPublisher(export_dir, options, model)
    with publisher.stage() as directory:
        (directory / "variables").mkdir()
        (directory / "variables" / "data").write_text(content)
        (directory / "saved_model.pb").write_text(content)
        return publisher.publish(directory)
