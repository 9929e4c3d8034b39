"""Changes the library in small ways, one at a time: do its tests notice?

    python -m tests.mutants [FOLDER]

Works in a copy of the checkout, in FOLDER or a temporary one, with cosmic-ray
(https://cosmic-ray.readthedocs.io) and the settings of tests/mutants.toml. A FOLDER
that was used before is gone on with. Prints a table, and each mutant that survived with
what is known of it: an equivalent one changes nothing that a user could see. Exits with
1 if one survived that is not in `EQUIVALENT`.
"""

import ast
import collections
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("lcam_optax", "tests", "pyproject.toml")
SESSION = "mutants.sqlite"

# The line after the change, and why no test can tell.
EQUIVALENT: dict[str, str] = {}


def prepare(folder: Path) -> None:
    """Copies the checkout and lists the mutants."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    settings = folder / "tests" / "mutants.toml"
    call(folder, "cosmic-ray", "init", settings, SESSION)
    call(folder, "cr-filter-operators", SESSION, settings)
    with sqlite3.connect(folder / SESSION) as session:
        mutants = session.execute(
            "SELECT job_id, module_path, start_pos_row, start_pos_col "
            "FROM mutation_specs"
        ).fetchall()
        for job, path, *place in mutants:
            if is_signature(folder / path, *place):
                for table in ("work_results", "mutation_specs", "work_items"):
                    session.execute(f"DELETE FROM {table} WHERE job_id = ?", (job,))


def is_signature(path: Path, line: int, column: int) -> bool:
    """Whether a type or a function's `*` stands there: nothing that runs."""
    place = (line, column)

    def covers(start: tuple[int, int], end: tuple[int, int]) -> bool:
        return start <= place < end

    def covered_by(node: ast.expr | None) -> bool:
        return node is not None and covers(
            (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
        )

    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.AnnAssign() if covered_by(node.annotation):
                return True
            case ast.FunctionDef():
                begin, first = (node.lineno, node.col_offset), node.body[0]
                defaults = (*node.args.defaults, *node.args.kw_defaults)
                if covers(begin, (first.lineno, 0)) and not any(
                    map(covered_by, defaults)
                ):
                    return True
    return False


def call(folder: Path, program: str, *options: object) -> None:
    """Runs a program of this environment in the folder, at low priority."""
    binaries = Path(sys.executable).parent
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["nice", "-n", "10", binaries / program, *map(str, options)],
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
    )


def report(folder: Path) -> int:
    """Prints what became of the mutants; returns how many survived without a reason."""
    with sqlite3.connect(folder / SESSION) as session:
        rows = session.execute(
            "SELECT module_path, start_pos_row, test_outcome, diff "
            "FROM mutation_specs JOIN work_results USING (job_id) "
            "WHERE worker_outcome != 'SKIPPED' ORDER BY module_path, start_pos_row"
        ).fetchall()
    counts = collections.Counter((path, outcome) for path, _, outcome, _ in rows)
    print(f"{'file':34}{'mutants':>9}{'killed':>9}{'survived':>9}")
    for path in sorted({path for path, _ in counts}):
        killed, survived = counts[path, "KILLED"], counts[path, "SURVIVED"]
        print(f"{path:34}{killed + survived:9}{killed:9}{survived:9}")
    unexplained = 0
    for path, line, outcome, diff in rows:
        if outcome != "SURVIVED":
            continue
        changed = [
            text[1:].strip()
            for text in diff.splitlines()
            if text.startswith("+") and not text.startswith("+++")
        ]
        after = " ".join(changed)
        reason = EQUIVALENT.get(after)
        unexplained += reason is None
        print(f"\n{path}:{line} survived: {after}")
        print(f"  {reason or 'NOT EXPLAINED: write a test, or add it to EQUIVALENT'}")
    return unexplained


def main(folder: Path) -> int:
    """Tries all mutants, and reports."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / SESSION).exists():
        prepare(folder)
    call(folder, "cosmic-ray", "exec", folder / "tests" / "mutants.toml", SESSION)
    return int(report(folder) > 0)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(main(Path(sys.argv[1]).absolute()))
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(main(Path(temporary)))
