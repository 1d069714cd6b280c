"""Fixtures shared by the tests of attacks."""

import pytest

from tests.security.limits import Limited


@pytest.fixture(scope="session")
def limited():
    """A process that runs calls with little processor time and memory."""
    process = Limited()
    yield process
    process.close()
