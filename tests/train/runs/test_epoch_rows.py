import numpy as np
import pytest

from tests.train.engine.test_program import SPEC
from train.engine.program import StepMetrics, TestMetrics
from train.errors import DivergedError
from train.runs.epoch_rows import check_finite


def check(losses, test_loss):
    losses = np.array(losses, np.float32)
    steps = StepMetrics(losses, *[np.zeros_like(losses)] * 4)
    # 20 images in batches of 2: ten steps an epoch, and this is the third epoch.
    check_finite(
        2,
        SPEC._replace(train_size=20),
        steps,
        TestMetrics(np.float32(test_loss), np.int32(0)),
    )


def test_finite_losses_pass():
    check([1.0, 2.0], 3.0)


def test_the_first_bad_training_loss_is_named():
    with pytest.raises(DivergedError, match=r"is inf at step 22 \(epoch 3\)"):
        check([1.0, np.inf, np.nan], np.nan)


def test_weights_that_the_last_step_ruined_are_noticed_in_the_test():
    with pytest.raises(DivergedError, match=r"the test loss is nan \(epoch 3\)"):
        check([1.0, 2.0], np.nan)
