import math

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.container import ErrorbarContainer

from tests.train.studies.written import epoch
from train.studies.pictures import Column, Interval, Words, draw_forest, plot_curves

WORDS = Words("title", "arm less sgd", "arm better", "arm worse")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def dots(axes):
    """Of each error bar its arm's row, mean and ends."""
    found = {}
    for bar in axes.containers:
        assert isinstance(bar, ErrorbarContainer)
        [x], [y] = bar.lines[0].get_data()
        found[int(y)] = x, *bar.lines[2][0].get_segments()[0][:, 0]
    return found


def test_each_arm_has_its_interval_in_its_row():
    differences = {"a": Interval(1.0, 0.5), "b": Interval(-2.0, 3.0)}
    figure = draw_forest(
        [Column("data", "3 seeds", differences)], {"a": "", "b": ""}, WORDS
    )
    [axes] = figure.axes
    assert dots(axes) == {0: (1.0, 0.5, 1.5), 1: (-2.0, -5.0, 1.0)}
    low, high = axes.get_xlim()
    assert low == -high < -5


def test_arm_that_was_not_run_is_said_to_be_so():
    columns = [Column("data", "", {"a": Interval(1.0, 0.5)})]
    [axes] = draw_forest(columns, {"a": "", "b": ""}, WORDS).axes
    assert [text.get_text() for text in axes.texts].count("not run") == 1


def test_columns_of_one_title_share_a_scale():
    columns = [
        Column("digits", "first", {"a": Interval(1.0, 0.5)}),
        Column("digits", "again", {"a": Interval(4.0, 0.5)}),
        Column("text", "", {"a": Interval(9.0, 1.0)}),
    ]
    first, again, other = draw_forest(columns, {"a": ""}, WORDS).axes
    assert first.get_xlim() == again.get_xlim() != other.get_xlim()


@pytest.mark.parametrize(
    ("interval", "has_zero"),
    [
        (Interval(1.0, 0.5), False),
        (Interval(-1.0, 0.5), False),
        (Interval(1.0, 1.0), True),
        (Interval(0.0, 0.0), True),
        (Interval(1.0, math.nan), True),  # one seed is no evidence
    ],
)
def test_interval_knows_whether_zero_is_in_it(interval, has_zero):
    assert interval.has_zero == has_zero


def test_curves_are_means_over_seeds_and_the_legend_stands_beside_them(
    tmp_path, monkeypatch
):
    figures = []
    monkeypatch.setattr(
        "train.runs.drawing.save", lambda figure, _: figures.append(figure)
    )
    runs = {"a": {0: [epoch(1, 4.0), epoch(2, 2.0)], 1: [epoch(1, 8.0), epoch(2, 4.0)]}}
    plot_curves(tmp_path / "x.png", runs, "digits")
    [figure] = figures
    *_, mean = figure.axes[0].get_lines()
    np.testing.assert_array_equal(mean.get_ydata(), [6.0, 3.0])
    assert figure.axes[0].get_legend() is None
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a"]
