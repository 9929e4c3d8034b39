"""Tests the network of a run, and writes its predictions."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train import notes
from train.data import sources
from train.data.dataset import Examples, fingerprint, in_units
from train.errors import InputError
from train.paths import expand, printable
from train.runs.records import read_network, reading
from train.runs.writing import replace
from train.settings.cli import listing
from train.settings.commands import Evaluate
from train.settings.options import VALIDATION_SPLIT, Data

MOST_CLASSES = 20  # of a confusion matrix that a terminal can show


def evaluate(config: Evaluate) -> str:
    """Tests the network of a run; returns what is printed."""
    folder, path = expand(config.folder), config.predictions
    about = read_network(folder)  # bad data are refused before JAX is loaded
    tested = _fitting(_load(folder, config.data, about), about)
    from train.engine import devices, networks
    from train.engine.device_data import batches
    from train.runs.trained import load_run

    devices.start_jax(config)
    with devices.enough_memory("--device cpu has more."):
        network = load_run(folder, config.step)
        size = min(tested.batch_size, len(tested.inputs))  # one for all: one program
        parts = [np.asarray(network(x)) for x in batches(tested.inputs, size)]
    outputs = np.concatenate(parts)[: len(tested.inputs)]
    table = about.get("table", {})
    names = network.class_names or [*map(str, range(network.spec.num_outputs))]
    if tested.targets is not None and "std" in table:  # as the outputs, in own units
        targets = tested.targets.astype(float) * table["std"] + table["mean"]
        tested = tested._replace(targets=targets)
    lines = [
        f"{folder}, step {network.step}: {networks.describe(network.spec)}",
        f"{len(tested.inputs):,} {tested.split} examples of {tested.name}",
    ]
    if tested.targets is None:
        advice = ": --predictions FILE writes predictions" * (path is None)
        lines.append(f"Targets are not known{advice}.")
    else:
        lines += _scores(outputs, tested, table)
        if len(names) > 1 and tested.targets.ndim == 1:
            lines += ["", *_by_class(outputs.argmax(axis=-1), tested.targets, names)]
    if path is not None:
        path = expand(path)
        _write_predictions(path, outputs, tested, names, table.get("std"))
        lines += ["", f"predictions: {path}"]
    return "\n".join(lines)


def _load(folder: Path, asked: str | None, about: Mapping[str, Any]) -> Examples:
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
        name = f"{own.data}: {VALIDATION_SPLIT}" if own.validation else own.data
        tested = dataset.test_inputs, dataset.test_targets, dataset.class_names
        return Examples(*tested, dataset.test_files, name, batch_size, own.tested)
    kind, is_file, path = asked.partition(":")
    file, shape = expand(Path(path)), about["input_shape"]
    table = about.get("table", {})
    fits = {"csv": "columns" in table, "folder": len(shape) == 3}
    is_seen = asked == own.data and kind in fits
    if not fits.get(kind, True):
        raise InputError(
            f"--data {asked} is of another kind than the run's data, {own.data}."
        )
    if kind == "csv":
        from train.data.tables import load_rows

        tested = load_rows(file, table)
    elif kind == "folder":
        from train.data.folders import TESTS, folder_of, load_images

        size = (own.shrink * shape[1], own.shrink * shape[0])
        tested = load_images(file, size, shape[2])
        is_seen = is_seen and folder_of(file, TESTS) is None
    elif is_file:
        tested = Examples(*sources.load_test_images(file))
    else:
        dataset = sources.load_dataset(Data(data=asked, data_dir=own.data_dir))
        tested = Examples(dataset.test_inputs, dataset.test_targets)
    if is_seen:
        notes.say(
            "warning: most are training data. Without --data the others are tested"
        )
    if tested.inputs.ndim == 4:
        inputs = sources.shrink_images(tested.inputs, own.shrink)
        tested = tested._replace(inputs=inputs)
    return tested._replace(name=asked, batch_size=batch_size)


def _fitting(tested: Examples, about: Mapping[str, Any]) -> Examples:
    """The same with the network's numbers of classes; other data are refused."""
    expected, found = about["input_shape"], tested.inputs.shape[1:]
    targets, number = tested.targets, about["num_outputs"]
    names = about.get("class_names", ())
    if found != expected:
        problem = (
            f"has inputs of the shape {found}, and the network takes {expected}: name "
            "data like those of the run."
        )
    elif targets is None:
        return tested
    elif names and tested.class_names:
        if not (others := [name for name in tested.class_names if name not in names]):
            numbers = np.array([names.index(name) for name in tested.class_names])
            return tested._replace(targets=numbers[targets])
        known = listing(names, "and")
        problem = f"has a class {others[0]}, and the network knows {known}."
    elif number > 1 and targets.max() >= number:
        problem = (
            f"has a label {targets.max()}, and the network knows the classes 0 to "
            f"{number - 1}."
        )
    else:
        return tested
    raise InputError(f"--data {tested.name} {problem}")


def _scores(
    outputs: np.ndarray, tested: Examples, table: Mapping[str, Any]
) -> list[str]:
    """Loss and error, as in training; a target of numbers has its own units here."""
    from train.engine.program import example_errors, example_losses

    targets, split = tested.targets, tested.split
    if targets.dtype.kind == "f":
        error = np.mean((outputs[:, 0] - targets) ** 2) / table.get("std", 1) ** 2
        loss, unit = error / 2, "% of the variance"
    else:
        each = example_losses(outputs, targets), example_errors(outputs, targets)
        loss, error = (np.asarray(part, np.float64).mean() for part in each)
        unit = "%"
    lines = [f"{split} loss {loss:.6f}", f"{split} error {100 * error:.4f} {unit}"]
    return [*lines, *map(" ".join, in_units(table, 100 * error).items())]


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
        longest = min(max(map(len, names)), (78 - wide) // number - 1)
        width = max(3, len(str(counts.max())), longest)
        cells = [f"{name[:width]:>{width}}" for name in names]
        lines += ["", "true class, and below each prediction how often:"]
        lines.append(" ".join([" " * wide, *cells]))
        for label in range(number):
            cells = [f"{count or '.':>{width}}" for count in counts[label]]
            lines.append(" ".join([f"{names[label]:>{wide}} ", *cells]).rstrip())
    return lines


def _write_predictions(
    path: Path, outputs: np.ndarray, tested: Examples, names: Sequence, std: Any
) -> None:
    """A row an example: prediction, probabilities, file and target as far as known."""
    import jax

    columns = {"file": [*map(printable, tested.files)]} if tested.files else {}
    if tested.targets is not None:
        columns["target"] = tested.targets
    if outputs.shape[-1] == 1:
        columns["prediction"], names = outputs[:, 0], ()
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
    import pandas as pd  # takes a second

    probabilities = columns.pop("probabilities", np.empty((len(outputs), 0)))
    table = pd.DataFrame(columns)
    if names:  # classes are told by their names
        labels = table.columns.intersection(["target", "prediction"])
        table[labels] = np.array(names)[table[labels]]
    for name, column in zip(names, probabilities.T, strict=True):
        table[f"p{name}" if name.isdigit() else f"p_{name}"] = column
    if std is not None:  # of a target: a float32 is not true to more of it
        table = table.round(5 - int(np.log10(std)))
    # With nine digits a float32 is whole.
    text = table.to_csv(index_label="example", float_format="%.9g", lineterminator="\n")
    replace(path, text)
