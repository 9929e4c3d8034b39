"""Trains one network with one optimizer."""

import contextlib
import hashlib
from pathlib import Path

import jax

from train.data.dataset import Dataset, fingerprint
from train.engine import devices, optimizers
from train.engine.device_data import make_data
from train.engine.program import make_spec
from train.errors import StoppedError
from train.runs import processes, records
from train.runs.display import Display
from train.runs.epochs import change_epochs
from train.runs.folder import digest, locked, open_folder
from train.runs.stop import Stop
from train.runs.trained import write_network
from train.runs.training import Task, Training
from train.settings.experiment import Run


def run(
    config: Run,
    dataset: Dataset,
    *,
    display: Display | None = None,
    quiet: bool = False,
    light: bool = False,
) -> Path | None:
    """Trains, and writes everything into the run's folder.

    Args:
      config: the experiment.
      dataset: its data.
      display: shows how far the run is; None: one of its own, if not quiet.
      quiet: one of many runs, which prints nothing (a terminal has a live line as long
        as the run lasts). A signal at its end says that no other is to begin.
      light: leave no checkpoint when the run has finished.

    Returns:
      The folder; None in a process that leaves writing to another.

    Raises:
      InputError: the folder cannot be used, or an option does not fit the data or the
        device's memory.
      BusyError: another process is at work in the folder.
      DivergedError: a loss was not finite; the epoch's rows are written.
      StoppedError: a signal ended it; where it was is saved.
    """
    with contextlib.ExitStack() as stack:
        if display is None:
            display = stack.enter_context(Display(bar_only=quiet))
        stop = stack.enter_context(Stop(display.stopping))
        stack.enter_context(devices.enough_memory())
        task = _prepare(config, dataset)  # refused before anything is written
        processes.check_same(digest(config, **task.facts, all_epochs=config.epochs))
        folder = None
        if jax.process_index() == 0:  # which writes for all
            folder = open_folder(
                config, _name(config), free=config.changeable, **task.facts
            )
            stack.enter_context(locked(folder))
            change_epochs(folder, config, task.spec.steps_per_epoch, **task.facts)
            write_network(folder, task.spec.network, task.data.mean, task.data.std)
        try:
            Training(config, task, folder, display, stop, light=light).run()
            if quiet and stop.signal is not None:  # of many runs: no other is to begin
                raise StoppedError(
                    f"{stop.signal.name}: stopped after the end of a run.",
                    code=128 + stop.signal,
                )
        except StoppedError as error:
            error.folder = folder
            raise
    return folder


def _prepare(config: Run, dataset: Dataset) -> Task:
    """Makes what a run needs besides its options; writes nothing."""
    spec = make_spec(config, optimizers.method_of(config.optimizer), dataset)
    data = make_data(
        dataset,
        config.data.normalize,
        spec.crop_padding,
        spec.eval_batch_size,
        spec.num_devices,
    )
    facts, phases = {"data_sha256": fingerprint(dataset)}, None
    if config.optimizer.phases_of is not None:
        phases = records.read_phases(
            config.optimizer.phases_of, config.epochs * spec.steps_per_epoch
        )
        # The folder may be moved; what it says may not change.
        facts["phases_sha256"] = hashlib.sha256(phases.tobytes()).hexdigest()
    return Task(spec, data, phases, facts)


def _name(config: Run) -> str:
    """Of the folder, if none is named."""
    kind = config.data.data.partition(":")[0]
    what = config.preset or f"{kind}-{config.optimizer.optimizer}"
    return f"{what}-seed{config.seed}"
