"""Tests the network of a run, and writes its predictions."""

import io
import json
from collections.abc import Sequence
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
from train.runs.loop import test_columns
from train.runs.records import reading
from train.runs.trained import RunNetwork, load_run
from train.runs.writing import replace
from train.settings.cli import listing
from train.settings.commands import Evaluate
from train.settings.optimizer import Optimizer
from train.settings.options import VALIDATION_SPLIT, Data

MOST_CLASSES = 20  # of a confusion matrix that a terminal can show
_BATCH = 500


class _TestSet(NamedTuple):
    """What is tested on; without targets if they are not known."""

    name: str  # as in `--data`
    inputs: np.ndarray
    targets: np.ndarray | None
    batch_size: int = _BATCH
    class_names: tuple[str, ...] = ()
    split: str = "test"  # or "validation"


def evaluate(config: Evaluate) -> str:
    """Tests the network of a run; returns what is printed."""
    folder, path = expand(config.folder), config.predictions
    network = load_run(folder, config.step)
    tested = _load(folder, config.data, network.spec.input_shape)
    _check_fits(tested, network)
    tested = _matched(tested, network.class_names)
    size = min(tested.batch_size, len(tested.inputs))  # one for all: one program
    parts = [np.asarray(network(x)) for x in batches(tested.inputs, size)]
    outputs = np.concatenate(parts)[: len(tested.inputs)]
    names = network.class_names or [*map(str, range(network.spec.num_outputs))]
    lines = [
        f"{folder}, step {network.step}: {networks.describe(network.spec)}",
        f"{len(tested.inputs):,} {tested.split} examples of {tested.name}",
    ]
    if tested.targets is None:
        lines.append("These data have no y_test: there are predictions only.")
    else:
        lines += _scores(network, tested)
        if len(names) > 1 and tested.targets.ndim == 1:
            lines += ["", *_by_class(outputs.argmax(axis=-1), tested.targets, names)]
    if path is not None:
        path = expand(path)
        _write_predictions(path, outputs, tested.targets, names)
        lines += ["", f"predictions: {path}"]
    elif tested.targets is None:
        lines.append("Write them with --predictions FILE.csv or FILE.npz.")
    return "\n".join(lines)


def _load(folder: Path, asked: str | None, input_shape: tuple[int, ...]) -> _TestSet:
    """The data that are asked for, in the network's size; or the run's own."""
    path = folder / "config.json"
    with reading(path, "Take the folder from a copy."):
        config = json.loads(path.read_text())
        data = dict(config["data"])
        for gone in ("label_noise", "validation_split"):  # which are no options
            data.pop(gone, None)
        paths = {k: Path(data[k]) for k in ("data_dir", "test_file") if data.get(k)}
        own = Data(**data | paths)
        batch_size, data_sha256 = config["eval_batch_size"], config["data_sha256"]
    if asked is None:
        dataset = sources.load_dataset(own)
        if fingerprint(dataset) != data_sha256:
            before = ", or were split by an earlier version" * (own.validation > 0)
            raise InputError(
                f"the data of the run, {own.data}, have changed since it was trained"
                f"{before}. Name the data to test on with --data."
            )
        size = min(batch_size, len(dataset.test_inputs))
        name = f"{own.data}: {VALIDATION_SPLIT}" if own.validation else own.data
        data = dataset.test_inputs, dataset.test_targets
        return _TestSet(name, *data, size, split=own.tested)
    if asked.startswith("npz:"):
        file = expand(Path(asked.removeprefix("npz:")))
        images, labels = sources.load_test_images(file)
        return _TestSet(asked, sources.shrink_images(images, own.shrink), labels)
    if asked.startswith("csv:"):
        raise InputError(
            "--data csv: a table is tested on the run's own test rows only, whose "
            "columns mean what those of training meant. Leave --data out."
        )
    options = {"shrink": own.shrink} if own.shrink > 1 else {}
    if asked.startswith("folder:"):
        if len(input_shape) != 3:
            raise InputError(
                f"--data {asked} has images, and the run was trained on {own.data}: "
                "name data like those."
            )
        height, width, _ = input_shape
        options["image_size"] = own.shrink * height if height == width else None
    dataset = sources.load_dataset(Data(data=asked, data_dir=own.data_dir, **options))
    return _TestSet(
        asked,
        dataset.test_inputs,
        dataset.test_targets,
        class_names=dataset.class_names,
    )


