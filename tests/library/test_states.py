"""States outlive the process and the version that made them."""

import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lcam_optax
from tests.golden.make_states import NEXT_LOSS, named_leaves, transforms

FILES = sorted((Path(__file__).parents[1] / "golden").glob("states_*.npz"))


def saved(file, name, time):
    prefix = f"{name}: {time}: "
    arrays = np.load(file)
    return {
        key.removeprefix(prefix): arrays[key]
        for key in arrays.files
        if key.startswith(prefix)
    }


def test_this_version_has_a_file():
    names = {file.stem for file in FILES}
    assert f"states_{lcam_optax.__version__}" in names


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.parametrize("name", transforms())
def test_states_saved_by_a_version_go_on(file, name):
    init, update = transforms()[name]
    before, after = saved(file, name, "before"), saved(file, name, "after")
    assert before
    # Whatever was saved has its place, dtype and shape; fields may have been added.
    initial = named_leaves(init())
    for place, array in before.items():
        assert (array.dtype, array.shape) == (
            initial[place].dtype,
            initial[place].shape,
        )
    leaves = [jnp.asarray(before.get(place, initial[place])) for place in initial]
    state = jax.tree.unflatten(jax.tree.structure(init()), leaves)
    new_leaves = named_leaves(update(state, NEXT_LOSS))
    for place, array in after.items():
        np.testing.assert_allclose(new_leaves[place], array, rtol=1e-6)


@pytest.mark.parametrize("name", transforms())
def test_pickles_name_the_public_module_only(name):
    state = transforms()[name][0]()
    pickled = pickle.dumps(state)
    assert jax.tree.structure(pickle.loads(pickled)) == jax.tree.structure(state)
    assert b"lcam_optax._" not in pickled
