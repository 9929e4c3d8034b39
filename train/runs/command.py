"""What a command does first, and the command `run`. Loads no JAX until it is needed."""

import shlex
from pathlib import Path

from train import notes
from train.errors import InputError, StoppedError, advising
from train.paths import expand
from train.runs.curves import check_drawable
from train.runs.display import Display
from train.runs.folder import check_folder
from train.runs.records import check_is_run, chosen_step, read_network
from train.runs.remarks import summarize
from train.runs.writing import check_output
from train.settings.commands import Command, Compare, Evaluate, Export, Plot, Study
from train.settings.experiment import Run


def check(config: Command) -> None:
    """Refuses folders and files that a command cannot use."""
    folders = [*getattr(config, "folders", []), getattr(config, "folder", None)]
    folders += [config.optimizer.phases_of] if isinstance(config, Run) else []
    folders = [expand(folder) for folder in folders if folder is not None]
    for folder in folders:
        if not folder.is_dir():
            hint = " --out names a file to write." * (folder.suffix != "")
            if folder.is_file():
                hint = " It is a file: name the folder that it is in."
            raise InputError(f"there is no folder {folder}.{hint}")
        if isinstance(config, Plot):
            check_drawable(folder)
        elif isinstance(config, Evaluate | Export):
            check_is_run(folder)
    match config:
        case Evaluate(predictions=Path() as path):
            check_output("--predictions", path, config.overwrite)
        case Export() | Plot(out=Path()):
            option = "OUT" if isinstance(config, Export) else "--out"
            check_output(option, config.out, config.overwrite)
        case Run() if config.cluster.coordinator is not None:
            pass  # another process may have the folder
        case Compare() | Run():
            check_folder(config.out, config, resume=config.resume)
        case Study(kept_in=folder):
            has_begun = (folder / "config.json").exists()
            check_folder(folder, config, resume=has_begun)
    if isinstance(config, Evaluate | Export):
        read_network(folder)
        chosen_step(folder, config.step)


def run(config: Run) -> None:
    """Loads the data, trains, draws, and says what the run came to."""
    with Display(quiet=config.quiet, tested=config.data.tested) as display:
        display.stage(f"loading {config.data.data}")
        from train.data.description import remark
        from train.data.sources import load_fitting

        if config.cluster.coordinator is not None:
            from train.runs import processes

            processes.connect(config.cluster)
        dataset = load_fitting(config)  # bad data are refused before JAX is loaded
        notes.say(remark(dataset, tested=config.data.tested))
        display.stage("loading JAX")
        from train.engine.devices import start_jax
        from train.runs import loop

        start_jax(config)
        try:
            folder = loop.run(config, dataset, display=display)
        except StoppedError as error:
            if error.folder is None:  # another process knows, and says so
                raise
            out = shlex.quote(str(error.folder))
            raise error.with_advice(
                f"To continue: the same command with --out {out} --resume"
            ) from None
        if folder is None:
            return
        finished = "The run has finished, but for its picture."
        display.stage("drawing")
        with advising("\n".join([finished, *summarize(config, folder, dataset.table)])):
            from train.runs.drawing import plot_run

            picture = plot_run(folder)
        try:
            display.summary(summarize(config, folder, dataset.table, picture))
        except OSError as error:
            raise InputError(
                f"cannot write the output: {error.strerror}. The run has finished, and "
                f"all of it is in {folder}."
            ) from None
