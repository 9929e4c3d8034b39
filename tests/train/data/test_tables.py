import numpy as np
import pandas as pd
import pytest

from train.data.sources import load_dataset
from train.errors import InputError
from train.settings.options import Data

ROWS = pd.DataFrame(
    {
        "size": [1.0, 2.0, 3.0, np.nan, 5.0] * 4,
        "colour": ["red", "blue", "red", "green", None] * 4,
        "kind": ["cat", "dog"] * 10,
        "price": np.arange(20) / 4,
    }
)


def write(path, table=ROWS):
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def load(path, target="kind", **options):
    return load_dataset(Data(data=f"csv:{path}", target=target, **options))


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_numbers_are_standardised_and_words_are_one_hot(tmp_path, ending):
    path = write(tmp_path / f"table.{ending}")
    test = write(tmp_path / f"test.{ending}", ROWS[:5])
    data = load(path, test_file=test)
    assert (data.kind, data.num_classes) == ("rows", 2)
    assert data.class_names == ("cat", "dog")
    # size, three colours, price
    assert data.train_inputs.shape == (20, 5)
    size = np.nan_to_num(ROWS["size"].to_numpy(), nan=2.5)  # the median
    expected = (size - size.mean()) / size.std()
    np.testing.assert_allclose(data.train_inputs[:, 0], expected, rtol=1e-6)
    assert data.train_inputs[:5, 1].tolist() == [0, 1, 0, 0, 0]  # blue
    assert data.train_inputs[:5, 3].tolist() == [1, 0, 1, 0, 0]  # red
    np.testing.assert_allclose(data.test_inputs, data.train_inputs[:5], rtol=1e-6)
    assert data.train_targets.tolist() == [0, 1] * 10


def test_a_fifth_of_the_rows_is_kept_for_the_test(tmp_path, capsys):
    data, again = (load(write(tmp_path / "table.csv")) for _ in range(2))
    assert (len(data.train_inputs), len(data.test_inputs)) == (16, 4)
    assert sorted(data.test_targets) == [0, 0, 1, 1]  # of each class
    np.testing.assert_array_equal(data.test_inputs, again.test_inputs)
    err = capsys.readouterr().err
    assert "a fifth of the rows, 4, is kept for the test" in err
    assert "missing numbers of size become the median" in err


@pytest.mark.parametrize("mark", [";", "\t"])
def test_semicolons_and_decimal_commas_are_read(tmp_path, mark):
    points, commas = tmp_path / "points.csv", tmp_path / "commas.csv"
    write(points).write_text(ROWS.to_csv(index=False))
    commas.write_text(ROWS.to_csv(index=False, sep=mark, decimal=","))
    expected, found = load(points, "price"), load(commas, "price")
    np.testing.assert_array_equal(found.train_inputs, expected.train_inputs)
    np.testing.assert_array_equal(found.train_targets, expected.train_targets)


def test_whole_classes_have_whole_names_where_some_are_missing(tmp_path):
    path = write(tmp_path / "table.csv", ROWS.assign(kind=[1, 2, None, 1] * 5))
    assert load(path).class_names == ("1", "2")


def test_rows_without_a_target_are_left_out_and_told(tmp_path, capsys):
    kinds = [None] * 5 + ["cat", "dog", "cat"] * 5
    path = write(tmp_path / "table.csv", ROWS.assign(kind=kinds))
    data = load(path, test_file=write(tmp_path / "test.csv"))
    assert len(data.train_inputs) == 15
    assert "5 rows have no kind, and are left out" in capsys.readouterr().err


def test_numbers_with_fractions_are_predicted_as_numbers(tmp_path):
    data = load(write(tmp_path / "table.csv"), "price")
    assert (data.num_classes, data.class_names) == (0, ())
    assert abs(data.train_targets.mean()) < 1e-6
    assert data.train_targets.std() == pytest.approx(1)


