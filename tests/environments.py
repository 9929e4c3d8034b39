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
        command_line = " ".join(map(str, command))
        sys.exit(f"This failed: {command_line}\n{done.stdout}{done.stderr}")
    return done.stdout


def environment(folder: Path, python: str | Path = sys.executable) -> Path:
    """Returns the Python of the environment in a folder, which it makes if need be."""
    inside = folder / "bin" / "python"
    if not inside.exists():
        uv = shutil.which("uv")
        make = [uv, "venv", "--python", python] if uv else [python, "-m", "venv"]
        run(*make, folder)
    return inside


def install(inside: Path, *requirements: str | Path) -> None:
    """Brings packages into an environment, in their newest version that is allowed."""
    uv = shutil.which("uv")
    pip = (
        [uv, "pip", "install", "--python", inside]
        if uv
        else [inside, "-m", "pip", "install"]
    )
    run(*pip, "--upgrade", *requirements)
