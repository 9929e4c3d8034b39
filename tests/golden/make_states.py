"""Makes states_VERSION.npz: states as this version of the library saves them.

    python -m tests.golden.make_states

Run it once for each version, and never for an earlier one: the tests restore the states
of all versions. A file holds each state after `LOSSES`, and after one loss more.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

import lcam_optax

LOSSES = (4.0, 2.0, 3.0, 2.5)
NEXT_LOSS = 2.0
GRADIENT = {"w": np.array([1.0, -0.5], np.float32), "b": np.float32(2.0)}


def transforms():
    """What has a state: `init() -> state` and `update(state, loss) -> state`."""

    def core(**options):
        optimizer = lcam_optax.scale_by_lcam(0.5, 0.75, **options)
        return (
            lambda: optimizer.init(jax.tree.map(jnp.zeros_like, GRADIENT)),
            lambda state, loss: optimizer.update(GRADIENT, state, value=loss)[1],
        )

    schedule = lcam_optax.loss_phase_schedule(0.5, 0.75, loss_average=0.99)
    return {
        "ema": core(loss_average=0.9),
        "epoch lagged": core(loss_average=lcam_optax.epoch_average(3), lagged=True),
        "median": core(loss_average=lcam_optax.median_average(3)),
        "schedule": (
            schedule.init,
            lambda state, loss: schedule.update(state, value=loss),
        ),
    }


def named_leaves(state):
    """The arrays of a state by their place in it."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves}


def main():
    """Writes the file of this version."""
    arrays = {}
    for name, (init, update) in transforms().items():
        state = init()
        for loss in LOSSES:
            state = update(state, loss)
        for time, each in (("before", state), ("after", update(state, NEXT_LOSS))):
            for place, leaf in named_leaves(each).items():
                arrays[f"{name}: {time}: {place}"] = np.asarray(leaf)
    file = pathlib.Path(__file__).with_name(f"states_{lcam_optax.__version__}.npz")
    np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main()
