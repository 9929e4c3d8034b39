"""Lets a run go on to another number of epochs than it was begun with."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from train.engine.optimizers import learning_rates
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
    done = max(records.steps_in(folder), default=0)
    was, now = f"--epochs {saved}", f"--epochs {config.epochs}"
    if not done and records.has_finished(folder):
        raise InputError(
            f"the run in {folder} has finished with {was} and kept no checkpoint, so "
            f"{now} cannot continue it. Name another --out to train anew."
        )
    before, after = (
        _trained(replace(config, epochs=epochs), done, steps_per_epoch)
        for epochs in (saved, config.epochs)
    )
    if before != after:
        raise InputError(
            f"the run in {folder} has trained {done} steps with {was}, in epochs of "
            f"{steps_per_epoch}. With {now} they would be fewer, or have other rates "
            "or tests: --schedule cosine and --test-epochs go by the last epoch. "
            f"Continue it with {was}, or name another --out to train anew. With "
            "--schedule constant, step or exponential a run can be made longer."
        )
    with writing(folder):
        (folder / records.FINISHED).unlink(missing_ok=True)
    renew_claim(folder, config, **facts)


def _trained(run: Run, done: int, steps_per_epoch: int) -> tuple[list, list]:
    """What the first `done` steps of a run are: their learning rates, and tests."""
    rates = learning_rates(
        run.schedule,
        run.optimizer.learning_rate,
        epochs=run.epochs,
        steps_per_epoch=steps_per_epoch,
    )
    tests = [run.is_tested(epoch) for epoch in range(done // steps_per_epoch)]
    return rates.ravel()[:done].tolist(), tests
