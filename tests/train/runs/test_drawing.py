"""Axes, lines, colours and files of pictures."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from train.runs import drawing
from train.runs.drawing import plt
from train.runs.folder import config_as_json
from train.runs.palette import ARM_COLORS, kind_of
from train.settings.arms import parse_arm
from train.settings.optimizer import Optimizer


@pytest.fixture
def axes():
    yield plt.figure().add_subplot()
    plt.close("all")


def ticks(axes):
    places = axes.get_yticks()
    labels = [label.get_text() for label in axes.get_yticklabels()]
    return dict(zip(labels, places, strict=True))


def test_error_of_zero_stands_at_half_an_example(axes):
    # 200 predictions: one wrong one is 0.5 %.
    errors = np.array([8.0, 1.0, 0.0])
    floor = drawing.floor_of(errors, 200)
    assert floor == 0.25
    drawing.log_scale(axes, errors, floor, " %")
    assert axes.get_yscale() == "log"
    assert ticks(axes)["≤ 0.25 %"] == 0.25
    assert axes.get_ylim()[0] < 0.25


def test_floor_that_nothing_reaches_has_no_tick(axes):
    drawing.log_scale(axes, np.array([8.0, 1.0]), 0.25, " %")
    assert "1 %" in ticks(axes)
    assert not any(label.startswith("≤") for label in ticks(axes))


@pytest.mark.parametrize(
    ("low", "high"), [(90.0, 90.0), (41.0, 44.0), (1.0, 4.0), (0.2, 50), (1e-9, 3)]
)
def test_each_span_has_ticks_to_read(axes, low, high):
    numbers = np.array([low, high, np.nan])
    drawing.log_scale(axes, numbers, drawing.floor_of(numbers))
    assert 1 <= len(ticks(axes)) <= 10
    bottom, top = axes.get_ylim()
    assert bottom < low <= high < top


@pytest.mark.parametrize("low", [41.0, 8.0, 3.5, 0.7])
def test_low_end_has_a_label_and_ticks_stand_between_labels(axes, low):
    drawing.log_scale(axes, np.array([low, 50.0]), 0.25, " %")
    labelled = list(ticks(axes).values())
    assert min(labelled) < 1.5 * low
    assert len(axes.get_yticks(minor=True)) + len(labelled) >= 8


@pytest.mark.parametrize("numbers", [[], [np.nan], [0.0, 0.0]])
def test_nothing_above_zero_leaves_the_axis_as_it_is(axes, numbers):
    numbers = np.array(numbers)
    drawing.log_scale(axes, numbers, drawing.floor_of(numbers))
    assert axes.get_yscale() == "linear"


def test_arms_of_a_kind_share_a_colour_and_differ_otherwise():
    kinds = ["sgd", "lcam", *["sgd"] * 7]
    styles = drawing.line_styles(kinds, epochs=40)
    assert [style["color"] for style in styles] == [ARM_COLORS[kind] for kind in kinds]
    looks = [(s["color"], s["linestyle"], s["marker"]) for s in styles]
    assert len(set(looks)) == len(looks)


def test_each_other_optimizer_has_a_colour_of_its_own():
    kinds = ["sgd", "optax.lion", "mine.py:make", "optax.lion"]
    colors = [style["color"] for style in drawing.line_styles(kinds, epochs=40)]
    assert len(set(colors)) == 3
    assert colors[1] == colors[3]


def test_letters_that_the_font_lacks_are_no_warning(axes, tmp_path):
    axes.set_title("数字")
    drawing.save(axes.figure, tmp_path / "x.png")


def test_own_pictures_are_known_from_others(axes, tmp_path):
    ours, others = tmp_path / "ours.png", tmp_path / "others.png"
    axes.figure.savefig(others)
    drawing.save(axes.figure, ours)
    assert drawing.is_ours(ours)
    assert not drawing.is_ours(others)


def test_home_that_cannot_be_written_to_is_no_news():
    lost = {"MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}
    environment = {k: v for k, v in os.environ.items() if k not in lost}
    environment |= {"HOME": "/dev/null", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", "import train.runs.drawing"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- Colours --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arm", "kind"),
    [
        ("sgd", "sgd"),
        ("lcam", "lcam"),
        ("lcam:low-loss-momentum=0.9", "sgd"),
        ("lcam:low-loss-momentum=0.8", "lcam-reversed"),
        ("lcam:phase=chance,low-loss-share=0.7", "chance"),
        ("lcam:phase=fixed", "signal"),
        ("lcam:lagged=True", "timing"),
        ("lcam:loss-average=epoch", "timing"),
        ("lcam:margin=0.1", "average"),
        ("optax.adamw:b1=0.9/0.95", "optax.adamw"),
    ],
)
def test_options_tell_the_kind_of_an_arm(arm, kind):
    assert kind_of(arm, config_as_json(parse_arm(arm))) == kind


@pytest.mark.parametrize(
    ("arm", "kind"),
    [
        ("sgd-0.9", "sgd"),
        ("borrowed", "borrowed"),
        ("twin", "borrowed"),
        ("run", "lcam"),
    ],
)
def test_without_options_the_name_tells(arm, kind):
    assert kind_of(arm, {}) == kind


@pytest.mark.parametrize("name", ["matched-step", "mean-momentum"])
def test_controls_are_told_by_their_names(name):
    assert kind_of(name, config_as_json(Optimizer("sgd"))) == name


def test_no_two_kinds_share_a_colour():
    assert len(set(ARM_COLORS.values())) == len(ARM_COLORS)
