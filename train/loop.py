"""Trains one network with one optimizer."""

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import tqdm

from train import networks, optimizers, program, run_folder, step
from train.checkpoint import Checkpoints
from train.config import Run
from train.dataset import Dataset, fingerprint
from train.errors import DivergedError
from train.feed import Feed, make_feed
from train.optimizers import Hyperparameters
from train.plan import Planner
from train.program import Program
from train.spec import Spec
from train.step import EpochPlan, StepMetrics, TrainState


def run(config: Run, dataset: Dataset, *, quiet: bool = False) -> Path:
    """Trains, and writes everything into the run's folder.

    Args:
      config: the experiment.
      dataset: its data.
      quiet: print no line per epoch (a terminal shows a progress bar all the same).

    Returns:
      The folder.

    Raises:
      InputError: the folder cannot be used, or an option does not fit the data.
      BusyError: another process is at work in the folder.
      DivergedError: a loss was not finite; the epoch's rows are written.
    """
    method = optimizers.method_of(config.optimizer)
    spec = program.make_spec(config, method, dataset)
    feed = make_feed(dataset, spec, config.data.normalize)
    kind = config.data.data.partition(":")[0]
    name = (
        f"{config.preset or f'{kind}-{config.optimizer.optimizer}'}-seed{config.seed}"
    )
    facts, phases = {"data_sha256": fingerprint(dataset)}, None
    if config.optimizer.phases_of is not None:  # refused before anything is written
        phases = run_folder.read_phases(
            config.optimizer.phases_of, config.epochs * spec.steps_per_epoch
        )
        # The folder may be moved; what it says may not change.
        facts["phases_sha256"] = hashlib.sha256(phases.tobytes()).hexdigest()
    folder = run_folder.open_folder(config, name, **facts)
    with run_folder.locked(folder):
        _train(config, spec, feed, phases, folder, quiet=quiet)
    return folder


def _train(
    config: Run,
    spec: Spec,
    feed: Feed,
    phases: np.ndarray | None,
    folder: Path,
    *,
    quiet: bool,
) -> None:
    """Trains from the last checkpoint, or from nothing, to the end.

    `phases`, of every step, are those of --phases-of.
    """
    compiled = program.compile_program(spec, feed.data)
    hyperparameters = optimizers.hyperparameters_of(
        config.optimizer, spec.steps_per_epoch
    )
    planner = Planner(config, spec, phases)
    state = compiled.init(planner.init_key)

    with Checkpoints(folder) as checkpoints:
        done = checkpoints.last_epoch() or 0
        if done:
            state = checkpoints.restore(done, like=state)
        run_folder.keep_rows(folder, done, spec.steps_per_epoch)
        run_folder.add_provenance(
            folder,
            first_epoch=done + 1,
            network=networks.describe(spec.network),
            arrays=step.array_names(spec.network),
            num_parameters=step.num_parameters(spec.network),
            compile_seconds=round(compiled.compile_seconds, 1),
        )
        progress = tqdm.tqdm(
            total=config.epochs * spec.steps_per_epoch,
            initial=done * spec.steps_per_epoch,
            desc=folder.name,
            unit="step",
            disable=not sys.stderr.isatty(),
        )
        if progress.disable and not quiet:
            print(
                f"{networks.describe(spec.network)}, "
                f"{step.num_parameters(spec.network):,} parameters, compiled in "
                f"{compiled.compile_seconds:.1f} s",
                flush=True,
            )
        with progress:
            for epoch in range(done, config.epochs):
                previous_phase = optax.tree.get(state.opt_state, "phase", np.nan)
                previous_phase = jax.device_get(previous_phase)
                start = time.perf_counter()
                state, steps = _train_epoch(
                    compiled,
                    state,
                    feed,
                    planner.plan(epoch),
                    hyperparameters,
                    progress,
                )
                train_seconds = time.perf_counter() - start
                test = jax.device_get(compiled.test(state, feed.data))
                row = _epoch_row(epoch, spec, steps, test, previous_phase)
                row |= {
                    "learning_rate": planner.last_rate(epoch),
                    "images_per_second": round(_num_images(spec) / train_seconds, 1),
                    "seconds": round(time.perf_counter() - start, 3),
                }
                observed = jax.device_get(compiled.observed(state))
                if observed:
                    # Means in a phase without steps are NaN, which JSON has not.
                    row["observed"] = {
                        name: np.where(np.isfinite(x), x, None).tolist()
                        for name, x in observed.items()
                    }
                run_folder.append_metrics(folder, row)
                run_folder.append_steps(
                    folder, _step_rows(epoch * spec.steps_per_epoch, steps)
                )
                line = _line(row, config.epochs)
                progress.set_postfix_str(line.partition(": ")[2])
                if progress.disable and not quiet:
                    print(line, flush=True)
                _check_finite(epoch, spec, steps, test)
                is_last = epoch + 1 == config.epochs
                every = config.checkpoint_every
                if is_last or (every and (epoch + 1) % every == 0):
                    checkpoints.save(epoch + 1, state)


