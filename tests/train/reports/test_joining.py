from pathlib import Path

import pytest

from tests.train.reports.written import ARMS, BLOCK, run, study
from train.errors import InputError
from train.reports.joining import join
from train.settings.experiment import Experiment
from train.settings.optimizer import Optimizer
from train.settings.options import Data, Model
from train.studies.arms import Arm

A, B = Path("a"), Path("b")


def part(*seeds, error=5.0, block=BLOCK, **facts):
    return study({("lcam", seed): run(error, **facts) for seed in seeds}, block)


def test_parts_with_other_seeds_are_joined_in_order():
    whole = join([(A, part(2, 3)), (B, part(0, 1))])
    assert list(whole.runs) == [("digits", "lcam", seed) for seed in range(4)]
    assert whole.runs == part(0, 1, 2, 3).runs


def test_order_of_the_parts_does_not_matter():
    assert join([(A, part(0)), (B, part(1))]) == join([(B, part(1)), (A, part(0))])


def test_a_part_twice_is_there_once():
    assert join([(A, part(0)), (B, part(0))]) == part(0)


def test_other_commits_and_machines_are_listed():
    there = part(1, commit="d" * 40)
    there.about["environments"] = [{"commit": "d" * 40}]
    whole = join([(A, part(0)), (B, there)])
    commits = [each["commit"][0] for each in whole.about["environments"]]
    assert commits == ["c", "d"]


def test_parts_with_other_threads_or_of_before_they_were_kept_are_joined():
    old, new = part(0), part(1)
    for each in new.runs.values():
        each.facts["threads"] = 2
    assert len(join([(A, old), (B, new)]).runs) == 2


def test_parts_may_have_other_arms():
    ours = study({("lcam", 0): run()}, BLOCK._replace(arms=ARMS[:1]))
    theirs = study({("sgd-0.9", 0): run()}, BLOCK._replace(arms=ARMS[:2]))
    whole = join([(A, ours), (B, theirs)])
    assert [arm["name"] for arm in whole.about["blocks"][0]["arms"]] == [
        "lcam",
        "sgd-0.9",
    ]
    assert len(whole.runs) == 2


def test_part_of_before_an_option_was_there_had_it_at_its_default():
    old, new = part(0), part(1)
    [block] = old.about["blocks"]
    del block["experiment"]["data"]["normalize"]
    for arm in block["arms"]:
        del arm["optimizer"]["high_loss_b1"]
    assert len(join([(A, old), (B, new)]).runs) == 2
    other = BLOCK._replace(experiment=Experiment(data=Data(normalize="none")))
    with pytest.raises(InputError, match="normalize is train and none"):
        join([(A, old), (B, part(1, block=other))])


def test_part_with_an_option_that_is_gone_had_it_at_its_default():
    old, new = part(0), part(1)
    old.about["blocks"][0]["experiment"]["data"]["label_noise"] = 0.0
    assert len(join([(A, old), (B, new)]).runs) == 2
    old.about["blocks"][0]["experiment"]["data"]["label_noise"] = 0.2
    with pytest.raises(InputError, match=r"label_noise is 0\.2 and 0\.0"):
        join([(A, old), (B, new)])


OTHER_EPOCHS = BLOCK._replace(experiment=Experiment(epochs=2))
OTHER_PATH = BLOCK._replace(experiment=Experiment(data=Data("npz:/b.npz"), epochs=1))
SAME_PATH = BLOCK._replace(experiment=Experiment(data=Data("npz:/a.npz"), epochs=1))
OWN, MOVED = (
    BLOCK._replace(experiment=Experiment(model=Model(f"{path}:make"), epochs=1))
    for path in ("net.py", "there/net.py")
)
OTHER_RATE = BLOCK._replace(arms=(Arm("lcam", Optimizer(learning_rate=0.2)),))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (part(1, block=OTHER_EPOCHS), "digits, options, epochs is 1 and 2"),
        (part(1, block=OTHER_RATE), "arms, lcam, learning_rate is 0.1 and 0.2"),
        (part(1, block=BLOCK._replace(name="b")), "digits is in one of them only"),
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
    faster.runs["digits", "lcam", 0].epochs[0]["seconds"] = 0.5
    assert join([(A, part(0)), (B, faster)]) == part(0)
