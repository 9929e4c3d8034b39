import numpy as np
import pytest

from train.data.dataset import Dataset
from train.data.sources import choose, load_dataset, load_npz
from train.errors import InputError
from train.settings.options import DATA_SETS, Data

GOOD = {
    "x_train": np.arange(5 * 4 * 3 * 2, dtype=np.uint8).reshape(5, 4, 3, 2),
    "y_train": np.array([0, 1, 2, 1, 0]),
    "x_test": np.ones((2, 4, 3, 2), np.uint8),
    "y_test": np.array([[2], [0]], np.uint8),
}


def save(path, **arrays):
    np.savez(path / "data.npz", **{**GOOD, **arrays})
    return path / "data.npz"


def test_npz_comes_back_as_it_was_saved(tmp_path):
    dataset = load_npz(save(tmp_path))
    np.testing.assert_array_equal(dataset.train_inputs, GOOD["x_train"])
    np.testing.assert_array_equal(dataset.test_inputs, GOOD["x_test"])
    np.testing.assert_array_equal(dataset.train_targets, [0, 1, 2, 1, 0])
    np.testing.assert_array_equal(dataset.test_targets, [2, 0])
    assert dataset.train_targets.dtype == dataset.test_targets.dtype == np.int32
    assert dataset.num_classes == 3


def test_grey_images_get_a_channel(tmp_path):
    grey = {name: GOOD[name][..., 0] for name in ("x_train", "x_test")}
    dataset = load_npz(save(tmp_path, **grey))
    assert dataset.train_inputs.shape == (5, 4, 3, 1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"x_train": np.linspace(0, 1, 120).reshape(5, 4, 3, 2)},
            r"must be uint8.* float64. Numbers from 0 to 1 become .*uint8\(255 \* x\)",
        ),
        (
            {"x_train": np.arange(120).reshape(5, 4, 3, 2)},
            r"got int64. Numbers from 0 to 119 become that by numpy.uint8\(x\)",
        ),
        (
            {"x_test": np.linspace(-2, 65535, 48).reshape(2, 4, 3, 2)},
            "from -2 to 65535 must be scaled to that, those of all arrays alike",
        ),
        ({"x_test": np.zeros((2, 12), np.uint8)}, r"x_test must be \[size.*\(2, 12\)"),
        ({"x_train": np.zeros((0, 4, 3, 2), np.uint8)}, r"none of them 0.*\(0, 4"),
        (
            {"y_train": np.zeros(5)},
            r"y_train must be integers, got float64. Whole .* by x.astype\(int",
        ),
        (
            {"y_train": np.array(["cat", "dog", "cat", "dog", "cat"])},
            "got <U3. .* Number other classes by classes, y_train = numpy.unique",
        ),
        (
            {"y_test": np.array([-1, "NaT"], "m8[Y]")},
            "y_test must be integers, got time",
        ),
        ({"y_train": np.array([0, 1, 10**9, 0, 0])}, "got 0 to 1000000000"),
        ({"y_train": np.ones(5, int)}, "y_train holds one class"),
        ({"y_test": np.array([3, 0])}, "label 3, but the largest in y_train is 2"),
        (
            {"x_train": np.array([{}])},
            "cannot read .*: it is not an .npz file, or has pickled",
        ),
    ],
)
def test_unusable_arrays_are_refused(tmp_path, arrays, message):
    with pytest.raises(InputError, match=message):
        load_npz(save(tmp_path, **arrays))


@pytest.mark.parametrize("name", [n for n in DATA_SETS if not DATA_SETS[n].from_tfds])
def test_data_set_is_of_the_kind_that_is_declared(name):
    assert load_dataset(Data(name)).kind == DATA_SETS[name].kind


@pytest.mark.parametrize("name", ["nowhere.npz", "."])
def test_what_is_no_file_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=rf"no file {tmp_path / name}: .* takes an"):
        load_npz(tmp_path / name)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: b"text\n",
        lambda content: content[:60] + bytes(30) + content[90:],
        lambda content: content[:-100],  # as a copy that was stopped
    ],
)
def test_file_that_is_no_npz_or_is_damaged_is_refused(tmp_path, change):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **GOOD)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match="cannot read"):
        load_npz(path)


