"""Tests the network of a run, and writes its predictions."""

import csv
import io
import json
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from train.data import sources
from train.data.dataset import fingerprint
from train.engine import devices, networks, optimizers
from train.engine.device_data import DeviceData, batches
from train.engine.program import Spec, TrainState, compile_program, no_scores
from train.engine.variables import split
from train.errors import InputError
from train.paths import expand
from train.runs.epoch_rows import test_columns
from train.runs.records import UNREADABLE
from train.runs.trained import TrainedNetwork, load_run
from train.runs.writing import check_output, replace
from train.settings.commands import Evaluate
from train.settings.optimizer import Optimizer
from train.settings.options import Data

MOST_CLASSES = 20  # of a confusion matrix that a terminal can show
_BATCH = 500


class TestSet(NamedTuple):
    """What is tested on.

    Attributes:
      name: as in `--data`.
      inputs: as in `Dataset`.
      targets: as in `Dataset`; None if they are not known.
      batch_size: of a test step.
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    name: str
    inputs: np.ndarray
    targets: np.ndarray | None
    batch_size: int = _BATCH


def evaluate(config: Evaluate) -> str:
    """Tests the network of a run; returns what is printed.

    Raises:
      InputError: the run, the data or the file for the predictions cannot be used.
    """
    folder = expand(config.folder)
    path = None
    if config.predictions is not None:
        path = check_output("--predictions", config.predictions, config.overwrite)
    network = load_run(folder, config.step)
    tested = _load(folder, config.data, network)
    outputs = _outputs(network, tested)
    lines = [
        f"{folder}, step {network.step}: {networks.describe(network.spec)}",
        f"{len(tested.inputs):,} test examples of {tested.name}",
    ]
    if tested.targets is None:
        lines.append("These data have no y_test: there are predictions only.")
    else:
        lines += _scores(network, tested)
        if network.spec.num_outputs > 1 and tested.targets.ndim == 1:
            lines += ["", *_by_class(outputs.argmax(axis=-1), tested.targets, network)]
    if path is not None:
        _write_predictions(path, outputs, tested.targets)
        lines += ["", f"predictions: {path}"]
    elif tested.targets is None:
        lines.append("Write them with --predictions FILE.csv or FILE.npz.")
    return "\n".join(lines)


# --- Data -----------------------------------------------------------------------------


def _load(folder: Path, asked: str | None, network: TrainedNetwork) -> TestSet:
    try:
        config = json.loads((folder / "config.json").read_text())
        data = dict(config["data"])
        data.pop("label_noise", None)  # an option of older versions
        own = Data(**data | {"data_dir": Path(data["data_dir"])})
        batch_size = int(config["eval_batch_size"])
        data_sha256 = config["data_sha256"]
    except (InputError, *UNREADABLE):
        raise InputError(
            f"cannot read {folder / 'config.json'}: it was changed or damaged. Take "
            "the folder from a copy."
        ) from None
    if asked is None:
        dataset = sources.load_dataset(own)
        if fingerprint(dataset) != data_sha256:
            raise InputError(
                f"the data of the run, {own.data}, have changed since it was trained. "
                "Name the data to test on with --data."
            )
        tested = TestSet(own.data, dataset.test_inputs, dataset.test_targets)
        tested = tested._replace(batch_size=min(batch_size, len(tested.inputs)))
    elif asked.startswith("npz:"):
        images, labels = sources.load_test_images(
            expand(Path(asked.removeprefix("npz:")))
        )
        tested = TestSet(asked, sources.shrink_images(images, own.shrink), labels)
    else:
        options = {"shrink": own.shrink} if own.shrink > 1 else {}
        dataset = sources.load_dataset(
            Data(data=asked, data_dir=own.data_dir, **options)
        )
        tested = TestSet(asked, dataset.test_inputs, dataset.test_targets)
    _check_fits(tested, network)
    return tested


def _check_fits(tested: TestSet, network: TrainedNetwork) -> None:
    """Refuses data of another kind than the network was trained on."""
    expected, found = network.spec.input_shape, tested.inputs.shape[1:]
    if found != expected:
        raise InputError(
            f"--data {tested.name} has inputs of the shape {found}, and the network "
            f"takes {expected}: name data like those of the run."
        )
    targets, number = tested.targets, network.spec.num_outputs
    if targets is None:
        return
    if (targets.dtype.kind == "f") != (number == 1):
        raise InputError(
            f"--data {tested.name} has other targets than the data of the run: numbers "
            "in one of them, and classes in the other."
        )
    if number > 1 and targets.max() >= number:
        raise InputError(
            f"--data {tested.name} has a label {targets.max()}, and the network knows "
            f"the classes 0 to {number - 1}."
        )


# --- Scores ---------------------------------------------------------------------------


def _outputs(network: TrainedNetwork, tested: TestSet) -> np.ndarray:
    """Of all examples, in batches of one size: one program."""
    size = min(tested.batch_size, len(tested.inputs))
    parts = [np.asarray(network(x)) for x in batches(tested.inputs, size)]
    return np.concatenate(parts)[: len(tested.inputs)]


def _scores(network: TrainedNetwork, tested: TestSet) -> list[str]:
    """Loss and error, by the program that tests during training: the same numbers."""
    spec = Spec(
        network=network.spec,
        method=optimizers.method_of(Optimizer()),
        train_size=0,
        test_size=len(tested.inputs),
        batch_size=1,
        eval_batch_size=tested.batch_size,
        num_devices=devices.count(None),
    )
    mean, std = network.mean, network.std
    data = DeviceData(
        train_inputs=tested.inputs[:0],
        train_targets=tested.targets[:0],
        test_inputs=batches(tested.inputs, tested.batch_size),
        test_targets=batches(tested.targets, tested.batch_size),
        mean=np.zeros(1, np.float32) if mean is None else mean,
        std=np.ones(1, np.float32) if std is None else std,
    )
    params, batch_stats = split(network.module)[1:]
    state = TrainState(params, batch_stats, ())
    arguments = devices.put((state, data, no_scores(spec)), spec.num_devices)
    test = compile_program(spec).test
    scores = jax.device_get(test(*arguments, first=0, count=spec.test_batches))
    found = test_columns(spec.test_size, scores)
    unit = "%" if spec.network.num_outputs > 1 else "% of the variance"
    return [
        f"test loss {found['test_loss']:.6f}",
        f"test error {found['test_error']:.4f} {unit}",
    ]


def _by_class(
    predicted: np.ndarray, targets: np.ndarray, network: TrainedNetwork
) -> list[str]:
    """The error of each class that occurs; a confusion matrix of a few classes."""
    number = network.spec.num_outputs
    counts = np.zeros((number, number), np.int64)
    np.add.at(counts, (targets, predicted), 1)
    totals = counts.sum(axis=1)
    lines = ["class  examples    error"]
    for label in np.flatnonzero(totals):
        error = 100 * (1 - counts[label, label] / totals[label])
        lines.append(f"{label:5}  {totals[label]:8,}  {error:6.2f} %")
    if number <= MOST_CLASSES:
        width = max(3, len(str(counts.max())))
        cells = [f"{label:{width}}" for label in range(number)]
        lines += ["", "true class, and below each prediction how often:"]
        lines.append(" ".join(["     ", *cells]))
        for label in range(number):
            cells = [f"{count or '.':>{width}}" for count in counts[label]]
            lines.append(" ".join([f"{label:5} ", *cells]).rstrip())
    return lines


# --- Predictions ----------------------------------------------------------------------


def _write_predictions(
    path: Path, outputs: np.ndarray, targets: np.ndarray | None
) -> None:
    """A row an example: prediction, probabilities, and the target if it is known."""
    columns: dict[str, np.ndarray] = {}
    if targets is not None:
        columns["target"] = targets
    if outputs.shape[-1] == 1:
        columns["prediction"] = outputs[:, 0]
    else:
        columns["prediction"] = outputs.argmax(axis=-1)
        columns["probabilities"] = np.asarray(jax.nn.softmax(outputs, axis=-1))
    if path.suffix == ".npz":
        buffer = io.BytesIO()
        np.savez(buffer, **columns)
        replace(path, buffer.getvalue())
        return
    if outputs.ndim > 2:
        raise InputError(
            "predictions of text have a row a character: write them to a .npz file."
        )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [name for name in columns if name != "probabilities"]
    probabilities = columns.get("probabilities", np.empty((len(outputs), 0)))
    heads = [f"p{label}" for label in range(probabilities.shape[1])]
    writer.writerow(["example", *names, *heads])
    for index, row in enumerate(probabilities):
        chances = [f"{chance:.9g}" for chance in row]  # float32, whole
        writer.writerow([index, *(columns[name][index] for name in names), *chances])
    replace(path, text.getvalue())
