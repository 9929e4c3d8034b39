"""The network of a run on photos and rows that it was not trained on."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import models
import train
from train.__main__ import main
from train.errors import InputError
from train.runs.evaluate import evaluate
from train.settings.commands import Evaluate

NUMBER = 40
ROWS = pd.DataFrame(
    {
        "size": np.arange(1.0, NUMBER + 1),
        "town": ["Bonn", "Ulm"] * (NUMBER // 2),
        "price": 300 + 10 * np.arange(NUMBER) + 0.28,
        "kind": ["cheap"] * (NUMBER // 2) + ["dear"] * (NUMBER // 2),
    }
)
COLOURS = {"apple": (200, 40, 40), "plum": (90, 40, 160)}
RUN = ["run", "--network", "mlp", "--optimizer", "sgd", "--learning-rate", "0.01"]
RUN += ["--hidden", "8", "--epochs", "2", "--batch-size", "8", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on tables, whose target is a number or a class, and on photos."""
    folder = tmp_path_factory.mktemp("new")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr("train.runs.drawing.plot_run", lambda folder: folder)
        ROWS.drop(columns="kind").to_csv("prices.csv", index=False)
        ROWS.drop(columns="price").to_csv("kinds.csv", index=False)
        save_photos(Path("photos"), 10)
        for name, *data in (
            ("price", "csv:prices.csv", "--target", "price"),
            ("kind", "csv:kinds.csv", "--target", "kind"),
            ("fruit", "folder:photos"),
        ):
            assert main([*RUN, "--out", name, "--data", *data]) == 0
    return folder


@pytest.fixture(autouse=True)
def _there(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))


def save_photos(root, number, size=(6, 4)):
    """Photos of one colour, in the folders of their classes."""
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for index in range(number):
            Image.new("RGB", size, colour).save(root / name / f"{index}.png")


def predicted(run, data, path):
    """What `evaluate` prints, and the rows of its predictions."""
    text = evaluate(Evaluate(Path(run), data=data, predictions=path))
    with path.open() as file:
        return text, list(csv.DictReader(file))


def numbers_of(rows, name):
    return np.array([float(row[name]) for row in rows])


# --- Rows -----------------------------------------------------------------------------


