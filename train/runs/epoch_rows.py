"""What an epoch came to: its row of `metrics.jsonl`, and its steps' of `steps.csv`."""

from typing import Any

import numpy as np

from train.engine.program import Spec, StepMetrics, TestMetrics
from train.errors import DivergedError


def epoch_row(
    epoch: int,
    spec: Spec,
    steps: StepMetrics,
    test: TestMetrics | None,
    phase_before: float,
) -> dict[str, Any]:
    """An epoch's row; errors in percent, losses in nats.

    Args:
      epoch: counted from 0.
      spec: the sizes.
      steps: of the steps taken, [steps].
      test: scores after the last of them; None if there was no test.
      phase_before: the phase before the first of them, as in `StepMetrics`.
    """
    sizes = np.full(len(steps.loss), spec.batch_size)
    if spec.last_batch_size and len(sizes) == spec.steps_per_epoch:
        sizes[-1] = spec.last_batch_size
    phases = np.append(phase_before, steps.phase)
    # LOW_LOSS is 1, HIGH_LOSS is 0.
    low_loss_share = float(np.mean(steps.phase, dtype=np.float64))
    has_phase = not np.isnan(low_loss_share)
    return {
        "epoch": epoch + 1,
        "step": epoch * spec.steps_per_epoch + len(steps.loss),
        "train_loss": float(np.average(steps.loss.astype(np.float64), weights=sizes)),
        "train_error": 100 * float(np.average(steps.error.astype("f8"), weights=sizes)),
        **(test_columns(spec.test_size, test) if test else {}),
        "low_loss_share": low_loss_share,
        "high_loss_share": 1 - low_loss_share,
        "phase_switches": int(np.sum(np.diff(phases) != 0)) if has_phase else None,
        "mean_momentum": float(np.mean(steps.momentum.astype(np.float64))),
    }


def test_columns(test_size: int, test: TestMetrics) -> dict[str, float]:
    """Loss in nats and error in percent, as in `metrics.jsonl`."""
    loss, error = (float(np.sum(sums, dtype=np.float64)) / test_size for sums in test)
    return {"test_loss": loss, "test_error": 100 * error}


def step_rows(first: int, steps: StepMetrics) -> list[tuple]:
    """Rows of `steps.csv`; `first` steps came before them."""
    columns = (steps.loss, steps.average_loss, steps.phase, steps.momentum)
    return [
        (number, *(f"{cell:.9g}" for cell in cells))  # float32, whole
        for number, cells in enumerate(zip(*columns, strict=True), start=first + 1)
    ]


def check_finite(
    epoch: int, spec: Spec, steps: StepMetrics, test: TestMetrics | None
) -> None:
    """Makes sure that the losses of an epoch, counted from 0, are finite.

    Raises:
      DivergedError: one is not.
    """
    bad = np.flatnonzero(~np.isfinite(steps.loss))
    if len(bad):
        number = epoch * spec.steps_per_epoch + bad[0] + 1
        what = f"the training loss is {steps.loss[bad[0]]} at step {number}"
    elif test and not np.isfinite(test.loss).all():
        what = f"the test loss is {np.sum(test.loss)}"
    else:
        return
    raise DivergedError(
        f"{what} (epoch {epoch + 1}): training diverged. Try a smaller "
        "--learning-rate, or --warmup-epochs."
    )
