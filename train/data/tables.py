"""A table of one's own: CSV, TSV or Parquet, of which one column is to be predicted."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types

from train import notes
from train.data.dataset import Dataset, Examples, keep_fifth
from train.errors import InputError
from train.paths import expand
from train.settings.cli import did_you_mean, listing
from train.settings.options import Data

MOST_WORDS = 50  # kinds of words in a column; each gets an input of its own
MOST_NUMBERS = 20  # kinds of whole numbers that are taken for classes unasked

_AMOUNT = r"\D{1,4}-?\d[\d.,]*|-?\d[\d.,]*\D{1,4}"  # $79.50, 79.50 EUR

# What pandas says of a file, and what is said instead.
_PLAIN = {
    r".*Expected (\d+) .* line (\d+), saw (\d+)": r"line \2 has \3 cells, not \1",
    r".*EOF inside string.* (\d+)": r"a quotation mark is not closed in row \1",
    r"No columns to parse.*": "it is empty",
    r".*codec can't decode.*": "it is not in UTF-8. Save it as CSV UTF-8",
}


def load_table(path: Path, config: Data) -> Dataset:
    """Reads the table: numbers standardised, words one-hot, the target as it is."""
    table, target = _read(path), str(config.target)
    dropped = [*(config.drop or ())]
    _check_known("--drop", dropped, table, path)
    table = table.drop(columns=dropped)
    _check_known("--target", [target], table, path)
    train = table[table[target].notna()]
    if unknown := len(table) - len(train):
        notes.say(f"note: {unknown:,} rows have no {target}, and are left out")
    if len(train) > 1 and train[target].nunique() == 1:
        raise InputError(
            f"{path}: {target} is {train[target].iloc[0]} in every row. There is "
            "nothing to predict."
        )
    is_class = _is_class(train[target], config)
    if config.test_file is not None:
        test = _read(expand(config.test_file)).drop(columns=dropped, errors="ignore")
        if others := sorted({*train} ^ {*test}):
            both = f"{path} and {config.test_file}"
            raise InputError(f"{others[0]} is a column of one of {both} only.")
        test = test[test[target].notna()]
    else:
        kinds = [*train[target]] if is_class else [target] * len(train)
        advice = (
            "Name rows for it by --test-file" + ", or say --task numbers" * is_class
        )
        rest, kept = keep_fifth(kinds, f"{target} of {path}", "row", advice)
        train, test = train.iloc[rest], train.iloc[kept]
    both, size = pd.concat([train, test]), len(train)
    facts = {"target": target, "columns": _columns(train.drop(columns=target))}
    facts |= {} if is_class else _scale(train[target])
    inputs, targets, names, *_ = _examples(both, facts, path)
    if others := {*targets[size:]} - {*targets[:size]} if is_class else ():
        raise InputError(f"{path}: the class {names[min(others)]} has test rows only.")
    parts = inputs[:size], targets[:size], inputs[size:], targets[size:]
    return Dataset(*parts, len(names), names, facts)


def _check_known(
    option: str, names: Sequence[str], table: pd.DataFrame, path: Path
) -> None:
    """Refuses a name that no column has."""
    for name in names:
        if name not in table:
            raise InputError(
                f"{option} must be a column of {path}: {listing(table)}; got {name}."
                f"{did_you_mean(name, table)}"
            )


def load_rows(path: Path, facts: Mapping[str, Any]) -> Examples:
    """Rows of another file, encoded by `Dataset.table`; targets if all have one."""
    target, columns = facts["target"], facts["columns"]
    words = [each["name"] for each in columns if "words" in each]
    table = _read(path, words if "std" in facts else [*words, target])
    if target in table and (unknown := table[target].isna().sum()):
        notes.say(f"note: {unknown:,} rows have no {target}: there is no test error")
        table = table.drop(columns=target)
    return _examples(table, facts, path)


def _examples(table: pd.DataFrame, facts: Mapping[str, Any], path: Path) -> Examples:
    """Rows as a network takes them, and their targets, if there is such a column."""
    from models.tables import encode  # loads JAX, after most is refused

    columns, target, labels, names = [*facts["columns"]], facts["target"], None, ()
    if is_number := "std" in facts and target in table:
        columns.append({**facts, "name": target})
    try:
        inputs = encode(table, columns, lambda text: notes.say(f"note: {text}"))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    if is_number:
        return Examples(inputs[:, :-1], inputs[:, -1])
    if target in table:
        labels, kinds = pd.factorize(table[target].convert_dtypes(), sort=True)
        labels, names = labels.astype(np.int32), tuple(map(str, kinds))
    return Examples(inputs, labels, names)


def _read(path: Path, words: Collection[str] = ()) -> pd.DataFrame:
    """Reads a file; columns of `words` are read as such, whatever they look like."""
    if not path.is_file():
        raise InputError(f"there is no file {path}.")
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            return table.set_axis([*map(str, table)], axis=1)
        with path.open(errors="replace") as file:
            head = file.read(1 << 16)
        mark = max(",;\t", key=head.partition("\n")[0].count)
        number = rf'[\n{mark}]"?-?\d[\d.]*,\d+"?[\n{mark}]'
        is_comma = mark != "," and re.search(number, head)
        options = {"sep": mark, "decimal": "," if is_comma else "."}
        table = pd.read_csv(path, dtype=dict.fromkeys(words, str), **options)
        if not table.index.equals(pd.RangeIndex(len(table))):
            raise ValueError("its rows have more cells than its first line")
        if table.empty:
            raise ValueError("it has no rows")
    except Exception as error:  # of pandas, which raises all kinds
        reason = " ".join(str(error).split())[:200]
        for theirs, plain in _PLAIN.items():
            reason = re.sub(theirs, plain, reason)
        raise InputError(f"cannot read {path}: {reason}.") from None
    for name in table.select_dtypes("str").columns.drop(words, errors="ignore"):
        cells = table[name].dropna()
        commas = cells[cells.str.contains(",")]
        if len(commas) and cells.str.fullmatch(r"[-+]?\d[\d.,]*").all():
            raise InputError(
                f"the column {name} of {path} has numbers like {commas.iloc[0]}. Save "
                "the file with numbers like 1234.5; or, between semicolons, 1234,5."
            )
    return table


def _is_class(target: pd.Series, config: Data) -> bool:
    """Whether the target is a class, and no number."""
    if config.task is not None:
        return config.task == "classes"
    if not types.is_numeric_dtype(target) or types.is_bool_dtype(target):
        odd = [cell for cell in map(str, target) if re.fullmatch(_AMOUNT, cell)]
        if len(odd) > len(target) / 2 and target.nunique() > MOST_WORDS:
            raise InputError(
                f"--target {config.target} has numbers with something around them, as "
                f"{odd[0]}. Save the numbers alone, or say --task classes."
            )
        return True
    if (target % 1 != 0).any():
        return False
    if target.nunique() > MOST_NUMBERS:
        raise InputError(
            f"--target {config.target} has {target.nunique():,} different whole "
            "numbers: say by --task what they are, classes or numbers."
        )
    return True


def _scale(cells: pd.Series) -> dict[str, float]:
    """What standardises numbers; those that are missing become the median."""
    numbers = pd.to_numeric(cells, errors="coerce").astype(float)
    median = numbers[is_known := np.isfinite(numbers)].median()
    numbers = numbers.where(is_known, median)
    return {"median": median, "mean": numbers.mean(), "std": numbers.std(ddof=0) or 1.0}


def _columns(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """What `models.tables.encode` needs to know of each column of the training rows."""
    columns = []
    for name, cells in rows.items():
        known = cells.dropna()
        if types.is_numeric_dtype(cells) and len(known):
            columns.append({"name": name, **_scale(cells)})
            continue
        words = sorted(known.map(str).unique())
        columns.append({"name": name, "words": words})
        if not 0 < len(words) <= MOST_WORDS:
            odd = known[pd.to_numeric(known, errors="coerce").isna()]
            such = "".join(f", such as {word}" for word in odd[:1])
            what = f"has {len(words):,} different words{such}: 1 to {MOST_WORDS} can be"
            what = f"{what} used, and any numbers" if words else "is empty"
            raise InputError(
                f'the column {name} {what}. Leave it out: --drop "{name}".'
            )
    if not columns:
        raise InputError("the table has no column but the target.")
    return columns
