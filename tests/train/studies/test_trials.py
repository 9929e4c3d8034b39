"""A study as a user runs it: the real command line on tiny images."""

import csv
import dataclasses

import numpy as np
import pytest

from train.__main__ import main
from train.data.sources import load_dataset
from train.reports.outcomes import compare_arms, make_results
from train.reports.rows import collect, lender_of
from train.runs import records
from train.runs.folder import locked
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.settings.options import Model
from train.studies.arms import Arm, Block, far_apart_arms, make_arms
from train.studies.study import describe_study
from train.studies.trials import Clock, Trial, in_order, run_trials

ARMS = ["sgd-0.9", "sgd-0.95", "lcam", "lcam-reversed"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of 4 arms and seeds 2 and 3, and its command; 10 steps an epoch."""
    rng = np.random.default_rng(0)
    labels = {"train": rng.integers(0, 2, 6400), "test": rng.integers(0, 2, 30)}
    arrays = {}
    for split, numbers in labels.items():
        noise = rng.integers(0, 100, (len(numbers), 4, 4, 1))
        arrays[f"x_{split}"] = (noise + 100 * numbers[:, None, None, None]).astype("u1")
        arrays[f"y_{split}"] = numbers
    root = tmp_path_factory.mktemp("study")
    np.savez(root / "images.npz", **arrays)
    out = root / "out"
    command = ["study", "priority", "--quick", "--data", f"npz:{root}/images.npz"]
    command += ["--network", "mlp", "--epochs", "2", "--out", str(out), "--seeds"]
    assert main([*command, "2", "3"]) == 0
    return command, out


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_arm_is_run_with_every_seed(study):
    runs = read_csv(study[1] / "report" / "runs.csv")
    assert [(run["arm"], run["seed"]) for run in runs] == [
        (arm, seed) for arm in ARMS for seed in "23"
    ]


def test_report_is_made_of_what_the_runs_wrote(study):
    folder = study[1] / "runs" / "npz"
    last = {
        arm: [
            records.read_metrics(folder / f"{arm}-seed{seed}")[-1]["test_error"]
            for seed in (2, 3)
        ]
        for arm in ARMS
    }
    rows = [
        row
        for row in read_csv(study[1] / "report" / "comparisons.csv")
        if row["outcome"] == "last_error"
    ]
    assert [row["arm"] for row in rows] == ARMS[1:]
    for row in rows:
        expected = np.mean(np.subtract(last[row["arm"]], last["sgd-0.9"]))
        assert float(row["mean"]) == pytest.approx(expected)
    text = (study[1] / "report" / "details.md").read_text()
    assert f"| sgd-0.9 | 2 | {np.mean(last['sgd-0.9']):.2f} ± " in text


def test_finished_runs_are_not_repeated_and_seeds_can_follow(study, capsys):
    command, out = study
    files = [path for path in out.glob("runs/npz/*/metrics.jsonl")]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    capsys.readouterr()
    assert main([*command, "2", "3", "5"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("test error") == len(ARMS)
    assert "[9/12] sgd-0.9, seed 5" in printed
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
    assert after == before


def test_second_process_in_the_folder_of_a_study_is_refused(study, capsys):
    command, out = study
    with locked(out):
        assert main([*command, "2", "3"]) == 2
    assert f"another process is using {out}" in capsys.readouterr().err


def test_study_with_other_options_is_refused(study, capsys):
    command, _ = study
    command = [*command, "3"]
    command[command.index("--epochs") + 1] = "3"
    assert main(command) == 2
    assert "epochs was 2, is 3" in capsys.readouterr().err


def test_budget_ends_a_study_between_runs(study, capsys, tmp_path):
    command = [*study[0][:-2], str(tmp_path / "out"), "--seeds", "3"]
    assert main([*command, "--budget", "1e-9"]) == 0
    printed = capsys.readouterr().out
    assert "The budget of 1e-09 minutes is used up" in printed
    assert "No run has finished yet" in printed


@pytest.mark.parametrize(
    ("matched", "expected"),
    [
        # Of the epochs' means: momentum 0.92, a share of 0.4. SGD at 0.9 has the
        # effective step 0.1 / 0.1; at 0.92 it would be 0.1 / 0.08, 1.25 times that.
        ("momentum", {"momentum": 0.92}),
        ("step", {"learning_rate": 0.125}),
        ("share", {"phase": "chance", "low_loss_share": 0.4}),
    ],
)
def test_matched_arms_take_their_numbers_from_lcam(tmp_path, matched, expected):
    kind = "lcam" if matched == "share" else "sgd"
    lcam, arm = Arm("lcam", Optimizer()), Arm("control", Optimizer(kind), matched)
    block = Block("digits", Experiment(epochs=2), (lcam, arm), "lcam")
    folder = Trial(tmp_path, block, lcam, 7).folder
    folder.mkdir(parents=True)
    records.write_finished(folder, 2)
    for epoch, momentum, share in [(1, 0.91, 0.3), (2, 0.93, 0.5)]:
        row = {"epoch": epoch, "step": epoch, "train_loss": 1.0, "test_loss": 1.0}
        row |= {"mean_momentum": momentum, "low_loss_share": share}
        row |= {"test_error": 1.0, "seconds": 1.0}
        records.append_metrics(folder, row)
    found = dataclasses.asdict(Trial(tmp_path, block, arm, 7).config().optimizer)
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_shuffled_arm_has_lcams_phases_in_each_epoch_in_another_order(images_run):
    first, second = (records.read_steps(folder) for folder in images_run)
    steps = len(first["phase"]) // 2
    for epoch in (slice(0, steps), slice(steps, None)):
        ours, theirs = second["phase"][epoch], first["phase"][epoch]
        assert sorted(ours) == sorted(theirs)
    assert first["phase"] != second["phase"]
    momenta = {0.0: 0.9, 1.0: 0.95}
    expected = [momenta[phase] for phase in second["phase"]]
    assert second["momentum"] == pytest.approx(expected)


BORROWED = Arm("borrowed", Optimizer(), "borrowed")


def test_seeds_borrow_from_each_other_in_pairs():
    found = [lender_of("borrowed", seed) for seed in (0, 1, 2, 3, 100, 101)]
    assert found == [1, 0, 3, 2, 101, 100]
    assert lender_of("phases", 3) == 3


def test_seed_borrows_as_soon_as_its_donor_is_through_and_never_without():
    arms = (Arm("lcam", Optimizer()), BORROWED, Arm("sgd", Optimizer("sgd")))
    block = Block("digits", Experiment(), arms, "lcam")
    trials = in_order([block], (7, 6, 5), None)
    found = [(trial.seed, trial.arm.name) for trial in trials]
    assert found == [
        *((7, "lcam"), (7, "sgd")),
        *((6, "lcam"), (6, "borrowed"), (6, "sgd"), (7, "borrowed")),
        *((5, "lcam"), (5, "sgd")),
    ]


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """The folder of LCAM, its twin and the twin's donor, and SGD for half as long."""
    folder = tmp_path_factory.mktemp("twins")
    sgd, *arms = make_arms("sgd-0.9 lcam twin-donor twin", 0.6)
    arms.append(sgd._replace(name="half", epochs=1))
    experiment = Experiment(
        model=Model("mlp", hidden=(8,)), epochs=2, batch_size=128, test_epochs=1
    )
    block = Block("digits", experiment, tuple(arms), "lcam")
    run_trials([block], [5], folder, load_dataset, Clock())
    about = describe_study("twins", "?", [block], ("last_error", "area"))
    return folder, collect(about, folder)


def steps_of(folder, arm):
    return records.read_steps(folder / "runs" / "digits" / f"{arm}-seed5")


def test_twin_has_the_phases_of_its_donor_and_the_weights_of_lcam(twins):
    folder, _ = twins
    lcam, donor, twin = (
        steps_of(folder, name) for name in ("lcam", "twin-donor", "twin")
    )
    assert twin["phase"] == donor["phase"] != lcam["phase"]
    assert twin["loss"][0] == lcam["loss"][0] != donor["loss"][0]


def test_arm_may_have_epochs_of_its_own(twins):
    folder, found = twins
    assert (
        len(steps_of(folder, "half")["step"])
        == len(steps_of(folder, "lcam")["step"]) / 2
    )
    assert found.epochs.query("arm == 'half'").epoch.tolist() == [1]


def test_outcomes_of_epochs_that_were_not_tested_are_not_compared(twins):
    _, found = twins
    results = make_results(found)
    assert results[0].arms["lcam"].area.isna().all()
    compared = compare_arms(results, ("last_error", "area"))
    assert {each.outcome for each in compared} == {"last_error"}
    assert {each.arm for each in compared} == {"twin-donor", "twin", "half"}


@pytest.fixture
def images_run(study, tmp_path):
    """LCAM's run of the study, and one with its phases shuffled."""
    command, out = study
    lcam = out / "runs" / "npz" / "lcam-seed3"
    shared = ["--data", command[command.index("--data") + 1], "--epochs", "2"]
    shared += ["--network", "mlp"]
    shared += ["--every", "10", "--shrink", "2", "--low-loss-momentum", "0.95"]
    shuffled = ["--phase", "shuffled", "--phases-of", str(lcam)]
    path = tmp_path / "shuffled"
    assert main(["run", *shared, *shuffled, "--out", str(path), "--seed", "3"]) == 0
    return lcam, path


def test_phases_that_are_not_there_are_refused_before_anything_is_written(
    tmp_path, capsys
):
    options = ["--phase", "shuffled", "--phases-of", str(tmp_path)]
    assert main(["run", *options, "--out", str(tmp_path / "out")]) == 2
    assert "must be a run of" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """The steps of `plan-dose`'s arms with two seeds, in a small experiment."""
    folder = tmp_path_factory.mktemp("forms")
    experiment = Experiment(
        model=Model("mlp", hidden=(8,)), epochs=2, batch_size=128, test_epochs=1
    )
    block = Block("digits", experiment, far_apart_arms(0.6), "lcam")
    run_trials([block], [6, 7], folder, load_dataset, Clock())
    return {
        (arm.name, seed): records.read_steps(Trial(folder, block, arm, seed).folder)
        for arm in block.arms
        for seed in (6, 7)
    }


@pytest.mark.parametrize("timing", ["", "-lagged"])
@pytest.mark.parametrize("order", ["", "-reversed"])
def test_each_form_of_plan_dose_is_replayed_by_its_own_control(forms, timing, order):
    own = f"lcam{timing}{order}"
    control = f"borrowed{timing}{order}"
    low, high = (0.8, 0.98) if order else (0.98, 0.8)
    for seed, lender in ((6, 7), (7, 6)):
        replayed, donor = forms[control, seed], forms[own, lender]
        assert replayed["phase"] == donor["phase"] != forms[own, seed]["phase"]
        # The rule, slowly: the phase of this step, or of the one before it.
        acting = [0, *donor["phase"][:-1]] if timing else donor["phase"]
        expected = [low if phase else high for phase in acting]
        assert donor["momentum"] == pytest.approx(expected)
        assert replayed["momentum"] == pytest.approx(expected)


@pytest.fixture
def changed(study):
    """Changes a file of a run of the study until the test ends."""
    kept = {}

    def change(run, name, make):
        path = study[1] / "runs" / "npz" / run / name
        kept[path] = path.read_text()
        path.write_text(make(kept[path]))

    yield change
    for path, text in kept.items():
        path.write_text(text)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("provenance.json", "{"),
        ("provenance.json", "[3]"),
        ("config.json", "{}"),
        ("config.json", "[1]"),
        ("metrics.jsonl", "3\n"),
    ],
)
def test_damaged_run_of_a_study_gets_a_message(study, changed, capsys, name, content):
    changed("lcam-seed3", name, lambda _: content)
    assert main([*study[0], "2", "3"]) == 2
    message = capsys.readouterr().err
    assert message.splitlines()[-1].startswith("error: ")
    assert "lcam-seed3" in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"data_sha256": "', '"data_sha256": "000', "data_sha256 was 000"),
        ('"ema_decay": ', '"ema_decay": 0.123, "was": ', "ema_decay was 0.123"),
    ],
)
def test_finished_run_of_other_data_or_options_is_not_compared(
    study, changed, capsys, old, new, message
):
    changed("lcam-seed2", "config.json", lambda text: text.replace(old, new))
    assert main([*study[0], "2", "3"]) == 2
    assert message in capsys.readouterr().err


def test_study_without_one_of_its_options_when_it_ran_goes_on(study, changed):
    # A finished run of an earlier version: the option was at its default.
    changed("lcam-seed2", "config.json", lambda text: text.replace('"observe"', '"o"'))
    assert main([*study[0], "2", "3"]) == 0


@pytest.fixture
def now(monkeypatch):
    """The time, in a list of one number of seconds."""
    seconds = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: seconds[0])
    return seconds


def test_runs_that_wait_take_as_long_as_the_mean_of_those_so_far(now):
    clock = Clock()
    now[0] += 30
    assert clock.after_run(3) == pytest.approx(90)
    now[0] += 10
    assert clock.after_run(2) == pytest.approx(40)


@pytest.mark.parametrize(("budget", "over"), [(None, False), (2, False), (1, True)])
def test_budget_is_minutes(now, budget, over):
    clock = Clock(budget)
    now[0] += 61
    assert clock.is_over() == over
