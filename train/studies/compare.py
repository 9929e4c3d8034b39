"""Compares optimizers on the same weights and batches."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from train.data.dataset import Dataset, fingerprint
from train.errors import DivergedError, InputError, advising
from train.runs import loop, records
from train.runs.folder import open_folder, renew_claim
from train.settings.commands import Compare
from train.settings.experiment import make_run
from train.settings.options import Optimizer
from train.studies import statistics
from train.studies.table import aligned


def parse_arm(text: str) -> Optimizer:
    """Parses `NAME` or `NAME:OPTION=VALUE,...`.

    Raises:
      InputError: the text is not of this form, or an option is out of its range.
      SystemExit: there is no such optimizer, or a value has another type (tyro has said
        so).
    """
    names = [option.name for option in dataclasses.fields(Optimizer)]
    name, _, options = text.partition(":")
    arguments = ["--optimizer", name.strip()]
    for option in filter(None, options.split(",")):
        key, equals, number = (part.strip() for part in option.partition("="))
        if not equals or key.replace("-", "_") not in names[1:]:
            known = ", ".join(name.replace("_", "-") for name in names[1:])
            raise InputError(
                f"--arms {text}: expected OPTION=VALUE, as in "
                f"lcam:low-loss-momentum=0.95,lagged=True, got {option!r}. The options "
                f"are {known}."
            )
        arguments += ["--" + key.replace("_", "-"), number]
    try:
        return tyro.cli(
            Optimizer,
            args=arguments,
            prog=f"--arms {text}",
            config=(tyro.conf.FlagConversionOff,),
        )
    except InputError as error:
        raise InputError(f"--arms {text}: {error}") from None


def parse_arms(texts: Sequence[str]) -> dict[str, Optimizer]:
    """Parses arms, and makes sure that they differ.

    Raises:
      InputError: two arms are the same optimizer with the same options, or one cannot
        be parsed.
    """
    arms = {text: parse_arm(text) for text in texts}
    by_optimizer: dict[Optimizer, str] = {}
    for text, optimizer in arms.items():
        other = by_optimizer.setdefault(optimizer, text)
        if other != text:
            raise InputError(
                f"--arms {other} and {text} are the same: an option's default need not "
                "be written."
            )
    return arms


def compare(config: Compare, arms: dict[str, Optimizer], dataset: Dataset) -> Path:
    """Runs every arm with every seed; prints the table; returns the folder.

    The seed is the outer loop: stopped early, every arm has as many runs as the others,
    give or take one. An arm that diverges is left out of the table, and the others go
    on.

    Raises:
      InputError: the folder or an option cannot be used.
      DivergedError: an arm diverged; all the rest is done.
    """
    for optimizer in arms.values():  # refused before anything is run
        make_run(config, optimizer=optimizer)
    kind = config.data.data.partition(":")[0]
    facts = {"data_sha256": fingerprint(dataset)}
    folder = open_folder(config, f"compare-{kind}", **facts)
    renew_claim(folder, config, **facts)
    with advising(f"To go on: the same command, --out {folder} --resume"):
        rows, diverged = _run_all(config, arms, dataset, folder)

    # Pairs need every seed.
    whole = {arm: runs for arm, runs in rows.items() if len(runs) == len(config.seeds)}
    if whole:
        from train.studies.pictures import plot_comparison  # matplotlib takes a second

        picture = plot_comparison(folder / "comparison.png", whole, folder.name)
        summary = _summarize(whole)
        (folder / "comparison.json").write_text(json.dumps(summary, indent=2) + "\n")
        print(f"\n{_table(summary, config)}\npicture: {picture}")
    if diverged:
        raise DivergedError("; ".join(diverged))
    return folder


def _run_all(
    config: Compare, arms: dict[str, Optimizer], dataset: Dataset, folder: Path
) -> tuple[dict[str, list[list[dict[str, Any]]]], list[str]]:
    """Runs what is not finished; returns every arm's rows, and what diverged."""
    rows: dict[str, list[list[dict[str, Any]]]] = {arm: [] for arm in arms}
    diverged = []
    for seed in config.seeds:
        for number, (arm, optimizer) in enumerate(arms.items(), start=1):
            out = folder / f"{number}-{optimizer.optimizer}-seed{seed}"
            run_config = make_run(
                config, optimizer=optimizer, seed=seed, out=out, resume=config.resume
            )
            finished = records.read_finished(out, config.epochs)
            try:
                if finished is None:
                    loop.run(run_config, dataset, quiet=True)
            except DivergedError as error:
                diverged.append(f"{arm}, seed {seed}: {error}")
                print(diverged[-1], flush=True)
                continue
            rows[arm].append(finished or records.read_metrics(out))
            if optimizer.optimizer == "sgd":  # its phases are watched, to no effect
                for row in rows[arm][-1]:
                    row |= {"low_loss_share": None, "phase_switches": None}
            error = rows[arm][-1][-1]["test_error"]
            print(f"{arm}, seed {seed}: test error {error:.2f} %", flush=True)
    return rows, diverged


