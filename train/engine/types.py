"""What goes into the compiled program, and what comes out: trees of arrays."""

from typing import Any, NamedTuple

import jax
import optax
from flax import nnx


class TrainState(NamedTuple):
    """What training carries from step to step.

    Attributes:
      params: float32 weights.
      batch_stats: all that the network carries besides: float32 running statistics;
        of a network of one's own any other variable, such as those of random numbers.
      opt_state: the optimizer's.
      observed: the observer's.
      memory: float32 [train size], where the phase is decided by what was remembered of
        each example: its loss when it was last seen, less the average of that step; 0
        before. Else empty.
    """

    params: nnx.State
    batch_stats: nnx.State
    opt_state: optax.OptState
    observed: Any = ()
    memory: Any = ()


class EpochPlan(NamedTuple):
    """What an epoch's steps draw on.

    Attributes:
      order: int32 [train size], which of the training examples come one after another.
      learning_rates: float32 [steps per epoch].
      noise: float32 [steps per epoch], in [0, 1): decides the phase where chance does.
      key: of the augmentation.
    """

    order: jax.Array
    learning_rates: jax.Array
    noise: jax.Array
    key: jax.Array


class StepMetrics(NamedTuple):
    """What a step reports; NaN where the optimizer has no such thing.

    Attributes:
      loss: float32, mean of the batch: cross-entropy in nats, for numbers half of the
        squared error.
      error: float32, mean of the batch: the misclassified share; for numbers the
        squared error.
      average_loss: float32, what the loss was compared with.
      phase: float32, the `lcam_optax.Phase` the comparison gave.
      momentum: float32, the coefficient of this step.
    """

    loss: jax.Array
    error: jax.Array
    average_loss: jax.Array
    phase: jax.Array
    momentum: jax.Array


class TestMetrics(NamedTuple):
    """Scores on the test set, a sum over the examples of each batch.

    Attributes:
      loss: float32 [batches], as in `StepMetrics`.
      error: float32 [batches], likewise.
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    loss: jax.Array
    error: jax.Array
