"""What a new user types first, and what the program must say to it.

Training is cut out: a command that would train says `TRAINS`, and starts no JAX.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.train.pseudo_terminal import on_terminal
from train.__main__ import main
from train.runs import folder, loop
from train.settings.experiment import Run
from train.studies import study as studies

TRAINS = "would train"
SIZE = (100, 8, 8, 3)


def arrays(**changes):
    """100 training and 100 test images, labels 0 to 9; None leaves an array out."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 10
    images = {name: rng.integers(0, 256, SIZE, np.uint8) for name in "ab"}
    whole = {
        "x_train": images["a"],
        "y_train": labels,
        "x_test": images["b"],
        "y_test": labels,
    }
    return {name: x for name, x in (whole | changes).items() if x is not None}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A user's folder: files of images, most with one fault, and some folders."""
    home = tmp_path_factory.mktemp("home")
    whole, labels = arrays(), np.arange(100) % 10
    first = {name: np.moveaxis(whole[name], -1, 1) for name in ("x_train", "x_test")}
    files = {
        "mine": {},
        "w_missing": {"x_test": None, "y_test": None},
        "w_float": {"x_train": whole["x_train"] / 255},
        "w_nchw": first,
        "w_len": {"y_train": labels[:90]},
        "w_onehot": {"y_train": np.eye(10)[labels]},
        "w_y1": {"y_train": labels[:, np.newaxis]},
        "w_neg": {"y_train": labels - 1},
        "w_gap": {"y_train": labels * 1000, "y_test": labels * 1000},
        "w_shape": {"x_test": whole["x_test"][:, :7, :7]},
        "w_dark": {"x_train": whole["x_train"] // 255},
        "w_sorted": {"y_test": np.full(100, 3)},
        "w_one": {"y_train": np.zeros(100, int)},
    }
    for name, changes in files.items():
        np.savez(home / f"{name}.npz", **arrays(**changes))
    (home / "notes.txt").write_text("mine")
    for name in ("digits-lcam-seed0", "begun"):
        folder.new_folder(home / "runs" / name, "", Run())
    (home / "runs/begun/checkpoints/5").mkdir(parents=True)
    about = {"input_shape": [8, 8, 3], "num_outputs": 10}
    (home / "runs/begun/network.json").write_text(json.dumps(about))
    (home / "runs" / "thesis").mkdir()
    (home / "runs" / "thesis" / "thesis.txt").write_text("precious")
    return home


@pytest.fixture
def said(home, monkeypatch, capsys):
    """Types a command in the user's folder; returns the exit code, and what is said."""

    def train(config, *_, **__):
        raise SystemExit(TRAINS)

    monkeypatch.chdir(home)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(loop, "run", train)
    monkeypatch.setattr(studies, "run_trials", train)

    def type_(command):
        try:
            code = main(command.split())
        except SystemExit as stop:
            code = str(stop)
        return code, "".join(capsys.readouterr())

    yield type_
    for path in home.glob("runs/*"):  # what comparisons and studies claimed
        if path.name.startswith(("compare", "study")):
            shutil.rmtree(path)


# What is typed, and what the one message must hold.
REFUSED = {
    # Words that are not known.
    "rum": "there is no command rum. Did you mean run? The commands are run, compare",
    "train": "Did you mean run?",
    "--verison": "no option --verison without a command. Did you mean --version?",
    "-v": "there is no option -v without a command.",
    "export-weights": "Did you mean export?",
    "run --epoch 3": "run has no option --epoch. Did you mean --epochs?",
    "run --batch 5": "Did you mean --batch-size?",
    "run --optim sgd": "Did you mean --optimizer?",
    "run --weight_deacy 0": "Did you mean --weight-decay?",
    "run --lr_scheduler step": "Did you mean --schedule?",
    "run --num_epochs 3": "Did you mean --epochs?",
    "run --optimiser sgd": "Did you mean --optimizer?",
    "run --lr 0.1": "run has no option --lr. Did you mean --learning-rate?",
    "run --bs 32": "Did you mean --batch-size?",
    "run --wd 0": "Did you mean --weight-decay?",
    "run --opt sgd": "Did you mean --optimizer?",
    "run --model mlp": "Did you mean --network?",
    "run --output x": "Did you mean --out?",
    "run -epochs 3": "run has no option -epochs. Did you mean --epochs?",
    "run --Epochs 3": "Did you mean --epochs?",
    "run --seeds 0 1": "It belongs to compare and study. Did you mean --seed?",
    "run runs/thesis": "Did you mean --out runs/thesis?",
    "compare sgd lcam": "options only, which begin with --. Did you mean --arms?",
    "compare --optimizer sgd": "It belongs to run. Did you mean --arms?",
    "compare --momentum 0.8": "Give it to an arm, as in --arms sgd:momentum=VALUE.",
    "compare --seed 1": "It belongs to run. Did you mean --seeds?",
    "resume runs/thesis": "there is no command resume. Did you mean run?",
    "help": "Did you mean --help?",
    "run --arms sgd lcam": "run has no option --arms. It belongs to compare and study.",
    "run --config runs/digits-lcam-seed0/config.json": "run has no option --config.",
    "run --frobnicate": "`python -m train run --help` lists its options.",
    "run epochs 3": "unexpected 'epochs': run takes options only, which begin with --. "
    "Did you mean --epochs?",
    "run mine.npz": "options only, which begin with --. Did you mean --data mine.npz?",
    "run --epochs 3 5": "unexpected '5'",
    "studies ablation": "unexpected 'ablation': studies takes nothing behind it.",
    "study ablatoin --quick": "got 'ablatoin'. Did you mean ablation?",
    "study": "study needs NAME. Which study to run. `python -m train studies` descri",
    "study ablation --data-dir notes.txt": "Without a download: --quick, on handwrit",
    "study plan-5k --data-dir notes.txt": "Without a download: --data npz:PATH, on",
    "study ablation --quick --arms foo": "--arms foo: there is no such arm. The arms",
    "study ablation --quick --arms chanec": "Did you mean chance?",
    "study ablation --quick --arms lcam": "--arms must name another arm than the refe",
    "run --preset figure9": "--preset must be figure3-sgd-0.9, ",
    "run --preset figure3-sgd-.9": "Did you mean figure3-sgd-0.9?",
    "run --preset figure5": "Did you mean figure5-cifar10-sgd, figure5-cifar10-lcam, ",
    # Values.
    "run --optimizer lcamm": "must be sgd, lcam, optax.NAME, optax.contrib.NAME or",
    "run --epochs 0": "--epochs must be at least 1, got 0.",
    "run --epochs three": "--epochs must be a whole number, got 'three'.",
    "run --epochs 1.5": "--epochs must be a whole number, got '1.5'.",
    "run --epochs": "--epochs needs a value: INT.",
    "run --epochs 10000000": "--epochs must be at most 1,000,000, got 10000000.",
    "run --learning-rate -1": "--learning-rate must be greater than 0, got -1.",
    "run --learning-rate fast": "--learning-rate must be a number, got 'fast'.",
    "run --momentum 1.0 --optimizer sgd": "--momentum must be in [0, 1), got 1.0.",
    "run --flip": "--flip needs a value: {True,False}.",
    "run --flip yes": "--flip must be True or False, got 'yes'.",
    "run --resume=yes --out x": "--resume is True or False, or stands alone.",
    "run --milestones 5 5 --schedule step": "--milestones must be different, got 5 5.",
    "run --depth 12": "--depth must be 6n + 4: 10, 16, 22, 28, ...",
    "run --seed -1": "--seed must be in [0, 2^32), got -1.",
    "study ablation --quick --budget -1": "--budget must be greater than 0, got -1.",
    "compare --seeds 0,1 --arms sgd lcam": "got '0,1'. Put spaces between several.",
    "run --data npz:": "--data npz: needs a path behind it, as in npz:mine.npz.",
    "compare --seeds 0 0 --arms sgd lcam": "--seeds must be different, got 0 0.",
    "study ablation --seeds 1 None": "--seeds must be None, or values without it.",
    # Options that do not go together.
    "run --learning-rate 1 --optimizer optax.sgd --optimizer-options learning-rate=1/2"
    "": "--learning-rate would be ignored: the optimizer's own learning-rate HIGH/LOW",
    "run --optimizer-options b1=0.8": "--optimizer-options is for other optimizers, "
    "such as optax.sgd. sgd has --momentum; lcam has --high-loss-momentum",
    "run --momentum 0.8": "--momentum belongs to --optimizer sgd, and would be ignored",
    "run --momentum 0.9": "--momentum belongs to --optimizer sgd, and would be ignored",
    "run --milestones 5": "--milestones belongs to --schedule step",
    "run --milestones 31 61 91": "--milestones belongs to --schedule step",
    "run --ema-decay 0.99 --loss-average epoch": "--ema-decay belongs to --loss",
    "run --data english --depth 16": "--depth belongs to --network wide_resnet, and "
    "would be ignored with transformer.",
    "run --data diabetes --network wide_resnet": "--network must be mlp or FILE.py",
    "run --depth 10 --network mlp": "--depth belongs to --network wide_resnet",
    "run --resume": "--resume needs --out.",
    # Data.
    "run --data digit": "got 'digit'. Did you mean digits?",
    "run --data cifar": "Did you mean cifar10?",
    "run --data mine.npz": "Did you mean npz:mine.npz?",
    "run --data a.npz": "Did you mean npz:a.npz?",
    "run --data NPZ:mine.npz": "Did you mean npz:mine.npz?",
    "run --data csv:mine.npz --target y": "Did you mean npz:mine.npz?",
    "evaluate runs/begun --data npz:runs": "Did you mean folder:runs?",
    "run --data folder:notes.txt": "notes.txt is a file: name the folder that the im",
    "run --data nzp:mine": "Did you mean npz:mine?",
    "run --data npz:nothere.npz": "no file nothere.npz: --data npz:PATH takes an .npz",
    "run --data npz:~nosuchuser/a.npz": "there is no such user. Write the full path.",
    "run --data npz:notes.txt": "cannot read notes.txt: it is not an .npz file",
    "run --data npz:w_missing.npz": "lacks x_test, y_test",
    "run --data npz:w_float.npz": "x_train must be uint8, from 0 to 255, got float64.",
    "run --data npz:w_len.npz": "y_train must hold one label for each image",
    "run --data npz:w_onehot.npz": "One-hot labels become that by x.argmax(axis=1).",
    "run --data npz:w_neg.npz": "y_train must be from 0 to 99999, got -1",
    "run --data npz:w_nchw.npz": "x_train has the shape (100, 3, 8, 8), with channels "
    "first. Images are [size, height, width, channels]: x.transpose(0, 2, 3, 1) makes",
    "run --data digits --every 1000": "--every 1000 leaves 8 of the classes of digits "
    "without a training example: 2 examples are left. Take a smaller --every.",
    "run --data npz:w_shape.npz": "x_train are 8x8x3 and in x_test 7x7x3",
    "run --data npz:w_one.npz": "y_train holds one class; expected two or more.",
    "run --batch-size 5000": "--batch-size must be at most 1437, the number of traini",
    "run --every 30": "got 64 (the default is 64). Type, for example, --batch-size 12.",
    "run --shrink 3": "--shrink 3 does not divide images of 8 x 8 pixels evenly.",
    "run --validation 2000": "--validation must be at most 1427, so that of the 1437 "
    "training examples one of each class is left to train on; got 2000.",
    "run --data diabetes --validation 309": "at most 308, so that of the 309 training "
    "examples one is left",
    "run --keep-best": "--keep-best needs --validation N: the number of training exam",
    # Folders.
    "run --out runs/digits-lcam-seed0": "or add --resume to continue what is in it.",
    "run --out runs/thesis": "leave out --out to have one made.",
    "run --out runs/thesis --resume": "holds no config.json",
    "run --out=": "--out must be a path, got ''. The current folder is written as a",
    "compare --out=": "--out must be a path, got ''.",
    "study ablation --quick --out=": "--out must be a path, got ''.",
    "report runs/thesis --out=": "--out must be a path, got ''.",
    "plot runs/thesis --out=": "--out must be a path, got ''.",
    "run --out notes.txt": "cannot write to --out notes.txt: notes.txt is a file.",
    "run --out /proc/x": "cannot write to --out /proc/x: /proc: No such file",
    "run --out notes.txt/run": "notes.txt is a file. Name a folder that can be made",
    "run --out runs/digits-lcam-seed0 --resume --seed 1": "seed was 0, is 1. Repeat "
    "its command with the same options and data, or name another --out.",
    "plot": "plot needs FOLDERS. Folders of runs, of comparisons and of studies, or",
    "plot runs/nope": "there is no folder runs/nope.",
    "plot fig.png": "no folder fig.png. --out names a file to write.",
    "plot notes.txt": "It is a file: name the folder that it is in.",
    "export mine.npz runs": "OUT comes behind the folder, and must end in .safet",
    "plot runs/thesis": "runs/thesis holds no run, comparison or study",
    "plot runs": "it is full of them: `python -m train runs runs` lists them.",
    "plot runs/digits-lcam-seed0": "has not finished an epoch: wait for its first",
    "report runs/nope": "there is no folder runs/nope.",
    "report runs/begun": "A run has no report: `python -m train plot` draws it.",
    "run --phase borrowed --phases-of runs/nope": "there is no folder runs/nope.",
    # Runs that are there.
    "evaluate": "evaluate needs FOLDER. Folder of the run.",
    "evaluate runs/nope": "there is no folder runs/nope.",
    "evaluate runs/thesis": "runs/thesis holds no run: name the folder of a run",
    "evaluate runs/digits-lcam-seed0": "holds no network.json: its run has not begun",
    "evaluate runs/thesis --predictions a.txt": "--predictions must end in .csv",
    "evaluate runs/digits-lcam-seed0 --predictions mine.npz": "is there already",
    "evaluate runs/thesis --step 0": "--step must be a number of steps, at le",
    "evaluate runs/thesis --step last": "steps, at least 1, or best, got last.",
    "evaluate runs/thesis --data digit": "Did you mean digits?",
    "evaluate runs/thesis --out a.csv": "evaluate has no option --out. It belongs to",
    "export": "export needs FOLDER, OUT.",
    "export runs/thesis": "export needs OUT.",
    "export runs/thesis a.npz b.npz": "unexpected 'b.npz': export takes FOLDER, OUT",
    "export runs/nope a.npz": "there is no folder runs/nope.",
    "export runs/thesis a.npz": "runs/thesis holds no run: name the folder of a run",
    "export runs/thesis a.pt": "OUT must end in .safetensors or .npz, got a.pt.",
    "export runs/digits-lcam-seed0 mine.npz": "OUT mine.npz is there already: name a",
    "export runs/digits-lcam-seed0 nope/a.npz": "there is no folder nope that can be",
    "export --step -1 runs/thesis a.npz": "at least 1, or best, got -1.",
    "runs nope": "there is no folder nope.",
    "runs notes.txt": "there is no folder notes.txt.",
    "runs --jsn": "runs has no option --jsn. Did you mean --json?",
    "runs runs more": "unexpected 'more': runs takes FOLDER and options only",
    # Arms.
    "compare --arms sgd lcamx": "--arms lcamx: --optimizer must be sgd, lcam, optax",
    "compare --arms sgd:momentun=0.95 lcam": "Did you mean --momentum?",
    "compare --arms sgd sgd": "--arms must be different, got sgd sgd.",
    "compare --arms sgd sgd:momentum=0.9": "are the same optimizer",
    "compare --arms sgd": "--arms needs 2 or more, got 1.",
    "compare --arms sgd,lcam": "or more, got 1. Put spaces between several.",
    "compare --arms sgd,lcam lcam": "got 'sgd,lcam'. Put spaces between several.",
    "compare --arms sgd:0.95 lcam": "expected OPTION=VALUE",
    "compare --arms lcam sgd:momentum=0.9,momentum=0.8": "momentum stands there twice",
    "compare --learning-rates 0.1": "--learning-rates needs --validation N: the number",
    "compare --learning-rates 0.1 0.1 --validation 9": "must be different, got 0.1",
    "compare --arms sgd:learning-rate=0.3 lcam --learning-rates 0.1 --validation 9": (
        "sgd:learning-rate=0.3 has a learning rate, and --learning-rates tries others"
    ),
    "compare --learning-rates 0.1 --validation 9 --seeds 1 2000": "share 2000: what",
    "compare --validation-seeds 3": "--validation-seeds needs --learning-rates.",
    "compare --arms sgd lcam:epochs=3": "all arms share --epochs",
    "compare --arms sgd lcam:momentum=0.9": "--momentum belongs to --optimizer sgd",
    "compare --arms sgd lcam:momentum=0.8": "--momentum belongs to --optimizer sgd",
}

ACCEPTED = {
    "run": "data: 1,437 images of 8 x 8 pixels, 1 channel, 10 classes; 360 test images",
    "run --crop-padding 5": "warning: --crop-padding 5 is more than half of im",
    "run --warmup-epochs 21": "warning: --warmup-epochs 21 is more than --epochs 2",
    "run --every 15": "warning: with --batch-size 64 an epoch leaves out 32 of the 96 "
    "training examples, each time others. --no-drop-last takes all.",
    "compare --schedule step --milestones 9 20 31": "warning: --milestones 20 and 31",
    "run --data npz:w_y1.npz": "data: 100 images of 8 x 8 pixels, 3 channels, 10 class",
    "run --data npz:w_gap.npz": "warning: 9,001 classes, of which 10 occur",
    "run --quiet --data npz:w_gap.npz": "warning: 9,001 classes, of which 10 occur",
    "run --data npz:w_dark.npz": "warning: no pixel is above 1, and white is 255",
    "run --data npz:w_sorted.npz": "warning: the test set has 1 of 10 classes",
    "run --out runs/digits-lcam-seed0 --resume --epochs 25": "data: 1,437 images",
    "run --out runs/nothere --resume": "nothing to continue in runs/nothere: --resume",
    "run --data diabetes": "data: 309 rows of 10 columns, a number to predict; 133",
    "run --batch_size 32 --epochs=3": "data: ",
    "run --validation 400": "data: 1,037 images of 8 x 8 pixels, 1 channel, 10 "
    "classes; 400 validation images",
    "compare --learning-rates 0.1 0.2 --validation 400": "; 400 validation images",
    "compare --arms sgd lcam": "data: 1,437 images of 8 x 8 pixels",
    "compare --arms sgd lcam:ema-decay=None": "data: 1,437 images",
    "study ablation --quick --arms chance": "data: 1,437 images",
    "study ablation --data digits": "warning: WRN-28-10 is for a GPU. --quick is",
}


@pytest.mark.parametrize(("command", "message"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_done_is_told_in_one_line(said, command, message):
    code, text = said(command)
    assert code == 2
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert message in text


@pytest.mark.parametrize(("command", "message"), ACCEPTED.items(), ids=ACCEPTED)
def test_what_can_be_done_begins_with_what_was_understood(said, command, message):
    code, text = said(command)
    assert code == TRAINS
    assert message in text


def test_jax_does_not_start_for_what_is_refused(home):
    commands = [
        "run --lr 1",
        "run --batch-size 5000",
        "run --out runs/thesis",
        "run --data npz:w_len.npz",
        "compare --arms sgd lcamx",
        "compare --arms sgd lcam --out runs/thesis",
        "evaluate runs/nope",
        "plot runs/digits-lcam-seed0 runs/nope",
        "plot runs/thesis",
        "run --out /proc/x",
        "evaluate runs/thesis",
        "evaluate runs/digits-lcam-seed0 --predictions mine.npz",
        "export runs/digits-lcam-seed0 mine.npz",
        "export runs/begun a.npz --step 6",
        "evaluate runs/begun --step best",
        "evaluate runs/begun --data npz:nothere.npz",
        "evaluate runs/begun --data digits",
        "compare --data npz:w_len.npz",
        "compare --network nothere.py:make",
        "compare --arms sgd nothere.py:make",
        "study ablation --data npz:nothere.npz",
        "study ablation --quick --arms foo",
        "study ablation --quick --out notes.txt",
    ]
    code = (
        "import sys; from train.__main__ import main\n"
        f"codes = [main(line.split()) for line in {commands}]\n"
        "sys.exit(set(codes) != {2} or 'jax' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], cwd=home, env=environment)
    assert done.returncode == 0


def test_package_that_is_missing_is_told_with_what_to_do(said, monkeypatch):
    monkeypatch.setitem(sys.modules, "train.runs.listing", None)
    code, text = said("runs")
    assert code == 2
    assert "error: this Python lacks the package train.runs.listing." in text
    assert "source .venv/bin/activate" in text


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        ("", ["usage: python -m train COMMAND", "presets", "--version", "examples:"]),
        ("--help", ["usage: python -m train COMMAND"]),
        ("--version", ["lcam_optax "]),
        ("run --help", ["usage: python -m train run [OPTIONS]", "--widen INT"]),
        ("plot -h", ["usage: python -m train plot FOLDERS ... [OPTIONS]"]),
        ("study --help", ["NAME", "baseline"]),
        ("export -h", ["usage: python -m train export FOLDER OUT [OPTIONS]"]),
        ("runs -h", ["usage: python -m train runs [FOLDER] [OPTIONS]"]),
        ("runs", ["digits-lcam-seed0  stopped at step 0    0/20"]),
        ("runs --json", ['"name": "digits-lcam-seed0"']),
        ("studies", ["ablation: What about LCAM matters"]),
        ("presets", ["figure3-sgd-0.9\n"]),
        ("evaluate -h", ["--predictions new.csv"]),
    ],
)
def test_help_is_printed(said, command, parts):
    code, text = said(command)
    assert code == 0
    for part in parts:
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


# --- Real commands on a pseudo-terminal -----------------------------------------------

SIZES = [(24, 80), (0, 0)]  # lines and columns; the second is that of `script`
SMALL = "--network mlp --hidden 8"


def assert_fits(lines):
    """A command to copy is one line, however long."""
    rest = [line for line in lines if not line.startswith("next: ")]
    assert max(map(len, rest)) <= 80, rest


@pytest.mark.parametrize(
    "size",
    [SIZES[0], pytest.param(SIZES[1], marks=pytest.mark.torture)],
    ids=["80 columns", "0 x 0"],
)
def test_run_on_a_terminal_shows_what_it_does_its_epochs_and_what_is_next(
    size, tmp_path
):
    command = f"-m train run {SMALL} --epochs 2 --ema-decay 0.8".split()
    code, text = on_terminal(*command, size=size, folder=tmp_path)
    assert code == 0
    lines = text.splitlines()
    [heading] = {line for line in lines if line.startswith("epoch  ")}
    assert "train error  test error  low-loss  switches  examples/s" in heading
    for number in (1, 2):
        assert any(re.match(rf"    {number} .* \d+\.\d\d %  ", line) for line in lines)
    said = (
        *("compiling  0 s", "data: 1,437 images of 8 x 8 pixels, 1 channel"),
        *("MLP 64-8-10, 610 parameters, compiled in ", "after 2 epochs in 0:00:0"),
        *("low-loss phase in ", "folder: runs/digits-lcam-seed0"),
        *("picture: runs/digits-lcam-seed0/curves.png", " -m train compare --arms"),
    )
    for part in said:
        assert part in text
    assert_fits(lines)


@pytest.mark.torture
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_interrupted_run_on_a_terminal_says_how_to_go_on(size, tmp_path):
    command = f"-m train run {SMALL} --epochs 4000".split()
    ctrl_c = {"interrupt_at": "step 22 of 22"}
    code, text = on_terminal(*command, size=size, folder=tmp_path, **ctrl_c)
    assert code == 130
    assert "stopping and saving; once more to stop at once" in text
    assert re.search(r"SIGINT: stopped and saved after step \d+ of 88000\.", text)
    # Words are not cut at the terminal's edge.
    assert "--out runs/digits-lcam-seed0 --resume" in " ".join(text.split())


@pytest.mark.torture
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (
            f"compare {SMALL} --epochs 1 --arms sgd lcam --seeds 0 1",
            [
                "runs: 4 of 1 epoch.",
                "[4/4] lcam, seed 1: test error ",
                "picture: runs/compare-digits/compar",
            ],
        ),
        (
            "study ablation --quick --epochs 1 --seeds 0 --arms sgd-0.9",
            ["[2/2] sgd-0.9, seed 0: test error", "report: runs/study-ablation-quick/"],
        ),
    ],
)
def test_comparison_and_study_on_a_terminal_end_with_what_they_wrote(
    size, tmp_path, command, parts
):
    words = ["-m", "train", *command.split()]
    code, text = on_terminal(*words, size=size, folder=tmp_path)
    assert code == 0
    for part in parts:
        assert part in text
    assert_fits(text.splitlines())
