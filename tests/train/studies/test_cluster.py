"""Studies on a cluster of Ray: each in processes of its own, as a user starts it."""

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.train.studies.test_study import tables
from train.__main__ import main
from train.errors import InputError
from train.studies.cluster import Pool

ROOT = Path(__file__).parents[3]
TINY = ["--network", "mlp", "--hidden", "8", "--every", "3"]
COMPARE = ["compare", *TINY, "--epochs", "2", "--seeds", "0", "1"]
STUDY = ["study", "ablation", "--quick", "--network", "mlp", "--epochs", "400"]
STUDY += ["--arms", "lcam", "mean-momentum", "--seeds", "0", "1", "--threads", "1"]
RAY = ["--ray", "local", "--workers", "2"]
with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None or not Path("/proc/net/tcp").exists(),
    reason="needs Linux and the package ray (`pip install --group cluster .`)",
)


class Driver(subprocess.Popen):
    """A command in a session of its own, with all that it starts."""

    def __init__(self, *arguments, **options):
        command = [sys.executable, "-m", "train", *map(str, arguments)]
        shared = {"cwd": ROOT, "text": True, "start_new_session": True}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        super().__init__(command, **shared | streams | options)

    def processes(self, name=""):
        """Those that are there, by number: their command."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, IndexError):
                session = (
                    path.joinpath("stat").read_text().rpartition(")")[2].split()[3]
                )
                command = path.joinpath("cmdline").read_text()
                if int(session) == self.pid and re.match(name, command):
                    found[int(path.name)] = command
        return found

    def listening(self):
        """The addresses at which its processes listen, as the kernel writes them."""
        found = set()
        for number in self.processes():
            with contextlib.suppress(OSError):
                links = map(os.readlink, Path(f"/proc/{number}/fd").glob("*"))
                found |= {*re.findall(r"socket:\[(\d+)\]", " ".join(links))}
        lines = "".join(
            Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6")
        )
        rows = map(str.split, lines.splitlines())  # 0A is LISTEN
        return {x[1].rpartition(":")[0] for x in rows if x[9] in found and x[3] == "0A"}

    def wait_for(self, what):
        """Waits until something is there, and returns it."""
        while not (found := what()):
            assert self.poll() is None
            time.sleep(0.2)
        return found

    def end(self):
        """Its exit code, and what it printed, once it has ended."""
        printed, _ = self.communicate(timeout=300)
        return self.returncode, printed


def finished(out):
    return list(out.glob("runs/*/*/finished.json"))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """A comparison on two workers: its folder; what it printed, was and left."""
    out = tmp_path_factory.mktemp("ray") / "out"
    driver = Driver(*COMPARE, "--out", out, *RAY)
    driver.wait_for(lambda: driver.processes("ray::_Worker"))
    [folder] = re.findall(r"/tmp/lcam-ray-\w+", " ".join(driver.processes().values()))[
        :1
    ]
    private = (folder, f"{folder}/token")
    seen = {"modes": [stat.S_IMODE(os.stat(path).st_mode) for path in private]}
    seen |= {"listening": driver.listening()}
    code, printed = driver.end()
    seen |= {"left": driver.processes(), "files": Path(folder).exists()}
    assert code == 0, printed
    return out, printed, seen


@with_ray
def test_workers_make_the_numbers_of_one_process(comparison, tmp_path):
    assert main([*COMPARE, "--out", str(tmp_path / "out")]) == 0
    assert tables(comparison[0] / "report") == tables(tmp_path / "out" / "report")
    assert comparison[1].count("test error") == 5  # runs, and the table


@with_ray
def test_ray_listens_on_this_machine_alone(comparison):
    loopback = {"0100007F", "0000000000000000FFFF00000100007F"}
    assert comparison[2]["listening"]
    assert comparison[2]["listening"] <= loopback
    assert comparison[2]["modes"] == [0o700, 0o600]


@with_ray
def test_ray_leaves_nothing_behind(comparison):
    assert comparison[2]["left"] == {}
    assert not comparison[2]["files"]


def test_address_without_ray_is_refused_before_anything_is_written(tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*COMPARE, "--out", str(out), "--ray", "127.0.0.1:9"]) == 2
    assert "127.0.0.1:9: no Ray answers there" in capsys.readouterr().err
    assert not out.exists()


def test_absence_of_ray_is_one_message(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*COMPARE, "--out", str(tmp_path / "out"), *RAY]) == 2
    assert "--ray needs the package ray: `pip" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_worker_that_would_make_other_numbers_is_refused():
    pool = object.__new__(Pool)
    pool._first = None
    pool._greet("a", "JAX 1 and cpu")
    pool._greet("b", "JAX 1 and cpu")
    with pytest.raises(InputError, match="JAX 1 and cpu on a, and JAX 2 and cpu on c"):
        pool._greet("c", "JAX 2 and cpu")


# --- With --torture -------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The report of a study by one process."""
    out = tmp_path_factory.mktemp("alone") / "out"
    code, printed = Driver(*STUDY, "--out", out).end()
    assert code == 0, printed
    return tables(out / "report")


@with_ray
@pytest.mark.torture
def test_run_whose_worker_is_killed_is_done_again(alone, tmp_path):
    driver = Driver(*STUDY, "--out", tmp_path, *RAY)
    driver.wait_for(lambda: finished(tmp_path))
    at_work = driver.wait_for(lambda: driver.processes("ray::_Worker.train"))
    os.kill(min(at_work), signal.SIGKILL)
    code, printed = driver.end()
    assert code == 0
    assert "died (1 of 3)" in printed
    assert "Worker PID" not in printed  # Ray's own words
    assert tables(tmp_path / "report") == alone


