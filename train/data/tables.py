"""A table of one's own: CSV, TSV or Parquet, of which one column is to be predicted."""

from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api import types
from sklearn.model_selection import train_test_split

from train import notes
from train.data.dataset import Dataset
from train.data.offline import standardize
from train.errors import InputError
from train.paths import expand
from train.settings.cli import did_you_mean, listing
from train.settings.options import Data

MOST_WORDS = 50  # kinds of words in a column; each gets an input of its own
MOST_NUMBERS = 20  # kinds of whole numbers that are taken for classes unasked
TEST_SHARE = 0.2  # of the rows, where there is no file for the test


def load_table(path: Path, config: Data) -> Dataset:
    """Reads the table: numbers standardised, words one-hot, the target as it is."""
    table = _read(path)
    if config.target not in table:
        columns = [*map(str, table.columns)]
        hint = did_you_mean(str(config.target), columns)
        if len(columns) == 1 and ";" in columns[0]:
            hint = " Its columns are separated by semicolons: save it with commas."
        raise InputError(
            f"--target must be a column of {path}: {listing(columns)}; got "
            f"{config.target}.{hint}"
        )
    is_known = table[config.target].notna()
    if not is_known.all():
        notes.say(
            f"note: {(~is_known).sum():,} of {len(table):,} rows have no "
            f"{config.target}, and are left out"
        )
    table = table[is_known]
    is_class = _is_class(table[config.target], config)
    if config.test_file is not None:
        train, test = table, _read(expand(config.test_file))
        if others := sorted({*map(str, train)} ^ {*map(str, test)}):
            raise InputError(
                f"{config.test_file} and {path} must have the same columns: "
                f"{others[0]} is in one of them only."
            )
        test = test[test[config.target].notna()]
    else:
        kinds = table[config.target] if is_class else None
        try:
            train, test = train_test_split(
                table, test_size=TEST_SHARE, random_state=0, stratify=kinds
            )
        except ValueError:  # a class with one row, or hardly any rows
            counts = table[config.target].value_counts()
            if is_class and len(counts) and counts.iloc[-1] == 1:
                raise InputError(
                    f"{path}: the class {counts.index[-1]} of {config.target} has one "
                    "row, and needs two, to train and to test on. If these are "
                    "numbers, add --task numbers."
                ) from None
            raise InputError(
                f"{path} has {len(table):,} rows with a {config.target}: too few to "
                "keep a fifth for the test. Name rows for the test by --test-file."
            ) from None
        notes.say(f"note: a fifth of the rows, {len(test):,}, is kept for the test")
    x_train, x_test = _inputs(train, test, config.target)
    y_train, y_test, names = _targets(
        train[config.target], test[config.target], is_class, path
    )
    return Dataset(x_train, y_train, x_test, y_test, len(names), names)


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"there is no file {path}.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    except Exception as error:  # of pandas, which raises all kinds
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"cannot read {path}: {reason}.") from None


def _is_class(target: pd.Series, config: Data) -> bool:
    """Whether the target is a class, and no number."""
    if config.task is not None:
        return config.task == "classes"
    if not types.is_numeric_dtype(target) or types.is_bool_dtype(target):
        return True
    if (target % 1 != 0).any():
        return False
    if target.nunique() > MOST_NUMBERS:
        raise InputError(
            f"--target {config.target} has {target.nunique():,} different whole "
            "numbers: say by --task what they are, classes or numbers."
        )
    return True


def _inputs(
    train: pd.DataFrame, test: pd.DataFrame, target: str
) -> tuple[np.ndarray, np.ndarray]:
    """All columns but the target, float32 [rows, inputs], as the training rows say."""
    columns: list[tuple[np.ndarray, np.ndarray]] = []
    filled = []
    for name in train.columns.drop(target):
        ours, both = train[name], (train[name], test[name])
        if all(map(types.is_numeric_dtype, both)):
            if any(part.hasnans for part in both):
                filled.append(str(name))
            numbers = [part.astype(float).fillna(ours.median()) for part in both]
            columns.append(standardize(*(part.to_numpy() for part in numbers)))
            continue
        words, what = ours.dropna().astype(str).unique(), ""
        if len(words) > MOST_WORDS:
            what = f"{len(words):,} different words"
        elif types.is_datetime64_any_dtype(ours):
            what = "dates"
        if what:
            raise InputError(
                f"the column {name} has {what}: numbers, and words of at most "
                f"{MOST_WORDS} kinds, can be used. Take it out of the table."
            )
        for word in sorted(words):
            is_word = (part.astype(str) == word for part in both)
            columns.append(tuple(part.to_numpy(np.float32) for part in is_word))
    if not columns:
        raise InputError(f"the table has no column but the target {target}.")
    if filled:
        notes.say(
            f"note: missing numbers of {listing(filled, 'and')} become the median"
        )
    x_train, x_test = (np.stack(part, axis=1) for part in zip(*columns, strict=True))
    return x_train, x_test


def _targets(
    train: pd.Series, test: pd.Series, is_class: bool, path: Path
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Classes by number, with their names; or numbers, standardised, without."""
    if not is_class:
        read = (pd.to_numeric(part, errors="coerce") for part in (train, test))
        numbers = [part.to_numpy(float) for part in read]
        for part, found in zip((train, test), numbers, strict=True):
            if not np.isfinite(found).all():
                raise InputError(
                    f"--task numbers: {train.name} of {path} holds "
                    f"{part[~np.isfinite(found)].iloc[0]}, which is no number."
                )
        return *standardize(*numbers), ()
    names = sorted(train.unique())
    if others := {*test.unique()} - {*names}:
        raise InputError(
            f"{path}: the class {min(map(str, others))} has test rows only."
        )
    if len(names) < 2:
        raise InputError(
            f"{path}: {train.name} has one class, {names[0]}: two are needed."
        )
    places = {name: place for place, name in enumerate(names)}
    labels = (each.map(places).to_numpy(np.int32) for each in (train, test))
    return *labels, tuple(map(str, names))
