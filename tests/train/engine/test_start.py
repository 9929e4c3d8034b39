"""What the environment asks of JAX, and where compiled programs are starting."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from train.engine import reasons

ROOT = Path(__file__).parents[3]
SCRIPT = """
import jax
from train.engine.devices import keep_compiled
keep_compiled(True)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
print(jax.jit(lambda x: 3 * x + 1)(2.0))
"""


def start(cache):
    """Compiles a program in a process of its own, whose user has such a cache."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    del environment["JAX_COMPILATION_CACHE_DIR"]
    options = {"capture_output": True, "text": True, "check": True, "cwd": ROOT}
    return subprocess.run([sys.executable, "-c", SCRIPT], env=environment, **options)


def test_damaged_program_is_told_and_compiled(tmp_path):
    done = start(tmp_path)
    assert (done.stdout, done.stderr) == ("7.0\n", "")
    for path in tmp_path.glob("lcam_optax/jax/*/*-cache"):
        path.write_bytes(path.read_bytes()[:40])  # as if a kill had cut the writing
    done = start(tmp_path)
    assert done.stdout == "7.0\n"
    assert "Error reading persistent compilation cache" in done.stderr


def test_folder_for_programs_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    done = start(tmp_path / "file")
    assert done.stdout == "7.0\n"
    [note] = done.stderr.splitlines()
    assert note.startswith("note: compiled programs cannot be kept in ")


def test_threads_are_those_of_xlas_pool():
    """As the operating system counts them."""
    code = "import os; from train.engine.devices import start_jax; "
    code += "from train.settings.experiment import Run; start_jax(Run(threads={})); "
    code += "print(len(os.listdir('/proc/self/task')))"
    if not Path("/proc/self/task").exists():
        pytest.skip("of Linux")
    few, many = (
        int(subprocess.check_output([sys.executable, "-c", code.format(n)], cwd=ROOT))
        for n in (3, 13)
    )
    assert many >= few + 10


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("JAX_PLATFORMS", "cuda", "JAX cannot start on cuda: it finds no NVIDIA GPU. "),
        pytest.param(
            *("JAX_PLATFORMS", "typo", "JAX cannot start on typo: Unable to init"),
            marks=pytest.mark.torture,
        ),
        ("JAX_ENABLE_X64", "1", "JAX_ENABLE_X64 makes JAX compute in float64"),
    ],
)
def test_environment_that_cannot_be_is_told_before_anything_is_written(
    tmp_path, variable, value, message
):
    if value == "cuda" and jax.default_backend() == "gpu":
        pytest.skip("there is one here")
    done = subprocess.run(
        [sys.executable, "-m", "train", "run", "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        env=os.environ | {variable: value},
        cwd=ROOT,
    )
    assert done.returncode == 2
    *_, error = done.stderr.splitlines()
    assert error.startswith(f"error: {message}")
    assert not (tmp_path / "run").exists()


# What JAX and libtpu say, of a user's reports and of this machine.
@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        ("Unable to load cuDNN. Is it installed? cuDNN not found.", "jax[cuda13]"),
        ("Outdated cuDNN installation found.\nVersion JAX was", "LD_LIBRARY_PATH"),
        (
            "Unable to load CUDA. Is it installed? jaxlib/cuda/versions_helpers.cc:90: "
            "CUDA driver version is insufficient for CUDA runtime version",
            "driver: 580",
        ),
        (
            "Unable to load cuPTI. Is it installed? operation "
            "cuptiGetVersion(&version) failed: Unknown CUPTI error 999.",
            "no driver",
        ),
        (
            "An NVIDIA GPU may be present on this machine, but a CUDA-enabled jaxlib "
            "is not installed. Falling back to cpu.",
            "jax[cuda13]",
        ),
        (
            "Unable to initialize backend 'cuda': INTERNAL: no supported devices found "
            "for platform CUDA",
            "XLA_PYTHON_CLIENT_PREALLOCATE=false",
        ),
        (
            "Unable to initialize backend 'tpu': ABORTED: The TPU is already in use "
            "by process with pid 17. Not attempting to load libtpu.so in this process.",
            "end the other",
        ),
        (
            "Unable to initialize backend 'tpu': INTERNAL: Failed to open libtpu.so: "
            "libtpu.so: cannot open shared object file (set JAX_PLATFORMS='' to",
            "jax[tpu]",
        ),
    ],
)
def test_reason_of_jax_comes_with_what_to_do(reason, advice):
    told = reasons.why(["something that nobody knows", reason])
    assert told.startswith(reason[:30])
    assert advice in told.partition(". ")[2]
    assert "\n" not in told
