"""CIFAR-10 and CIFAR-100 through TensorFlow Datasets, without TensorFlow."""

import contextlib
import io
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import requests
import tensorflow_datasets as tfds
from google.protobuf.message import DecodeError
from PIL import Image
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.image_classification import cifar

from train.data.dataset import Dataset
from train.errors import InputError

PIXELS_PER_IMAGE = 3 * 32 * 32

# What files raise that cannot be opened, or whose bytes were changed.
DAMAGED = (OSError, RuntimeError, ValueError, TypeError, KeyError, DecodeError)


class ReadsArchiveWithNumpy:
    """Replaces the two steps for which the CIFAR builders need TensorFlow.

    The stock builders unpack the archive and encode the images with TensorFlow, a
    dependency of 1.5 GB; tarfile and Pillow do as well. All the rest (download,
    checksum, shuffle, storage) stays theirs, so that the prepared folder is an ordinary
    one.

    `_split_generators` and `_generate_examples` are what TFDS documents for overriding.
    `_cifar_info`, the layout of the archive, is private to TFDS, and the reason for
    which pyproject.toml keeps tensorflow-datasets below the next major version.
    """

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        layout = self._cifar_info
        [url] = self.url_infos
        # One pass in the archive's order: going back in it means unpacking it anew.
        with tarfile.open(dl_manager.download(url)) as archive:
            files = {
                Path(member.name).name: archive.extractfile(member).read()
                for member in archive
                if member.isfile()
            }
        for key, file in zip(layout.label_keys, layout.label_files, strict=True):
            self.info.features[key].names = files[file].decode().split()
        batches = {"train": layout.train_files, "test": layout.test_files}
        return {
            split: self._generate_examples(split, b"".join(files[n] for n in names))
            for split, names in batches.items()
        }

    def _generate_examples(
        self, split: str, data: bytes
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        keys = self._cifar_info.label_keys
        rows = np.frombuffer(data, np.uint8).reshape(-1, len(keys) + PIXELS_PER_IMAGE)
        # In the file the colour planes follow each other: channel, height, width.
        images = rows[:, len(keys) :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        for index, (row, image) in enumerate(zip(rows, images, strict=True)):
            labels = map(int, row[: len(keys)])
            yield (
                index,
                {
                    **dict(zip(keys, labels, strict=True)),
                    "id": f"{split}_{index:05d}",
                    # An array would be encoded by TensorFlow.
                    "image": Image.fromarray(image),
                },
            )


# TFDS looks for the checksums next to the file that defines the builder. There are none
# here, so they are handed over.


class Cifar10(ReadsArchiveWithNumpy, cifar.Cifar10, skip_registration=True):
    """The builder of CIFAR-10."""

    url_infos = cifar.Cifar10.url_infos


class Cifar100(ReadsArchiveWithNumpy, cifar.Cifar100, skip_registration=True):
    """The builder of CIFAR-100."""

    url_infos = cifar.Cifar100.url_infos


BUILDERS = {"cifar10": Cifar10, "cifar100": Cifar100}


def load_cifar(name: str, data_dir: Path) -> Dataset:
    """Loads CIFAR-10 or CIFAR-100, after downloading and preparing it if need be.

    The prepared data lie in `data_dir/name`, for any program that uses TensorFlow
    Datasets; once they do, neither network nor archive is needed.

    Args:
      name: `cifar10` or `cifar100`.
      data_dir: the folder of TensorFlow Datasets; `~` is the home folder. An archive in
        its `downloads/manual` is used instead of a download.

    Returns:
      50,000 training and 10,000 test images, uint8 [size, 32, 32, 3], in the fixed
      order of TensorFlow Datasets (shuffled), and their int32 labels [size]: for
      CIFAR-100 the 100 fine ones.

    Raises:
      InputError: the data are not there and cannot be downloaded, the archive is not
        the one expected, the folder cannot be written or read, or the data were
        prepared in another format.
    """
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        data_dir = data_dir.expanduser()
        builder = BUILDERS[name](data_dir=data_dir)
        is_prepared = builder.data_path.exists()
    except (OSError, RuntimeError) as error:  # the second: whose home folder?
        raise InputError(
            f"cannot look for {name} in {data_dir}: {error}. Make the folder "
            f"readable, or choose another --data-dir."
        ) from None
    if not is_prepared:
        _prepare(builder, data_dir / "downloads")
    return _read(builder)


def _prepare(builder: Cifar10, downloads: Path) -> None:
    [(url, expected)] = builder.url_infos.items()
    manual = downloads / "manual"
    archive = manual / expected.filename
    by_hand = f"Download {url}, put it into {manual} and run the same command again."
    try:
        manual.mkdir(parents=True, exist_ok=True)
        # A run that failed after the download leaves it here, for TFDS to find.
        cached = (downloads / builder.name).glob("*.tar.gz")
        if not archive.exists() and not any(cached):
            # Without a network TFDS would try for minutes.
            requests.head(url, timeout=10).raise_for_status()
        # What TFDS prints is no result of the program.
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare(
                download_dir=downloads, file_format="array_record"
            )
    except (requests.RequestException, tfds.download.DownloadError) as error:
        raise InputError(
            f"{builder.name} is not in {downloads.parent} and could not be downloaded. "
            f"{by_hand} The cause: {_cause(url, error)}."
        ) from None
    except NonMatchingChecksumError:
        found = (
            f"{archive} ({archive.stat().st_size:,} bytes)"
            if archive.exists()
            else "the file downloaded"
        )
        raise InputError(
            f"{found} is incomplete or not the archive of {builder.name}: expected "
            f"{expected.size:,} bytes with the SHA-256 sum {expected.checksum}. "
            f"{by_hand}"
        ) from None
    except (OSError, RuntimeError) as error:  # the second: array_record, disk full
        raise InputError(
            f"cannot prepare {builder.name} in {downloads.parent}: {error}. Make the "
            f"folder writable, with 400 MB free, or choose another --data-dir."
        ) from None


def _cause(url: str, error: Exception) -> str:
    """Why a download failed, without the many words of the layers below."""
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return f"{urlsplit(url).hostname} cannot be reached"
    return " ".join(str(error).split())[:100].rstrip(".")


def _read(builder: Cifar10) -> Dataset:
    try:
        if not builder.info.splits:
            raise FileNotFoundError("dataset_info.json is missing")
        train_inputs, train_targets = _arrays(builder, "train")
        test_inputs, test_targets = _arrays(builder, "test")
    except NotImplementedError:
        raise InputError(
            f"{builder.data_path} holds {builder.name} in the format "
            f"{builder.info.file_format.value}, which cannot be read here; expected "
            f"array_record or tfrecord. Choose another --data-dir: {builder.name} will "
            f"be prepared there."
        ) from None
    except DAMAGED as error:
        raise InputError(
            f"cannot read {builder.name} in {builder.data_path}: {error}. If the data "
            f"are damaged, delete this folder and run the same command again: they "
            f"will be prepared again."
        ) from None
    num_classes = builder.info.features["label"].num_classes
    return Dataset(train_inputs, train_targets, test_inputs, test_targets, num_classes)


def _arrays(builder: Cifar10, split: str) -> tuple[np.ndarray, np.ndarray]:
    examples = _examples(builder, split)
    images = np.stack(
        [Image.open(io.BytesIO(example["image"])) for example in examples]
    )
    labels = np.array([example["label"] for example in examples], np.int32)
    return images, labels


def _examples(builder: Cifar10, split: str) -> Sequence[dict[str, Any]]:
    """The examples of a split, with images as the PNG files they are kept as."""
    # TFDS would decode with Pillow too, but warn that OpenCV is faster.
    decoders = {"image": tfds.decode.SkipDecoding()}
    info = builder.info
    if info.file_format == tfds.core.FileFormat.TFRECORD:
        # The default where TensorFlow is installed, without which TFDS cannot read it.
        split_info = info.splits[split]
        examples = [
            info.features.deserialize_example_np(record, decoders=decoders)
            for file in split_info.filepaths
            for record in _tfrecords(Path(file))
        ]
        if len(examples) != split_info.num_examples:
            raise OSError(
                f"{split} holds {len(examples)} images of {split_info.num_examples}"
            )
        return examples
    source = builder.as_data_source(split, decoders=decoders)
    # In bulk: faster than one by one.
    return source.__getitems__(range(len(source)))


def _tfrecords(path: Path) -> Iterator[bytes]:
    """Reads a TFRecord file: frames of length, checksum, record, checksum.

    The layout is documented at https://www.tensorflow.org/tutorials/load_data/tfrecord.
    The checksums are passed over: the PNG files inside have their own.

    Raises:
      OSError: the file ends within a frame.
    """
    data = memoryview(path.read_bytes())
    place = 0
    while place < len(data):
        length = int.from_bytes(data[place : place + 8], "little")
        start, end = place + 12, place + 12 + length
        if end + 4 > len(data):
            raise OSError(f"{path} is cut short")
        yield bytes(data[start:end])
        place = end + 4
