"""Trains the runs of a study by Ray: workers train, and this process writes the folder.

The only module that imports Ray. A worker is one of Ray's actors: it keeps its process,
its data and its compiled programs from run to run.
"""

import contextlib
import dataclasses
import logging
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax

from train import notes
from train.data.dataset import Dataset
from train.engine import devices
from train.errors import InputError, StoppedError
from train.runs.display import Display, say_at_once
from train.runs.provenance import environment
from train.runs.stop import Stop
from train.settings.commands import Compare, Study
from train.studies.trials import About, Ended, Task
from train.studies.worker import Job, Outcome, carry_out, make_job, settle

TRIES = 3  # of a run whose workers die
CONNECTING = 3.0  # seconds until an address counts as unreachable
LOOKING = 5.0  # seconds between looks for room


@contextlib.contextmanager
def joined(config: Study | Compare) -> Iterator["Pool"]:
    """Joins Ray, or starts one on this machine, and leaves nothing of it behind."""
    with contextlib.ExitStack() as stack:
        if config.sharing.ray == "local":
            options = _local(stack, config)
        else:
            options = _remote(config.sharing.ray)
        ray = _imported(config.sharing.verbose)  # reads what `_local` has set
        notes.say("starting Ray, which takes some seconds")
        stack.callback(ray.shutdown)
        options |= {"log_to_driver": config.sharing.verbose}
        with Stop(_announce) as starting:
            # Before JAX: Ray forks, and JAX's threads would not like that.
            try:
                ray.init(**options, configure_logging=False)
            except SystemExit:  # Ray's answer to SIGTERM
                raise StoppedError("SIGTERM: stopped while Ray started.", 143) from None
            except (ConnectionError, RuntimeError, ValueError, OSError) as error:
                if not starting.is_due():
                    reason = str(error).splitlines()[0][:200].rstrip(". ")
                    raise InputError(f"--ray: Ray does not start: {reason}.") from None
        stop = stack.enter_context(Stop(_announce))  # Ray has put in handlers, too
        if starting.is_due():
            raise starting.error("stopped while Ray started.")
        # The GPUs are the workers'.
        devices.start_jax(dataclasses.replace(config, device="cpu"))
        yield Pool(ray, config, stop)
        if stop.is_due():
            raise stop.error("stopped; what has ended is kept.")


def _announce() -> None:
    say_at_once(
        "\nstopping; once more to stop at once. Ray's processes then end within two "
        "minutes\n"
    )


