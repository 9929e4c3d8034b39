"""What a program is compiled for, and the calls that make up an epoch."""

from collections.abc import Callable, Iterator
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
      counted: whether a call may take fewer: their number is an argument then.
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
    counted: bool = False
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

    @property
    def test_batches(self) -> int:
        """Batches of the test set, the last one filled up."""
        return -(-self.test_shape[0] // self.eval_batch_size)

    def room(self, call: "Call") -> int:
        """For how many steps the program of a call is compiled."""
        is_full = self.counted and call.batch_size == self.batch_size
        return self.steps_per_call if is_full else call.num_steps


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


def epoch_calls(
    spec: Spec, done: int = 0, next_size: Callable[[], int] | None = None
) -> Iterator[Call]:
    """Splits an epoch into calls, the last batch in one of its own.

    What is left over of the calls' length comes in one call if calls are counted, else
    in single steps, which have one program.

    Args:
      spec: the sizes.
      done: steps of the epoch that are taken already.
      next_size: asked for the steps of each counted call, when it comes; None: as many
        as a call may take.
    """
    first = done
    while first < spec.full_steps:
        left = spec.full_steps - first
        size = spec.steps_per_call
        if spec.counted:
            size = min(size, left, next_size() if next_size else left)
        elif left < size:
            size = 1
        yield Call(first, size, spec.batch_size)
        first += size
    if spec.last_batch_size and done <= spec.full_steps:
        yield Call(spec.full_steps, 1, spec.last_batch_size)
