import numpy as np
import pytest
from PIL import Image

from train.data import sources
from train.data.sources import load_dataset
from train.errors import InputError
from train.settings.options import Data


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(root, part, name, image, ending="png", number=1):
    folder = root / part / name
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(number):
        image.save(folder / f"{index}.{ending}")
    return folder / f"0.{ending}"


def make(root, test="test", size=(4, 4)):
    """Two classes of one grey each, three images to train on and one to test on."""
    for part, number in (("train", 3), (test, 1)):
        for name, grey in (("cat", 10), ("dog", 200)):
            write(root, part, name, Image.new("L", size, grey), number=number)
    return root


def load(root, **options):
    return load_dataset(Data(data=f"folder:{root}", **options))


@pytest.mark.parametrize("test", ["test", "val", "valid", "validation"])
def test_folders_are_classes_in_the_order_of_their_names(tmp_path, test):
    data = load(make(tmp_path, test))
    assert data.class_names == ("cat", "dog")
    assert data.num_classes == 2
    assert data.train_inputs.shape == (6, 4, 4, 1)
    assert data.train_inputs[:, 0, 0, 0].tolist() == 3 * [10] + 3 * [200]
    assert data.train_targets.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.test_inputs[:, 0, 0, 0].tolist() == [10, 200]
    assert data.test_targets.tolist() == [0, 1]


def test_fifth_of_each_class_is_kept_where_there_is_no_test_folder(tmp_path, capsys):
    for name, number in (("ape", 5), ("cat", 15), ("dog", 30)):
        grey = Image.new("L", (4, 4), number)
        write(tmp_path / "all", "", name, grey, number=number)
    data, again = load(tmp_path / "all"), load(tmp_path / "all")
    assert "a fifth of the images, 10, is kept for the test" in capsys.readouterr().err
    greys = 1 * [5] + 3 * [15] + 6 * [30]
    assert sorted(data.test_inputs[:, 0, 0, 0].tolist()) == greys
    assert np.bincount(data.train_targets).tolist() == [4, 12, 24]
    assert len({*data.test_files}) == 10
    assert data.test_files == again.test_files


RED, WHITE = (255, 0, 0), (255, 255, 255)


@pytest.mark.parametrize(
    ("image", "ending", "pixel"),
    [
        (Image.new("RGB", (4, 4), RED), "png", RED),
        (Image.new("RGB", (4, 4), RED).convert("P"), "png", RED),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "png", WHITE),
        (Image.new("RGBA", (4, 4), (255, 0, 0, 255)), "webp", None),
        (Image.new("LA", (4, 4), (0, 0)), "png", WHITE),
        (Image.new("CMYK", (4, 4), (0, 0, 0, 0)), "tiff", WHITE),
        (Image.new("RGB", (4, 4), RED), "bmp", RED),
        (Image.new("RGB", (4, 4), WHITE), "jpg", WHITE),
        (Image.fromarray(np.full((4, 4), 200 * 257, np.uint16)), "png", (200,) * 3),
        (Image.new("1", (4, 4), 1), "png", WHITE),
    ],
)
def test_images_of_every_kind_become_colours_from_0_to_255(
    tmp_path, image, ending, pixel
):
    root = make(tmp_path)
    write(root, "train", "cat", Image.new("RGB", (4, 4), RED), "bmp")
    (root / "test" / "dog" / "0.png").unlink()
    write(root, "test", "dog", image, ending)
    data = load(root)
    assert (data.test_inputs.dtype, data.test_inputs.shape[3]) == (np.uint8, 3)
    found = data.test_inputs[1, 0, 0].tolist()
    assert pixel is None or found == list(pixel)


def test_images_of_several_sizes_are_scaled_and_cut(tmp_path):
    root = make(tmp_path)
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, 4:12] = 255  # the middle
    write(root, "test", "dog", Image.fromarray(wide))
    with pytest.raises(InputError, match=r"2 sizes, from 4 x 4 to 16 x 8 .* such as 4"):
        load(root)
    assert (load(root, image_size=4).test_inputs[1] > 200).all()


def test_images_are_kept_for_the_next_start_and_read_anew_when_one_changes(
    tmp_path, monkeypatch
):
    root = make(tmp_path / "images")
    first = load(root)
    monkeypatch.setattr(Image, "open", None)  # none is read
    np.testing.assert_array_equal(load(root).train_inputs, first.train_inputs)
    monkeypatch.undo()
    write(root, "train", "cat", Image.new("L", (4, 4), 77))
    assert load(root).train_inputs[0, 0, 0, 0] == 77


def test_unreadable_image_is_named_or_left_out(tmp_path, capsys):
    root = make(tmp_path)
    for name in ("train/cat/1", "train/dog/0", "train/dog/2", "test/dog/0"):
        (root / f"{name}.png").write_bytes(b"no image")
    for _ in range(2):  # the second time from what is kept
        three = r"train/cat/1\.png: cannot .*; train/dog/0.*; train/dog/2.*file; \.\.\."
        with pytest.raises(InputError, match=f"cannot read 4 of 8 .*: {three}"):
            load(root)
    data = load(root, skip_unreadable=True)
    assert data.train_targets.tolist() == [0, 0, 1]
    assert data.test_files == ("test/cat/0.png",)
    assert (
        "left out 4 of 8 images, which cannot be read: train/cat"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: root.rename(root.parent / "other"), "there is no folder"),
        (
            lambda root: (root / "train").rename(root / "a"),
            "has a folder test only",
        ),
        (
            lambda root: (root / "train/dog").rename(root / "dog"),
            "dog has test images o",
        ),
        (lambda root: (root / "test/dog").rename(root / "test/cow"), "cow has test im"),
        (lambda root: (root / "train/cow").mkdir(), "train/cow has no image: .bmp"),
    ],
)
def test_folder_that_cannot_be_used_is_refused(tmp_path, change, message):
    root = make(tmp_path / "images")
    change(root)
    with pytest.raises(InputError, match=message):
        load(root)


def test_options_of_folders_belong_to_folders():
    with pytest.raises(InputError, match="--image-size belongs to folder:"):
        Data(image_size=8)
    with pytest.raises(InputError, match="--data folder: needs a path"):
        sources.load_dataset(Data(data="folder:"))
