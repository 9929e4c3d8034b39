"""Trains the runs of a study by Ray: workers train, and this process writes the folder.

The only module that imports Ray. A worker is one of Ray's actors: it keeps its process,
its data and its compiled programs from run to run.
"""

import contextlib
import dataclasses
import functools
import logging
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from train import notes
from train.engine import devices
from train.errors import InputError, StoppedError
from train.runs.display import STOPPING, Display, say_at_once
from train.runs.provenance import environment
from train.runs.stop import Stop
from train.settings.commands import Compare, Study
from train.studies.trials import Ended, Task
from train.studies.work import Work
from train.studies.worker import Job, Outcome, carry_out, make_job, scratch, settle

TRIES = 3  # of a run whose workers die
CONNECTING = 3.0  # seconds until an address counts as unreachable
SAVING = 60.0  # seconds that runs have to save themselves


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
        then = "(Ray's processes then end within two minutes)"
        stop = Stop(lambda: say_at_once(f"\n{STOPPING}\n{then}\n"))
        stack.enter_context(stop)
        # Before JAX: Ray forks, and JAX's threads would not like that.
        try:
            ray.init(**options, configure_logging=False)
        except SystemExit:  # Ray's answer to SIGTERM
            raise StoppedError("SIGTERM: stopped while Ray started.", 143) from None
        except (RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            if not stop.is_due():
                reason = str(error).strip().splitlines()[0][:200].rstrip(". ")
                text = f"--ray {config.sharing.ray}: Ray cannot be used: {reason}."
                if config.sharing.ray != "local":
                    text += (
                        " If it wants a token, set RAY_AUTH_MODE=token here too, and "
                        "put its token in ~/.ray/auth_token."
                    )
                raise InputError(text) from None
        stop.__enter__()  # again: Ray has put in handlers, too
        if stop.is_due():
            raise stop.error("stopped while Ray started.")
        # The GPUs are the workers'.
        devices.start_jax(dataclasses.replace(config, device="cpu"))
        yield Pool(ray, config, stop)


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
    if not verbose:
        logger = logging.getLogger("ray")
        logger.handlers = [logging.NullHandler()]
        # What it prints of lost workers; no setting of Ray's turns that off.
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
    folder = stack.enter_context(scratch("lcam-ray-", "/tmp"))
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
        "_temp_dir": str(folder / "ray"),  # Ray opens it to everybody
    }


# --- Workers --------------------------------------------------------------------------


