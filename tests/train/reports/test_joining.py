from pathlib import Path

import pytest

from tests.train.reports.written import ARMS, BLOCK, run, same, study
from train.errors import InputError
from train.reports.joining import join
from train.reports.rows import read_rows
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.settings.options import Data, Model
from train.studies.arms import Arm

A, B = Path("a"), Path("b")
RESULTS = Path(__file__).parents[3] / "results"


def part(*seeds, error=5.0, block=BLOCK, **facts):
    return study({("lcam", seed): run(error, **facts) for seed in seeds}, block)


def test_parts_with_other_seeds_are_joined_in_order():
    whole = join([(A, part(2, 3)), (B, part(0, 1))])
    assert same(whole, part(0, 1, 2, 3))


@pytest.mark.parametrize("other", [part(0), part(1)])
def test_order_of_the_parts_does_not_matter(other):
    assert same(join([(A, part(0)), (B, other)]), join([(B, other), (A, part(0))]))


def test_a_part_twice_is_there_once():
    assert same(join([(A, part(0)), (B, part(0))]), part(0))


def test_other_commits_and_machines_are_listed():
    there = part(1, commit="d" * 40)
    there.about["environments"] = [{"commit": "d" * 40}]
    whole = join([(A, part(0)), (B, there)])
    commits = [each["commit"][0] for each in whole.about["environments"]]
    assert commits == ["c", "d"]


@pytest.mark.parametrize(
    ("facts", "told"), [({}, False), ({"threads": 2}, False), ({"threads": 1}, True)]
)
def test_parts_with_other_threads_or_of_before_they_were_kept_are_joined(
    capsys, facts, told
):
    assert len(join([(A, part(0, threads=2)), (B, part(1, **facts))]).runs) == 2
    assert ("--threads: 1 and 2" in capsys.readouterr().err) == told


def test_arms_of_a_seed_with_other_threads_are_not_paired():
    theirs = study({("sgd-0.9", 0): run(threads=2)})
    with pytest.raises(InputError, match=r"--threads 1 \(lcam\) and 2 \(sgd-0\.9\)"):
        join([(A, part(0, threads=1)), (B, theirs)])
    # An accelerator's sums do not depend on them.
    theirs = study({("sgd-0.9", 0): run(threads=2, device="H200")})
    assert len(join([(A, part(0, threads=1)), (B, theirs)]).runs) == 2


@pytest.mark.parametrize("order", [1, -1])
def test_parts_may_have_other_arms(order):
    ours = study({("lcam", 0): run()}, BLOCK._replace(arms=(ARMS[0], ARMS[3])))
    theirs = study({("sgd-0.9", 0): run()})
    whole = join([(A, ours), (B, theirs)][::order])
    arms = [arm["name"] for arm in whole.about["blocks"][0]["arms"]]
    assert arms == [arm.name for arm in ARMS]  # as the part with more has them
    assert list(whole.runs.index) == [("digits", "lcam", 0), ("digits", "sgd-0.9", 0)]


def test_part_of_before_an_option_was_there_had_it_at_its_default():
    old, new = part(0), part(1)
    [block] = old.about["blocks"]
    del block["experiment"]["data"]["normalize"]
    for arm in block["arms"]:
        del arm["optimizer"]["clip_norm"], arm["donor"]
    assert len(join([(A, old), (B, new)]).runs) == 2
    other = BLOCK._replace(experiment=Experiment(data=Data(normalize="none"), epochs=1))
    with pytest.raises(InputError, match="normalize is train and none"):
        join([(A, old), (B, part(1, block=other))])


def test_part_with_what_is_gone_had_it_at_its_default():
    old, new = part(0), part(1)
    old.about["interaction"] = []
    old.about["blocks"][0]["experiment"]["data"]["label_noise"] = 0.0
    assert len(join([(A, old), (B, new)]).runs) == 2
    old.about["blocks"][0]["experiment"]["data"]["label_noise"] = 0.2
    with pytest.raises(InputError, match=r"label_noise is 0\.2 and 0\.0"):
        join([(A, old), (B, new)])


def test_part_with_the_validation_split_of_before_does_not_belong_to_one_of_now():
    experiment = Experiment(data=Data(validation=9), epochs=1)
    old, older, new = (
        part(n, block=BLOCK._replace(experiment=experiment)) for n in range(3)
    )
    for each in (old, older):
        del each.about["blocks"][0]["experiment"]["data"]["validation_split"]
    assert len(join([(A, old), (B, older)]).runs) == 2
    with pytest.raises(InputError, match="is the last examples and stratified draw, s"):
        join([(A, old), (B, new)])


