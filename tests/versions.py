"""The library's tests with other versions of Python, JAX and Optax.

`make test-versions` tries three for each Python that is found: the oldest versions that
pyproject.toml allows, some in the middle, and the newest. Each has its own environment
in .cache/versions, which the next call uses again. `python -m tests.versions 3.12`
tries one Python only.
"""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.environments import (
    PROJECT,
    ROOT,
    TEST_GROUP,
    environment,
    install,
    run,
    works,
)

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
FLOOR = [name.replace(">=", "==") for name in PROJECT["project"]["dependencies"]]
MIDDLE = ["jax==0.8.3", "optax==0.2.6"]  # needs Python 3.11
NEWEST = ["jax", "optax"]
COLUMNS = ("Python", "jax", "optax", "passed", "skipped", "failed", "seconds", "result")


def find_python(version: str) -> str | None:
    """Returns a command for this Python: on the path, or kept by pyenv or uv."""
    name = f"python{version}"
    homes = (".pyenv/versions", ".local/share/uv/python")
    kept = [path for home in homes for path in Path.home().glob(f"{home}/*/bin/{name}")]
    for command in (shutil.which(name), *sorted(map(str, kept), reverse=True)):
        if works(command):
            return command
    return None


def test(inside: Path) -> tuple[str, ...]:
    """Runs the library's tests in an environment; returns the cells of its row."""
    about = "from importlib.metadata import version as v; print(v('jax'), v('optax'))"
    versions = run(inside, "-c", about).split()
    start = time.monotonic()
    command = [inside, "-m", "pytest", "tests/library", "-q", "-rs"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    seconds = f"{time.monotonic() - start:.0f}"
    if done.returncode:
        print(done.stdout, done.stderr)
    else:
        print(*re.findall(r"^SKIPPED.*\n", done.stdout, re.M), sep="", end="")
    summary = "".join(done.stdout.splitlines()[-1:])
    counts = [
        sum(map(int, re.findall(rf"(\d+) (?:{outcome})", summary)))
        for outcome in ("passed", "skipped", "failed|errors?")
    ]
    result = "FAILED" if done.returncode else "passed"
    return (*versions, *map(str, counts), seconds, result)


def line(cells: tuple[str, ...]) -> str:
    """A row of the table."""
    return "  ".join(cell.rjust(8) for cell in cells)


def main(pythons: list[str]) -> int:
    """Prints the table; returns the exit status."""
    rows = []
    for version in pythons:
        python = find_python(version)
        middle = {} if version == "3.10" else {"middle": MIDDLE}
        tried = {"floor": FLOOR, **middle, "newest": NEWEST} if python else {}
        for label, requirements in tried.items():
            print(f"Python {version} with {', '.join(requirements)}", flush=True)
            folder = ROOT / ".cache" / "versions" / f"{version}-{label}"
            try:
                inside = environment(folder, python)
                install(inside, *requirements, *TEST_GROUP, "--editable", ".")
                rows.append((version, *test(inside)))
            except SystemExit as error:  # of a command; the others are still tried
                print(error)
                rows.append((version, *requirements, "FAILED"))
            print(line(rows[-1]), flush=True)
        if not python:
            rows.append((version, "not run: this Python is not here"))
    print("", line(COLUMNS), *map(line, rows), sep="\n")
    return any(row[-1] == "FAILED" for row in rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PYTHONS)))
