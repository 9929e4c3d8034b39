import math

import pytest

from train.reports import tables


@pytest.mark.parametrize(
    ("number", "spec", "expected"),
    [
        (-0.001, "+.2f", "0.00"),
        (0.001, "+.2f", "0.00"),
        (-0.005001, "+.2f", "-0.01"),
        (-0.0, ".3f", "0.000"),
        (0.0, ".0%", "0%"),
        (10.0, "+.1f", "+10.0"),
    ],
)
def test_zero_has_no_sign(number, spec, expected):
    assert tables.signed(number, spec) == expected


def test_interval_has_both_ends():
    assert tables.interval(1.0, 1.5) == "-0.50 to +2.50"
    assert tables.interval(1.0, math.nan) == "-"


def test_interval_of_a_mean_stays_where_numbers_can_be():
    # 1, 2, 3: the half-width is 2.484 (see test_statistics).
    assert tables.mean_text([1.0, 2.0, 3.0], ".2f") == "2.00 ± 1.00 [0.00, 4.48]"
    numbers = [97.0, 98.0, 99.0]
    assert tables.mean_text(numbers, ".2f", 100) == "98.00 ± 1.00 [95.52, 100.00]"


def test_one_seed_has_a_mean_only():
    assert tables.mean_text([1.5], ".2f") == "1.50"


def test_percent_never_says_more_than_all():
    cells = [tables.percent(number) for number in (0.123, 100.0, 100.1, math.nan)]
    assert cells == ["0.12", "100.00", "over 100", "-"]


def test_columns_are_aligned():
    assert tables.aligned([["a", "bb"], ["ccc", "d"]]) == [
        "a    bb",
        "-------",
        "ccc  d",
    ]


def test_first_cell_that_is_too_long_has_a_line_of_its_own():
    assert tables.aligned([["a", "bb"], ["c" * 8, "d"], ["ef", "g"]], width=10) == [
        "a   bb",
        "------",
        "cccccccc",
        "    d",
        "ef  g",
    ]


def test_markdown_has_a_rule_below_its_head():
    assert tables.markdown([["a", "b"], ["1", "2"]]) == (
        "| a | b |\n| --- | --- |\n| 1 | 2 |"
    )
