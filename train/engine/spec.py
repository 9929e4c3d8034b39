"""What a program is compiled for, and how many steps one call of it takes."""

import functools
from typing import NamedTuple

import jax

from train.data.dataset import Dataset, check_batch
from train.engine import devices
from train.engine.flops import training_flops
from train.engine.networks import NetworkSpec, make_network_spec
from train.engine.optimizers import Method
from train.settings.experiment import Experiment

# Operations in one call on an accelerator, some seconds of an H200: a signal waits for
# a call. An epoch of WRN-28-10 on CIFAR takes 1.6 * 10**15. On a CPU the run's clock
# decides.
CALL_FLOPS = 2 * 10**15


class Spec(NamedTuple):
    """All that is fixed when a program is compiled. Hashable.

    Attributes:
      network: what is trained.
      method: the optimizer's code.
      train_size: training examples.
      test_size: test examples.
      batch_size: examples a full training step.
      eval_batch_size: examples a testing step.
      drop_last: whether the examples that don't fill a batch are left out.
      crop_padding: pixels.
      flip: whether to mirror.
      observe: what is watched besides; see `train.engine.observers`.
      num_devices: among which each batch is split.
    """

    network: NetworkSpec
    method: Method
    train_size: int
    test_size: int
    batch_size: int
    eval_batch_size: int
    drop_last: bool = True
    crop_padding: int = 0
    flip: bool = False
    observe: str = "nothing"
    num_devices: int = 1

    @property
    def full_steps(self) -> int:
        """Steps an epoch with a full batch."""
        return self.train_size // self.batch_size

    @property
    def last_batch_size(self) -> int:
        """Examples in an epoch's smaller last step; 0 if there is none."""
        return 0 if self.drop_last else self.train_size % self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Steps an epoch, the smaller last one included."""
        return self.full_steps + (self.last_batch_size > 0)

    @property
    def test_batches(self) -> int:
        """Batches of the test set, the last one filled up."""
        return -(-self.test_size // self.eval_batch_size)

    @property
    def is_images(self) -> bool:
        """Whether the inputs are images."""
        return len(self.network.input_shape) == 3


def make_spec(config: Experiment, method: Method, dataset: Dataset) -> Spec:
    """Gathers what a program is compiled for.

    Raises:
      InputError: the batch is larger than the training set, there are fewer devices, or
        the network is not one for such inputs.
    """
    check_batch(config, dataset)
    return Spec(
        network=make_network_spec(config.model, dataset),
        method=method,
        train_size=len(dataset.train_inputs),
        test_size=len(dataset.test_inputs),
        batch_size=config.batch_size,
        eval_batch_size=min(config.eval_batch_size, len(dataset.test_inputs)),
        drop_last=config.drop_last,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
        observe=config.observe,
        num_devices=devices.count(config.devices),
    )


def is_counted() -> bool:
    """Whether the number of steps in a call is an argument of the compiled loop.

    It is on a CPU. A GPU would ask the host at each step whether to go on, so that
    there the compiler is told the number: each is a program of its own.
    """
    return jax.default_backend() == "cpu"


@functools.cache
def steps_per_call(spec: Spec) -> int:
    """The most steps of a call, at least 1: of an epoch, bounded on an accelerator."""
    if is_counted():
        return max(1, spec.full_steps)
    step_flops = training_flops(spec.network) * spec.batch_size
    most = max(1, min(spec.full_steps, CALL_FLOPS // max(1, step_flops)))
    # A divisor leaves no single steps over, which would be a program of their own.
    fitting = (n for n in range(most, most // 2, -1) if spec.full_steps % n == 0)
    return next(fitting, most)
