"""Runs a study and writes its report."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from train import notes
from train.data.description import remark
from train.engine import devices, networks
from train.errors import advising
from train.reports import rows
from train.reports.outcomes import OUTCOMES
from train.reports.report import write_report
from train.reports.rows import collect
from train.runs.folder import check_claim, config_as_json, locked, new_folder
from train.runs.writing import no_link
from train.settings.commands import Compare, Study
from train.settings.options import VALIDATION_SPLIT
from train.studies.arms import Block
from train.studies.catalogue import STUDIES, make_blocks, seeds_of
from train.studies.experiments import Load
from train.studies.trials import Clock, Train, run_trials, train_here


@contextlib.contextmanager
def started(config: Any) -> Iterator[tuple[Any, Train]]:
    """Starts JAX, or Ray; gives the options with their threads, and what trains."""
    if config.sharing.ray is None:
        devices.start_jax(config)
        yield dataclasses.replace(config, threads=devices.threads()), train_here
        return
    from train.studies import cluster

    with cluster.joined(config) as pool:
        yield dataclasses.replace(config, threads=pool.threads), pool.train


def study(config: Study, load: Load) -> Path:
    """Runs what is not done of a study, on data that are loaded; returns its folder."""
    with started(config) as (config, train):
        return _study(config, load, train)


def _study(config: Study, load: Load, train: Train) -> Path:
    folder = config.kept_in
    blocks = make_blocks(config, load)
    for block in blocks:  # refused before anything is written
        experiment = block.experiment
        networks.make_network_spec(experiment.model, load(experiment.data))
    is_large = any(block.experiment.model.depth == 28 for block in blocks)
    if is_large and config.threads is not None:
        notes.say("warning: WRN-28-10 is for a GPU. --quick is the form for a CPU.")
    asked = STUDIES[config.name]
    about = describe_study(config.name, asked.question, blocks, OUTCOMES, asked.note)
    facts = {"validation_split": VALIDATION_SPLIT} if config.name == "rates" else {}
    if (folder / "config.json").exists():
        check_claim(folder, config, **facts)
    else:
        new_folder(folder, "", config, **facts)
    with advising("To continue: the same command."):
        clock = Clock(config.budget)
        seeds = list(seeds_of(config))
        found = run_blocks(config, about, blocks, seeds, folder, load, clock, train)
    path = write_report(no_link(folder / "report"), found)
    if path is None:
        print("No run has finished yet: there is nothing to report.")
    else:
        print(f"report: {path}")
    return folder


def describe_study(
    name: str,
    question: str,
    blocks: Sequence[Block],
    outcomes: Sequence[str],
    note: str = "",
) -> dict[str, Any]:
    """What `study.json` says of a study before anything is run.

    The outcomes are names of `train.reports.outcomes.OUTCOMES`, the primary one first.
    The note is what a reader of its report must know besides.
    """
    return {
        "format": rows.FORMAT,
        "study": name,
        "question": question,
        "note": note,
        "outcomes": list(outcomes),
        "blocks": [
            {
                "name": block.name,
                "reference": block.reference,
                "reach": list(block.reach),
                "experiment": config_as_json(block.experiment),
                "arms": [
                    arm._asdict()
                    | {"folder": arm.folder or arm.name}
                    | {"optimizer": config_as_json(arm.optimizer)}
                    for arm in block.arms
                ],
            }
            for block in blocks
        ],
        "commands": [],
        "environments": [],
    }


def run_blocks(
    config: Study | Compare,
    about: dict[str, Any],
    blocks: Sequence[Block],
    seeds: Sequence[int],
    folder: Path,
    load: Load,
    clock: Clock,
    train: Train,
) -> rows.Rows:
    """Runs what is not done in the folder of a study, and collects the rows."""
    if (folder / "runs").exists() or any(folder.glob("*-seed*")):
        rows.read_about(folder)  # refuses that of an older version
    rows.write_about(folder, about)
    data = [block.experiment.data for block in blocks]
    several = len({each.data for each in data}) > 1
    remarks = [
        remark(load(each), each.data if several else "data", each.tested)
        for each in data
    ]
    for text in rows.unique(remarks):
        notes.say(text)
    kept = config.keep_checkpoints
    with locked(folder):  # one process writes it
        missing = run_trials(
            blocks, seeds, folder, load, clock, train, keep_checkpoints=kept
        )
    return collect(about | {"missing": missing} if missing else about, folder)
