"""CIFAR-10 and CIFAR-100 through TensorFlow Datasets, without TensorFlow."""

import contextlib
import io
import sys
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import requests
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.image_classification import cifar

from train import notes
from train.data.dataset import Dataset
from train.errors import InputError
from train.paths import expand

# The archives: the files of each split, and those with the names of each label, in the
# order of the labels in a row.
_TEN = [f"data_batch_{number}.bin" for number in range(1, 6)]
_BATCHES = {
    "cifar10": {"train": _TEN, "test": ["test_batch.bin"]},
    "cifar100": {"train": ["train.bin"], "test": ["test.bin"]},
}
_COARSE, _FINE = "coarse_label_names.txt", "fine_label_names.txt"
_NAMES = {
    "cifar10": {"label": "batches.meta.txt"},
    "cifar100": {"coarse_label": _COARSE, "label": _FINE},
}


class _ReadsArchiveWithNumpy:
    """Replaces the two steps for which the CIFAR builders need TensorFlow.

    The stock builders unpack the archive and encode the images with TensorFlow, a
    dependency of 1.5 GB; tarfile and Pillow do as well. All the rest (download,
    checksum, shuffle, storage) stays theirs, so that the prepared folder is an ordinary
    one. TFDS documents both methods for overriding.
    """

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[Any]]:
        [url] = self.url_infos
        # One pass in the archive's order: going back in it means unpacking it anew.
        with tarfile.open(dl_manager.download(url)) as archive:
            files = {
                Path(member.name).name: archive.extractfile(member).read()
                for member in archive
                if member.isfile()
            }
        for label, file in _NAMES[self.name].items():
            self.info.features[label].names = files[file].decode().split()
        return {
            split: self._generate_examples(split, b"".join(files[n] for n in names))
            for split, names in _BATCHES[self.name].items()
        }

    def _generate_examples(self, split: str, data: bytes) -> Iterator[Any]:
        # A row has its labels and then, one after another, the planes of its colours.
        labels = _NAMES[self.name]
        size = len(labels)
        rows = np.frombuffer(data, np.uint8).reshape(-1, size + 3 * 32 * 32)
        for index, row in enumerate(rows):
            example = dict(zip(labels, map(int, row[:size]), strict=True))
            # An array would be encoded by TensorFlow.
            image = Image.fromarray(row[size:].reshape(3, 32, 32).transpose(1, 2, 0))
            yield index, example | {"id": f"{split}_{index:05d}", "image": image}


class Cifar10(_ReadsArchiveWithNumpy, cifar.Cifar10, skip_registration=True):
    """The builder of CIFAR-10."""

    url_infos = cifar.Cifar10.url_infos  # TFDS looks for them beside this file


class Cifar100(_ReadsArchiveWithNumpy, cifar.Cifar100, skip_registration=True):
    """The builder of CIFAR-100."""

    url_infos = cifar.Cifar100.url_infos


BUILDERS = {"cifar10": Cifar10, "cifar100": Cifar100}


def load_cifar(name: str, data_dir: Path) -> Dataset:
    """Loads `cifar10` or `cifar100`, after downloading and preparing it if need be.

    The prepared data lie in `data_dir/name`, for any program that uses TensorFlow
    Datasets, in whose fixed order (shuffled) the images come; of CIFAR-100 with the
    fine labels. An archive in `data_dir/downloads/manual` stands in for a download.
    """
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    data_dir = expand(data_dir)
    try:
        builder = BUILDERS[name](data_dir=data_dir)
        if not builder.data_path.exists():
            _prepare(builder, data_dir / "downloads")
        splits = [*_arrays(builder, "train"), *_arrays(builder, "test")]
        return Dataset(*splits, builder.info.features["label"].num_classes)
    except InputError:
        raise
    except Exception as error:  # of files that are damaged, or of a full disk
        raise InputError(
            f"cannot read or prepare {name} in {data_dir / name}: {error}. If it is "
            "damaged, delete this folder and run the same command again: it is prepared"
            " anew, which needs 400 MB."
        ) from None


def _prepare(builder: tfds.core.DatasetBuilder, downloads: Path) -> None:
    """Downloads and prepares a data set."""
    [(url, archive)] = builder.url_infos.items()
    manual = downloads / "manual"
    try:
        manual.mkdir(parents=True, exist_ok=True)
        # A run that failed after the download leaves it here, for TFDS to find.
        cached = (downloads / builder.name).glob("*.tar.gz")
        if not (manual / archive.filename).exists() and not any(cached):
            # Without a network TFDS would try for minutes.
            notes.say(f"{builder.name} is not there yet: trying to download {url}")
            requests.head(url, timeout=10).raise_for_status()
        # What TFDS prints is no result of the program.
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare(
                download_dir=downloads, file_format="array_record"
            )
        return
    except (requests.RequestException, tfds.download.DownloadError):
        reason = "it is not there, and cannot be downloaded"
    except NonMatchingChecksumError:
        reason = f"its archive is damaged; expected {archive.size:,} bytes"
    raise InputError(
        f"cannot prepare {builder.name} in {downloads.parent}: {reason}. Download {url}"
        f", put it into {manual} and run the same command again."
    )


def _arrays(builder: tfds.core.DatasetBuilder, split: str) -> tuple[np.ndarray, ...]:
    """Images and labels of a split, whose images are kept as PNG files."""
    # TFDS would decode with Pillow too, but warn that OpenCV is faster.
    decoders = {"image": tfds.decode.SkipDecoding()}
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        source = builder.as_data_source(split, decoders=decoders)
        examples = source.__getitems__(range(len(source)))  # in bulk: faster
    else:  # where TensorFlow is installed, without which TFDS cannot read it
        info = builder.info.splits[split]
        read = partial(builder.info.features.deserialize_example_np, decoders=decoders)
        records = (_tfrecords(Path(file)) for file in info.filepaths)
        examples = [read(record) for file in records for record in file]
        if len(examples) != info.num_examples:
            raise OSError(f"{split} has {len(examples)} images of {info.num_examples}")
    images = [Image.open(io.BytesIO(example["image"])) for example in examples]
    labels = [example["label"] for example in examples]
    return np.stack(images), np.array(labels, np.int32)


def _tfrecords(path: Path) -> Iterator[bytes]:
    """Reads frames of length, checksum, record, checksum; the last may be cut short.

    See https://www.tensorflow.org/tutorials/load_data/tfrecord. The checksums are
    passed over: the PNG files inside have their own.
    """
    data, place = path.read_bytes(), 0
    while place < len(data):
        start = place + 12
        place = start + int.from_bytes(data[place : place + 8], "little") + 4
        yield data[start : place - 4]
