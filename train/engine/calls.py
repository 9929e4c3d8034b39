"""How many steps one call of a compiled program takes.

Between calls the host shows progress, saves, and stops on a signal. On a CPU the run's
clock decides (`Pace`). For an accelerator the number is compiled.
"""

import functools
import math

from train.engine.program import Spec, is_counted

# Numbers (pixels, cells of a table, tokens) that a call on an accelerator is trained
# on: 20 batches of 128 from CIFAR. By its operations, WRN-28-10 takes some 20 seconds
# of a T4 for them; the smallest Wide ResNet takes an H200 longer than the host, which
# needs half a millisecond a call. No clock decides, as how steps are cut rounds them.
CALL_NUMBERS = 8_000_000

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
    """Steps of a call, at least 1: of an epoch, bounded on an accelerator."""
    if is_counted():
        return max(1, spec.full_steps)
    most = CALL_NUMBERS / (spec.batch_size * math.prod(spec.network.input_shape))
    # A divisor leaves no steps over, which would be a program of their own.
    steps = range(1, spec.full_steps + 1)
    divisors = [number for number in steps if spec.full_steps % number == 0]
    return min(divisors, key=lambda n: max(n / most, most / n), default=1)
