"""Our network and step against the authors' in torch: see tests/golden.

What is followed: torch's layout and names, its epsilon and momentum of the batch norms,
its padding at stride 2, its variance within a batch. What is not: the running variance
is Flax's, that of the batch as it is, where torch's is larger by n / (n - 1).
"""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from lcam_optax import Phase
from models import WideResNet
from models.torch_weights import from_torch, to_torch
from tests.golden import seeded
from train.engine import optimizers
from train.engine.device_data import IMAGENET_MEAN, IMAGENET_STD, DeviceData
from train.engine.networks import NetworkSpec
from train.engine.program import EpochPlan, Spec, compile_program, make_state
from train.settings.optimizer import Optimizer
from train.settings.options import Model

GOLDEN = np.load(Path(__file__).parents[3] / "tests" / "golden" / "torch_networks.npz")
NETWORKS = {
    "WRN-28-10": (28, 10, 100),
    "WRN-16-4": (16, 4, 10),
    "WRN-10-1": (10, 1, 10),
}
BATCH_SIZE = 4


def seeded_network(depth, widen, num_classes):
    abstract = nnx.eval_shape(
        lambda: WideResNet(depth, widen, num_classes, rngs=nnx.Rngs(0))
    )
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.bool_), abstract)
    shapes = {name: array.shape for name, array in to_torch(zeros).items()}
    return from_torch(seeded.weights(shapes))


# The large ones take longer than the rest of the file.
MARKED = [
    pytest.param(name, marks=[] if name == "WRN-10-1" else [pytest.mark.torture])
    for name in NETWORKS
]


@pytest.fixture(scope="module", params=MARKED)
def passed(request):
    """What one forward and backward pass gives: name, logits, gradients, statistics."""
    depth, widen, num_classes = NETWORKS[request.param]
    network = seeded_network(depth, widen, num_classes)
    images, labels = seeded.batch(BATCH_SIZE, num_classes)
    images = images.transpose(0, 2, 3, 1)
    graph, params, stats = nnx.split(network, nnx.Param, nnx.BatchStat)

    def forward(params, stats, images):
        trained = nnx.merge(graph, params, stats, copy=True)
        logits = trained(images, train=True)
        return logits, nnx.split(trained, nnx.Param, nnx.BatchStat)[2]

    def loss_fn(params, stats, images):
        losses = optax.losses.softmax_cross_entropy_with_integer_labels(
            forward(params, stats, images)[0], labels
        )
        return jnp.mean(losses)

    eval_logits = jax.jit(lambda network, x: network(x, train=False))(network, images)
    train_logits, new_stats = jax.jit(forward)(params, stats, images)
    with jax.enable_x64(True):
        precise = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float64), (params, stats, images)
        )
        grads = jax.jit(jax.grad(loss_fn))(*precise)
        grads = to_torch(nnx.merge(graph, grads, stats))
    return {
        "name": request.param,
        "eval logits": eval_logits,
        "train logits": train_logits,
        "gradients": {k: v for k, v in grads.items() if "running" not in k},
        "before": to_torch(network),
        "after": to_torch(nnx.merge(graph, params, new_stats)),
    }


def assert_close(actual, expected, tolerance):
    """Equal but for an error of `tolerance` times the largest expected number."""
    error = np.max(np.abs(actual - expected)) / np.max(np.abs(expected))
    assert error < tolerance


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_logits_are_torchs(passed, mode):
    expected = GOLDEN[f"{passed['name']}: {mode} logits"]
    assert expected.shape == (BATCH_SIZE, NETWORKS[passed["name"]][2])
    assert_close(passed[f"{mode} logits"], expected, 1e-5)


def test_gradients_are_torchs(passed):
    prefix = f"{passed['name']}: gradient "
    names = {key.removeprefix(prefix) for key in GOLDEN if key.startswith(prefix)}
    assert names == set(passed["gradients"])
    for name, gradient in passed["gradients"].items():
        assert_close(seeded.projections(name, gradient), GOLDEN[prefix + name], 1e-5)