def _imported(verbose: bool) -> Any:
    """The package; its own lines are shown, or go to `ray.log` later."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ModuleNotFoundError:
        raise InputError(
            "--ray needs the package ray: `pip install --group cluster .` in the "
            "checkout installs it."
        ) from None
    if not verbose:  # it prints, too
        logger = logging.getLogger("ray")
        logger.handlers = [logging.NullHandler()]
        ray._private.worker.print_to_stdstream = lambda data, **_: logger.error(
            "\n".join(data["lines"])
        )
    return ray


def _remote(address: str) -> dict[str, Any]:
    """Options to join a cluster, whose nodes need not have this code."""
    host, _, port = address.rpartition(":")
    try:  # Ray itself would wait for minutes
        socket.create_connection((host.strip("[]"), int(port)), CONNECTING).close()
    except OSError as error:
        raise InputError(
            f"--ray {address}: no Ray answers there ({error.strerror or error}). Start "
            "one with `ray start --head`, which prints its address."
        ) from None
    root = Path(__file__).parents[2]
    code = [str(root / name) for name in ("train", "models", "lcam_optax")]
    return {"address": address, "runtime_env": {"py_modules": code}}


def _local(stack: contextlib.ExitStack, config: Study | Compare) -> dict[str, Any]:
    """Options of a Ray that nobody else can reach, whose files `stack` removes."""
    # Not where TMPDIR says: the names of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="lcam-ray-", dir="/tmp"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    token = folder / "token"
    token.touch(0o600)
    token.write_text(secrets.token_hex(32))
    os.environ.pop("RAY_AUTH_TOKEN", None)
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    # Else Ray takes the address of a network for 127.0.0.1, on Linux.
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    threads = (config.sharing.workers or 1) * (config.threads or devices.cores())
    return {
        "address": "local",  # without, it joins what RAY_ADDRESS or a file names
        "num_cpus": max(threads, devices.cores()),
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": str(folder),
    }


# --- Workers --------------------------------------------------------------------------


class _Worker:
    """In a process of its own, which may be on another machine."""

    def __init__(self, options: SimpleNamespace, gpus: float):
        if 0 < gpus < 1:
            os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * gpus:.3f}"
        devices.start_jax(options)
        self._data: dict[Any, Dataset] = {}

    def hello(self) -> tuple[str, str]:
        """Where it is, and what must be the same in all."""
        [device, *_], threads = jax.devices(), devices.threads()
        on_cpu = f", {threads} threads" * (threads is not None)
        return (
            socket.gethostname(),
            f"JAX {jax.__version__}, {device.device_kind}{on_cpu}",
        )

    def train(self, job: Job, refs: list[Any]) -> Outcome:
        """Trains a run; its data are fetched once."""
        import ray

        [ref] = refs  # in a list, so that Ray does not fetch it each time
        if ref not in self._data:
            self._data[ref] = ray.get(ref)
        return carry_out(job, self._data[ref])


class Pool:
    """The workers, as many as there is room for: nodes may come and go."""

    def __init__(self, ray: Any, config: Study | Compare, stop: Stop):
        self._ray, self._stop, self._sharing = ray, stop, config.sharing
        gpus = config.sharing.gpus_per_run
        if gpus is None:
            gpus = float("GPU" in ray.cluster_resources())
        # An accelerator does the sums.
        self.threads = None if gpus else config.threads or devices.cores()
        self._needs = {"CPU": self.threads or 1, "GPU": gpus}
        actor = ray.remote(num_cpus=self.threads or 1, num_gpus=gpus)(_Worker)
        options = SimpleNamespace(
            compile_cache=config.compile_cache,
            threads=self.threads,
            device=config.device if gpus else "cpu",  # else each would take GPU 0
            deterministic=config.deterministic,
        )
        self._make = lambda: actor.remote(options, gpus)
        has, needs = (
            " and ".join(f"{each.get(name, 0):g} {name}s" for name in ("CPU", "GPU"))
            for each in (ray.cluster_resources(), self._needs)
        )
        notes.say(f"Ray has {has}, and a run takes {needs}")
        here = environment()
        self._origin = {name: here[name] for name in ("command", "commit")}
        # By their ids, so they are kept: data, and what Ray has of them.
        self._data: dict[int, tuple[Dataset, Any]] = {}
        self._greeting: dict[Any, Any] = {}  # by what is awaited: a worker
        self._idle: list[tuple[Any, str]] = []  # workers with their nodes
        self._busy: dict[Any, tuple[Any, str, Task]] = {}
        self._again: list[Task] = []
        self._deaths: Counter = Counter()
        self._first: tuple[str, str] | None = None
        self._looked = -LOOKING

    def train(self, folder: Path, tasks: Iterator[Task | None], about: About) -> Ended:
        """Trains them on the workers; see `trials.Train`."""
        if not self._sharing.verbose:
            log = logging.FileHandler(folder / "ray.log", delay=True)
            logging.getLogger("ray").handlers = [log]
        with Display() as display:
            shown = ""
            while True:
                if self._stop.is_due():
                    raise self._stop.error("stopped; what has ended is kept.")
                num_left, text = about()
                if not num_left:
                    return
                self._look(num_left)
                while self._idle and (task := self._next(tasks)) is not None:
                    self._submit(task)
                if self._idle and not self._busy:
                    return  # nothing more may begin
                if shown != (shown := f"{text}, {self._where()}"):
                    display.stage(shown)
                refs = [*self._greeting, *self._busy]
                if not refs:
                    time.sleep(0.5)
                    continue
                for ref in self._ray.wait(refs, timeout=0.5)[0]:
                    if ref in self._greeting:
                        self._greet(ref)
                    else:
                        yield from self._take(ref)

    def _next(self, tasks: Iterator[Task | None]) -> Task | None:
        return self._again.pop() if self._again else next(tasks, None)

    def _submit(self, task: Task) -> None:
        actor, node = self._idle.pop()
        if id(task.dataset) not in self._data:
            self._data[id(task.dataset)] = task.dataset, self._ray.put(task.dataset)
        job, (_, data) = make_job(task.config, task.light), self._data[id(task.dataset)]
        self._busy[actor.train.remote(job, [data])] = actor, node, task

    def _where(self) -> str:
        nodes = Counter(node for _, node, _ in self._busy.values())
        shown = ", ".join(f"{number} on {node}" for node, number in nodes.items())
        return f"running: {shown}" if nodes else "waiting for a worker"

    def _look(self, most: int) -> None:
        """Makes workers where there is room."""
        if time.monotonic() - self._looked < LOOKING:
            return
        has, self._looked = self._ray.cluster_resources(), time.monotonic()
        room = int(min(has.get(n, 0) / x for n, x in self._needs.items() if x))
        workers = len(self._greeting) + len(self._idle) + len(self._busy)
        for _ in range(min(room, self._sharing.workers or room, most) - workers):
            actor = self._make()
            self._greeting[actor.hello.remote()] = actor

    def _greet(self, ref: Any) -> None:
        """Takes a worker in; refuses one that would make other numbers."""
        actor = self._greeting.pop(ref)
        try:
            node, facts = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1][:300]
            raise InputError(f"--ray: a worker cannot start: {reason}") from None
        first, known = self._first = self._first or (node, facts)
        if facts != known:
            raise InputError(
                f"--ray: workers would make other numbers: {known} on {first}, and "
                f"{facts} on {node}. Take nodes of one kind, with the same packages."
            )
        self._idle.append((actor, node))

    def _take(self, ref: Any) -> Ended:
        """What a worker came to; nothing if the run goes on."""
        actor, node, task = self._busy.pop(ref)
        try:
            outcome = self._ray.get(ref)
        except self._ray.exceptions.RayTaskError:  # of the program itself
            raise
        except self._ray.exceptions.RayError:
            self._looked = -LOOKING
            self._deaths[task.place] += 1
            times = f"{self._deaths[task.place]} of {TRIES}"
            notes.say(f"{task.title}: its worker on {node} died ({times})")
            if self._deaths[task.place] < TRIES:
                self._again.append(task)
            else:
                yield task.place, f"{TRIES} workers died of it", ""
            return
        if outcome.how == "refused":
            raise InputError(f"{task.title}, on {node}: {outcome.why}")
        settle(task.config, outcome.files, **self._origin)
        self._idle.append((actor, node))
        if outcome.how == "saved":
            self._again.append(task)
        else:
            yield task.place, outcome.why, f", {node}"
