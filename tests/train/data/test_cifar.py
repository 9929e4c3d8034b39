import hashlib
import http.server
import io
import json
import shutil
import socket
import struct
import tarfile
import threading
import time
from functools import partial

import numpy as np
import pytest
import requests
import tensorflow_datasets as tfds
from array_record.python import array_record_data_source
from tensorflow_datasets.core.download.checksums import UrlInfo

from train.data import cifar
from train.data.cifar import load_cifar
from train.errors import InputError

# The layout of the two archives: https://www.cs.toronto.edu/~kriz/cifar.html
FOLDER = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}
ARCHIVE = {"cifar10": "cifar-10-binary.tar.gz", "cifar100": "cifar-100-binary.tar.gz"}
TRAIN_FILES = {
    "cifar10": [f"data_batch_{number}.bin" for number in range(1, 6)],
    "cifar100": ["train.bin"],
}
TEST_FILE = {"cifar10": "test_batch.bin", "cifar100": "test.bin"}
# File of names: number of classes, in the order of the label bytes of a row.
NAMES = {
    "cifar10": {"batches.meta.txt": 10},
    "cifar100": {"coarse_label_names.txt": 20, "fine_label_names.txt": 100},
}
BOTH = pytest.mark.parametrize("name", ["cifar10", "cifar100"])


def make_rows(name, size, seed):
    """Random rows of an archive's file: label bytes, then three colour planes."""
    rng = np.random.default_rng(seed)
    labels = [rng.integers(0, count, size) for count in NAMES[name].values()]
    planes = rng.integers(0, 256, (size, 3 * 32 * 32))
    return np.column_stack([*labels, planes]).astype(np.uint8)


