"""Settings of the whole suite: they need nothing but the library and pytest."""

import os
from pathlib import Path

# Read when JAX starts. Compiling takes more time than what is compiled.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_backend_optimization_level=1 --xla_force_host_platform_device_count=8"
)  # devices on one CPU, for the tests of several
# The processes that share the work compile the same programs: each is compiled once.
os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ.get(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".cache" / "jax")
)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"

import jax
import pytest
from hypothesis import settings

jax.devices()
# JAX has started. Programs that tests start have one device, as on a user's CPU.
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=1"


@pytest.fixture(autouse=True)
def _no_silent_broadcasting():
    with jax.numpy_rank_promotion("raise"):
        yield


def pytest_addoption(parser):
    parser.addoption(
        "--torture", action="store_true", help="many more faults and inputs"
    )


def pytest_collection_modifyitems(config, items):
    if config.getoption("--torture"):
        return
    left_out = [item for item in items if item.get_closest_marker("torture")]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_configure(config):
    config.addinivalue_line("markers", "torture: takes long: with --torture only")
    # The same inputs each time, but under --torture.
    settings.register_profile("suite", max_examples=20, deadline=None, derandomize=True)
    settings.register_profile(
        "torture", max_examples=2500, deadline=None, derandomize=False
    )
    settings.load_profile("torture" if config.getoption("--torture") else "suite")
