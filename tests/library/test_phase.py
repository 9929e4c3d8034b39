import jax.numpy as jnp
import pytest

from lcam_optax import Phase
from lcam_optax._phase import detect_phase

LOW, HIGH = Phase.LOW_LOSS, Phase.HIGH_LOSS


@pytest.mark.parametrize(
    ("loss", "average", "margin", "previous", "expected"),
    [
        # No dead band: below is low, a tie is high, whatever was before.
        (0.9, 1.0, 0.0, HIGH, LOW),
        (1.0, 1.0, 0.0, LOW, HIGH),
        (1.1, 1.0, 0.0, LOW, HIGH),
        (0.0, 0.0, 0.0, LOW, HIGH),
        (-1.1, -1.0, 0.0, HIGH, LOW),
        # Band from 0.75 to 1.25: unchanged inside; 0.75 is inside, 1.25 is not.
        (0.74, 1.0, 0.25, HIGH, LOW),
        (0.75, 1.0, 0.25, HIGH, HIGH),
        (0.75, 1.0, 0.25, LOW, LOW),
        (1.24, 1.0, 0.25, LOW, LOW),
        (1.25, 1.0, 0.25, LOW, HIGH),
        # The band is relative to the average's size, not its sign: -1.25 to -0.75.
        (-1.3, -1.0, 0.25, HIGH, LOW),
        (-0.9, -1.0, 0.25, LOW, LOW),
        (-0.9, -1.0, 0.25, HIGH, HIGH),
        (-0.7, -1.0, 0.25, LOW, HIGH),
    ],
)
def test_phase_by_hand_table(loss, average, margin, previous, expected):
    phase = detect_phase(
        jnp.float32(loss), jnp.float32(average), jnp.int32(previous), margin
    )
    assert Phase(int(phase)) is expected


def test_phase_is_an_int32_scalar():
    phase = detect_phase(jnp.float32(1), jnp.float32(2), jnp.int32(0), 0.0)
    assert (phase.shape, phase.dtype) == ((), jnp.int32)


def test_phases_have_the_published_numbers():
    assert (Phase.HIGH_LOSS, Phase.LOW_LOSS) == (0, 1)
