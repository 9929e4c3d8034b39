import json

import numpy as np
import pytest

from lcam_optax import Phase
from train.runs import records
from train.runs.drawing import plot_run
from train.runs.folder import config_as_json
from train.runs.palette import ARM_COLORS
from train.settings.arms import parse_arm
from train.settings.experiment import Experiment

LOSSES = [2.0, 1.5, 1.8, 1.0]
PHASES = [Phase.HIGH_LOSS, Phase.LOW_LOSS, Phase.HIGH_LOSS, Phase.LOW_LOSS]
AVERAGES = [2.0, 1.75, 1.77, 1.6]
MOMENTA = [0.9, 0.95, 0.9, 0.95]


def write_run(folder, *, adaptive=False, test_errors=(50.0, 40.0)):
    """Two epochs of two steps."""
    folder.mkdir()
    nothing = [float("nan")] * 4
    columns = [LOSSES] + (
        [nothing] * 3 if adaptive else [AVERAGES, [int(p) for p in PHASES], MOMENTA]
    )
    for epoch, test_error in enumerate(test_errors, start=1):
        row = {
            "epoch": epoch,
            "train_loss": 2.0 - 0.5 * epoch,
            "train_error": 60.0,
            "test_error": test_error,
            "mean_momentum": float("nan") if adaptive else 0.925,
        }
        records.append_metrics(folder, row)
    records.append_steps(folder, zip(range(1, 5), *columns, strict=True))
    return folder


def write_about(folder, arm="lcam", *, num_tests=200, data="digits", epochs=2):
    """What a run writes of itself."""
    config = config_as_json(Experiment(epochs=epochs))
    config |= {"optimizer": config_as_json(parse_arm(arm)), "data_sha256": data}
    config["data"]["data"] = data
    origin = {"network": "MLP", "num_test_predictions": num_tests}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "provenance.json").write_text(json.dumps([origin]))
    return folder


def series(axes):
    """What an axes object shows: the points by their label."""
    return {
        line.get_label(): np.column_stack(line.get_data()).tolist()
        for line in axes.get_lines()
    }


def test_errors_of_a_run_stand_on_half_an_example(tmp_path, drawn):
    plot_run(write_about(write_run(tmp_path / "a", test_errors=(2.0, 0.0))))
    *_, errors = drawn[0].axes
    assert series(errors) == {
        "test: 0.00 %": [[1, 2.0], [2, 0.25]],
        "train: 60.00 %": [[1, 60.0], [2, 60.0]],
    }
    assert errors.get_yscale() == "log"
    assert errors.get_ylabel() == "error"


def shown_ticks(axes, name="x"):
    """The ticks within the limits of an axis."""
    low, high = getattr(axes, f"get_{name}lim")()
    return [t for t in getattr(axes, f"get_{name}ticks")() if low <= t <= high]


def test_picture_of_one_epoch_has_whole_epochs_and_short_labels(tmp_path, drawn):
    folder = write_run(tmp_path / "a", test_errors=(63.8889,))
    rows = (folder / "metrics.jsonl").read_text().replace("60.0", "63.8889")
    (folder / "metrics.jsonl").write_text(rows)
    plot_run(folder)
    *_, errors = drawn[0].axes
    assert shown_ticks(errors) == [1]
    assert len(shown_ticks(errors, "y")) >= 3
    labels = [label.get_text() for label in errors.get_yticklabels()]
    assert max(map(len, labels)) <= len("63.5 %")


def test_few_steps_are_dots_that_can_be_seen(tmp_path, drawn):
    plot_run(write_run(tmp_path / "a"))
    loss, momentum, _ = drawn[0].axes
    sizes = [axes.get_lines()[0].get_markersize() for axes in (loss, momentum)]
    assert sizes == [8, 8]


def test_run_without_momentum_has_no_panel_for_it(tmp_path, drawn):
    plot_run(write_run(tmp_path / "a", adaptive=True))
    shown = [axes.get_ylabel() for axes in drawn[0].axes if axes.get_visible()]
    assert shown == ["loss of a step (nats)", "error"]


def test_title_says_data_network_and_epochs(tmp_path, drawn):
    folder = write_about(write_run(tmp_path / "a"), data="npz:/x/mine.npz", epochs=5)
    plot_run(folder)
    assert drawn[0].get_suptitle() == "a\nmine.npz, MLP, 2 of 5 epochs"


def test_errors_of_numbers_are_called_squared(tmp_path, drawn):
    plot_run(write_about(write_run(tmp_path / "a"), num_tests=None))
    loss, _, errors = drawn[0].axes
    assert errors.get_ylabel() == "squared error"
    assert loss.get_ylabel() == "loss of a step (half the squared error)"


def test_run_has_the_colour_of_its_kind(tmp_path, drawn):
    for arm in ("sgd", "lcam:phase=chance"):
        plot_run(write_about(write_run(tmp_path / arm), arm))
    colors = [figure.axes[-1].get_lines()[0].get_color() for figure in drawn]
    assert colors == [ARM_COLORS["sgd"], ARM_COLORS["chance"]]


def test_legends_stand_beside_the_data(tmp_path, drawn):
    plot_run(write_about(write_run(tmp_path / "a")))
    drawn[0].draw_without_rendering()
    for axes in drawn[0].axes:
        legend = axes.get_legend().get_window_extent()
        assert legend.x0 >= axes.get_window_extent().x1
        assert legend.x1 <= drawn[0].bbox.x1


@pytest.mark.parametrize("content", ["", "[]", "[1, 2]"])
@pytest.mark.parametrize("name", ["config.json", "provenance.json"])
def test_run_is_drawn_whatever_it_says_of_itself(tmp_path, drawn, name, content):
    folder = write_about(write_run(tmp_path / "a"))
    (folder / name).write_text(content)
    plot_run(folder)
    assert len(drawn) == 1
