"""What is said of a run that has finished."""

import shlex
from pathlib import Path

from train.runs import records
from train.runs.display import as_clock
from train.settings.experiment import Run


def summarize(config: Run, folder: Path, picture: Path | None = None) -> list[str]:
    """What a run came to, where it is, and what can be done next, in lines.

    Args:
      config: the run.
      folder: its own.
      picture: of it; None if none was drawn.
    """
    rows = records.read_metrics(folder)
    last = rows[-1]
    loss = "not finite" if last["train_loss"] is None else f"{last['train_loss']:.4f}"
    results = [f"training loss {loss}"]
    if last.get("test_error") is not None:
        results.insert(0, f"test error {last['test_error']:.2f} %")
    seconds = sum(row["seconds"] for row in rows)
    lines = [
        f"{', '.join(results)} after {_count(len(rows), 'epoch', 's')} in "
        f"{as_clock(seconds)}"
    ]
    if config.optimizer.by_phase:
        share = sum(row["low_loss_share"] for row in rows) / len(rows)
        switches = sum(row["phase_switches"] for row in rows)
        lines.append(
            f"low-loss phase in {share:.0%} of the steps, "
            f"{_count(switches, 'switch', 'es')}"
        )
    lines.append(f"folder: {folder}")
    if picture is not None:
        lines.append(f"picture: {picture}")
    if config.tensorboard:
        lines.append(f"charts: tensorboard --logdir {shlex.quote(str(folder))}")
    if config.optimizer.phases_of is None:
        ours = config.optimizer.optimizer
        arms = "sgd lcam" if ours == "sgd" else f"sgd {ours}"
        lines.append(
            f"next: the same with compare --arms {arms} --seeds 0 1 2 in place of run"
        )
    return lines


def _count(number: int, noun: str, ending: str) -> str:
    """A number of things, with the noun's ending for several."""
    return f"{number:,} {noun}{ending if number != 1 else ''}"
