"""Runs a named study and writes its report."""

from functools import cache
from pathlib import Path

from train import data, run_folder
from train.config import Study
from train.errors import advising
from train.paths import expand
from train.report import write_report
from train.studies import make_blocks, seeds_of
from train.trials import run_trials


def study(config: Study) -> Path:
    """Runs what is not done of a study; returns its folder.

    Raises:
      InputError: the folder, the data or an option cannot be used.
    """
    load = cache(data.load_dataset)
    blocks = make_blocks(config, load)
    seeds = list(seeds_of(config))
    folder = _open(config)
    with advising("To go on: the same command."):
        run_trials(blocks, seeds, folder, load, budget=config.budget)
    report = write_report(config.name, blocks, seeds, folder)
    if report is None:
        print("No seed is whole yet: there is nothing to report.")
    else:
        print(f"report: {report}")
    return folder


def _open(config: Study) -> Path:
    """The folder of the study, made or gone on with."""
    folder = expand(config.out or Path("runs") / _name(config))
    if (folder / "config.json").exists():
        run_folder.check_claim(folder, config)
        return folder
    return run_folder.new_folder(folder, "", config)


def _name(config: Study) -> str:
    kind = "" if config.data is None else "-" + config.data.partition(":")[0]
    return f"study-{config.name}{'-quick' * config.quick}{kind}"
