"""Prints the phases by the average: how often low-loss, how often switched, spikes.

    python -m docs.averages

Four runs of LCAM with its default average, which take some minutes. All averages look
at the losses of the same run, so a row differs from another by its average alone.
"""

import contextlib
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import lcam_optax
from lcam_optax import LossAverage
from train.__main__ import main as train
from train.reports.tables import markdown
from train.runs.records import read_metrics, read_steps

RUNS = {
    "digits, MLP": "--data digits --network mlp --epochs 10",
    "digits, WRN-10-1": "--data digits --epochs 10",
    "text, transformer": "--data english --epochs 10",
    "digits, MLP, long": "--data digits --network mlp --batch-size 32 --epochs 90 "
    "--learning-rate 0.02",
}


def averages(steps_per_epoch: int) -> dict[str, LossAverage]:
    """The rows of the table, and what they are."""
    means = {f"EMA, {decay}": decay for decay in (0.8, 0.9, 0.95, 0.99)}
    return {name: lcam_optax.ema_average(decay) for name, decay in means.items()} | {
        "mean of the epoch": lcam_optax.epoch_average(steps_per_epoch),
        "median of 21": lcam_optax.median_average(21),
    }


def losses_of(options: str) -> np.ndarray:
    """Trains, and returns the losses of all steps: [epochs, steps]."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = ["run", *options.split(), "--low-loss-momentum", "0.95", "--quiet"]
        with contextlib.redirect_stdout(io.StringIO()):
            failed = train([*command, "--out", str(out)])
        if failed:
            sys.exit("the run failed")
        return np.reshape(read_steps(out)["loss"], (len(read_metrics(out)), -1))


def phases_of(losses: np.ndarray, average: LossAverage) -> np.ndarray:
    """The phase of each step, 0 or 1: [epochs, steps]."""
    schedule = lcam_optax.loss_phase_schedule(0.9, 0.95, loss_average=average)

    def step(state, loss):
        state = schedule.update(state, value=loss)
        return state, state.phase

    phases = jax.lax.scan(step, schedule.init(), jnp.ravel(jnp.asarray(losses)))[1]
    return np.reshape(phases, losses.shape)


def cells(phases: np.ndarray) -> Sequence[str]:
    """Low-loss share of the first epoch and of all later ones; switches an epoch."""
    switches = np.sum(np.abs(np.diff(np.ravel(phases)))) / len(phases)
    return (f"{phases[0].mean():.0%}", f"{phases[1:].mean():.0%}", f"{switches:.0f}")


def spike_cells(spike: float) -> list[str]:
    """Low-loss steps in a row after a spike, by each average."""
    losses = np.random.default_rng(0).normal(2.0, 0.1, (1, 5000))
    losses[0, 1000] = spike
    after = [phases_of(losses, each)[0, 1001:] for each in averages(5000).values()]
    return [
        "to the epoch's end" if phases.all() else f"{np.argmin(phases):,}"
        for phases in after
    ]


def main() -> None:
    """Trains and prints the table of each run."""
    print("Low-loss steps after one large loss among losses of 2 ± 0.1\n")
    rows = [["one loss of", *averages(5000)]]
    for spike in (10.0, 100.0, 1e4, 1e8):
        rows.append([f"{spike:g}", *spike_cells(spike)])
    print(markdown(rows))
    for name, options in RUNS.items():
        losses = losses_of(options)
        epochs, steps = losses.shape
        print(f"\n{name}: {epochs} epochs of {steps} steps\n")
        rows = [["average", "low-loss, epoch 1", "later epochs", "switches an epoch"]]
        for title, average in averages(steps).items():
            rows.append([title, *cells(phases_of(losses, average))])
        print(markdown(rows))


if __name__ == "__main__":
    main()
