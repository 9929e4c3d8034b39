"""The recipes of docs/data.md read other people's files as they are."""

import gzip
import io
import pickle
import re
import sys
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from PIL import Image

from train.__main__ import main

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
RECIPES = re.findall(
    r"^```python\n(.*?)^```", PAGE.partition("\n## From other files")[2], re.M | re.S
)


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    """Images in colour, of 32 x 32 pixels, and their labels."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    found = {}
    for part, size in (("train", 10), ("test", 3)):
        found[f"x_{part}"] = rng.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
        found[f"y_{part}"] = rng.integers(0, 10, size)
    return found


def check(start, expected, **names):
    """Runs the recipe that has a line with `start`, and compares its arrays."""
    [recipe] = [text for text in RECIPES if start in text]
    names |= {"np": np}
    exec(recipe, names)
    for name, array in expected.items():
        np.testing.assert_array_equal(names[name], array)


def cifar_parts(arrays):
    """Names, images with channels first, and labels of CIFAR's six files."""
    for k in range(5):
        two = slice(2 * k, 2 * k + 2)
        images = arrays["x_train"][two].transpose(0, 3, 1, 2).reshape(2, -1)
        yield f"data_batch_{k + 1}", images, arrays["y_train"][two]
    images = arrays["x_test"].transpose(0, 3, 1, 2).reshape(3, -1)
    yield "test_batch", images, arrays["y_test"]


def test_cifars_python_archive(arrays):
    Path("cifar-10-batches-py").mkdir()
    for name, images, labels in cifar_parts(arrays):
        content = {b"data": images, b"labels": labels.tolist()}
        Path("cifar-10-batches-py", name).write_bytes(pickle.dumps(content))
    check("import pickle", arrays)


def test_cifars_binary_archive(arrays):
    Path("cifar-10-batches-bin").mkdir()
    for name, images, labels in cifar_parts(arrays):
        rows = np.column_stack([labels.astype(np.uint8), images])
        rows.tofile(f"cifar-10-batches-bin/{name}.bin")
    check("np.fromfile", arrays)


def test_idx_files(arrays):
    for part, name in (("train", "train"), ("test", "t10k")):
        arrays[f"x_{part}"] = images = arrays[f"x_{part}"][:, :28, :28, 0]
        for kind, dims, content in (
            ("images-idx3", images.shape, images),
            ("labels-idx1", images.shape[:1], arrays[f"y_{part}"]),
        ):
            head = np.array([0x800 + len(dims), *dims], ">u4").tobytes()
            body = content.astype(np.uint8).tobytes()
            Path(f"{name}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + body))
    check("import gzip", arrays)


def test_svhns_mat_files(arrays):
    for part in ("train", "test"):
        labels = np.where(arrays[f"y_{part}"] == 0, 10, arrays[f"y_{part}"])
        images = np.moveaxis(arrays[f"x_{part}"], 0, 3)
        scipy.io.savemat(f"{part}_32x32.mat", {"X": images, "y": labels[:, None]})
    check("import scipy.io", arrays)


def test_parquet_file_of_images(arrays, monkeypatch):
    def read(path):  # as pandas does with pyarrow
        part = path.removesuffix(".parquet")
        cells = []
        for image in arrays[f"x_{part}"]:
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            cells.append({"bytes": buffer.getvalue(), "path": None})
        return pd.DataFrame({"image": cells, "label": arrays[f"y_{part}"]})

    monkeypatch.setattr(pd, "read_parquet", read)
    check("import pandas", arrays)


def test_data_set_of_torchvision(arrays):
    sets = {
        f"{part}_set": [
            (Image.fromarray(image), int(label))
            for image, label in zip(
                arrays[f"x_{part}"], arrays[f"y_{part}"], strict=True
            )
        ]
        for part in ("train", "test")
    }
    check("train_set", arrays, **sets)


def test_hdf5_file(arrays, monkeypatch):
    class File(dict):  # h5py is not among the packages of the tests
        def __init__(self, path):
            assert path == "mine.h5"
            super().__init__(arrays)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    module = types.ModuleType("h5py")
    module.File = File
    monkeypatch.setitem(sys.modules, "h5py", module)
    check("import h5py", arrays)


def test_photo_is_predicted(tmp_path, monkeypatch, capsys):
    section = PAGE.partition("### From a photo to a prediction")[2]
    recipe = re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)[0]
    assert "train" not in recipe
    assert recipe.count("\n") <= 10
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("train.runs.drawing.plot_run", lambda folder: folder)
    for name, colour in (("apple", (220, 20, 20)), ("lime", (20, 220, 20))):
        folder = Path("photos", name)
        folder.mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (9, 7), colour).save(folder / f"{number}.jpg")
    Image.new("RGB", (40, 60), (20, 220, 20)).save("photo.jpg")
    words = ["--network", "mlp", "--optimizer", "sgd", "--batch-size", "8", "--quiet"]
    run = ["run", "--data", "folder:photos", "--image-size", "8", "--out", "run"]
    assert main([*run, *words, "--epochs", "5", "--learning-rate", "0.01"]) == 0
    assert main(["export", "run", "photos.safetensors"]) == 0
    capsys.readouterr()
    exec(recipe, {})
    assert capsys.readouterr().out == "lime\n"
