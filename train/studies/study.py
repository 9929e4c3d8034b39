"""Runs a named study and writes its report."""

from functools import cache
from pathlib import Path

from train.data import sources
from train.errors import advising
from train.paths import expand
from train.runs.folder import check_claim, new_folder
from train.settings.commands import Study
from train.studies.catalogue import make_blocks, seeds_of
from train.studies.report import write_report
from train.studies.trials import run_trials


def study(config: Study) -> Path:
    """Runs what is not done of a study; returns its folder.

    Raises:
      InputError: the folder, the data or an option cannot be used.
    """
    load = cache(sources.load_dataset)
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
        check_claim(folder, config)
        return folder
    return new_folder(folder, "", config)


def _name(config: Study) -> str:
    kind = "" if config.data is None else "-" + config.data.partition(":")[0]
    return f"study-{config.name}{'-quick' * config.quick}{kind}"
