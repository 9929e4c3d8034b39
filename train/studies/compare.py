"""Compares optimizers on the same weights and batches."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.data import sources
from train.data.dataset import Dataset, fingerprint
from train.engine import networks
from train.errors import DivergedError, advising
from train.paths import printable
from train.runs.folder import open_folder, renew_claim
from train.settings.arms import parse_arms
from train.settings.commands import Compare
from train.settings.experiment import Experiment
from train.studies import rows, statistics
from train.studies.arms import Arm, Block
from train.studies.outcomes import Comparison, Result, write_tables
from train.studies.report import write_report
from train.studies.study import run_blocks
from train.studies.table import aligned, mean_cells


def compare(config: Compare) -> Path:
    """Runs every arm with every seed; prints the table; returns the folder.

    A comparison is a study of one block, whose arms the user names. An arm that
    diverges is left out of the table, and the others go on.

    Raises:
      InputError: the folder, the data, an arm or an option cannot be used.
      DivergedError: an arm diverged; all the rest is done.
    """
    networks.check_own(config.model.network)
    dataset = sources.load_fitting(config)
    networks.make_network_spec(config.model, dataset)
    block = _make_block(config, dataset)
    facts = {"data_sha256": fingerprint(dataset)}
    folder = open_folder(config, f"compare-{block.name}", **facts)
    renew_claim(folder, config, **facts)
    about = rows.describe(
        "comparison",
        "Which of these optimizers has the lowest test error?",
        [block],
        outcomes=("last_error", "last_epochs_error", "area"),
    )
    with advising(f"To continue: the same command with --out {folder} --resume"):
        found = run_blocks(
            config, about, [block], config.seeds, folder, lambda _: dataset
        )
    if not found.runs:
        print("No run has finished yet: there is nothing to compare.")
        return folder
    [result], comparisons = write_tables(folder / "report", found)
    if result.runs:
        from train.studies.pictures import plot_curves  # matplotlib takes a second

        path = folder / "comparison.png"
        plot_curves(path, result.epochs, printable(folder.name))
        print(f"\n{_table(result, comparisons, config)}\npicture: {path}")
    # One of before would tell of other rows.
    if config.report or (folder / "report" / "report.md").exists():
        print(f"report: {write_report(folder / 'report', found)}")
    if result.diverged:
        raise DivergedError(
            "; ".join(
                f"{arm} diverged with seed {', '.join(map(str, seeds))}"
                for arm, seeds in result.diverged.items()
            )
        )
    return folder


def _make_block(config: Compare, dataset: Dataset) -> Block:
    arms = parse_arms(config.arms)
    steps = len(dataset.train_inputs) // config.batch_size
    names = [option.name for option in dataclasses.fields(Experiment)]
    return Block(
        config.data.data.partition(":")[0],
        Experiment(**{name: getattr(config, name) for name in names}),
        tuple(
            Arm(
                name,
                optimizer.with_average(steps),
                folder=f"{number}-{optimizer.optimizer}",
            )
            for number, (name, optimizer) in enumerate(arms.items(), start=1)
        ),
        reference=config.arms[0],
    )


def _table(result: Result, comparisons: Sequence[Comparison], config: Compare) -> str:
    """The table as text, and each arm's difference from the first."""
    counts = [len(runs) for runs in result.runs.values()]
    num_seeds = max(counts)
    title = f"final test error after {config.epochs} epochs, {config.data.data}, " + (
        "one seed" if num_seeds == 1 else f"mean and deviation of {num_seeds} seeds"
    )
    means = {
        "train_loss": ("train loss", ".4f"),
        "low_loss_share": ("low-loss steps", ".0%"),
        "phase_switches": ("switches/epoch", ".1f"),
        "mean_momentum": ("mean momentum", ".3f"),
    }
    titles = [title for title, _ in means.values()]
    cells = [["optimizer", "test error %", *titles, "images/s"]]
    for arm, runs in result.runs.items():
        errors = [run["last_error"] for run in runs.values()]
        error = f"{np.mean(errors):.2f}"
        if len(runs) > 1:
            error += f" ± {np.std(errors, ddof=1):.2f}"
        if len(runs) < num_seeds:
            error += f" ({len(runs)} seeds)"
        epochs = [row for run in result.epochs[arm].values() for row in run]
        speed = np.median([row["images_per_second"] for row in epochs])
        shown = mean_cells(list(runs.values()), means)
        cells.append([arm, error, *shown, f"{speed:.0f}"])
    mine = [each for each in comparisons if each.outcome == "last_error"]
    lines = [
        f"{each.arm} against {each.reference}: "
        f"{statistics.verdict(each.difference, each.corrected_p, unit='points')}"
        for each in mine
    ]
    if len(mine) > 1 and num_seeds > 1:
        lines.append(f"p-values are corrected for {len(mine)} comparisons (Holm).")
    return "\n".join([title, *aligned(cells), *lines])
