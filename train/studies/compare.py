"""Compares optimizers on the same weights and batches."""

import dataclasses
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from train.data import sources
from train.data.dataset import Dataset, fingerprint, in_units
from train.engine import networks, optimizers
from train.errors import DivergedError, advising
from train.paths import command_line, filled, printable
from train.reports import tables
from train.reports.outcomes import Comparison, Result, verdicts_of, write_tables
from train.reports.report import write_report
from train.reports.tables import WIDTH
from train.runs.display import as_loss, as_rate
from train.runs.folder import open_folder, renew_claim
from train.runs.writing import no_link, writing
from train.settings.arms import parse_arms
from train.settings.commands import Compare
from train.settings.experiment import Experiment, shared_options
from train.settings.fields import as_words
from train.studies.arms import Arm, Block
from train.studies.study import describe_study, run_blocks, started
from train.studies.trials import Clock, Train

OUTCOMES = ["last_error", "last_epochs_error", "area"]


def compare(config: Compare, dataset: Dataset) -> Path:
    """Runs every arm with every seed; prints the table; returns the folder."""
    with started(config) as (known, train):
        return _compare(known, dataset, train, config)


def _compare(config: Compare, dataset: Dataset, train: Train, asked: Compare) -> Path:
    """Runs every arm with every seed.

    A comparison is a study of one block, whose arms the user names. An arm that
    diverges is left out of the table, and the others go on. With `learning_rates`
    another comparison comes first, which chooses the rate of each arm.
    """
    for optimizer in parse_arms(config.arms).values():
        optimizers.method_of(optimizer)  # refused before anything is written
    networks.make_network_spec(config.model, dataset)
    facts = {"data_sha256": fingerprint(dataset)}
    name = config.data.data.partition(":")[0]
    folder = open_folder(config, f"compare-{name}", **facts)
    renew_claim(folder, config, **facts)
    clock = Clock(config.budget)
    out = shlex.quote(str(folder))
    going_on = f"To continue: the same command with --out {out} --resume"
    if config.learning_rates is not None:
        with advising(going_on):
            arms = _choose_rates(config, dataset, folder / "validation", clock, train)
        if arms is None:
            return folder
        data = dataclasses.replace(config.data, validation=0)
        config = dataclasses.replace(
            config, arms=arms, data=data, learning_rates=None, validation_seeds=None
        )
        dataset = sources.load_fitting(config)
    block = _make_block(config, config.arms)
    question = f"Which of these optimizers has the lowest {config.data.tested} error?"
    about = describe_study("comparison", question, [block], OUTCOMES)
    with advising(going_on):
        found = run_blocks(
            *(config, about, [block], config.seeds, folder),
            *(lambda _: dataset, clock, train),
        )
    if not len(found.runs):
        print("No run has finished yet: there is nothing to compare.")
        return folder
    [result], comparisons = write_tables(no_link(folder / "report"), found)
    if len(result.runs):
        from train.reports.panels import plot_block  # matplotlib takes a second

        path, has_rate = folder / "comparison.png", "rate=" in "".join(config.arms)
        untuned = ["Learning rates are not tuned: --learning-rates tries several."]
        untuned *= not has_rate and any(
            each.found.num_seeds > 1 for each in comparisons
        )
        verdicts = [*verdicts_of(comparisons), *untuned]
        plot_block(path, result, printable(folder.name), verdicts)
        print("", _results_table(result, comparisons, config), *untuned, sep="\n")
        for unit in in_units(dataset.table, 100):
            roots = (
                f"{arm} {in_units(dataset.table, runs.last_error.mean())[unit]}"
                for arm, runs in result.arms.items()
            )
            print(_wrapped(f"{unit}, by the mean error: {', '.join(roots)}"))
        print(f"folder: {folder}\npicture: {path}")
    # One of before would tell of other rows.
    if config.report or (folder / "report" / "report.md").exists():
        print(f"report: {write_report(folder / 'report', found)}")
    if len(result.runs):
        print(f"next: {_next(asked, folder)}")
    if result.diverged:
        raise DivergedError(
            "; ".join(
                f"{arm} diverged with seed {', '.join(map(str, seeds))}"
                for arm, seeds in result.diverged.items()
            )
            + ". Try lower learning rates."
        )
    return folder


def _make_block(config: Compare, arms: Sequence[str]) -> Block:
    """The block of a comparison: `arms` as they are typed, the first its reference."""
    # A file is called without its folders, where that tells the arms apart.
    short = [re.sub(r"^[^:]*/(?=[^:/]*\.py:)", "", arm) for arm in arms]
    names = short if len({*short}) == len(arms) else arms
    named = zip(names, parse_arms(arms).values(), strict=True)
    return Block(
        config.data.data.partition(":")[0],
        Experiment(**shared_options(config)),
        tuple(
            Arm(name, optimizer, folder=f"{number}-{optimizer.short_name}")
            for number, (name, optimizer) in enumerate(named, 1)
        ),
        reference=names[0],
    )


