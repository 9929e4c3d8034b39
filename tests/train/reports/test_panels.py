from tests.train.reports.written import run, study
from train.reports import panels
from train.reports.outcomes import make_results


def plot(tmp_path, runs):
    [result] = make_results(study(runs))
    panels.plot_block(tmp_path / "x.png", result, "block")


def test_lines_are_means_over_seeds_and_bands_reach_to_the_ends(tmp_path, drawn):
    plot(tmp_path, {("lcam", 0): run(4.0, 2.0), ("lcam", 1): run(8.0, 4.0)})
    [line] = drawn[0].axes[0].get_lines()
    assert line.get_ydata().tolist() == [6.0, 3.0]
    [band] = drawn[0].axes[0].collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert corners == {(1, 4), (1, 8), (2, 2), (2, 4)}
    assert "mean of 2 seeds; bands: lowest to highest" in drawn[0].get_suptitle()


def test_axis_stays_logarithmic_where_a_seed_reaches_zero(tmp_path, drawn):
    plot(tmp_path, {("lcam", 0): run(4.0, 0.0)})
    errors = drawn[0].axes[0]
    [line] = errors.get_lines()
    assert line.get_ydata().tolist() == [4.0, 0.25]  # half of one in 200
    assert errors.get_yscale() == "log"


def test_legend_stands_beside_the_data(tmp_path, drawn):
    plot(tmp_path, {("lcam", 0): run(4.0), ("sgd-0.9", 0): run(5.0)})
    [figure] = drawn
    figure.draw_without_rendering()
    [legend] = figure.legends
    ends = [axes.get_window_extent().x1 for axes in figure.axes]
    assert legend.get_window_extent().x0 >= max(ends)
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["lcam: 4.00 %", "sgd-0.9: 5.00 %"]


def test_sgd_has_no_share_of_low_loss_steps(tmp_path, drawn):
    facts = {"option_optimizer": "sgd"}
    plot(tmp_path, {("sgd-0.9", 0): run(5.0, **facts)})
    assert [axes.axison for axes in drawn[0].axes] == [True, True, False, True]


def test_epochs_without_a_test_are_passed_over(tmp_path, drawn):
    plot(tmp_path, {("lcam", 0): run(4.0, None, 2.0)})
    [line] = drawn[0].axes[0].get_lines()
    assert line.get_xydata().tolist() == [[1, 4], [3, 2]]


def test_many_arms_have_no_bands(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(panels, "MOST_BANDS", 1)
    runs = {(arm, seed): run(4.0) for arm in ("lcam", "sgd-0.9") for seed in (0, 1)}
    plot(tmp_path, runs)
    assert not drawn[0].axes[0].collections
    assert drawn[0].get_suptitle().endswith("lines: mean of 2 seeds")


def test_long_name_of_an_arm_has_a_line_an_option():
    name = "lcam:low-loss-momentum=0.95,lagged=True,margin=0.1"
    assert panels.wrapped(name).split("\n") == [
        "lcam:",
        "  low-loss-momentum=0.95,",
        "  lagged=True,",
        "  margin=0.1",
    ]
