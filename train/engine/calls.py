"""How many steps one call of a compiled program takes.

Between calls the host shows progress, saves, and stops on a signal. On a CPU the run's
clock decides (`Pace`). For an accelerator the number is compiled.
"""

import functools
import math

from train.engine.program import Spec, is_counted

# Numbers (pixels, cells of a table, tokens) that a call on an accelerator is trained
# on. An epoch of CIFAR has fewer: four seconds of an H200 with WRN-28-10.
CALL_NUMBERS = 160_000_000

# Of a call on a CPU. It costs some 50 ms of its own with a Wide ResNet, for memory that
# is taken anew.
SECONDS = 2.0

# The first steps are slow, and another program may have had the cores for a while.
GROWTH = 4


class Pace:
    """Sizes calls by how long the ones before took. Begins with one step."""

    def __init__(self):
        self._size = 1

    def size(self) -> int:
        """Steps of the next call, at least 1."""
        return self._size

    def took(self, num_steps: int, seconds: float) -> None:
        """Notes how long a call took."""
        fitting = int(SECONDS * num_steps / max(seconds, 1e-9))
        self._size = max(1, min(fitting, GROWTH * self._size))


@functools.cache
def steps_per_call(spec: Spec) -> int:
    """The most steps of a call, at least 1: of an epoch, bounded on an accelerator."""
    if is_counted():
        return max(1, spec.full_steps)
    step_numbers = spec.batch_size * math.prod(spec.network.input_shape)
    most = max(1, min(spec.full_steps, CALL_NUMBERS // step_numbers))
    # A divisor leaves no single steps over, which would be a program of their own.
    fitting = (n for n in range(most, most // 2, -1) if spec.full_steps % n == 0)
    return next(fitting, most)
