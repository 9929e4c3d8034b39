"""How many steps a call takes on a CPU: what is done in about two seconds.

Between calls the host shows progress, saves, and stops on a signal. A call costs some
50 ms of its own with a Wide ResNet, for memory that is taken anew.
"""

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
