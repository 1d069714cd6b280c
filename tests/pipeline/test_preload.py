"""The server has imported what its forks need."""

from smdecl.errors import ModelError
from smdecl.isolation import preloaded
from smdecl.pipeline.children import children


def test_a_fork_imports_nothing_of_smdecl_itself():
    later = children.run(preloaded.later, failure=ModelError, doing="importing")

    own = [name for name in later if name.startswith(("smdecl", "multiprocessing"))]
    assert own == ["smdecl.pipeline.preload"]  # it notes the others before its own import ends