def test_new_rows_are_encoded_as_those_of_training(folder, tmp_path, capsys):
    network = train.load_run("price")
    table = network.about["table"]
    size = table["columns"][0]
    inputs = np.array([[7, 1, 0], [size["median"], 0, 1], [9, 0, 0]], np.float32)
    inputs[:, 0] = (inputs[:, 0] - size["mean"]) / size["std"]
    outputs = np.asarray(network.module(inputs, train=False))[:, 0]
    new = pd.DataFrame({"town": ["Bonn", "Ulm", "Rome"], "id": 0, "size": [7, None, 9]})
    new.to_csv(tmp_path / "new.csv", index=False)
    text, rows = predicted("price", f"csv:{tmp_path}/new.csv", tmp_path / "p.csv")
    found, expected = (
        numbers_of(rows, "prediction"),
        table["mean"] + table["std"] * outputs,
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert "error" not in text
    err = capsys.readouterr().err
    assert err.count("training had no town Rome: it counts as none") == 1
    assert "missing numbers of size become the median" in err
    with pytest.warns(UserWarning, match=r"town Rome|numbers of size"):
        np.testing.assert_allclose(network(dict(new))[:, 0], expected, rtol=1e-5)


def test_error_of_new_rows_is_in_units_of_the_target(folder, tmp_path):
    ROWS[3:9].to_csv(tmp_path / "new.csv", index=False)
    text, rows = predicted("price", f"csv:{tmp_path}/new.csv", tmp_path / "p.csv")
    assert numbers_of(rows, "target").tolist() == ROWS.price[3:9].tolist()
    wrong = numbers_of(rows, "prediction") - ROWS.price[3:9].to_numpy()
    root = np.sqrt(np.mean(wrong**2))
    assert f"RMSE in price {root:.4g}" in text
    percent = (
        100 * np.mean(wrong**2) / train.load_run("price").about["table"]["std"] ** 2
    )
    [shown] = re.findall(r"test error (\S+) % of the variance", text)
    assert float(shown) == pytest.approx(percent, rel=1e-4)


@pytest.mark.usefixtures("no_pictures")
def test_epochs_tell_their_error_in_units_of_the_target(tmp_path, capsys):
    data = ["--data", "csv:prices.csv", "--target", "price", "--out", str(tmp_path)]
    assert main([*RUN, *data, "--no-quiet"]) == 0
    out = capsys.readouterr().out
    [root] = re.findall(r"^RMSE in price (\S+)$", out, re.M)
    [last] = re.findall("epoch 2/2: .*", out)
    assert f" %, RMSE in price {root}, " in last


def test_classes_of_new_rows_are_told_by_name(folder, tmp_path):
    ROWS[30:].to_csv(tmp_path / "new.csv", index=False)
    text, rows = predicted("kind", f"csv:{tmp_path}/new.csv", tmp_path / "p.csv")
    right = sum(row["prediction"] == "dear" for row in rows)
    assert f" dear        10  {100 - 10 * right:6.2f} %" in text


@pytest.mark.parametrize(
    ("new", "run", "message"),
    [
        (ROWS.drop(columns="size"), "price", "there is no column size, which training"),
        (
            ROWS.assign(size="wide"),
            "price",
            "the column size holds wide, which is no n",
        ),
        (
            ROWS.assign(price="high"),
            "price",
            "the column price holds high, which is no",
        ),
        (ROWS.assign(kind="free"), "kind", "a class free, and the network knows cheap"),
        (ROWS, "fruit", "is of another kind than the run's data, folder:photos"),
    ],
)
def test_rows_that_do_not_fit_are_refused(folder, tmp_path, new, run, message):
    new.to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(InputError, match=message):
        evaluate(Evaluate(Path(run), data=f"csv:{tmp_path}/new.csv"))


def test_rows_of_which_some_lack_the_target_get_predictions(folder, tmp_path, capsys):
    ROWS.assign(kind=["dear", None] * 20).to_csv(tmp_path / "new.csv", index=False)
    text, rows = predicted("kind", f"csv:{tmp_path}/new.csv", tmp_path / "p.csv")
    assert (len(rows), "error" in text) == (NUMBER, False)
    assert "20 rows have no kind: there is no test error" in capsys.readouterr().err


def test_exported_file_takes_rows(folder, tmp_path):
    assert main(["export", "price", str(tmp_path / "out.npz")]) == 0
    found = models.load(tmp_path / "out.npz")(ROWS[["town", "size"]])
    _, rows = predicted("price", "csv:prices.csv", tmp_path / "p.csv")
    np.testing.assert_allclose(found[:, 0], numbers_of(rows, "prediction"), atol=1e-3)


def test_recipe_predicts_rows(folder, tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text()
    [recipe] = re.findall(
        r"```python\n(import models\nimport pandas.*?)```", page, re.S
    )
    assert "train" not in recipe
    assert main(["export", "price", str(tmp_path / "houses.safetensors")]) == 0
    _, rows = predicted("price", "csv:prices.csv", tmp_path / "p.csv")
    monkeypatch.chdir(tmp_path)
    ROWS.to_csv("new.csv", index=False)
    capsys.readouterr()
    exec(recipe, {})
    found = [float(word) for word in re.findall(r"[\d.]+", capsys.readouterr().out)]
    np.testing.assert_allclose(found, numbers_of(rows, "prediction"), atol=1e-3)


# --- Photos ---------------------------------------------------------------------------


def test_photos_without_classes_get_predictions_by_file(folder, tmp_path, capsys):
    root = tmp_path / "new"
    save_photos(root / "holiday", 1, size=(30, 60))
    Image.new("L", (9, 9), 80).save(root / "grey.jpg")
    (root / "broken.jpg").write_bytes(b"no image")
    text, rows = predicted("fruit", f"folder:{root}", tmp_path / "p.csv")
    files = ["grey.jpg", "holiday/apple/0.png", "holiday/plum/0.png"]
    assert [row["file"] for row in rows] == files
    assert "error" not in text
    assert "images, which cannot be read: broken.jpg" in capsys.readouterr().err
    _, known = predicted("fruit", "folder:photos", tmp_path / "known.csv")
    by_file = {row["file"]: row["p_apple"] for row in known}
    assert rows[1]["p_apple"] == by_file["apple/0.png"]  # scaled, it is the same
    assert rows[2]["p_apple"] == by_file["plum/0.png"]


def test_grey_photo_is_predicted_by_a_network_of_colours(folder, tmp_path):
    Image.new("L", (9, 9), 80).save(tmp_path / "grey.jpg")
    _, rows = predicted("fruit", f"folder:{tmp_path}", tmp_path / "p.csv")
    assert [row["file"] for row in rows] == ["grey.jpg"]


def test_photos_in_folders_of_classes_have_an_error_and_files(folder, tmp_path):
    save_photos(tmp_path / "new", 2)
    text, rows = predicted("fruit", f"folder:{tmp_path}/new", tmp_path / "p.csv")
    assert [row["target"] for row in rows] == ["apple", "apple", "plum", "plum"]
    wrong = sum(row["prediction"] != row["target"] for row in rows)
    assert f"test error {25 * wrong:.4f} %" in text


def test_own_test_photos_have_files(folder, tmp_path):
    _, rows = predicted("fruit", None, tmp_path / "p.csv")
    assert len(rows) == 4
    assert all(row["file"].startswith(row["target"]) for row in rows)


@pytest.mark.parametrize(
    ("run", "data"), [("fruit", "folder:photos"), ("price", "csv:prices.csv")]
)
def test_data_of_training_are_told(folder, run, data, capsys):
    evaluate(Evaluate(Path(run), data=data))
    assert "warning: most are training data." in capsys.readouterr().err
