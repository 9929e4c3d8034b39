"""Two real processes that train one network, over loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.train.runs.test_faults import OPTIONS, images, wait_for
from train.__main__ import main
from train.runs import records

__all__ = ["images"]  # a fixture

# Seconds in which a process that has lost the other must end.
BOUND = 60


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def as_slurm_tells(number):
    """What SLURM tells two tasks of a step on this host."""
    return {
        "SLURM_JOB_ID": f"{os.getpid()}",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": number,
        "SLURM_LOCALID": number,
    }


@pytest.fixture
def pair(images):
    """Starts both processes of a run; what is left of them is killed at the end."""
    running = []

    def start(out, *options, second=(), slurm=False):
        command = [sys.executable, "-m", "train", "run", "--data", images, *OPTIONS]
        command += ["--out", str(out), *options, "--coordinator"]
        command.append("auto" if slurm else f"127.0.0.1:{free_port()}")
        for number, more in (("0", ()), ("1", second)):
            told = ["--num-processes", "2", "--process-id", number]
            process = subprocess.Popen(
                [*command, *(() if slurm else told), *more],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[3],
                env=os.environ
                | {"JAX_PLATFORMS": "cpu"}
                | (as_slurm_tells(number) if slurm else {}),
            )
            running.append(process)
        return running[-2:]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def ended(process, timeout=BOUND):
    """The exit code and what a process has written to stderr, but for JAX's log."""
    _, errors = process.communicate(timeout=timeout)
    return process.returncode, errors


@pytest.mark.parametrize(
    "parts",
    [
        [["--epochs", "8"]],
        pytest.param([["--epochs", "4"], ["--resume"]], marks=pytest.mark.torture),
    ],
    ids=["at once", "in two parts"],
)
def test_two_tasks_of_slurm_train_what_two_devices_of_one_do(
    pair, images, tmp_path, parts
):
    constant = ["--schedule", "constant"]
    for options in parts:
        processes = pair(tmp_path / "two", *constant, *options, slurm=True)
        assert [ended(process)[0] for process in processes] == [0, 0]
    command = ["run", "--data", images, *OPTIONS, *constant, "--devices", "2"]
    assert main([*command, "--out", str(tmp_path / "one")]) == 0
    two, one = map(records.read_steps, (tmp_path / "two", tmp_path / "one"))
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-4)
    assert two["phase"] == one["phase"]
    entries = json.loads((tmp_path / "two" / "provenance.json").read_text())
    assert [entry["num_devices"] for entry in entries] == [2] * len(parts)


ENDLESS = ["--epochs", "100000", "--checkpoint-every", "1"]


@pytest.mark.torture
def test_process_whose_peer_is_killed_ends_and_a_restart_goes_on(pair, tmp_path):
    first, second = pair(tmp_path / "run", *ENDLESS)
    wait_for(lambda: len(list(tmp_path.glob("run/checkpoints/*"))) > 1)
    second.kill()
    assert ended(first, timeout=300)[0] != 0  # by an error of JAX
    done = len(records.read_metrics(tmp_path / "run"))
    first, second = pair(tmp_path / "run", *ENDLESS, "--resume")
    wait_for(lambda: len(records.read_metrics(tmp_path / "run")) > done)
    second.send_signal(signal.SIGTERM)
    codes, errors = zip(ended(first), ended(second), strict=True)
    assert codes == (143, 143)  # both, at one step
    last = [line for text in errors for line in text.splitlines() if "saved" in line]
    assert len({line.partition(". To continue")[0].rstrip(".") for line in last}) == 1
    assert f"--out {tmp_path / 'run'} --resume" in last[0]


def test_process_with_other_options_is_refused_in_both(pair, tmp_path):
    processes = pair(tmp_path / "run", second=["--seed", "1"])
    for code, errors in map(ended, processes):
        assert code == 2
        assert "the processes have different options or data" in errors
    assert not (tmp_path / "run").exists()


def test_port_that_is_taken_is_told(images, tmp_path, capsys):
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        coordinator = f"127.0.0.1:{other.getsockname()[1]}"
        options = ["--coordinator", coordinator, "--num-processes", "2"]
        assert main(["run", "--data", images, *options, "--process-id", "0"]) == 2
    errors = capsys.readouterr().err
    assert f"--coordinator {coordinator}: cannot join" in errors
    assert "on a free port" in errors


@pytest.mark.torture
def test_signal_ends_a_process_that_waits_for_the_others():
    options = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "train", "run", *options, "--process-id", "1"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert "waiting for the other processes" in process.stderr.readline()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=BOUND)
    assert process.returncode == -signal.SIGINT


@pytest.mark.torture
def test_cluster_that_is_none_is_told(images, tmp_path):
    arguments = ["run", "--data", images, *OPTIONS, "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "train", *arguments, "--coordinator", "auto"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        timeout=BOUND,
    )
    assert done.returncode == 2
    waits, error = done.stderr.splitlines()
    assert waits.startswith("waiting for the other processes, for at most 5")
    assert error.startswith("error: --coordinator auto: cannot join the other process")
    assert "no SLURM, Open MPI, Kubernetes or Cloud TPU is found" in error


def test_cluster_that_does_not_answer_is_told(monkeypatch, capsys, images):
    def fail(**_):  # as of a Cloud TPU, which is asked by HTTP
        raise OSError("HTTPConnectionPool(host='metadata.google.internal', port=80)")

    monkeypatch.setattr(jax.distributed, "initialize", fail)
    assert main(["run", "--data", images, *OPTIONS, "--coordinator", "auto"]) == 2
    *_, error = capsys.readouterr().err.splitlines()
    assert "cannot join the other processes: HTTPConnectionPool(host=" in error
    assert "SLURM" not in error
