"""LCAM trains a Wide ResNet on CIFAR: an epoch is one call, on all devices.

    python -m examples.cifar_wrn                           # CIFAR-10, WRN-10-1
    python -m examples.cifar_wrn --data cifar100 --depth 28 --widen 10 --epochs 150
    python -m examples.cifar_wrn --data mine.npz --epochs 5

TensorFlow Datasets has the data, or an .npz file with x_train and x_test (uint8,
[size, height, width, 3]) and y_train and y_test (labels from 0). The script prints a
line an epoch: training loss, test error, share of low-loss steps.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import lcam_optax
from models import WideResNet

PADDING = 4  # black pixels on each side of an image, for random crops
MESH = jax.make_mesh((jax.device_count(),), ("data",), (AxisType.Auto,))
EVERYWHERE = NamedSharding(MESH, PartitionSpec())
SHARED = NamedSharding(MESH, PartitionSpec("data"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--data-dir", default="~/tensorflow_datasets")
    parser.add_argument("--depth", type=int, default=10)
    parser.add_argument("--widen", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    train, test = load(args.data, args.data_dir)
    size, num_classes = len(train[1]), int(train[1].max()) + 1
    steps = size // args.batch_size  # what does not fill a batch is left out
    # The keys are used as `python -m train run` uses them, so the losses are the same.
    key = jax.random.key(args.seed)
    weights_key, order_key, augmentation_key, _ = jax.random.split(key, 4)
    network = WideResNet(
        args.depth, args.widen, num_classes, rngs=nnx.Rngs(weights_key)
    )
    rates = optax.cosine_decay_schedule(args.learning_rate, args.epochs * steps)
    optimizer = optax.chain(optax.add_decayed_weights(5e-4), lcam_optax.lcam(rates))
    graph, params, statistics = nnx.split(network, nnx.Param, ...)
    state = params, statistics, optimizer.init(params)
    state, train, test = jax.device_put((state, train, test), EVERYWHERE)

    print("epoch  train loss  test error  low-loss steps")
    for epoch in range(args.epochs):
        order = jax.random.permutation(jax.random.fold_in(order_key, epoch), size)
        order = order[: steps * args.batch_size].reshape(steps, -1)
        key = jax.random.fold_in(augmentation_key, epoch)
        state, losses, phases = train_epoch(graph, optimizer, state, train, order, key)
        x, y, *statistics = test
        wrong = sum(
            count_errors(graph, state, x[i : i + 500], y[i : i + 500], *statistics)
            for i in range(0, len(x), 500)
        )
        error, share = wrong / len(x), phases.mean()
        print(f"{epoch + 1:5}  {losses.mean():10.4f}  {error:10.2%}  {share:14.0%}")


def load(name, data_dir):
    """Images, labels, and mean and deviation of the training pixels: twice."""
    if name.endswith(".npz"):
        with np.load(name) as file:
            x, y, *test = (file[k] for k in ("x_train", "y_train", "x_test", "y_test"))
    else:
        import tensorflow_datasets as tfds

        # TFDS prepares CIFAR by TensorFlow. `python -m train run --data cifar10` needs
        # none, and makes the same files.
        splits = tfds.data_source(name, split=["train", "test"], data_dir=data_dir)
        rows = [split.__getitems__(range(len(split))) for split in splits]
        (x, y), test = (
            [np.stack([row[key] for row in part]) for key in ("image", "label")]
            for part in rows
        )
    pixels = x.reshape(-1, x.shape[-1]) / 255
    statistics = np.float32(pixels.mean(axis=0)), np.float32(pixels.std(axis=0))
    sides = [(0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0)]
    return (np.pad(x, sides), y, *statistics), (*test, *statistics)


def crop_and_flip(images, chosen, key):
    """A random crop of each chosen image, mirrored in half of the cases."""
    crop_key, flip_key = jax.random.split(key)
    _, height, width, channels = images.shape
    size = 1, height - 2 * PADDING, width - 2 * PADDING, channels
    corners = jax.random.randint(crop_key, (len(chosen), 2), 0, 2 * PADDING + 1)
    crop = jax.vmap(lambda i, at: jax.lax.dynamic_slice(images, (i, *at, 0), size)[0])
    is_flipped = jax.random.bernoulli(flip_key, shape=(len(chosen), 1, 1, 1))
    batch = crop(chosen, corners)
    return jnp.where(is_flipped, batch[:, :, ::-1], batch)


def normalize(images, mean, std):
    """Each device gets its part of the batch; means are those of the whole batch."""
    images = jax.lax.with_sharding_constraint(images, SHARED)
    return (images.astype(jnp.float32) / 255 - mean) / std


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def train_epoch(graph, optimizer, state, data, order, key):
    """Takes a step with each row of `order`; returns state, losses and phases."""
    images, labels, mean, std = data

    def step(state, batch):
        (params, statistics, opt_state), (index, chosen) = state, batch
        x = crop_and_flip(images, chosen, jax.random.fold_in(key, index))

        def loss_fn(params):
            network = nnx.merge(graph, params, statistics, copy=True)
            logits = network(normalize(x, mean, std), train=True)
            cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels
            loss = cross_entropy(logits, labels[chosen]).mean()
            return loss, nnx.state(network, nnx.BatchStat)

        (loss, statistics), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params, value=loss)
        params = optax.apply_updates(params, updates)
        phase = optax.tree.get(opt_state, "phase")
        return (params, statistics, opt_state), (loss, phase)

    state, seen = jax.lax.scan(step, state, (jnp.arange(len(order)), order))
    return state, *seen


@functools.partial(jax.jit, static_argnums=0)
def count_errors(graph, state, images, labels, mean, std):
    """The number of images that get a wrong label."""
    network = nnx.merge(graph, *state[:2])
    logits = network(normalize(images, mean, std), train=False)
    return jnp.sum(logits.argmax(axis=-1) != labels)


if __name__ == "__main__":
    main()
