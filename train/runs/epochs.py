"""Lets a run go on to another number of epochs than it was begun with."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from train.engine.schedules import learning_rates
from train.errors import InputError
from train.runs import records
from train.runs.folder import renew_claim
from train.runs.writing import writing
from train.settings.experiment import Run


def change_epochs(
    folder: Path, config: Run, steps_per_epoch: int, **facts: Any
) -> None:
    """Notes the run's number of epochs in its folder, if it was another.

    What is trained must be the same with both numbers: the run then ends as if it had
    been begun with the new one.

    Args:
      folder: of the run, whose other options are the same.
      config: the run.
      steps_per_epoch: its steps in each epoch.
      **facts: what a resumed run must agree with.

    Raises:
      InputError: what is trained would have been another; nothing is written then.
    """
    saved = json.loads((folder / "config.json").read_text())["epochs"]
    if saved == config.epochs:
        return
    before = replace(config, epochs=saved)
    done = max(records.steps_in(folder), default=0)
    _check_trained(folder, before, config, done, steps_per_epoch)
    with writing(folder):
        (folder / records.FINISHED).unlink(missing_ok=True)
    renew_claim(folder, config, **facts)


def _check_trained(
    folder: Path, before: Run, after: Run, done: int, steps_per_epoch: int
) -> None:
    """Makes sure that the first `done` steps do not depend on the change."""
    was, now = f"--epochs {before.epochs}", f"--epochs {after.epochs}"
    if not done and records.has_finished(folder):
        raise InputError(
            f"the run in {folder} has finished with {was} and kept no checkpoint, so "
            f"{now} cannot continue it. Name another --out to train anew."
        )
    if done > after.epochs * steps_per_epoch:
        raise InputError(
            f"{now} is less than the run in {folder} has trained: {done} steps, "
            f"{steps_per_epoch} an epoch. Name --epochs {-(-done // steps_per_epoch)} "
            "or more, or another --out."
        )
    rates = [
        learning_rates(
            run.schedule,
            run.optimizer.learning_rate,
            epochs=run.epochs,
            steps_per_epoch=steps_per_epoch,
        ).ravel()[:done]
        for run in (before, after)
    ]
    keep = f"Continue it with {was}, or name another --out to train anew."
    if not np.array_equal(*rates):
        raise InputError(
            f"the run in {folder} has trained {done} steps with {was}. With {now} "
            f"their learning rates would have been others: --schedule "
            f"{after.schedule.schedule} depends on the number of epochs. {keep} A run "
            "with --schedule constant, step or exponential can be made longer."
        )
    for epoch in range(done // steps_per_epoch):
        if before.is_tested(epoch) != after.is_tested(epoch):
            raise InputError(
                f"--test-epochs {after.test_epochs} counts from the last epoch: with "
                f"{was} there {'is a' if before.is_tested(epoch) else 'is no'} test "
                f"after epoch {epoch + 1}, which the run in {folder} has trained. With "
                f"{now} that would be otherwise. {keep}"
            )
