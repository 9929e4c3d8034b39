import dataclasses
import re

import numpy as np
import pytest

from train.data.dataset import Dataset
from train.errors import InputError
from train.settings.commands import Study
from train.studies.catalogue import STUDIES, list_studies, make_blocks, seeds_of
from train.studies.experiments import RATES


def load(config):
    """As many images as CIFAR has, without their pixels."""
    size = 50_000 // config.every
    inputs = np.zeros((size, 0, 0, 0), np.uint8)
    return Dataset(inputs, np.zeros(size, np.int32), inputs, np.zeros(0), 10)


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", list(STUDIES))
def test_every_study_can_be_run_and_compared(name, quick):
    study = Study(name=name, quick=quick)
    blocks = make_blocks(study, load)
    assert len({block.name for block in blocks}) == len(blocks)
    for block in blocks:
        names = [arm.name for arm in block.arms]
        assert len(set(names)) == len(names)
        assert block.reference in names
        for index, arm in enumerate(block.arms):
            if arm.matched:
                assert arm.donor in names[:index]
        # Arms differ in the optimizer, in what they match, or in their length.
        kinds = {
            (arm.optimizer, arm.matched, arm.epochs, arm.other_weights)
            for arm in block.arms
        }
        assert len(kinds) == len(names)
    assert len(seeds_of(study)) >= 3


def test_full_form_is_the_authors_experiment():
    [block] = make_blocks(Study(name="baseline"), load)
    experiment = block.experiment
    assert (experiment.model.depth, experiment.model.widen) == (28, 10)
    assert experiment.schedule.milestones == (31, 61, 91)
    assert (experiment.epochs, experiment.batch_size) == (150, 128)
    arms = {arm.name: arm.optimizer for arm in block.arms}
    assert arms["lcam-authors"].loss_average == "epoch"
    assert arms["lcam-authors"].lagged
    # A quarter of 390 steps: 1 - 4 / 390.
    assert arms["lcam"].ema_decay == pytest.approx(0.9897, abs=1e-4)


def test_priority_in_full_asks_both_data_sets():
    blocks = make_blocks(Study(name="priority"), load)
    assert [block.experiment.data.data for block in blocks] == ["cifar10", "cifar100"]


def test_rate_grows_with_the_batch():
    blocks = make_blocks(Study(name="noise"), load)
    rates = [block.arms[0].optimizer.learning_rate for block in blocks]
    assert rates == pytest.approx([0.025, 0.05, 0.1, 0.2])
    assert {arm.optimizer.learning_rate for arm in blocks[0].arms} == {rates[0]}


def test_given_seeds_and_epochs_take_the_place_of_the_studys():
    study = Study(name="domains", seeds=(5, 7), epochs=2)
    assert seeds_of(study) == (5, 7)
    assert {block.experiment.epochs for block in make_blocks(study, load)} == {2}


def test_options_of_all_runs_reach_them():
    options = {"threads": 3, "deterministic": True, "devices": 2}
    [block] = make_blocks(Study(name="ablation", quick=True, **options), load)
    assert {name: getattr(block.experiment, name) for name in options} == options


def test_description_names_every_study():
    lines = [line for line in list_studies().splitlines() if not line.startswith("  ")]
    assert [line.partition(":")[0] for line in lines] == list(STUDIES)


def test_only_the_arms_asked_for_are_left_and_what_they_need():
    study = Study(name="ablation", quick=True, arms=("chance", "sgd-0.9"))
    [block] = make_blocks(study, load)
    assert [arm.name for arm in block.arms] == ["lcam", "sgd-0.9", "chance"]


def test_one_seed_has_none_to_borrow_from():
    make_blocks(Study(name="ablation", seeds=(0, 1), arms=("borrowed",)), load)
    apart = Study(name="ablation", seeds=(1, 2), arms=("borrowed",))
    with pytest.raises(InputError, match="in pairs: give --seeds 0 1, or 2 3"):
        make_blocks(apart, load)
    alone = Study(name="ablation", seeds=(0,), arms=("borrowed", "chance"))
    with pytest.raises(InputError, match="in pairs: give --seeds 0 1, or 2 3"):
        make_blocks(alone, load)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        (("lcam",), "must name another arm than the reference lcam, which always runs"),
        (
            ("sgd", "chance"),
            "sgd: there is no such arm. Did you mean sgd-0.9 or sgd-0.95?",
        ),
    ],
)
def test_arms_that_leave_nothing_to_compare_are_refused(arms, message):
    with pytest.raises(InputError, match=f"^--arms {re.escape(message)}"):
        make_blocks(Study(name="ablation", arms=arms), load)


def test_data_that_fill_no_batch_are_refused():
    def few(config):
        few = np.zeros((63, 0, 0, 0), np.uint8)
        return dataclasses.replace(load(config), train_inputs=few)

    study = Study(name="baseline", quick=True, data="npz:few.npz")
    with pytest.raises(InputError, match=r"batches of 64: it needs 640 .* 63 are left"):
        make_blocks(study, few)


@pytest.mark.parametrize("quick", [False, True])
def test_data_that_are_no_images_keep_their_own_network(quick):
    study = Study(name="ablation", quick=quick, data="diabetes")
    [block] = make_blocks(study, load)
    assert block.experiment.model.network is None
    assert block.experiment.data.every == block.experiment.data.shrink == 1


def test_rates_are_tried_on_examples_kept_from_training():
    study = Study(name="rates")
    blocks = make_blocks(study, load)
    assert [block.name for block in blocks] == list(RATES)
    for block in blocks:
        assert block.experiment.data.validation == RATES[block.name].validation > 0
        assert not block.experiment.data.test_rest
        tried = [arm.optimizer.learning_rate for arm in block.arms]
        assert tried == [rate for rate in RATES[block.name].tried for _ in range(2)]
    assert not set(seeds_of(study)) & set(seeds_of(Study(name="domains")))


def test_controls_copy_the_rate_of_lcam(monkeypatch):
    monkeypatch.setitem(RATES, "digits", RATES["digits"]._replace(sgd=0.5, lcam=0.25))
    block = {b.name: b for b in make_blocks(Study(name="domains"), load)}["digits"]
    found = {arm.name: arm.optimizer.learning_rate for arm in block.arms}
    assert found.pop("sgd-0.9") == 0.5
    assert set(found.values()) == {0.25}