def make_archive(name):
    """An archive of the original's layout: 4 images in each file, 3 in the test's."""
    files = {
        file: make_rows(name, 4, seed).tobytes()
        for seed, file in enumerate(TRAIN_FILES[name])
    }
    files[TEST_FILE[name]] = make_rows(name, 3, seed=99).tobytes()
    for file, count in NAMES[name].items():
        files[file] = "".join(f"name_{number}\n" for number in range(count)).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file, data in files.items():
            member = tarfile.TarInfo(f"{FOLDER[name]}/{file}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def put(archive, name, data_dir):
    """Puts the archive where a user is told to put it."""
    path = data_dir / "downloads" / "manual" / ARCHIVE[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(archive)


def expect(archive, name, monkeypatch, url=None):
    """Makes the archive the one whose size and checksum the builder expects."""
    builder = cifar.BUILDERS[name]
    info = UrlInfo(len(archive), hashlib.sha256(archive).hexdigest(), ARCHIVE[name])
    [original] = builder.url_infos
    monkeypatch.setattr(builder, "url_infos", {url or original: info})


def prepare(name, data_dir, monkeypatch):
    archive = make_archive(name)
    expect(archive, name, monkeypatch)
    put(archive, name, data_dir)
    return load_cifar(name, data_dir)


def pairs(images, labels):
    """Images with their labels, whatever their order."""
    return sorted(
        (image.tobytes(), int(label))
        for image, label in zip(images, labels, strict=True)
    )


def pairs_of_rows(rows, name):
    label_bytes = len(NAMES[name])
    planes = rows[:, label_bytes:].reshape(-1, 3, 32, 32)
    # The fine label of CIFAR-100 comes last.
    return pairs(np.moveaxis(planes, 1, 3), rows[:, label_bytes - 1])


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    get_address = socket.getaddrinfo

    def resolve(host, *args, **kwargs):
        if host != "127.0.0.1":
            raise socket.gaierror(f"no address of {host}")
        return get_address(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("NO_PROXY", "*")


def forbid_network(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(requests, "head", fail)
    monkeypatch.setattr(requests.Session, "request", fail)


@BOTH
def test_images_and_labels_are_those_of_the_archive(name, tmp_path, monkeypatch):
    data = prepare(name, tmp_path, monkeypatch)
    seeds = range(len(TRAIN_FILES[name]))
    rows = np.concatenate([make_rows(name, 4, seed) for seed in seeds])
    assert pairs(data.train_inputs, data.train_targets) == pairs_of_rows(rows, name)
    rows = make_rows(name, 3, seed=99)
    assert pairs(data.test_inputs, data.test_targets) == pairs_of_rows(rows, name)
    assert data.train_targets.dtype == data.test_targets.dtype == np.int32
    assert data.num_classes == {"cifar10": 10, "cifar100": 100}[name]


def as_tfrecord(name, data_dir):
    """Rewrites prepared data as TFDS writes them with TensorFlow, checksums apart."""
    [info_file] = data_dir.glob(f"{name}/*/dataset_info.json")
    info = json.loads(info_file.read_text())
    assert info["fileFormat"] == "array_record"
    info_file.write_text(info_file.read_text().replace('"array_record"', '"tfrecord"'))
    for old in info_file.parent.glob("*.array_record-*"):
        source = array_record_data_source.ArrayRecordDataSource([str(old)])
        new = old.with_name(old.name.replace("array_record", "tfrecord"))
        with new.open("wb") as file:
            for record in source.__getitems__(range(len(source))):
                length = struct.pack("<Q", len(record))
                file.write(length + b"crc1" + record + b"crc2")
        old.unlink()
    return info_file.parent


@BOTH
@pytest.mark.parametrize("keep", [lambda *_: None, as_tfrecord])
def test_prepared_data_need_neither_archive_nor_network(
    name, keep, tmp_path, monkeypatch
):
    first = prepare(name, tmp_path, monkeypatch)
    keep(name, tmp_path)
    (tmp_path / "downloads" / "manual" / ARCHIVE[name]).unlink()
    forbid_network(monkeypatch)
    second = load_cifar(name, tmp_path)
    for ours, theirs in zip(vars(first).values(), vars(second).values(), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_preparing_prints_no_result_and_no_bar_where_there_is_no_terminal(
    tmp_path, monkeypatch, capfd
):
    tfds.enable_progress_bar()
    prepare("cifar10", tmp_path, monkeypatch)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "it/s" not in printed.err


@BOTH
def test_without_network_the_message_says_how_to_get_the_archive(
    name, tmp_path, monkeypatch
):
    start = time.monotonic()
    with pytest.raises(InputError, match="cannot be downloaded") as caught:
        load_cifar(name, tmp_path)
    assert time.monotonic() - start < 5
    folder = tmp_path / "downloads" / "manual"
    url = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE[name]}"
    assert f"Download {url}, put it into {folder} and run" in str(caught.value)
    archive = make_archive(name)
    expect(archive, name, monkeypatch)
    (folder / ARCHIVE[name]).write_bytes(archive)  # the folder is there
    assert len(load_cifar(name, tmp_path).test_targets) == 3


@BOTH
def test_an_archive_that_is_not_the_original_is_refused(name, tmp_path):
    put(make_archive(name), name, tmp_path)
    with pytest.raises(InputError, match=r"archive is damaged; expected 1\S+ bytes"):
        load_cifar(name, tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match=f"cannot .* cifar10 in {file}/data"):
        load_cifar("cifar10", file / "data")


# What a write to a full disk of 100 KB raised: OSError from TFDS itself, RuntimeError
# from the writer of array_record.
@pytest.mark.parametrize("error", [OSError, RuntimeError])
def test_a_full_disk_is_one_message_and_a_second_try_works(
    error, tmp_path, monkeypatch
):
    def fail(*args, **kwargs):
        raise error("No space left on device")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(
            "array_record.python.array_record_module.ArrayRecordWriter", fail
        )
        with pytest.raises(
            InputError, match=r"cannot .* prepare .*No space left on .* 400 MB"
        ):
            prepare("cifar10", tmp_path, monkeypatch)
    assert len(load_cifar("cifar10", tmp_path).test_targets) == 3


@pytest.mark.parametrize(
    "part", ["dataset_info.json", "*train.array_record*", "*test.array_record*"]
)
def test_a_prepared_folder_that_lacks_a_file_is_named(part, tmp_path, monkeypatch):
    prepare("cifar10", tmp_path, monkeypatch)
    [file] = tmp_path.glob(f"cifar10/*/{part}")
    file.unlink()
    with pytest.raises(InputError, match=r"cannot read .*delete this folder"):
        load_cifar("cifar10", tmp_path)


def test_tfrecord_that_is_cut_short_is_damaged(tmp_path, monkeypatch):
    prepare("cifar10", tmp_path, monkeypatch)
    [file] = as_tfrecord("cifar10", tmp_path).glob("*train.tfrecord*")
    data = file.read_bytes()
    [length] = struct.unpack("<Q", data[:8])
    file.write_bytes(data[: 12 + length + 4])  # one image
    with pytest.raises(InputError, match=r"cannot read .*delete this folder"):
        load_cifar("cifar10", tmp_path)


@pytest.fixture
def serve(tmp_path_factory):
    """A function from an archive's bytes to a URL that serves it."""
    web = tmp_path_factory.mktemp("web")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=web)

    def start(data):
        (web / ARCHIVE["cifar10"]).write_bytes(data)
        return f"http://127.0.0.1:{server.server_port}/{ARCHIVE['cifar10']}"

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield start
        server.shutdown()


def test_the_archive_is_downloaded_once(serve, tmp_path, monkeypatch):
    archive = make_archive("cifar10")
    expect(archive, "cifar10", monkeypatch, url=serve(archive))
    assert len(load_cifar("cifar10", tmp_path).test_targets) == 3
    shutil.rmtree(tmp_path / "cifar10")
    forbid_network(monkeypatch)
    assert len(load_cifar("cifar10", tmp_path).test_targets) == 3