class _Worker:
    """In a process of its own, which may be on another machine."""

    def __init__(self, config: Study | Compare, gpus: float):
        import ray

        if 0 < gpus < 1:
            os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.9 * gpus:.3f}"
        devices.start_jax(config)
        self._fetched = functools.cache(ray.get)
        self._must_stop = False

    def hello(self) -> tuple[str, str]:
        """Where it is, and what must be the same in all."""
        kind = jax.devices()[0].device_kind
        return socket.gethostname(), f"JAX {jax.__version__} and {kind}"

    def train(self, job: Job, refs: list[Any]) -> Outcome:
        """Trains a run; its data are in a list, so that Ray does not fetch them."""
        [ref] = refs
        return carry_out(job, self._fetched(ref), lambda: self._must_stop)

    def stop(self) -> None:
        """Lets `train` save and end, in whose midst it is called."""
        self._must_stop = True


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
        device = config.device if gpus else "cpu"  # else each would take GPU 0
        options = dataclasses.replace(config, threads=self.threads, device=device)
        # Two calls at a time: `stop` comes while `train` is at work.
        needs = {"num_cpus": self.threads or 1, "num_gpus": gpus, "max_concurrency": 2}
        make = ray.remote(**needs)(_Worker).remote
        self._make = functools.partial(make, options, gpus)
        here = environment()
        self._origin = {name: here[name] for name in ("command", "commit")}
        self._put = functools.cache(ray.put)
        self._idle: list[tuple[Any, str]] = []  # workers with their nodes
        # The others by what is awaited: a run, or None from a worker that starts.
        self._busy: dict[Any, tuple[Any, str, Task | None]] = {}
        self._again: list[Task] = []
        self._deaths: Counter = Counter()
        self._first: tuple[str, str] | None = None
        has, takes = map(_named, (ray.cluster_resources(), self._needs))
        by = "" if gpus else ", by --threads"
        notes.say(f"Ray has {has}, and a run takes {takes}{by}")
        self._look(0)

    def train(self, folder: Path, tasks: Iterator[Task | None], work: Work) -> Ended:
        """Trains them on the workers; see `trials.Train`."""
        if not self._sharing.verbose:
            log = logging.FileHandler(folder / "ray.log", delay=True)
            logging.getLogger("ray").handlers = [log]
        with Display() as display:
            shown = ""
            while work.left:
                if self._stop.is_due():
                    yield from self._save()
                    raise self._stop.error("stopped and saved.")
                self._look(len(work.left))
                while self._idle:
                    task = self._again.pop() if self._again else next(tasks, None)
                    if task is None:
                        break
                    actor, node = self._idle.pop()
                    job = make_job(task.config, task.light)
                    ref = actor.train.remote(job, [self._put(task.dataset)])
                    self._busy[ref] = actor, node, task
                running = self._running()
                if self._idle and not running:
                    return  # nothing more may begin
                where = ", ".join(f"{n} on {node}" for node, n in running.items())
                where = f"running: {where}" if where else "waiting for a worker"
                if shown != (shown := where):
                    display.stage(shown)
                yield from self._take_ended()

    def _running(self) -> Counter:
        """How many runs are under way on each node."""
        return Counter(node for _, node, task in self._busy.values() if task)

    def _save(self) -> Ended:
        """Lets the runs under way save themselves."""
        for actor, _, _ in self._busy.values():
            actor.stop.remote()
        end = time.monotonic() + SAVING
        while self._running() and time.monotonic() < end:
            yield from self._take_ended()

    def _look(self, most: int) -> None:
        """Makes workers: as many as are asked for, or as there is room for."""
        nodes = [each["Resources"] for each in self._ray.nodes() if each["Alive"]]
        needs = [(name, number) for name, number in self._needs.items() if number]
        rooms = [int(min(x.get(name, 0) / n for name, n in needs)) for x in nodes]
        asked = self._sharing.workers
        if not any(rooms) and (asked is None or self._sharing.ray == "local"):
            have = " or ".join(sorted({*map(_named, nodes)}))
            later = " --workers N waits for nodes that come later."
            raise InputError(
                f"--ray: a run takes {_named(self._needs)}, and no node has room for "
                f"it: they have {have}. Lower --gpus-per-run or --threads."
                + later
                * (self._sharing.ray != "local")
            )
        wanted = min(asked or sum(rooms), most)
        for _ in range(wanted - len(self._idle) - len(self._busy)):
            actor = self._make()
            self._busy[actor.hello.remote()] = actor, "", None

    # --- What workers come to ---------------------------------------------------------

    def _take_ended(self) -> Ended:
        """What workers came to, for half a second."""
        if not self._busy:
            time.sleep(0.5)
            return
        for ref in self._ray.wait([*self._busy], timeout=0.5)[0]:
            actor, node, task = self._busy.pop(ref)
            try:
                answer = self._ray.get(ref)
            except self._ray.exceptions.RayTaskError:  # of the program itself
                raise
            except self._ray.exceptions.RayError as error:
                if task is not None:
                    yield from self._bury(node, task)
                elif self._first is None:
                    reason = str(error).strip().splitlines()[-1][:300]
                    text = f"--ray: a worker cannot start: {reason}"
                    raise InputError(text) from None
                continue
            if task is None:
                node = self._greet(*answer)
            else:
                yield from self._take(node, task, answer)
            self._idle.append((actor, node))

    def _greet(self, node: str, facts: str) -> str:
        """The node of a new worker; refuses one that would make other numbers."""
        first, known = self._first = self._first or (node, facts)
        if facts != known:
            raise InputError(
                f"--ray: workers would make other numbers: {known} on {first}, and "
                f"{facts} on {node}. Take nodes of one kind, with the same packages."
            )
        return node

    def _take(self, node: str, task: Task, outcome: Outcome) -> Ended:
        """What a run came to; nothing if it goes on."""
        if isinstance(error := outcome.error, InputError):
            raise InputError(f"{task.title}, on {node}: {error}", error.details)
        settle(task.config, outcome.files, **self._origin)
        if outcome.has_ended:
            is_here = self._sharing.ray == "local"
            yield task.place, str(error or ""), "" if is_here else f", on {node}"
        else:
            self._again.append(task)

    def _bury(self, node: str, task: Task) -> Ended:
        """A worker died: its run is given to another, or given up."""
        # If its node is lost, those that are idle there are lost, too.
        for each in [each for each in self._idle if each[1] == node]:
            self._ray.kill(each[0])  # if it is not, its room is needed
            self._idle.remove(each)
        self._deaths[task.place] += 1
        times = f"{self._deaths[task.place]} of {TRIES}"
        if self._deaths[task.place] < TRIES:
            notes.say(
                f"{task.title}: its worker on {node} died ({times}), and it goes on "
                "from its last save"
            )
            self._again.append(task)
        else:
            yield task.place, f"{TRIES} workers died of it", ""


def _named(resources: dict[str, float]) -> str:
    numbers = [(name, resources.get(name, 0)) for name in ("CPU", "GPU")]
    return " and ".join(f"{x:g} {name}{'s' * (x != 1)}" for name, x in numbers)
