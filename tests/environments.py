"""Environments that tests of the package make. Needs the standard library only."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TEST_GROUP = PROJECT["dependency-groups"]["test"]


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Returns what a command prints. Where the command fails, so does the program."""
    # The current folder decides what is imported, as for a user.
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=variables, text=True, capture_output=True
    )
    if done.returncode:
        line = " ".join(map(str, command))
        sys.exit(f"This failed: {line}\n{done.stdout}{done.stderr}")
    return done.stdout


def works(command: str | None) -> bool:
    """Returns whether a command starts. What pyenv puts on the path may refuse to."""
    if not command:
        return False
    return subprocess.run([command, "--version"], capture_output=True).returncode == 0


UV = works(shutil.which("uv"))


def environment(folder: Path, python: str | Path = sys.executable) -> Path:
    """Returns the Python of the environment in a folder, which it makes if need be."""
    inside = folder / "bin" / "python"
    # One that uv has made may have no pip, and uv may be gone.
    has_pip = any(folder.glob("lib/python*/site-packages/pip"))
    if not inside.exists() or not (UV or has_pip):
        make = ["uv", "venv", "--python", python] if UV else [python, "-m", "venv"]
        run(*make, "--clear", folder)
    return inside


def install(inside: Path, *requirements: str | Path) -> None:
    """Brings packages into an environment, in their newest version that is allowed."""
    by_uv = ["uv", "pip", "install", "--python", inside]
    pip = by_uv if UV else [inside, "-m", "pip", "install"]
    run(*pip, "--upgrade", *requirements)
