"""What a program is compiled for, and the calls that make up an epoch."""

from typing import NamedTuple

from train.engine.networks import NetworkSpec
from train.engine.optimizers import Method


class Spec(NamedTuple):
    """All that is fixed when a program is compiled. Hashable.

    Attributes:
      network: what is trained.
      train_shape: of the training inputs.
      test_shape: of the test inputs.
      method: the optimizer's code.
      crop_padding: pixels.
      flip: whether to mirror.
      batch_size: examples a full training step.
      drop_last: whether the examples that don't fill a batch are left out.
      eval_batch_size: examples a testing step.
      steps_per_call: most training steps in one call of the program.
      from_host: whether the host sends the training examples of each call.
      num_devices: among which each batch is split.
      observe: what is watched besides; see `train.engine.observers`.
    """

    network: NetworkSpec
    train_shape: tuple[int, ...]
    test_shape: tuple[int, ...]
    method: Method
    crop_padding: int
    flip: bool
    batch_size: int
    drop_last: bool
    eval_batch_size: int
    steps_per_call: int
    from_host: bool = False
    num_devices: int = 1
    observe: str = "nothing"

    @property
    def full_steps(self) -> int:
        """Steps an epoch with a full batch."""
        return self.train_shape[0] // self.batch_size

    @property
    def last_batch_size(self) -> int:
        """Examples in an epoch's smaller last step; 0 if there is none."""
        return 0 if self.drop_last else self.train_shape[0] % self.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Steps an epoch, the smaller last one included."""
        return self.full_steps + (self.last_batch_size > 0)


class Call(NamedTuple):
    """One call of the compiled training program within an epoch.

    Attributes:
      first: number of its first step in the epoch.
      num_steps: steps it takes.
      batch_size: examples in each.
    """

    first: int
    num_steps: int
    batch_size: int


def epoch_calls(spec: Spec, done: int = 0) -> list[Call]:
    """Splits an epoch into calls: chunks, single steps for the rest, the last batch.

    Args:
      spec: the sizes.
      done: steps of the epoch that are taken already.
    """
    num_steps = spec.steps_per_call
    chunks = max(0, spec.full_steps - done) // num_steps
    rest = done + chunks * num_steps
    calls = [
        Call(first, num_steps, spec.batch_size)
        for first in range(done, rest, num_steps)
    ]
    calls += [Call(first, 1, spec.batch_size) for first in range(rest, spec.full_steps)]
    if spec.last_batch_size and done <= spec.full_steps:
        calls.append(Call(spec.full_steps, 1, spec.last_batch_size))
    return calls