def _train_epoch(
    compiled: Program,
    state: TrainState,
    feed: Feed,
    plan: EpochPlan,
    hyperparameters: Hyperparameters,
    progress: tqdm.tqdm,
) -> tuple[TrainState, StepMetrics]:
    """Takes an epoch's steps; waits for the device's results once, at the end."""
    outputs = []
    for call, data, part in feed.calls(compiled.calls, plan):
        state, metrics = compiled.train(call, state, data, part, hyperparameters)
        outputs.append(metrics)
        progress.update(call.num_steps)
        if feed.host and len(outputs) > 1:
            # One call ahead: examples of more would fill the device's memory.
            jax.block_until_ready(outputs[-2])
    columns = zip(*jax.device_get(outputs), strict=True)
    return state, StepMetrics(*map(np.concatenate, columns))


def _num_images(spec: Spec) -> int:
    """Examples an epoch trains on."""
    return spec.full_steps * spec.batch_size + spec.last_batch_size


def _epoch_row(
    epoch: int,
    spec: Spec,
    steps: StepMetrics,
    test: step.TestMetrics,
    previous_phase: float,
) -> dict[str, Any]:
    """An epoch's row of `metrics.jsonl`; errors in percent, losses in nats."""
    sizes = np.full(len(steps.loss), spec.batch_size)
    if spec.last_batch_size:
        sizes[-1] = spec.last_batch_size
    phases = np.append(previous_phase, steps.phase)
    # LOW_LOSS is 1, HIGH_LOSS is 0.
    low_loss_share = float(np.mean(steps.phase, dtype=np.float64))
    has_phase = not np.isnan(low_loss_share)
    return {
        "epoch": epoch + 1,
        "train_loss": float(np.average(steps.loss.astype(np.float64), weights=sizes)),
        "train_error": 100 * float(np.average(steps.error.astype("f8"), weights=sizes)),
        "test_loss": float(test.loss),
        "test_error": 100 * float(test.error) / spec.test_shape[0],
        "low_loss_share": low_loss_share,
        "high_loss_share": 1 - low_loss_share,
        "phase_switches": int(np.sum(np.diff(phases) != 0)) if has_phase else None,
        "mean_momentum": float(np.mean(steps.momentum.astype(np.float64))),
    }


def _step_rows(first: int, steps: StepMetrics) -> list[tuple]:
    """Rows of `steps.csv`; steps are counted from 1."""
    columns = (steps.loss, steps.average_loss, steps.phase, steps.momentum)
    return [
        (first + number, *(f"{cell:.9g}" for cell in cells))  # float32, whole
        for number, cells in enumerate(zip(*columns, strict=True), start=1)
    ]


def _line(row: dict[str, Any], epochs: int) -> str:
    return (
        f"epoch {row['epoch']}/{epochs}: train loss {row['train_loss']:.4f}, "
        f"train error {row['train_error']:.2f} %, "
        f"test error {row['test_error']:.2f} %, "
        f"{row['images_per_second']:.0f} images/s"
    )


def _check_finite(
    epoch: int, spec: Spec, steps: StepMetrics, test: step.TestMetrics
) -> None:
    bad = np.flatnonzero(~np.isfinite(steps.loss))
    if len(bad):
        number = epoch * spec.steps_per_epoch + bad[0] + 1
        what = f"the training loss is {steps.loss[bad[0]]} at step {number}"
    elif not np.isfinite(test.loss):
        what = f"the test loss is {test.loss}"
    else:
        return
    raise DivergedError(
        f"{what} (epoch {epoch + 1}): training diverged. Try a smaller "
        "--learning-rate, or --warmup-epochs."
    )
