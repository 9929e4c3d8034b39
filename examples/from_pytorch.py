"""A Wide ResNet from PyTorch: taken over, tested, and fine-tuned with LCAM.

In PyTorch, the weights are written by

    numpy.savez("wrn.npz", **{k: v.numpy() for k, v in network.state_dict().items()})

and here read by

    python -m examples.from_pytorch wrn.npz --data mine.npz

The names of the arrays are those of LCAM's authors and of many other programs. Without
files it takes a new network and the handwritten digits. It prints the test error before
the first step and after each epoch. It writes tuned.npz, which PyTorch can read.
"""

import argparse

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

import lcam_optax
from models import WideResNet, load_torch, save_torch

BATCH = 64


def loss_fn(network, images, labels):
    logits = network(images, train=True)
    cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels
    return cross_entropy(logits, labels).mean()


@nnx.jit
def train_step(network, optimizer, images, labels):
    loss, grads = nnx.value_and_grad(loss_fn)(network, images, labels)
    optimizer.update(network, grads, value=loss)


@nnx.jit
def predict(network, images):
    return network(images, train=False).argmax(axis=-1)


def load_data(path):
    """Images, float32 [size, height, width, channels], and labels: twice."""
    if path is None:
        x, y = load_digits(return_X_y=True)
        x = np.uint8(x * 255 / 16).reshape(-1, 8, 8, 1)
        arrays = x[:1400], y[:1400], x[1400:], y[1400:]
    else:
        file = np.load(path)
        arrays = [file[key] for key in ("x_train", "y_train", "x_test", "y_test")]
    x, y, x_test, y_test = arrays
    # Normalise as the network was trained: here by the training images.
    mean, std = x.mean(axis=(0, 1, 2)) / 255, x.std(axis=(0, 1, 2)) / 255
    x, x_test = (jnp.float32((images / 255 - mean) / std) for images in (x, x_test))
    return x, jnp.int32(y), x_test, jnp.int32(y_test)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weights", nargs="?")
    parser.add_argument("--data")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()

    x, y, x_test, y_test = load_data(args.data)
    if args.weights is None:
        network = WideResNet(
            10, 1, int(y.max()) + 1, channels=x.shape[-1], rngs=nnx.Rngs(0)
        )
    else:
        network = load_torch(args.weights)
    # Small steps: what was learned is to be kept.
    pipeline = optax.chain(optax.add_decayed_weights(5e-4), lcam_optax.lcam(0.01))
    optimizer = nnx.Optimizer(network, pipeline, wrt=nnx.Param)
    rng = np.random.default_rng(0)
    for epoch in range(args.epochs + 1):
        if epoch:
            order = rng.permutation(len(x))
            for start in range(0, len(x) - BATCH + 1, BATCH):
                batch = order[start : start + BATCH]
                train_step(network, optimizer, x[batch], y[batch])
        error = jnp.mean(predict(network, x_test) != y_test)
        print(f"epoch {epoch}: test error {error:.2%}")
    save_torch("tuned.npz", network)
    print("written: tuned.npz")


if __name__ == "__main__":
    main()
