"""Docs/scale.md: its tables are those of the command, and their formulas hold."""

import sys
from pathlib import Path

import pytest

from benchmarks import plan, scaling

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"

# By hand, from 3,086.423 and 34,788.57 us a step of 128 images on one v5e.
ROWS = [
    # 2,748,890 parameters. Alone 3.086 / 8 ms. 27 sums of 2 (1 + 3) hops of 1 us, and 8
    # bytes a parameter, less an eighth, at 100 GB/s: 0.216 + 0.192 ms. Memory: 8 a
    # parameter, 16 images of 2 x 32^2 x (16 + 56 x 2 x 4) bytes: 22 + 15.2 MB.
    "WRN-16-4, 32 | 128 | 8 | 19 | 0.39 | 0.41 | 49% | 0.037",
    # 37,113,784 parameters, with 1,000 classes. Alone 34.79 / 128 x 49 x 64 ms. 51 sums
    # of 2 (8 + 8) hops; 296.9 MB, less a 256th, at 200 GB/s; of a 256th three quarters
    # to other pods at 3.125 GB/s: 1.632 + 1.479 + 0.278 ms. Memory: 0.297 GB and 64
    # images of 2 x 224^2 x (16 + 56 x 4 x 10) bytes.
    "WRN-28-10, 224 | 65,536 | 1,024 | 297 | 852 | 3.4 | 100% | 15",
]


@pytest.mark.parametrize("row", ROWS)
def test_row_is_worked_by_hand(row):
    assert row.split(" | ") in plan.tables("tpu-v5e")["one run"]


def test_page_has_the_tables_that_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["scaling", "--plan"])
    scaling.main()
    printed = [x for x in capsys.readouterr().out.splitlines() if x.startswith("|")]
    page = PAGE.read_text().splitlines()
    heads = [place for place, line in enumerate(printed) if "pixels" in line]
    for first, end in zip(heads, [*heads[1:], len(printed)], strict=True):
        start = page.index(printed[first])
        length = page[start:].index("")
        assert page[start : start + length] == printed[first:end]
