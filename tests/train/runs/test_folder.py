import subprocess
import sys

import numpy as np
import pytest

from train.errors import InputError
from train.runs import records
from train.runs.folder import locked

HOLD = """
import sys
from pathlib import Path
from train.runs import records
from train.runs.folder import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_second_process_is_refused_and_a_killed_one_gives_up(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "locked\n"
        with (
            pytest.raises(InputError, match="another process is using"),
            locked(tmp_path),
        ):
            pass
        process.kill()
    with locked(tmp_path):
        pass


def write_steps(folder, phases):
    rows = [(number, 1.0, 1.0, phase, 0.9) for number, phase in enumerate(phases, 1)]
    records.append_steps(folder, rows)


def test_phases_are_those_of_the_run(tmp_path):
    write_steps(tmp_path, [1, 1, 0, 0, 1, 1])
    phases = records.read_phases(tmp_path, 6)
    np.testing.assert_array_equal(phases, [1, 1, 0, 0, 1, 1])


@pytest.mark.parametrize("phases", [[], [1, 0], [1, 0, float("nan")], [1, 0, 0, 1]])
def test_phases_that_are_not_there_are_refused(tmp_path, phases):
    write_steps(tmp_path, phases)
    with pytest.raises(InputError, match="must be a run of 3 steps"):
        records.read_phases(tmp_path, 3)