def test_npy_file_is_refused(tmp_path):
    np.save(tmp_path / "data.npy", GOOD["x_train"])
    message = r"cannot read .*: it is an \.npy file.* numpy.savez"
    with pytest.raises(InputError, match=message):
        load_npz(tmp_path / "data.npy")


def test_reduced_data_have_fewer_training_images_and_larger_pixels():
    train = np.arange(2 * 2 * 4, dtype=np.uint8).reshape(2, 2, 4, 1)
    dataset = Dataset(train, np.int32([0, 1]), train[1:], np.int32([1]), 2)
    reduced = choose(dataset, Data(every=2, shrink=2))
    # Rows 0 1 2 3 and 4 5 6 7: squares 0 1 4 5 and 2 3 6 7, of the means 2.5 and 4.5,
    # which NumPy rounds to even.
    np.testing.assert_array_equal(reduced.train_inputs.squeeze(), [2, 4])
    np.testing.assert_array_equal(reduced.train_targets, [0])
    # The second image's pixels are 8 more; the test images are all kept.
    np.testing.assert_array_equal(reduced.test_inputs.squeeze(), [10, 12])
    np.testing.assert_array_equal(reduced.test_targets, [1])


# Twelve numbered examples for training, three for testing.
WHOLE = Dataset(
    np.arange(12, dtype=np.float32)[:, np.newaxis],
    np.arange(12, dtype=np.int32) % 4,
    np.arange(100, 103, dtype=np.float32)[:, np.newaxis],
    np.zeros(3, np.int32),
    4,
)


def test_rest_is_tested_behind_the_test_set():
    found = choose(WHOLE, Data(every=3, test_rest=True))
    assert found.train_inputs[:, 0].tolist() == [0, 3, 6, 9]
    expected = [100, 101, 102, 1, 2, 4, 5, 7, 8, 10, 11]
    assert found.test_inputs[:, 0].tolist() == expected
    assert found.test_targets[3:].tolist() == [1, 2, 0, 1, 3, 0, 2, 3]


@pytest.fixture(scope="module")
def by_class(tmp_path_factory):
    """Numbered images of three classes, 60, 30 and 2, in the order of the classes."""
    images = np.arange(92, dtype=np.uint8).reshape(92, 1, 1)
    path = tmp_path_factory.mktemp("by-class") / "data.npz"
    labels = np.repeat([0, 1, 2], [60, 30, 2])
    np.savez(path, x_train=images, y_train=labels, x_test=images, y_test=labels)
    return f"npz:{path}"


@pytest.mark.parametrize(
    ("number", "counts"),
    [(3, [2, 1, 0]), (46, [30, 15, 1]), (80, [53, 26, 1]), (89, [59, 29, 1])],
)
def test_validation_takes_of_each_class_its_share_and_leaves_one(
    by_class, number, counts
):
    found = load_dataset(Data(by_class, validation=number))
    assert np.bincount(found.test_targets, minlength=3).tolist() == counts
    rest = np.bincount(found.train_targets, minlength=3)
    assert (rest + counts).tolist() == [60, 30, 2]
    trained, validated = found.train_inputs.ravel(), found.test_inputs.ravel()
    assert sorted([*trained, *validated]) == list(range(92))
    # Each with the label that it had.
    labels = (validated >= 60).astype(int) + (validated >= 90)
    assert labels.tolist() == found.test_targets.tolist()


def test_validation_is_drawn_from_all_of_a_class(by_class):
    validated = load_dataset(Data(by_class, validation=46)).test_inputs.ravel()
    firsts = validated[:30]  # of the first class, of which 30 come in each half
    assert 8 < np.sum(firsts < 30) < 22


@pytest.mark.parametrize("data", ["diabetes", "english"])
def test_validation_of_numbers_and_of_text_is_drawn_from_all(data):
    whole = load_dataset(Data(data))
    found = load_dataset(Data(data, validation=100))
    assert len(found.test_targets) == 100
    parts = np.concatenate([found.train_inputs, found.test_inputs])
    assert sorted(map(bytes, parts)) == sorted(map(bytes, whole.train_inputs))
    half = {bytes(example) for example in whole.train_inputs[: len(parts) // 2]}
    assert 30 < sum(bytes(example) in half for example in found.test_inputs) < 70