def _check_fits(tested: _TestSet, network: RunNetwork) -> None:
    """Refuses data of another kind than the network was trained on."""
    expected, found = network.spec.input_shape, tested.inputs.shape[1:]
    targets, number = tested.targets, network.spec.num_outputs
    if found != expected:
        problem = (
            f"has inputs of the shape {found}, and the network takes {expected}: name "
            "data like those of the run."
        )
    elif targets is None:
        return
    elif (targets.dtype.kind == "f") != (number == 1):
        problem = (
            "has other targets than the data of the run: numbers in one of them, and "
            "classes in the other."
        )
    elif number > 1 and targets.max() >= number:
        problem = (
            f"has a label {targets.max()}, and the network knows the classes 0 to "
            f"{number - 1}."
        )
    else:
        return
    raise InputError(f"--data {tested.name} {problem}")


def _matched(tested: _TestSet, names: Sequence[str]) -> _TestSet:
    """The same with the network's numbers of classes, where both have names."""
    if not names or not tested.class_names:
        return tested
    others = [name for name in tested.class_names if name not in names]
    if others:
        raise InputError(
            f"--data {tested.name} has a class {others[0]}, and the network knows "
            f"{listing(names, 'and')}."
        )
    numbers = np.array([names.index(name) for name in tested.class_names])
    return tested._replace(targets=numbers[tested.targets])


def _scores(network: RunNetwork, tested: _TestSet) -> list[str]:
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
        f"{tested.split} loss {found['test_loss']:.6f}",
        f"{tested.split} error {found['test_error']:.4f} {unit}",
    ]


def _by_class(
    predicted: np.ndarray, targets: np.ndarray, names: Sequence[str]
) -> list[str]:
    """The error of each class that occurs; a confusion matrix of a few classes."""
    number, wide = len(names), max(5, *map(len, names))
    counts = np.zeros((number, number), np.int64)
    np.add.at(counts, (targets, predicted), 1)
    totals = counts.sum(axis=1)
    lines = [f"{'class':{wide}}  examples    error"]
    for label in np.flatnonzero(totals):
        error = 100 * (1 - counts[label, label] / totals[label])
        lines.append(f"{names[label]:>{wide}}  {totals[label]:8,}  {error:6.2f} %")
    if number <= MOST_CLASSES:
        width = max(3, len(str(counts.max())))
        cells = [f"{name[:width]:>{width}}" for name in names]
        lines += ["", "true class, and below each prediction how often:"]
        lines.append(" ".join([" " * wide, *cells]))
        for label in range(number):
            cells = [f"{count or '.':>{width}}" for count in counts[label]]
            lines.append(" ".join([f"{names[label]:>{wide}} ", *cells]).rstrip())
    return lines


def _write_predictions(
    path: Path, outputs: np.ndarray, targets: np.ndarray | None, names: Sequence[str]
) -> None:
    """A row an example: prediction, probabilities, and the target if it is known."""
    columns = {} if targets is None else {"target": targets}
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
    probabilities = columns.pop("probabilities", np.empty((len(outputs), 0)))
    names = names if probabilities.size else ()
    if names:  # classes are told by their names
        columns = {name: np.array(names)[column] for name, column in columns.items()}
    import pandas as pd  # takes a second

    table = pd.DataFrame(columns)
    for name, column in zip(names, probabilities.T, strict=True):
        table[f"p{name}" if name.isdigit() else f"p_{name}"] = column
    # With nine digits a float32 is whole.
    text = table.to_csv(index_label="example", float_format="%.9g", lineterminator="\n")
    replace(path, text)