def test_whole_numbers_are_classes_or_what_is_said(tmp_path):
    table = ROWS.assign(stars=np.arange(20) % 3)
    path = write(tmp_path / "table.csv", table)
    assert load(path, "stars").class_names == ("0", "1", "2")
    assert load(path, "stars", task="numbers").num_classes == 0


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (
            ROWS,
            {"target": "kinds"},
            "must be a column of .*; got kinds. Did you mean kind",
        ),
        (
            pd.DataFrame({"a": range(60), "y": range(60)}),
            {"target": "y"},
            "60 different whole numbers: say by --task",
        ),
        (
            pd.DataFrame({"a": [f"word {k}" for k in range(100)], "y": [0, 1] * 50}),
            {"target": "y"},
            "column a has 80 different words, such as word",
        ),
        (pd.DataFrame({"y": [0, 1] * 30}), {"target": "y"}, "no column but the target"),
        (ROWS, {"drop": ("sise",)}, "--drop must be .*; got sise. Did you mean size"),
        (ROWS, {"drop": ("kind",)}, "--target must be a column of .*; got kind"),
        (
            pd.DataFrame({"a": range(60), "y": [f"{k}.50 EUR" for k in range(60)]}),
            {"target": "y"},
            "with something around them, as 0.50 EUR",
        ),
        (ROWS, {"task": "numbers"}, "column kind holds (cat|dog), which is no number"),
        (
            ROWS.assign(size=np.nan),
            {},
            'column size is empty. Leave it out: --drop "size"',
        ),
        (ROWS.assign(kind="cat"), {}, "kind is cat in every row"),
        (ROWS.assign(price=7.5), {"target": "price"}, "price is 7.5 in every row"),
        (
            ROWS.assign(kind=["cow"] + ["dog"] * 19),
            {},
            r"too few rows to keep a fifth .*\(cow: 1\).* say --task numbers",
        ),
        (ROWS[:1], {}, r"too few rows to keep a fifth .*\(cat: 1\)"),
        (ROWS[:0].assign(kind=""), {}, "has no rows"),
        (
            ROWS.assign(price=[f"{k},5" for k in range(20)]),
            {"target": "price"},
            "the column price of .* has numbers like 0,5. Save the file with numbers",
        ),
    ],
)
def test_table_that_cannot_be_used_is_refused(tmp_path, table, options, message):
    path = write(tmp_path / "table.csv", table)
    with pytest.raises(InputError, match=message):
        load(path, **{"target": "kind", **options})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no file"),
        (b"", "cannot read .*: it is empty."),
        (b'a,b\n1,2\n"3,4', "cannot read .*: a quotation mark is not closed in row 2."),
        (b"a,b\n1,2\n3,4,5", "cannot read .*: line 3 has 3 cells, not 2."),
        (b"a,b\n1,2,3\n3,4,5", "its rows have more cells than its first line"),
        ("a,b\n1,ä".encode("latin-1"), "is not in UTF-8. Save it as CSV UTF-8."),
    ],
)
def test_file_that_is_no_table_is_refused(tmp_path, content, message):
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(path)


def test_test_file_has_the_same_columns_and_classes(tmp_path):
    path = write(tmp_path / "table.csv")
    test = write(tmp_path / "test.csv", ROWS.drop(columns="size"))
    with pytest.raises(InputError, match="size is a column of one of"):
        load(path, test_file=test)
    write(test, ROWS.assign(kind="cow"))
    with pytest.raises(InputError, match="the class cow has test rows only"):
        load(path, test_file=test)


def test_dropped_columns_are_no_inputs(tmp_path):
    path = write(tmp_path / "table.csv", ROWS.assign(sold_on=range(20)))
    test = write(tmp_path / "test.csv", ROWS)  # without it
    expected = load(write(tmp_path / "rows.csv"), test_file=test)
    found = load(path, drop=("sold_on",), test_file=test)
    np.testing.assert_array_equal(found.train_inputs, expected.train_inputs)
    np.testing.assert_array_equal(found.test_inputs, expected.test_inputs)


def test_table_needs_a_target():
    with pytest.raises(InputError, match="--data csv:FILE needs --target COLUMN"):
        Data(data="csv:table.csv")