def _results_table(
    result: Result, comparisons: Sequence[Comparison], config: Compare
) -> str:
    """The table as text, and each arm's difference from the first."""
    num_seeds = max(map(len, result.arms.values()))
    seeds = "one seed" if num_seeds == 1 else f"mean ± deviation of {num_seeds} seeds"
    length = f"{config.epochs} epoch{'s' * (config.epochs > 1)}"
    title = f"final {config.data.tested} {result.task.error} after {length}, {seeds}"
    means = {
        "train_loss": ("train loss", ".4f"),
        "low_loss_share": ("low loss", ".0%"),
        "phase_switches": ("switches", ".1f"),
        "mean_momentum": ("momentum", ".3f"),
    }
    cells = [["optimizer", "error %", *(m[0] for m in means.values()), "examples/s"]]
    for arm, runs in result.arms.items():
        error = f"{np.mean(runs.last_error):.2f}"
        if len(runs) > 1:
            error += f" ± {np.std(runs.last_error, ddof=1):.2f}"
        if len(runs) < num_seeds:
            error += f" ({len(runs)} seeds)"
        # NaN: an epoch that was resumed for its test alone.
        speed = result.epochs.loc[arm].images_per_second.median()
        shown = [tables.mean_known(runs[n], spec) for n, (_, spec) in means.items()]
        shown[0] = as_loss(np.mean(runs.train_loss))
        cells.append([arm, error, *shown, as_rate(speed)])
    lines = verdicts_of(comparisons, with_power=True)
    if len(lines) > 1 and num_seeds > 1:
        lines.append(f"Intervals and p hold for all {len(lines)} comparisons together.")
    return "\n".join([title, *tables.aligned(cells, WIDTH), *map(_wrapped, lines)])


def _wrapped(line: str) -> str:
    """A line that fits; optimizers, and numbers with their units, stay whole."""
    kept = re.sub(
        r" (?=[=%])|(?<=[=%]) |(?<=\d) (?=seeds|times)", "\N{NO-BREAK SPACE}", line
    )
    return filled(kept, WIDTH, "  ").replace("\N{NO-BREAK SPACE}", " ")


def _next(config: Compare, folder: Path) -> str:
    """What to do next: three seeds at least, then a report, then look at the runs."""
    if len(config.seeds) >= 3:
        return command_line("runs" if config.report else "report", str(folder))
    taken = {*config.seeds, *(config.validation_seeds or ())}
    others = (seed for seed in range(len(taken) + 3) if seed not in taken)
    seeds = (*config.seeds, *others)[:3]
    going_on = dataclasses.replace(config, seeds=seeds, out=folder, resume=False)
    return command_line("compare", *as_words(going_on), "--resume")


# --- The choice of learning rates -----------------------------------------------------


def _choose_rates(
    config: Compare, dataset: Dataset, folder: Path, clock: Clock, train: Train
) -> tuple[str, ...] | None:
    """Runs every arm at every rate; prints a table of their validation errors.

    An arm gets the rate with the lowest error of the last epoch, in the mean over the
    seeds; of several, the lowest. A rate at which a run diverges is not chosen.
    None is returned where runs are missing, because the budget is used up.
    """
    by_arm = config.arms_at_rates()
    block = _make_block(config, [arm for tried in by_arm for arm in tried])
    question = "At which learning rate has each optimizer the lowest validation error?"
    about = describe_study("validation", question, [block], OUTCOMES)
    seeds = config.validation_seeds
    print(
        f"Choosing each arm's learning rate by {len(dataset.test_inputs):,} examples "
        "kept out of training."
    )
    with writing(folder):
        no_link(folder).mkdir(exist_ok=True)
    found = run_blocks(
        config, about, [block], seeds, folder, lambda _: dataset, clock, train
    )
    wanted = {(block.name, arm.name, seed) for arm in block.arms for seed in seeds}
    if not wanted <= set(found.runs.index):
        return None
    [result], _ = write_tables(no_link(folder / "report"), found)
    errors = np.array([_error(result, arm.name) for arm in block.arms])
    errors = errors.reshape(len(by_arm), -1)
    chosen = errors.argmin(axis=1)
    print(f"\n{_rates_table(config, errors, chosen)}\n")
    for arm, row in zip(config.arms, errors, strict=True):
        if np.isinf(row).all():
            raise DivergedError(
                f"{arm} diverged at every learning rate: try lower ones"
            )
    return tuple(tried[best] for tried, best in zip(by_arm, chosen, strict=True))


def _error(result: Result, arm: str) -> float:
    """Mean validation error of an arm; infinite if it diverged."""
    arms = result.arms
    return float(np.mean(arms[arm].last_error)) if arm in arms else np.inf


def _rates_table(config: Compare, errors: np.ndarray, chosen: Sequence[int]) -> str:
    """A row for each arm, and a warning where its best rate is at the end."""
    rates = config.learning_rates
    cells = [["learning rate", *(f"{rate:g}" for rate in rates)]]
    for arm, ours, best in zip(config.arms, errors, chosen, strict=True):
        row = [_shown(error) for error in ours]
        if np.isfinite(ours[best]):
            row[best] += " *"
        cells.append([arm, *row])
    ends = {min(rates): "lowest", max(rates): "highest"}
    count = len(config.validation_seeds)
    number = f"mean of {count} seeds" if count > 1 else "one seed"
    lines = [f"validation error after the last epoch, {number}; * is chosen"]
    lines += tables.aligned(cells, WIDTH)
    for arm, best, ours in zip(config.arms, chosen, errors, strict=True):
        if rates[best] in ends and np.isfinite(ours[best]):
            lines.append(
                f"warning: {arm} is best at {rates[best]:g}, the {ends[rates[best]]} "
                "rate tried. Try others beyond it."
            )
    return "\n".join(lines)


def _shown(error: float) -> str:
    if np.isinf(error):
        return "diverged"
    return f"{error:.2f}" if error < 1e5 else f"{error:.1e}"