def images_seen_by(norm):
    """Pixels of the batch that a batch norm averages over."""
    match = re.match(r"block(\d)\.layer\.(\d+)\.(bn\d)", norm)
    side = 8
    if match:
        group, layer, which = match.groups()
        side = {"1": 32, "2": 16, "3": 8}[group]
        if group != "1" and (layer, which) == ("0", "bn1"):
            side *= 2  # before the stride
    return BATCH_SIZE * side**2


def test_running_statistics_are_torchs_but_for_the_bias_of_the_variance(passed):
    for name in passed["after"]:
        before, after = passed["before"][name], passed["after"][name]
        if name.endswith("running_var"):
            count = images_seen_by(name)
            of_batch = (after.astype(np.float64) - 0.9 * before) / 0.1
            after = 0.9 * before + 0.1 * of_batch * count / (count - 1)
        elif not name.endswith("running_mean"):
            continue
        expected = GOLDEN[f"{passed['name']}: after {name}"]
        assert_close(seeded.projections(name, after), expected, 1e-5)


def test_twenty_training_steps_follow_torch():
    batch_size, steps_per_epoch = 64, 10
    options = {"low_loss_momentum": 0.95, "loss_average": "epoch", "lagged": True}
    config = Optimizer("lcam", learning_rate=0.1, weight_decay=5e-4, **options)
    images, labels = seeded.data_set(batch_size * steps_per_epoch, num_classes=10)
    spec = Spec(
        network=NetworkSpec(Model("wide_resnet"), (32, 32, 3), 10),
        method=optimizers.method_of(config),
        train_size=len(images),
        test_size=len(images),
        batch_size=batch_size,
        eval_batch_size=batch_size,
    )
    data = DeviceData(
        train_inputs=images,
        train_targets=labels.astype(np.int32),
        test_inputs=None,
        test_targets=None,
        mean=np.float32(IMAGENET_MEAN),
        std=np.float32(IMAGENET_STD),
    )
    plan = EpochPlan(
        order=np.arange(len(images), dtype=np.int32),
        learning_rates=np.full(steps_per_epoch, 0.1, np.float32),
        noise=np.zeros(steps_per_epoch, np.float32),
        key=jax.random.key(0),
    )
    hyperparameters = optimizers.hyperparameters_of(config, steps_per_epoch)
    _, params, stats = nnx.split(seeded_network(10, 1, 10), nnx.Param, nnx.BatchStat)
    params, stats = nnx.as_pure(params), nnx.as_pure(stats)
    state, train = make_state(spec, params, stats), compile_program(spec).train
    rows = []
    for number in range(2 * steps_per_epoch):
        first = np.int32(number % steps_per_epoch)
        state, metrics = train(
            *(state, data, plan, hyperparameters, first),
            count=1,
            batch_size=batch_size,
        )
        rows.append(jax.tree.map(lambda x, at=first: x[at : at + 1], metrics))
    losses, momenta, phases = (
        np.concatenate([getattr(row, name) for row in rows])
        for name in ("loss", "momentum", "phase")
    )
    np.testing.assert_allclose(losses, GOLDEN["training loss"], rtol=1e-3)
    expected_momenta = np.float32(GOLDEN["training momentum"])
    np.testing.assert_array_equal(momenta, expected_momenta)
    # A phase acts on the next step.
    np.testing.assert_array_equal(
        phases[:-1] == Phase.LOW_LOSS, expected_momenta[1:] == np.float32(0.95)
    )
    # Weight decay hardly shows in the losses, but by 0.6 % in the norms.
    graph = nnx.split(seeded_network(10, 1, 10), nnx.Param, nnx.BatchStat)[0]
    weights = to_torch(nnx.merge(graph, state.params, state.batch_stats))
    prefix = "trained norm of "
    expected_norms = {k.removeprefix(prefix): GOLDEN[k] for k in GOLDEN if prefix in k}
    assert len(expected_norms) == 10
    for name, norm in expected_norms.items():
        np.testing.assert_allclose(np.linalg.norm(weights[name]), norm, rtol=1e-3)