@with_ray
@pytest.mark.torture
@pytest.mark.parametrize(
    ("kill", "code", "seconds"),
    [
        (lambda driver: driver.kill(), -signal.SIGKILL, 120),
        (lambda driver: os.killpg(driver.pid, signal.SIGINT), 130, 20),
        (lambda driver: driver.terminate(), 143, 20),
    ],
)
def test_same_command_goes_on_after_the_end_of_the_driver(
    alone, tmp_path, kill, code, seconds
):
    out, scratch = tmp_path / "out", {"env": os.environ | {"TMPDIR": str(tmp_path)}}
    driver = Driver(*STUDY, "--out", out, *RAY, **scratch)
    driver.wait_for(lambda: finished(out))
    driver.wait_for(lambda: list(tmp_path.glob("lcam-run-*/run/steps.csv")))
    kill(driver)
    driver.end()
    assert driver.returncode == code
    assert any(out.glob("runs/*/*/checkpoints/*")) == (code > 0)  # saved on a signal
    assert any(tmp_path.glob("lcam-run-*")) == (code < 0)
    done = {path: path.stat().st_mtime_ns for path in finished(out)}
    end = time.monotonic() + seconds
    while driver.processes() and time.monotonic() < end:
        time.sleep(0.5)
    assert driver.processes() == {}
    assert Driver(*STUDY, "--out", out, *RAY).end()[0] == 0
    assert tables(out / "report") == alone
    assert {path: path.stat().st_mtime_ns for path in done} == done  # not repeated


@with_ray
@pytest.mark.torture
def test_ctrl_c_while_ray_starts_leaves_nothing(tmp_path):
    driver = Driver(*STUDY, "--out", tmp_path / "out", *RAY)
    driver.wait_for(lambda: driver.processes(".*gcs_server"))
    os.killpg(driver.pid, signal.SIGINT)
    code, printed = driver.end()
    assert code == 130
    assert "SIGINT: stopped while Ray started." in printed
    assert driver.processes() == {}
    assert not (tmp_path / "out").exists()


@with_ray
@pytest.mark.torture
def test_run_that_no_node_holds_is_refused(tmp_path):
    driver = Driver(*STUDY, "--out", tmp_path / "out", *RAY, "--gpus-per-run", "99")
    code, printed = driver.end()
    assert code == 2
    assert "a run takes 1 CPU and 99 GPUs, and no node has room for it" in printed
    assert not (tmp_path / "out").exists()


OWN = """
import os, sys, optax
def make(learning_rate):
    if "default_worker" in str(sys.modules["__main__"]):  # and not in the driver
        {}
    return optax.sgd(learning_rate)
"""


def compare_own(tmp_path, in_worker):
    (tmp_path / "mine.py").write_text(OWN.format(in_worker))
    arms = ["--arms", "sgd", f"{tmp_path}/mine.py:make", "--report"]
    return Driver(*COMPARE[:-1], *arms, "--out", tmp_path / "out", *RAY).end()


@with_ray
@pytest.mark.torture
def test_run_that_kills_its_workers_is_named_as_missing(tmp_path):
    code, printed = compare_own(tmp_path, "os._exit(1)")
    assert code == 0, printed
    assert "died (2 of 3), and it goes on from its last save" in printed
    report = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "- missing: mine.py:make, seed 0: 3 workers died of it" in report


@with_ray
@pytest.mark.torture
def test_mistake_in_a_file_is_told_as_by_one_process(tmp_path):
    code, printed = compare_own(tmp_path, "raise ValueError('mine')")
    assert code == 2
    assert "mine.py:make, seed 0, on" in printed
    assert 'mine.py", line 5, in make' in printed
    assert "ValueError: mine" in printed
    assert "Traceback" not in printed


CLUSTER = """
from ray.cluster_utils import Cluster
here = {"node_ip_address": "127.0.0.1"}
cluster = Cluster(initialize_head=True, head_node_args=here | {"num_cpus": 0})
nodes = [cluster.add_node(num_cpus=1, **here) for _ in range(2)]
pid = nodes[0].all_processes["raylet"][0].process.pid
print(cluster.address, pid, flush=True)
input()
cluster.shutdown()
"""


@with_ray
@pytest.mark.torture
def test_lost_node_is_done_without(alone, tmp_path, monkeypatch):
    short = Path(tempfile.mkdtemp(dir="/tmp"))  # the names of sockets must be
    (short / "ray").mkdir()
    (short / "token").write_text(secrets.token_hex(32))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(short / "token"))
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # loopback
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    # Elsewhere: the nodes do not have this code.
    with subprocess.Popen([sys.executable, "-c", CLUSTER], cwd="/", **pipes) as cluster:
        address, raylet = cluster.stdout.readline().split()
        driver = Driver(*STUDY, "--out", tmp_path / "out", "--ray", address)
        driver.wait_for(lambda: finished(tmp_path / "out"))
        os.kill(int(raylet), signal.SIGKILL)
        code, printed = driver.end()
        cluster.communicate("\n")
    shutil.rmtree(short)
    assert code == 0, printed
    assert tables(tmp_path / "out" / "report") == alone
