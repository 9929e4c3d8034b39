"""Settings of the whole suite."""

import jax
import pytest


@pytest.fixture(autouse=True)
def _no_silent_broadcasting():
    with jax.numpy_rank_promotion("raise"):
        yield
