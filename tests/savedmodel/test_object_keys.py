"""Keys are as TensorFlow writes them, and lead back to the local names."""

import pytest
from smdecl.savedmodel import object_keys


@pytest.mark.parametrize(
    ("local_names", "key", "path"),
    [
        (["d", "conv.Scale"], "d/conv..Scale", "d/conv/Scale"),
        (["d", "a/b", "c"], "d/a.Sb/c", "d/a/b/c"),
        (["./", "..S"], "...S/....S", "/////S"),
        (["a", ""], "a/", "a/"),
    ],
)
def test_a_key_leads_back_to_its_local_names(local_names, key, path):
    assert object_keys.key_of(local_names) == key
    assert object_keys.local_names(key) == local_names
    assert object_keys.path_of(key) == path
