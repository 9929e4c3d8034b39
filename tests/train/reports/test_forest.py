import math

import pytest

from train.reports.forest import Part, Row, draw_forest
from train.runs.drawing import plt
from train.runs.palette import ARM_COLORS

WORDS = {"title": "title", "axis": "arm less sgd", "sides": ("better", "worse")}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def row(name="a", mean=1.0, half=0.5, *, kind="lcam", group="", settled=False):
    words = f"{mean:+}", "undecided"
    return Row(name, kind, mean, half, half / 2, *words, 0.3, settled, group)


def lines(axes):
    """Of the lines at each height: their ends, the thin one, the thick one, the dot."""
    found = {}
    for line in axes.lines[1:]:  # the first is at 0
        found.setdefault(float(line.get_ydata()[0]), []).append([*line.get_xdata()])
    return found


def test_each_row_has_both_intervals_and_a_dot():
    rows = [row(), row("b", -2.0, 3.0)]
    [axes] = draw_forest([Part("", rows)], **WORDS).axes
    assert lines(axes) == {
        0.5: [[0.5, 1.5], [0.75, 1.25], [1.0]],
        1.5: [[-5.0, 1.0], [-3.5, -0.5], [-2.0]],
    }
    low, high = axes.get_xlim()
    assert low == -high < -5


def test_what_is_said_of_a_row_stands_beside_it():
    rows = [row(group="first"), row("b", group="first"), row("c", group="other")]
    [axes] = draw_forest([Part("digits", rows)], **WORDS).axes
    placed = {text.get_text(): text.xy[1] for text in axes.texts}
    assert placed["first"] == 0.5
    assert [placed[name] for name in "abc"] == [1.5, 2.5, 4.5]
    assert placed["other"] == 3.5
    assert [text.get_text() for text in axes.texts].count("undecided") == 3


def test_margin_is_shaded():
    [axes] = draw_forest([Part("", [row()])], **WORDS).axes
    [band] = axes.collections
    xs = band.get_paths()[0].vertices[:, 0]
    assert (xs.min(), xs.max()) == (-0.3, 0.3)


def test_parts_have_scales_of_their_own():
    parts = [Part("digits", [row()]), Part("text", [row(mean=9.0)])]
    first, other = draw_forest(parts, **WORDS).axes
    assert first.get_xlim()[1] < 2 < 9 < other.get_xlim()[1]


def test_one_seed_has_a_dot_alone():
    [axes] = draw_forest([Part("", [row(half=math.nan)])], **WORDS).axes
    assert axes.get_xlim()[1] == pytest.approx(1.08)


def test_arms_have_their_colours_and_what_is_settled_is_filled():
    rows = [row(kind="sgd", settled=True), row("b", kind="chance")]
    [axes] = draw_forest([Part("", rows)], **WORDS).axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    looks = [(dot.get_color(), dot.get_markerfacecolor()) for dot in dots]
    black, orange = ARM_COLORS["sgd"], ARM_COLORS["chance"]
    assert looks == [(black, black), (orange, "white")]


def test_words_stay_in_the_picture():
    long = "the own loss helps LCAM's order more at once than late"
    rows = [row(name="n" * 60)._replace(verdict=long)]
    words = WORDS | {"title": "No difference is significant. " * 9}
    figure = draw_forest([Part("", rows)], **words)
    figure.draw_without_rendering()
    texts = [figure._suptitle, *figure.axes[0].texts]
    for text in texts:
        box = text.get_window_extent()
        assert 0 <= box.x0 < box.x1 <= figure.bbox.width, text.get_text()
