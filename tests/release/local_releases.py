"""Fake releases that are published to a local directory."""

from smdecl.config.settings import Publish
from smdecl.release.publish_local import LocalPublisher

NEXT = Publish(version="next", replace=False)


def release(export_dir, options=NEXT, content="new", model="net"):
    """Publishes a fake release of a model with this content; returns its path and version."""
    publisher = LocalPublisher(export_dir, options, model)
    with publisher.stage() as directory:
        (directory / "variables").mkdir()
        (directory / "variables" / "data").write_text(content)
        (directory / "saved_model.pb").write_text(content)
        return publisher.publish(directory)[:2]


def release_if_changed(export_dir, options, content="new"):
    """Publishes a fake release unless the one to compare with has this content."""
    publisher = LocalPublisher(export_dir, options)

    def find_same():
        found = publisher.current() or publisher.latest()
        if found is None or (found.path / "saved_model.pb").read_text() != content:
            return None
        return found._replace(is_new=False)

    with publisher.stage() as directory:
        (directory / "saved_model.pb").write_text(content)
        return publisher.publish(directory, find_same=find_same)
