"""Rows of a table as a network takes them: encoded as those that it was trained on."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np


def encode(
    rows: Any, columns: Sequence[Mapping], say: Callable[[str], Any] = warnings.warn
) -> np.ndarray:
    """Numbers are standardised, and words one-hot: float32 [rows, inputs].

    Args:
      rows: a pandas DataFrame, or a dict of columns; it may have others besides.
      columns: of the training rows: each `name`, with `words`, or with `mean`, `std`
        and the `median` that a missing number becomes.
      say: is told of new words, and of missing numbers.

    Raises:
      ValueError: a column is missing, or has something else than numbers.
    """
    import pandas as pd  # takes a second

    table, inputs = pd.DataFrame(rows), []
    for column in columns:
        name = column["name"]
        if name not in table:
            raise ValueError(f"there is no column {name}, which training had.")
        cells = table[name]
        if "words" in column:
            words = cells.map(str, na_action="ignore")
            if new := sorted({*words.dropna()} - {*column["words"]}):
                say(f"training had no {name} {new[0]}: it counts as none")
            inputs += [words == word for word in column["words"]]
            continue
        numbers = pd.to_numeric(cells, errors="coerce").to_numpy(float, na_value=np.nan)
        for odd in cells[np.isnan(numbers)].dropna():
            raise ValueError(f"the column {name} holds {odd}, which is no number.")
        if not (is_known := np.isfinite(numbers)).all():
            say(f"missing numbers of {name} become the median")
        numbers = np.where(is_known, numbers, column["median"])
        inputs.append((numbers - column["mean"]) / column["std"])
    return np.stack(inputs, axis=1, dtype=np.float32)