OTHER_EPOCHS = BLOCK._replace(experiment=Experiment(epochs=2))
OTHER_PATH = BLOCK._replace(experiment=Experiment(data=Data("npz:/b.npz"), epochs=1))
SAME_PATH = BLOCK._replace(experiment=Experiment(data=Data("npz:/a.npz"), epochs=1))
OWN, MOVED = (
    BLOCK._replace(experiment=Experiment(model=Model(f"{path}:make"), epochs=1))
    for path in ("net.py", "there/net.py")
)
OTHER_RATE = BLOCK._replace(arms=(Arm("lcam", Optimizer(learning_rate=0.2)),))
WATCHED = {"misread": 0.25, "pair": [[1.0, 2.0], [3.0, None]]}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (part(1, block=OTHER_EPOCHS), "digits, options, epochs is 1 and 2"),
        (part(1, block=OTHER_RATE), "arms, lcam, learning_rate is 0.1 and 0.2"),
        (part(1, block=BLOCK._replace(name="b")), r"blocks is .*digits.* and .*b"),
        (part(1, block=BLOCK._replace(reference="x")), "reference is lcam and x"),
        (part(1, data_sha256="1" * 64), "digits, data is 0{64} and 1{64}"),
        (part(0, error=5.5), "lcam with seed 0 in digits, epoch 1, test_error is 5.0"),
        (part(0, option_learning_rate=0.3), "option_learning_rate is 0.1 and 0.3"),
        (study({})._replace(about=part().about | {"study": "x"}), "is ablation and x"),
    ],
)
def test_what_does_not_belong_together_is_refused(other, message):
    with pytest.raises(
        InputError, match=f"a and b do not belong together: .*{message}"
    ):
        join([(A, part(0)), (B, other)])


def test_message_names_the_parts_that_differ():
    parts = [(A, part(0)), (B, part(1)), (Path("c"), part(1, error=6.0))]
    with pytest.raises(InputError, match=r"^b and c"):
        join(parts)


def test_file_of_the_network_may_be_elsewhere_and_not_be_another():
    known = {"network": "make of net.py (11111111)"}
    ours = part(0, block=OWN, **known)
    assert len(join([(A, ours), (B, part(1, block=MOVED, **known))]).runs) == 2
    changed = part(1, block=OWN, network="make of net.py (22222222)")
    with pytest.raises(InputError, match=r"network is make .*1\) and make .*2\)"):
        join([(A, ours), (B, changed)])


def test_data_may_lie_elsewhere_on_another_machine():
    whole = join([(A, part(0, block=SAME_PATH)), (B, part(1, block=OTHER_PATH))])
    assert len(whole.runs) == 2


def test_speed_may_differ_in_the_same_run():
    faster = part(0)
    faster.epochs["seconds"] = 0.5
    assert same(join([(A, part(0)), (B, faster)]), part(0))


def test_what_was_watched_has_to_be_the_same():
    ours, theirs = (study({("lcam", 0): run(observed=WATCHED)}) for _ in range(2))
    assert same(join([(A, ours), (B, theirs)]), ours)
    theirs.observed.loc[theirs.observed.number == 3, "number"] = 4.0
    with pytest.raises(InputError, match=r"epoch 1, number is 3\.0 and 4\.0"):
        join([(A, ours), (B, theirs)])


@pytest.mark.parametrize("name", ["plan-5k", "plan-epochs"])
def test_committed_part_joins_with_one_that_the_program_makes_now(name):
    ours = read_rows(RESULTS / name)
    [block] = ours.about["blocks"]
    arms = [a | {"donor": "lcam", "epochs": a.get("epochs")} for a in block["arms"]]
    about = ours.about | {"blocks": [block | {"arms": arms}]}
    about.pop("interaction", None)
    runs = ours.runs[:1].rename({0: 999}, level="seed").assign(threads=1)
    epochs = ours.epochs.loc[ours.runs.index[:1]].rename({0: 999}, level="seed")
    theirs = ours._replace(about=about, runs=runs, epochs=epochs)
    assert len(join([(A, ours), (B, theirs)]).runs) == len(ours.runs) + 1
