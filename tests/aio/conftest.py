"""Fixtures for futures and tasks."""

import pytest


@pytest.fixture
def future(loop):
    """A pending future of the loop."""
    return loop.create_future()
