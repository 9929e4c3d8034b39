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

    print("The wheel alone runs README's example.", flush=True)
    inside = environment(folder / "environment")
    install(inside, wheel)
    [example] = re.findall(
        r"(?ms)^```python\n(.*?)^```", (ROOT / "README.md").read_text()
    )
    (folder / "example.py").write_text(example)
    print(run(inside, "-W", "error", "example.py", cwd=folder), end="")

    print("A user's script passes the type checkers.", flush=True)
    script = folder / "user.py"
    script.write_text((ROOT / "tests" / "user.py").read_text())
    print(run(inside, "-W", "error", script, cwd=folder), end="")
    check = [sys.executable, "-m"]
    print(run(*check, "pyright", "--pythonpath", inside, script, cwd=folder), end="")
    mypy = [*check, "mypy", "--python-executable", inside]
    print(
        run(*mypy, "--disable-error-code", "import-untyped", script, cwd=folder), end=""
    )

    print("The sdist's own tests pass.", flush=True)
    install(inside, *TEST_GROUP)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    print(run(inside, "-m", "pytest", "-q", cwd=unpacked), end="")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