def _summarize(rows: dict[str, list[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """One entry an arm, in the order of the arms."""
    summary = []
    for arm, runs in rows.items():
        last = [run[-1] for run in runs]
        summary.append(
            {
                "arm": arm,
                "test_error": [row["test_error"] for row in last],
                "train_loss": [row["train_loss"] for row in last],
                "low_loss_share": _mean(runs, "low_loss_share"),
                "phase_switches": _mean(runs, "phase_switches"),
                "mean_momentum": _mean(runs, "mean_momentum"),
                "images_per_second": float(
                    np.median([row["images_per_second"] for run in runs for row in run])
                ),
            }
        )
    return summary


def _mean(runs: list[list[dict[str, Any]]], name: str) -> float | None:
    """Mean over epochs and seeds; None where the optimizer has no such thing."""
    numbers = [row[name] for run in runs for row in run if row[name] is not None]
    return float(np.mean(numbers)) if numbers else None


def _table(summary: list[dict[str, Any]], config: Compare) -> str:
    """The table as text, and each arm's difference from the first."""
    num_seeds = len(config.seeds)
    title = f"final test error after {config.epochs} epochs, {config.data.data}, " + (
        "one seed" if num_seeds == 1 else f"mean and deviation of {num_seeds} seeds"
    )
    header = [
        "optimizer",
        "test error %",
        "train loss",
        "low-loss steps",
        "switches/epoch",
        "mean momentum",
        "images/s",
    ]
    cells = [header]
    for entry in summary:
        error = f"{np.mean(entry['test_error']):.2f}"
        if num_seeds > 1:
            error += f" ± {np.std(entry['test_error'], ddof=1):.2f}"
        cells.append(
            [
                entry["arm"],
                error,
                f"{np.mean(entry['train_loss']):.4f}",
                _format(entry["low_loss_share"], ".0%"),
                _format(entry["phase_switches"], ".1f"),
                _format(entry["mean_momentum"], ".3f"),
                f"{entry['images_per_second']:.0f}",
            ]
        )
    lines = aligned(cells)
    first = summary[0]
    others = summary[1:]
    differences = [
        statistics.paired_difference(
            entry["test_error"], first["test_error"], comparisons=len(others)
        )
        for entry in others
    ]
    p_values = statistics.holm([difference.p_value for difference in differences])
    lines += [
        f"{entry['arm']} against {first['arm']}: "
        f"{statistics.verdict(difference, p_value, unit='points')}"
        for entry, difference, p_value in zip(
            others, differences, p_values, strict=True
        )
    ]
    if len(others) > 1 and num_seeds > 1:
        lines.append(f"p-values are corrected for {len(others)} comparisons (Holm).")
    return "\n".join([title, *lines])


def _format(number: float | None, spec: str) -> str:
    return "-" if number is None else format(number, spec)
