"""Whether what is in dist/ is fit to be published: the last step of `make dist`.

The wheel is installed alone in a new environment, and README's example runs there with
warnings as errors. Pyright and mypy check a user's script against the wheel. The tests
that the sdist carries pass with the packages of the test group.
"""

import re
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.environments import ROOT, TEST_GROUP, environment, install, run


def main(folder: Path) -> None:
    """Tries what is in dist/, in an empty folder; ends the program on a failure."""
    [wheel] = (ROOT / "dist").glob("*.whl")
    [sdist] = (ROOT / "dist").glob("*.tar.gz")

    print("README's example, with the wheel alone:", flush=True)
    inside = environment(folder / "environment")
    install(inside, wheel)
    readme = (ROOT / "README.md").read_text()
    [example] = re.findall(r"(?ms)^```python\n(.*?)^```", readme)
    (folder / "example.py").write_text(example)
    print(run(inside, "-W", "error", "example.py", cwd=folder), end="")

    print("A user's script, and what pyright and mypy say of it:", flush=True)
    script = folder / "user.py"
    script.write_text((ROOT / "tests" / "user.py").read_text())
    print(run(inside, "-W", "error", script, cwd=folder), end="")
    check = [sys.executable, "-m"]
    pyright = [*check, "pyright", "--pythonpath", inside]
    print(run(*pyright, script, cwd=folder), end="")
    # Optax has no types that mypy could use.
    mypy = [*check, "mypy", "--python-executable", inside]
    mypy += ["--disable-error-code", "import-untyped"]
    print(run(*mypy, script, cwd=folder), end="")

    print("The sdist's own tests, in some minutes:", flush=True)
    install(inside, *TEST_GROUP)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    print(run(inside, "-m", "pytest", "-q", cwd=unpacked), end="")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
