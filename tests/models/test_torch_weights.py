"""Files of torch weights; tests/train/engine/test_torch_parity.py: what they mean."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from models import WideResNet, load_torch, save_torch
from models.torch_weights import from_torch, to_torch
from tests.golden import seeded


@pytest.fixture(scope="module")
def arrays():
    """The weights of a WRN-16-2 for 5 classes of grey images, from a seed."""
    network = nnx.eval_shape(lambda: WideResNet(16, 2, 5, channels=1, rngs=nnx.Rngs(0)))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.bool_), network)
    return seeded.weights({name: a.shape for name, a in to_torch(zeros).items()})


@pytest.mark.torture
def test_network_has_the_size_of_its_file(arrays, tmp_path):
    np.savez(tmp_path / "wrn.npz", **arrays)
    network = load_torch(tmp_path / "wrn.npz")
    assert len(network.blocks) == 6
    assert network.stem.kernel.shape == (3, 3, 1, 16)
    assert network.blocks[5].conv2.kernel.shape == (3, 3, 128, 128)
    logits = network(jnp.ones((2, 8, 8, 1)), train=False)
    assert logits.shape == (2, 5)


def test_saved_network_comes_back(arrays, tmp_path):
    network = from_torch(arrays)
    save_torch(tmp_path / "wrn.npz", network)
    with np.load(tmp_path / "wrn.npz") as file:
        saved = {name: file[name] for name in file.files}
    assert saved.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(saved[name], array)
        assert saved[name].dtype == np.float32
    for ours, theirs in zip(
        jax.tree.leaves(nnx.state(network)),
        jax.tree.leaves(nnx.state(load_torch(tmp_path / "wrn.npz"))),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_layouts_by_hand(arrays):
    # torch: [out, in, height, width] and [out, in]; Flax: the other way round.
    network = from_torch(arrays)
    name = "block2.layer.0.conv1.weight"
    expected = arrays[name][7, 3, 0, 2]
    assert network.blocks[2].conv1.kernel[...][0, 2, 3, 7] == expected
    assert network.classifier.kernel[...][100, 4] == arrays["fc.weight"][4, 100]


def test_prefix_of_data_parallel_and_batch_counters_are_passed_over(arrays):
    wrapped = {f"module.{name}": array for name, array in arrays.items()}
    wrapped["module.bn1.num_batches_tracked"] = np.array(7)
    for name, array in to_torch(from_torch(wrapped)).items():
        np.testing.assert_array_equal(array, arrays[name])


def without(arrays, name):
    return {key: array for key, array in arrays.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda a: without(a, "bn1.bias"),
            "not the weights of .*: bn1.bias is missing",
        ),
        (lambda a: without(a, "fc.weight"), "not the weights of a Wide ResNet"),
        (lambda a: {}, "not the weights of a Wide ResNet"),
        (lambda a: a | {"fc.weight": np.ones(3)}, "not the weights of a Wide ResNet"),
        (
            lambda a: a | {"fc2.bias": np.ones(3)},
            "not the weights of .*: fc2.bias is left over",
        ),
        (
            lambda a: a | {"bn1.bias": np.ones(3)},
            r"bn1.bias must be of the shape \(128,\), got \(3,\)",
        ),
        (
            lambda a: a | {"block1.layer.7.conv1.weight": np.ones(3)},
            "block1.layer.2.bn1.bias is missing",
        ),
        (lambda a: a | {"fc.weight": np.ones((5, 7), "f")}, "widening .* at least 1"),
    ],
)
def test_arrays_of_no_wide_resnet_are_refused(arrays, change, message):
    with pytest.raises(ValueError, match=message):
        from_torch(change(arrays))


def test_file_that_would_run_code_is_refused(arrays, tmp_path):
    path = tmp_path / "wrn.npz"
    np.savez(path, **arrays | {"bn1.bias": np.array([print], object)})
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        load_torch(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_torch(tmp_path / "nowhere.npz")


def test_safetensors_are_read_too(arrays, tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({k: np.ascontiguousarray(a) for k, a in arrays.items()}, path)
    found = to_torch(load_torch(path))
    for name, array in found.items():
        np.testing.assert_array_equal(array, arrays[name])


def test_file_of_another_kind_gets_no_advice_on_pickles(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_text("no archive")
    with pytest.raises(ValueError, match=r"must be an \.npz or a \.safetensors file"):
        load_torch(path)
