import math

import pytest
from matplotlib.container import ErrorbarContainer

from train.reports.forest import Column, Interval, draw_forest
from train.runs.drawing import plt
from train.runs.palette import ARM_COLORS

ROWS = {"a": ("lcam", ""), "b": ("lcam", "")}
WORDS = {"title": "title", "axis": "arm less sgd", "sides": ("arm better", "arm worse")}


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
    figure = draw_forest([Column("data", "3 seeds", differences)], ROWS, **WORDS)
    [axes] = figure.axes
    assert dots(axes) == {0: (1.0, 0.5, 1.5), 1: (-2.0, -5.0, 1.0)}
    low, high = axes.get_xlim()
    assert low == -high < -5


def test_arm_that_was_not_run_is_said_to_be_so():
    columns = [Column("data", "", {"a": Interval(1.0, 0.5)})]
    [axes] = draw_forest(columns, ROWS, **WORDS).axes
    assert [text.get_text() for text in axes.texts].count("not run") == 1


def test_columns_of_one_title_share_a_scale():
    columns = [
        Column("digits", "first", {"a": Interval(1.0, 0.5)}),
        Column("digits", "again", {"a": Interval(4.0, 0.5)}),
        Column("text", "", {"a": Interval(9.0, 1.0)}),
    ]
    first, again, other = draw_forest(columns, {"a": ("lcam", "")}, **WORDS).axes
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


def test_arms_have_their_colours_and_only_what_excludes_zero_is_filled():
    differences = {"a": Interval(1.0, 0.5), "b": Interval(-2.0, 3.0)}
    rows = {"a": ("sgd", ""), "b": ("chance", "")}
    [axes] = draw_forest([Column("data", "", differences)], rows, **WORDS).axes
    markers = [bar.lines[0] for bar in axes.containers]
    looks = [(m.get_color(), m.get_markerfacecolor()) for m in markers]
    black, orange = ARM_COLORS["sgd"], ARM_COLORS["chance"]
    assert looks == [(black, black), (orange, "white")]


def test_long_title_is_broken_into_lines():
    columns = [Column("data", "", {"a": Interval(1.0, 0.5)})]
    words = WORDS | {"title": "No difference is significant. " * 9}
    figure = draw_forest(columns, {"a": ("lcam", "")}, **words)
    figure.draw_without_rendering()
    assert figure._suptitle.get_window_extent().width < figure.bbox.width
